from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from scalesr.errors import InputError, PlanError
from scalesr.learning import ArraySource, Length, teach
from scalesr.rls import guidance
from scalesr.rls.augmentation import augmented
from scalesr.rls.checkpoints import load
from scalesr.rls.crops import Crops
from scalesr.rls.generator_lesson import GeneratorLesson
from scalesr.rls.grids import tiled, write_png
from scalesr.rls.likeness import distances, features_of
from scalesr.rls.settings import GeneratorSettings
from scalesr.rls.teaching import GeneratorTraining

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.learning import Progress

TINY = GeneratorSettings(size=16, channels=1, latent=16, depth=2, widths=(8, 8, 8))
SETTINGS = GeneratorTraining(network=TINY, batch=4, judged=32, r1_every=2, path_every=2, factor=4)


def blobs(count: int = 24, *, seed: int = 5, edge: int = 16) -> ArraySource:
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:edge, :edge]
    places = random.uniform(5, edge - 5, (count, 2, 1, 1))
    planes = np.exp(-((y - places[:, 0]) ** 2 + (x - places[:, 1]) ** 2) / 8)
    return ArraySource(planes.astype(np.float32), normalise="none")


def lesson(settings: GeneratorTraining = SETTINGS, grids: Path | None = None) -> GeneratorLesson:
    return GeneratorLesson(settings, [blobs()], validation=[blobs(seed=6)], grids=grids)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the mapping learn in a few steps, where how well it does is not what is tested."""
    monkeypatch.setattr(guidance, "MAPPED", 3)
    monkeypatch.setattr(guidance, "TOLD", 16)


def test_crops_follow_from_seed_and_step() -> None:
    drawn = Crops([blobs(edge=20)], channels=2, edge=16, seed=0)
    found = drawn.batch(3, 4)
    assert found.shape == (4, 2, 16, 16)
    assert torch.equal(found, Crops([blobs(edge=20)], channels=2, edge=16, seed=0).batch(3, 4))
    assert not torch.equal(found, drawn.batch(4, 4))
    assert -1 <= float(found.min()) <= float(found.max()) <= 1


def test_objects_are_taken_whole_and_missing_ones_not_at_all() -> None:
    source = blobs(4)
    crops = Crops([source], channels=1, edge=16, seed=0).batch(0, 8)
    whole = {plane.tobytes() for plane in (2 * source.pixels.clip(0, 1) - 1).astype(np.float32)}
    assert {crop[0].numpy().tobytes() for crop in crops} <= whole
    torn = source.pixels.copy()
    torn[1:, 0, 0] = np.nan
    drawn = Crops([ArraySource(torn, normalise="none")], channels=1, edge=16, seed=0)
    drawn.batch(0, 8)
    assert drawn.draws.missing > 0
    for wrong, match in (([], "no image"), ([blobs(3)], "3 planes"), ([blobs(2, edge=12)], "12 x 12")):
        with pytest.raises(InputError, match=match):
            Crops(wrong, channels=2, edge=16, seed=0)
    with pytest.raises(InputError, match="missing"):
        Crops([ArraySource(np.full((1, 16, 16), np.nan), normalise="none")], channels=1, edge=16, seed=0).batch(0, 1)


def test_augmentation_is_differentiable_and_the_same_for_the_same_chance() -> None:
    images = torch.rand(6, 2, 16, 16, requires_grad=True)

    def changed(kind: str) -> torch.Tensor:
        return augmented(images, torch.Generator().manual_seed(2), kind=kind)  # type: ignore[arg-type]

    assert changed("none") is images
    flipped = changed("flips")
    assert torch.equal(flipped, changed("flips"))
    for one, other in zip(flipped, images, strict=True):
        assert any(torch.equal(one, other.flip(axes)) for axes in ([], [1], [2], [1, 2]))
    full = changed("full")
    assert full.shape == images.shape
    assert not torch.equal(full, flipped)
    (slope,) = torch.autograd.grad(full.sum(), images)
    assert 0 < float((slope != 0).float().mean()) <= 1


def test_moved_images_are_dark_where_nothing_came_from() -> None:
    images = torch.full((64, 1, 16, 16), 0.5)
    found = augmented(images, torch.Generator().manual_seed(0), kind="full")
    inner = found[:, :, 2:-2, 2:-2]
    assert torch.equal(inner, inner[:, :, :1, :1].expand_as(inner))
    assert float(found.min()) == -1
    assert ((inner - 0.5).abs() <= 0.2 + 1e-6).all()


def test_sets_of_images_are_compared_by_their_features() -> None:
    random = torch.Generator().manual_seed(0)
    one, same = (torch.rand(40, 2, 16, 16, generator=random) for _ in range(2))
    other = torch.rand(40, 2, 16, 16, generator=random).square()
    near, far = (distances(features_of(one), features_of(each)) for each in (same, other))
    assert features_of(one).shape == (40, 146)
    assert near["frechet loss"] < far["frechet loss"]
    assert near["kernel loss"] < far["kernel loss"]


def test_grids_are_pictures(tmp_path: Path) -> None:
    images = torch.rand(5, 3, 4, 6)
    grid = tiled(images, columns=3)
    assert grid.shape == (8, 18, 3)
    np.testing.assert_array_equal(grid[:4, 6:12, 1], np.round(images[1, 1].numpy() * 255))
    assert not grid[4:, 12:].any()
    for pixels in (grid, tiled(images[:, :1], columns=2)):
        write_png(pixels, tmp_path / "a" / "grid.png")
        picture = np.asarray(Picture.open(io.BytesIO((tmp_path / "a" / "grid.png").read_bytes())))
        np.testing.assert_array_equal(picture.reshape(pixels.shape), pixels)
    assert tiled(images[:, :2], columns=5)[..., 2].max() == 0


def test_two_styles_meet_at_a_layer() -> None:
    taught = lesson(replace(SETTINGS, mixing=1.0))
    w = taught._latents(torch.Generator().manual_seed(0), 3)
    assert w.shape == (3, 6, 16)
    changes = [place for place in range(1, 6) if not torch.equal(w[:, place], w[:, place - 1])]
    assert len(changes) == 1
    alone = lesson(replace(SETTINGS, mixing=0.0))._latents(torch.Generator().manual_seed(0), 3)
    assert torch.equal(alone, alone[:, :1].expand(-1, 6, -1))


def test_penalties_are_those_of_the_paper() -> None:
    taught = lesson(replace(SETTINGS, augment="none"))
    real = taught.crops.batch(0, 4)
    found = taught._r1(real, torch.Generator().manual_seed(0))
    images = real.clone().requires_grad_()
    (slope,) = torch.autograd.grad(taught.rival.network(images).sum(), images)
    torch.testing.assert_close(found, slope.square().sum(dim=(1, 2, 3)).mean())
    before = float(taught.lengths.length)
    penalty = taught._path(torch.Generator().manual_seed(0), 2)
    mean = float(taught.lengths.length)
    assert before == 0 < mean
    # The first mean is a hundredth of the mean length, so that the penalty is about the mean square of 99 hundredths.
    assert float(penalty.detach()) >= (99 * mean) ** 2 * 0.99


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("guided", [0.0, 0.5, 0.75, 1.0])
def test_training_resumes_to_the_same_bits_and_shows_what_it_makes(tmp_path: Path, guided: float) -> None:
    length, settings = Length(steps=4, validations=2), replace(SETTINGS, guided=guided)
    whole = teach(lesson(settings, grids=tmp_path / "grids"), length, tmp_path / "whole")
    assert sorted(each.name for each in (tmp_path / "grids").iterdir()) == [
        "step-0000002.png",
        "step-0000004.png",
    ]
    assert whole.scores.keys() == {"frechet loss", "kernel loss"}

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="Stopped after step 3"):
        teach(lesson(settings), length, tmp_path / "parts", watch=stop)
    teach(lesson(settings), length, tmp_path / "parts", mode="resume")
    one, other = load(whole.weights), load(tmp_path / "parts" / "weights.safetensors")
    for (name, a), b in zip(one.generator.state_dict().items(), other.generator.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert float(one.generator.mean.abs().max()) > 0
    assert one.metadata["factor"] == "4"


@pytest.mark.usefixtures("hasty")
def test_guidance_comes_first_and_is_held_on_to() -> None:
    settings = replace(SETTINGS, guided=0.5)
    taught = lesson(settings)
    assert taught.guidance is not None
    losses = [taught.step(number, number / 4) for number in range(4)]
    assert [sorted(each or {}) for each in losses] == [
        ["divergence", "reproduction"],
        ["divergence", "reproduction"],
        ["discriminator", "forgotten", "generator", "path", "r1"],
        ["discriminator", "generator"],
    ]
    assert taught.guidance.settled
    # Without it there is nothing to keep.
    assert "guidance" in taught.parts
    assert "guidance" not in lesson().parts


def test_the_mapping_draws_what_the_encoder_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guidance, "MAPPED", 300)
    monkeypatch.setattr(guidance, "TOLD", 2048)
    taught = lesson(replace(SETTINGS, guided=0.5, batch=16, network=replace(TINY, depth=4)))
    assert taught.guidance is not None
    encoder, mapping = taught.guidance.encoder, taught.learner.network.mapping
    random = torch.Generator().manual_seed(1)
    z, lines = torch.randn(2000, 16, generator=random), torch.randn(16, 50, generator=random)
    images = torch.cat([taught.crops.batch(number, 100) for number in range(20)])
    with torch.no_grad():
        mean, wide = encoder(images)
        told = guidance.drawn(mean, wide, random)

        def apart() -> float:
            along = [(latents @ lines).sort(dim=0).values for latents in (mapping(z), told)]
            return float((along[0] - along[1]).square().mean())

        before = apart()
    taught._settle(taught.guidance)
    with torch.no_grad():
        assert apart() < 0.4 * before
    for kept, now in zip(taught.learner.average.parameters(), taught.learner.network.parameters(), strict=True):
        assert torch.equal(kept, now)


def test_what_cannot_be_is_refused() -> None:
    for name, value in {"batch": 1, "mixing": 2.0, "factor": 32, "judged": 1, "guided": 1.1, "anchor": -1}.items():
        with pytest.raises(PlanError, match=name):
            replace(SETTINGS, **{name: value})  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("guided", [0.0, 0.5])
def test_a_generator_learns_spots(tmp_path: Path, guided: float) -> None:
    settings = replace(SETTINGS, batch=8, judged=128, average=0.99, r1=1.0, r1_every=8, path_every=8, guided=guided)
    taught = GeneratorLesson(settings, [blobs(256)], validation=[blobs(256, seed=6)])
    before = taught.score()
    found = teach(taught, Length(steps=400, validations=4), tmp_path / "net")
    # Of 128 images the Frechet distance has a floor, which the kernel distance has not.
    assert found.scores["frechet loss"] < 0.6 * before["frechet loss"]
    assert found.scores["kernel loss"] < before["kernel loss"] / 3
