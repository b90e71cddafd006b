from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
import torch

from scalesr.errors import InputError, LedgerError, ModelError
from scalesr.learning import ArraySource, Length, Strip, teach
from scalesr.msdsr.lesson import DiffusionLesson
from scalesr.msdsr.network import Denoiser, load_denoiser, to_span
from scalesr.msdsr.patches import Patches
from scalesr.msdsr.settings import NetworkSettings, TrainingSettings

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.learning import Progress

TINY = NetworkSettings(widths=(8, 16), attention=(False, False), tile=16)
SETTINGS = TrainingSettings(network=TINY, batch=2, warm_up=1)


def source(planes: int = 4, *, edge: int = 40) -> ArraySource:
    random = np.random.default_rng(5)
    return ArraySource(random.random((planes, edge, edge)).astype(np.float32), normalise="none")


def lesson(settings: TrainingSettings = SETTINGS, begun: Denoiser | None = None) -> DiffusionLesson:
    return DiffusionLesson(settings, [source()], validation=[source(2)], begun=begun)


def trained(*, seed: int = 7) -> Denoiser:
    """Return a network that is not the one which a lesson makes of its seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Denoiser(TINY)


def patches(
    sources: list[ArraySource], *, channels: int = 1, seed: int = 0, flat: Literal["rare", "drawn"] = "rare"
) -> Patches:
    return Patches(sources, channels=channels, edge=16, seed=seed, turns="turns", measured="mixed", flat=flat)


def test_patches_follow_from_seed_and_step() -> None:
    one, other = patches([source()]).batch(3, 4), patches([source()]).batch(3, 4)
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert not torch.equal(one[0], patches([source()]).batch(4, 4)[0])
    assert not torch.equal(one[0], patches([source()], seed=1).batch(3, 4)[0])


def test_rows_are_measured_as_a_whole() -> None:
    pixels, known = patches([source()], channels=2).batch(0, 8)
    assert pixels.shape == (8, 2, 16, 16)
    assert known.shape == (8, 1, 16, 16)
    assert set(np.unique(known).tolist()) == {0.0, 1.0}
    assert torch.equal(known, known[..., :1].expand_as(known))
    assert (known[:, 0, :, 0].sum(1) > 0).all()


def test_missing_and_flat_patches_are_drawn_again_and_counted() -> None:
    pixels = np.random.default_rng(0).random((1, 40, 40)).astype(np.float32)
    pixels[:, :, 20:] = np.nan
    pixels[:, 20:, :20] = 0.5
    drawn = patches([ArraySource(pixels, normalise="none")])
    found, _ = drawn.batch(0, 16)
    assert found.isfinite().all()
    assert drawn.draws.missing > 0
    assert drawn.draws.flat > 0
    with pytest.raises(InputError, match="missing"):
        patches([ArraySource(np.full((1, 20, 20), np.nan, np.float32), normalise="none")]).batch(0, 1)
    with pytest.raises(InputError, match="planes"):
        patches([source(3)], channels=2)
    with pytest.raises(InputError, match="no image"):
        patches([])


def test_flat_patches_are_drawn_again_or_taken_as_they_come() -> None:
    pixels = np.random.default_rng(0).random((1, 40, 40)).astype(np.float32)
    pixels[:, :, 16:] = 0.5
    shares = {}
    for flat in ("rare", "drawn"):
        drawn = patches([ArraySource(pixels, normalise="none")], flat=flat)
        found, _ = drawn.batch(0, 64)
        shares[flat] = float((found.std(dim=(1, 2, 3)) < 0.02).double().mean())
        assert drawn.draws.flat_kept == round(64 * shares[flat])
    assert drawn.draws.flat == 0
    # Nine of 25 places along x show nothing.
    assert shares["rare"] < 0.05
    assert 0.2 < shares["drawn"] < 0.6
    assert lesson(replace(SETTINGS, flat="drawn")).patches._flat_tries == 0


def test_planes_smaller_than_a_patch_are_mirrored() -> None:
    small = ArraySource(np.random.default_rng(0).random((1, 10, 50)).astype(np.float32), normalise="none")
    assert patches([small]).batch(0, 4)[0].shape == (4, 1, 16, 16)


def test_the_loss_is_that_of_the_paper() -> None:
    """Section 1.4 of the released code: noise as the target, nothing on measured rows, the mean over all pixels."""
    taught = lesson(
        replace(
            SETTINGS,
            network=replace(TINY, conditioning="rows", prediction="epsilon", span="unit"),
            loss="l1",
            weighting="all",
        )
    )
    pixels, known = taught.patches.batch(0, 2)
    steps, noise = torch.tensor([10, 700]), torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    network = taught.learner.network
    share = taught.shares[steps].view(-1, 1, 1, 1)
    noisy = share.sqrt() * pixels + (1 - share).sqrt() * noise
    mixed = known * pixels + (1 - known) * noisy
    found = network(mixed, steps, known, pixels)
    wanted = (found - (1 - known) * noise).abs().mean()
    torch.testing.assert_close(taught._loss(network, pixels, known, steps, noise), wanted)


def test_the_velocity_gives_image_and_noise_back() -> None:
    """v = sqrt(a) noise - sqrt(1 - a) image, so that image = sqrt(a) x - sqrt(1 - a) v (Salimans & Ho 2022)."""
    taught = lesson()
    pixels, _ = taught.judged
    clean, noise = to_span(pixels, "signed"), torch.randn(pixels.shape)
    seen = []

    class Knowing(torch.nn.Module):
        def forward(self, noisy: torch.Tensor, steps: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
            share = taught.shares[steps].view(-1, 1, 1, 1)
            wave = (noisy - share.sqrt() * clean) / (1 - share).sqrt()
            seen.append(int(steps[0]))
            return share.sqrt() * wave - (1 - share).sqrt() * clean

    taught.learner.average = Knowing()  # type: ignore[assignment]
    restored = taught._restored(noise)
    torch.testing.assert_close(restored, pixels, atol=2e-2, rtol=0)
    assert seen == sorted(seen, reverse=True)
    assert seen[0] == 999


def test_training_lowers_the_loss_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole = teach(lesson(), Length(steps=6, validations=3), tmp_path / "whole")
    assert whole.weights.exists()
    assert whole.reference.keys() == {"psnr"}

    def stop(at: int) -> object:
        def watch(progress: object) -> None:
            if progress.step == at:  # type: ignore[attr-defined]
                raise KeyboardInterrupt

        return watch

    with pytest.raises(Exception, match="Stopped after step 3"):
        teach(lesson(), Length(steps=6, validations=3), tmp_path / "parts", watch=stop(3))  # type: ignore[arg-type]
    teach(lesson(), Length(steps=6, validations=3), tmp_path / "parts", mode="resume")
    one, other = load_denoiser(whole.weights), load_denoiser(tmp_path / "parts" / "weights.safetensors")
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_lesson_goes_on_from_a_trained_network(tmp_path: Path) -> None:
    begun = trained()
    taught = lesson(begun=begun)
    for a, b in zip(taught.learner.network.parameters(), begun.parameters(), strict=True):
        assert torch.equal(a, b)
    length = Length(steps=2, validations=1)
    whole = teach(taught, length, tmp_path / "whole")

    def stop(progress: Progress) -> None:
        if progress.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(Exception, match="Stopped after step 1"):
        teach(lesson(begun=begun), length, tmp_path / "parts", watch=stop)
    for other, match in ((None, "begun is nothing"), (trained(seed=8), "begun is")):
        with pytest.raises(LedgerError, match=match):
            teach(lesson(begun=other), length, tmp_path / "parts", mode="resume")
    teach(lesson(begun=begun), length, tmp_path / "parts", mode="resume")
    one, other_one = load_denoiser(whole.weights), load_denoiser(tmp_path / "parts" / "weights.safetensors")
    for a, b in zip(one.parameters(), other_one.parameters(), strict=True):
        assert torch.equal(a, b)


def test_another_network_than_the_settings_say_is_refused() -> None:
    with pytest.raises(ModelError, match="not the one that the settings describe"):
        lesson(replace(SETTINGS, network=replace(TINY, widths=(8, 24))), begun=trained())


@pytest.mark.slow
def test_a_network_learns_stripes_beyond_linear_interpolation(tmp_path: Path) -> None:
    place = np.arange(64)
    planes = [np.sin(place[:, None] * 0.9 + place[None] * angle) / 2 + 0.5 for angle in np.linspace(0, 1, 8)]
    stripes = ArraySource(np.stack(planes).astype(np.float32), normalise="none")
    judged = Strip(source=stripes, start=40, stop=64)
    taught = DiffusionLesson(replace(SETTINGS, batch=8, rate=2e-3), [stripes], validation=[judged])
    found = teach(taught, Length(steps=400, validations=2), tmp_path / "net")
    assert found.scores["psnr"] > found.reference["psnr"] + 3
