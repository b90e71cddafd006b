"""Networks that restore slices in one pass: geometry, measured rows, margins, and what they are trained on."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from scalesr.errors import ModelError, PlanError
from scalesr.learning import ArraySource, Length, teach
from scalesr.models import Model, Tailored, load, resolve
from scalesr.models.baselines import Interpolation
from scalesr.msdsr.degrading import Degradation
from scalesr.msdsr.network import Denoiser
from scalesr.msdsr.rows import guide, spaced_rows
from scalesr.msdsr.settings import NetworkSettings, TrainingSettings
from scalesr.msdsr.slice_lesson import SliceLesson, SliceSettings
from scalesr.msdsr.slice_net import CONDITIONING, SliceNet, save_slice_net

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.msdsr.slice_net import Kind

TINY = NetworkSettings(widths=(8, 16), attention=(False, False), tile=16)
ORIGIN = torch.zeros(1, 3, dtype=torch.int64)
KINDS: tuple[Kind, ...] = ("e2e", "care")


def network(kind: Kind, *, last: float | None = None) -> Denoiser:
    """Return an untrained network; with `last` it adds that to every pixel."""
    torch.manual_seed(0)
    denoiser = Denoiser(replace(TINY, conditioning=CONDITIONING[kind]))
    if last is not None:
        final: Any = denoiser.unet.conv_out
        torch.nn.init.zeros_(final.weight)
        torch.nn.init.constant_(final.bias, last)
    return denoiser


def tiles(count: int = 1, *shape: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).random((count, 1, *(shape or (4, 12, 14))))).float()


def linear(stack: torch.Tensor, scale: Fraction) -> torch.Tensor:
    one = Fraction(1)
    model = Interpolation("linear", axes="zyx", scale=(scale, one, one), sampling=("point", "area", "area"))
    return model(stack, ORIGIN)


@pytest.mark.parametrize("orientations", ["both", "xz", "yz"])
def test_a_network_that_changes_nothing_leaves_linear_interpolation(orientations: Any) -> None:
    model = SliceNet(network("e2e", last=0.0), kind="e2e", scale=Fraction(4), orientations=orientations)
    torch.testing.assert_close(model(tiles(), ORIGIN), linear(tiles(), Fraction(4)))


def test_measured_planes_come_back_and_all_else_is_changed() -> None:
    found = SliceNet(network("e2e", last=0.5), kind="e2e", scale=Fraction(3))(tiles(), ORIGIN)
    assert torch.equal(found[:, :, ::3], tiles())
    change = found - linear(tiles(), Fraction(3))
    torch.testing.assert_close(change[:, :, 1::3], torch.full_like(change[:, :, 1::3], 0.5))


def test_orientations_are_combined_by_the_geometric_mean() -> None:
    """CSBDeep: sqrt(max(u1, 0) max(u2, 0)), over all rows."""
    parts = {
        name: SliceNet(network("care"), kind="care", scale=Fraction(2), orientations=name)(tiles(), ORIGIN)  # type: ignore[arg-type]
        for name in ("both", "xz", "yz")
    }
    wanted = (parts["xz"].clamp(min=0) * parts["yz"].clamp(min=0)).sqrt()
    torch.testing.assert_close(parts["both"], wanted)
    assert not torch.equal(parts["both"][:, :, ::2], tiles())


def test_turning_a_stack_turns_the_volume() -> None:
    model = SliceNet(network("e2e"), kind="e2e", scale=Fraction(5, 2))
    found = model(tiles(1, 4, 12, 14).transpose(3, 4), ORIGIN)
    torch.testing.assert_close(found, model(tiles(1, 4, 12, 14), ORIGIN).transpose(3, 4))


def test_orientations_of_one_shape_may_have_different_numbers_of_slices() -> None:
    model, stack = SliceNet(network("e2e"), kind="e2e", scale=Fraction(4)), tiles(1, 4, 20, 20)
    whole, part = model(stack, ORIGIN), model.tailored((0, 2, 6))(stack, ORIGIN)
    assert torch.equal(whole[..., 2:-2, 6:-6], part[..., 2:-2, 6:-6])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", [Fraction(4), Fraction(5, 2)])
def test_margins_save_slices_and_change_no_bit(kind: Kind, scale: Fraction) -> None:
    model = SliceNet(network(kind), kind=kind, scale=scale)
    assert isinstance(model, Model)
    assert isinstance(model, Tailored)
    stack = tiles(2, 4, 20, 18)
    whole, part = model(stack, ORIGIN), model.tailored((0, 4, 4))(stack, ORIGIN)
    assert torch.equal(whole[..., 4:-4, 4:-4], part[..., 4:-4, 4:-4])
    assert part.isfinite().all()
    assert model.cost((4, 40, 40), (0, 4, 4)).passes == 64
    # Both orientations have slices of one shape, and share their groups of 16.
    assert model.cost((4, 40, 40), (0, 0, 0)).passes == 80


@pytest.mark.parametrize("kind", KINDS)
def test_a_tile_is_the_same_in_any_batch(kind: Kind) -> None:
    model = SliceNet(network(kind), kind=kind, scale=Fraction(2))
    stack = tiles(3)
    for number, found in enumerate(model(stack, ORIGIN)):
        assert torch.equal(found[None], model(stack[number : number + 1], ORIGIN))


def test_what_was_not_measured_is_made_up() -> None:
    model = SliceNet(network("e2e", last=0.0), kind="e2e", scale=Fraction(2))
    assert model.spec.holes == "inpainted"
    stack = tiles()
    stack[:, :, 1] = torch.nan
    found = model(stack, ORIGIN)
    torch.testing.assert_close(found[:, :, 2], (stack[:, :, 0] + stack[:, :, 2]) / 2)
    assert found.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_is_a_model(kind: Kind, tmp_path: Path) -> None:
    save_slice_net(network(kind), tmp_path / "net.safetensors", kind=kind, title="test")
    usual: dict[str, Any] = {"image_channels": None, "image_axes": "zyx"}
    model = load(resolve(str(tmp_path / "net.safetensors"), scale="5/2", **usual))
    assert model.spec.name == f"msdsr-slices-{kind}"
    assert model.spec.scale == (Fraction(5, 2), Fraction(1), Fraction(1))
    assert model.spec.verbatim == ("planes" if kind == "e2e" else "none")
    assert torch.equal(
        model(tiles(), ORIGIN), SliceNet(network(kind), kind=kind, scale=Fraction(5, 2))(tiles(), ORIGIN)
    )
    for options, words in (({"steps": 4}, "steps"), ({"orientations": "xy"}, "xy")):
        with pytest.raises(ModelError, match=words):
            load(resolve(str(tmp_path / "net.safetensors"), scale=4, options=options, **usual))
    with pytest.raises(ModelError, match="scale"):
        SliceNet(network(kind), kind=kind, scale=Fraction(1))


def test_a_degradation_is_blur_noise_and_linear_zoom() -> None:
    images = torch.from_numpy(np.random.default_rng(1).random((3, 1, 24, 10))).float()
    random = np.random.default_rng
    known = torch.from_numpy(spaced_rows(24, Fraction(4), phase=0)).float().view(1, 1, -1, 1).expand(3, 1, 24, 10)

    class First(np.random.Generator):
        def integers(self, *_: Any, **__: Any) -> Any:
            return 0

    found = Degradation(spacing=4)(images, First(np.random.PCG64(0)))
    torch.testing.assert_close(found, guide(images, known))
    flat = torch.full((1, 1, 24, 64), 0.5)
    torch.testing.assert_close(Degradation(psf="gaussian:1")(flat, random(0)), flat)
    noisy = Degradation(counts=100, noise=0.02, spacing=1.001)(flat.expand(50, -1, -1, -1), random(0))
    # Poisson noise of 50 counts has a variance of 50 / 100^2; a spacing so near to 1 interpolates nothing.
    assert float(noisy.var()) == pytest.approx(50 / 100**2 + 0.02**2, rel=0.05)


def test_blur_spreads_a_row_as_the_psf_is_wide() -> None:
    image = torch.zeros(1, 1, 65, 1)
    image[:, :, 32] = 1
    found = Degradation(psf="gaussian:3", spacing=2)(image, np.random.default_rng(0))
    place = torch.arange(65.0).view(1, 1, -1, 1)
    width = ((found * (place - 32) ** 2).sum() / found.sum()).sqrt() * 2.3548
    # A width of 3 distances of 2 rows, and the triangle of linear interpolation beside it (variance (s^2 - 1) / 6).
    assert float(width) == pytest.approx((6**2 + 2.3548**2 * 3 / 6) ** 0.5, rel=0.05)


def test_impossible_settings_are_refused() -> None:
    for wrong in ({"counts": 0.0}, {"noise": inf}, {"spacing": 1.0}, {"psf": "wide"}):
        with pytest.raises(PlanError):
            Degradation(**wrong)
    with pytest.raises(PlanError, match="e2e"):
        SliceSettings(kind="e2e", degradation=Degradation(noise=0.1))


def source(planes: int = 4) -> ArraySource:
    place = np.arange(40)
    images = [np.sin(place[:, None] * 0.9 + place[None] * angle) / 2 + 0.5 for angle in np.linspace(0, 1, planes)]
    return ArraySource(np.stack(images).astype(np.float32), normalise="none")


def lesson(kind: Kind) -> SliceLesson:
    training = TrainingSettings(network=TINY, batch=4, warm_up=1, rate=2e-3, loss="l1")
    return SliceLesson(SliceSettings(kind=kind, training=training), [source()], validation=[source(2)])


@pytest.mark.parametrize("kind", KINDS)
def test_training_resumes_to_the_same_bits(kind: Kind, tmp_path: Path) -> None:
    def stop(progress: Any) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    length = Length(steps=4, validations=2)
    whole = teach(lesson(kind), length, tmp_path / "whole")
    with pytest.raises(Exception, match="Stopped after step 2"):
        teach(lesson(kind), length, tmp_path / "parts", watch=stop)
    resumed = teach(lesson(kind), length, tmp_path / "parts", mode="resume")
    assert resumed.scores == whole.scores
    one, other = load_file(whole.weights), load_file(resumed.weights)
    assert all(torch.equal(one[name], other[name]) for name in {*one, *other})


def test_the_patches_are_those_of_the_diffusion_network() -> None:
    from scalesr.msdsr.lesson import DiffusionLesson  # noqa: PLC0415  # here alone

    training = TrainingSettings(network=TINY, batch=4)
    diffusion = DiffusionLesson(training, [source()], validation=[source(2)])
    for one, other in zip(diffusion.patches.batch(3, 4), lesson("e2e").patches.batch(3, 4), strict=True):
        assert torch.equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_networks_learn_stripes_beyond_linear_interpolation(kind: Kind, tmp_path: Path) -> None:
    found = teach(lesson(kind), Length(steps=300, validations=2), tmp_path / "net")
    assert found.scores["psnr"] > found.reference["psnr"] + 3
