"""The fast network: geometry, what it sees, its file, and what it learns from its teacher."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commands import write_image
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from scalesr.errors import InputError, ModelError, PlanError
from scalesr.learning import Length, teach
from scalesr.models import cache, load, resolve
from scalesr.models.baselines import Interpolation
from scalesr.msdsr.distilling import ArrayVolumes, GapPatches, ImageVolumes, Pair
from scalesr.msdsr.student import Student, save_student, spec_of
from scalesr.msdsr.student_lesson import StudentLesson, StudentSettings

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = torch.zeros(1, 3, dtype=torch.int64)
TINY: dict[str, Any] = {"features": 4, "blocks": 1}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "recall", lambda _: None)
    monkeypatch.setattr(cache, "remember", lambda *_: None)


def student(scale: int = 4, **changes: int) -> Student:
    """Return a network with weights that are not zero."""
    torch.manual_seed(0)
    network = Student(scale=scale, **{**TINY, **changes})
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


def stack(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((1, 1, *(shape or (5, 20, 22))))).float()


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_a_new_network_is_linear_interpolation(scale: int) -> None:
    one = Fraction(1)
    linear = Interpolation("linear", axes="zyx", scale=(Fraction(scale), one, one), sampling=("point", "area", "area"))
    found = Student(scale=scale, **TINY)(stack())
    torch.testing.assert_close(found, linear(stack(), ORIGIN))


@given(scale=st.integers(2, 6), planes=st.sampled_from([2, 4, 6]), count=st.integers(1, 6))
@settings(deadline=None, max_examples=12)
def test_planes_come_back_bit_for_bit(scale: int, planes: int, count: int) -> None:
    given_planes = stack(count, 7, 9)
    with torch.no_grad():
        found = student(scale, planes=planes)(given_planes)
    assert found.shape == (1, 1, count * scale, 7, 9)
    assert torch.equal(found[:, :, ::scale], given_planes)
    assert found.isfinite().all()


@given(offset=st.floats(-3, 3))
@settings(deadline=None, max_examples=8)
def test_a_constant_that_is_added_is_added_to_the_rows(offset: float) -> None:
    network = student()
    with torch.no_grad():
        change = network(stack() + offset) - network(stack()) - offset
    inner = change[..., network.reach : -network.reach, network.reach : -network.reach]
    assert float(inner.abs().max()) < 1e-5


def test_rows_do_not_see_beyond_the_field() -> None:
    network = student()
    spec = spec_of(network, sha256="a test")
    assert spec.receptive == (2, 4, 4)
    assert spec.verbatim == "planes"
    assert spec.sampling == ("point", "area", "area")
    assert network.reach == 4
    z, y, x = spec.receptive
    whole = stack(8, 20, 22)
    with torch.no_grad():
        part = network(whole[:, :, 1:, 3:, 5:])[:, :, 4 * z :, y:, x:]
        rest = network(whole)[:, :, 4 * (z + 1) :, y + 3 :, x + 5 :]
    # The last plane's rows are made of planes that the end of the tile repeats, in both.
    torch.testing.assert_close(part, rest, rtol=0, atol=1e-6)


def test_a_file_is_a_model(tmp_path: Path) -> None:
    save_student(student(), tmp_path / "fast.safetensors", title="test", extra={"teacher": "msdsr"})
    usual: dict[str, Any] = {"image_channels": 3, "image_axes": "czyx"}
    name = str(tmp_path / "fast.safetensors")
    for scale in (None, 4, (4, 1, 1)):
        model = load(resolve(name, scale=scale, **usual))
        assert model.spec.scale == (Fraction(4), Fraction(1), Fraction(1))
        assert model.spec.channels == 1
        with torch.no_grad():
            torch.testing.assert_close(model(stack(), ORIGIN), student()(stack()))
    with pytest.raises(ModelError, match="scales by 4"):
        load(resolve(name, scale=(2, 1, 1), **usual))
    with pytest.raises(ModelError, match="steps"):
        load(resolve(name, options={"steps": 4}, **usual))
    assert (tmp_path / "fast.safetensors").stat().st_size < 2**20


def test_sizes_that_cannot_be_made_are_refused() -> None:
    for wrong in ({"scale": 1}, {"scale": 4, "planes": 3}, {"scale": 4, "features": 0}):
        with pytest.raises(PlanError):
            Student(**wrong)
    with pytest.raises(PlanError, match="rate"):
        StudentSettings(rate=0)


def volume(seed: int = 0) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return waves that linear interpolation of every fourth row misses."""
    random = np.random.default_rng(seed)
    place = np.indices((29, 32, 32)).astype(np.float32)
    slope = np.array([random.choice([-0.6, 0.6]), *random.uniform(-0.6, 0.6, 2)])
    return np.asarray(np.sin(np.tensordot(slope, place, 1) + random.uniform(0, 6)) / 2 + 0.5, np.float32)


def pair(seed: int = 0) -> Pair:
    true = ArrayVolumes(volume(seed))
    return Pair(name=f"waves {seed}", stack=ArrayVolumes(volume(seed)[::4]), volume=true, scale=4, truth=true)


def test_patches_are_gaps_between_planes() -> None:
    patches = GapPatches([pair()], planes=4, edge=16, seed=0)
    gaps = patches.batch(0, 12)
    assert gaps.stacks.shape == (12, 1, 4, 16, 16)
    assert gaps.rows.shape == gaps.truth.shape == (12, 3, 16, 16)
    assert torch.equal(gaps.rows, gaps.truth)
    # Each plane beside the gap continues its rows, whichever way the patch was turned.
    steps = [gaps.stacks[:, 0, 1], *gaps.rows.unbind(1), gaps.stacks[:, 0, 2]]
    assert max(float((b - a).abs().mean()) for a, b in pairwise(steps)) < 0.25
    again = GapPatches([pair()], planes=4, edge=16, seed=0).batch(0, 12)
    assert torch.equal(gaps.stacks, again.stacks)


def test_pairs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="do not go together"):
        Pair(name="a", stack=ArrayVolumes(volume()[::4]), volume=ArrayVolumes(volume()[:20]), scale=4)
    with pytest.raises(InputError, match="patches"):
        GapPatches([pair()], planes=4, edge=64, seed=0)
    with pytest.raises(InputError, match="no stack"):
        GapPatches([], planes=4, edge=16, seed=0)
    nothing = np.full((9, 20, 20), np.nan, np.float32)
    missing = Pair(name="b", stack=ArrayVolumes(nothing[::4]), volume=ArrayVolumes(nothing), scale=4)
    with pytest.raises(InputError, match="missing"):
        GapPatches([missing], planes=4, edge=16, seed=0).batch(0, 1)


def test_images_are_on_the_scale_of_their_stack(tmp_path: Path) -> None:
    pixels = (1000 * np.random.default_rng(0).random((2, 3, 20, 24))).astype(np.float32)
    of_stack = write_image(tmp_path / "stack.zarr", pixels, "czyx")
    fine = write_image(tmp_path / "fine.zarr", np.repeat(pixels, 4, axis=1), "czyx")
    low, made = ImageVolumes(image=of_stack, like=of_stack), ImageVolumes(image=fine, like=of_stack)
    assert low.shape == (2, 3, 20, 24)
    part = (slice(3, 9), slice(5, 11))
    found = low.read(1, slice(0, 3), *part)
    np.testing.assert_array_equal(made.read(1, slice(0, 12), *part), np.repeat(found, 4, axis=0))
    bounds = np.percentile(pixels[1], (0.1, 99.9))
    np.testing.assert_allclose(found, (pixels[1, :, 3:9, 5:11] - bounds[0]) / np.ptp(bounds), atol=2e-3)
    with pytest.raises(InputError, match="z, y and x"):
        ImageVolumes(image=write_image(tmp_path / "flat.zarr", pixels[0, 0]), like=of_stack)


def lesson(**changes: Any) -> StudentLesson:
    chosen = StudentSettings(**{"features": 8, "blocks": 1, "edge": 16, "batch": 4, "warm_up": 1, **changes})
    return StudentLesson(chosen, [pair(0), pair(1)], validation=[pair(2)], teacher="waves")


def test_training_resumes_to_the_same_bits(tmp_path: Path) -> None:
    def stop(progress: Any) -> None:
        if progress.step == 2:
            raise KeyboardInterrupt

    length = Length(steps=4, validations=2)
    whole = teach(lesson(), length, tmp_path / "whole")
    with pytest.raises(Exception, match="Stopped after step 2"):
        teach(lesson(), length, tmp_path / "parts", watch=stop)
    resumed = teach(lesson(), length, tmp_path / "parts", mode="resume")
    assert resumed.scores == whole.scores
    one, other = load_file(whole.weights), load_file(resumed.weights)
    assert all(torch.equal(one[name], other[name]) for name in {*one, *other})
    with pytest.raises(PlanError, match="scale"):
        lesson(scale=2)


@pytest.mark.parametrize("loss", ["l2", "charbonnier"])
def test_it_learns_what_lies_between_waves(loss: str, tmp_path: Path) -> None:
    found = teach(lesson(loss=loss), Length(steps=150, validations=3), tmp_path / "net")
    assert set(found.scores) == {"fidelity", "psnr"}
    assert found.scores["fidelity"] == pytest.approx(found.scores["psnr"])  # the teacher is the truth here
    assert found.scores["psnr"] > found.reference["psnr"] + 2
