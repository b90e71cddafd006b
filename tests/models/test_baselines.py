"""Interpolation against other implementations of the same geometry, and against what it must reproduce."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.nn import functional

from scalesr.errors import ModelError
from scalesr.models import Model, kernels
from scalesr.models.baselines import BASELINES, Baseline, Interpolation

SCALES = [Fraction(1), Fraction(2), Fraction(3), Fraction(4), Fraction(48, 13), Fraction(1, 2), Fraction(3, 2)]
ORIGINS = torch.zeros(1, 2, dtype=torch.int64)
smooth = st.sampled_from(["linear", "cubic"])
kernel_names = st.sampled_from(["nearest", "linear", "cubic"])


def plane(kernel: Baseline, scale: Fraction, tile: torch.Tensor) -> torch.Tensor:
    return Interpolation(kernel, axes="yx", scale=(scale, scale))(tile, ORIGINS)


def random(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_linear_is_that_of_torch(scale: int) -> None:
    tile = random(2, 1, 20, 24)
    expected = functional.interpolate(tile, scale_factor=scale, mode="bilinear", align_corners=False)
    assert torch.allclose(plane("linear", Fraction(scale), tile), expected, atol=1e-6)


@pytest.mark.parametrize("scale", [Fraction(2), Fraction(3, 2), Fraction(1, 2), Fraction(2, 3)])
def test_nearest_is_that_of_torch(scale: Fraction) -> None:
    tile = random(1, 1, 12, 24)
    expected = functional.interpolate(tile, size=(int(12 * scale), int(24 * scale)), mode="nearest-exact")
    assert torch.equal(plane("nearest", scale, tile), expected)


@pytest.mark.parametrize("scale", [Fraction(4), Fraction(48, 13), Fraction(1, 2), Fraction(2, 3)])
@pytest.mark.parametrize(
    ("kernel", "filtering"), [("linear", Image.Resampling.BILINEAR), ("cubic", Image.Resampling.BICUBIC)]
)
def test_smooth_kernels_are_those_of_pillow(kernel: Baseline, filtering: Image.Resampling, scale: Fraction) -> None:
    tile = random(1, 1, 78, 78)
    result = plane(kernel, scale, tile)[0, 0].numpy()
    expected = np.asarray(Image.fromarray(tile[0, 0].numpy()).resize(result.shape[::-1], filtering))
    edge = math.ceil(8 * scale)
    inside = (slice(edge, -edge),) * 2
    np.testing.assert_allclose(result[inside], expected[inside], atol=2e-6)


@given(
    kernel=kernel_names, scale=st.fractions(Fraction(1, 4), 6, max_denominator=9), value=st.floats(-1e6, 1e6, width=32)
)
@settings(max_examples=60, deadline=None)
def test_constants_stay_to_the_bit(kernel: Baseline, scale: Fraction, value: float) -> None:
    tile = torch.full((1, 1, 2 * scale.denominator, scale.denominator), value)
    assert set(plane(kernel, scale, tile).flatten().tolist()) == {tile[0, 0, 0, 0].item()}


@given(kernel=smooth, scale=st.fractions(1, 6, max_denominator=9))
@settings(max_examples=40, deadline=None)
def test_polynomials_are_reproduced(kernel: Baseline, scale: Fraction) -> None:
    """Linear reproduces ramps and Keys' cubic quadratics, at the half-pixel positions of the output."""
    length = scale.denominator * math.ceil(24 / scale.denominator)
    degree = 1 if kernel == "linear" else 2
    position = torch.arange(length, dtype=torch.float64)
    tile = (position / length).pow(degree).float().expand(1, 1, scale.denominator, length)
    result = plane(kernel, scale, tile)[0, 0, 0].double()
    where = (torch.arange(len(result), dtype=torch.float64) + 0.5) / float(scale) - 0.5
    inside = (where >= 2) & (where <= length - 3)
    assert torch.allclose(result[inside], (where[inside] / length).pow(degree), atol=1e-6)


@given(
    kernel=kernel_names,
    scale=st.fractions(Fraction(1, 3), 5, max_denominator=6),
    start=st.integers(0, 3),
    seed=st.integers(0, 9),
)
@settings(max_examples=60, deadline=None)
def test_a_tile_anywhere_on_the_lattice_gives_the_same_values(
    kernel: Baseline, scale: Fraction, start: int, seed: int
) -> None:
    model = Interpolation(kernel, axes="yx", scale=(scale, scale))
    multiple = model.spec.multiple
    assert model.spec.receptive is not None
    halo = math.ceil(max(model.spec.receptive) / multiple) * multiple
    cell = 3 * multiple
    image = torch.rand(1, 1, multiple, 2 * halo + cell + 3 * multiple, generator=torch.Generator().manual_seed(seed))
    whole = model(image, ORIGINS)
    first = start * multiple
    tile = model(image[..., first : first + cell + 2 * halo], ORIGINS)
    core = tile[..., int(halo * scale) : int((halo + cell) * scale)]
    assert torch.equal(core, whole[..., int((first + halo) * scale) : int((first + halo + cell) * scale)])


@given(kernel=smooth, scale=st.fractions(Fraction(1, 5), 5, max_denominator=20))
def test_weights_sum_to_one_exactly(kernel: kernels.Kernel, scale: Fraction) -> None:
    assert all(sum(tap.weights) == 1 for tap in kernels.taps(kernel, scale))


@pytest.mark.parametrize(
    ("kernel", "scale", "receptive"),
    [("nearest", Fraction(4), 0), ("linear", Fraction(4), 1), ("cubic", Fraction(4), 2), ("cubic", Fraction(1, 2), 4)],
)
def test_receptive_field_is_that_of_the_kernel(kernel: Baseline, scale: Fraction, receptive: int) -> None:
    assert Interpolation(kernel, axes="yx", scale=(scale, Fraction(1))).spec.receptive == (receptive, 0)


@pytest.mark.parametrize("kernel", ["nearest", "linear", "cubic"])
def test_volumes_are_interpolated_along_each_axis(kernel: Baseline) -> None:
    scale = (Fraction(48, 13), Fraction(1), Fraction(2))
    model = Interpolation(kernel, axes="zyx", scale=scale)
    assert isinstance(model, Model)
    assert model.spec.multiple == 13
    tile = random(2, 1, 26, 6, 8)
    result = model(tile, torch.zeros(2, 3, dtype=torch.int64))
    assert result.shape == (2, 1, 96, 6, 16)
    along_x = Interpolation(kernel, axes="yx", scale=(Fraction(1), Fraction(2)))(tile[0, 0][:, None], ORIGINS)
    turned = along_x[:, 0].permute(1, 0, 2)[:, None]
    expected = Interpolation(kernel, axes="yx", scale=(Fraction(48, 13), Fraction(1)))(turned, ORIGINS)
    assert torch.allclose(result[0, 0].permute(1, 0, 2), expected[:, 0], atol=1e-6)


def test_identity_copies() -> None:
    tile = random(1, 1, 5, 6)
    result = plane("identity", Fraction(1), tile)
    assert torch.equal(result, tile)
    assert result.data_ptr() != tile.data_ptr()
    with pytest.raises(ModelError, match="copies pixels"):
        plane("identity", Fraction(2), tile)


@pytest.mark.parametrize("kernel", BASELINES)
def test_scale_one_copies(kernel: Baseline) -> None:
    tile = random(1, 1, 5, 6)
    assert torch.equal(plane(kernel, Fraction(1), tile), tile)


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ModelError, match="multiples of 13"):
        plane("cubic", Fraction(48, 13), random(1, 1, 12, 13))
    with pytest.raises(ModelError, match="computes in fp32"):
        Interpolation("cubic", axes="yx", scale=(Fraction(2),) * 2).to(device="cpu", precision="bf16")


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kernel", ["nearest", "linear", "cubic"])
def test_memory_grows_with_the_output(kernel: Baseline, scale: Fraction) -> None:
    spec = Interpolation(kernel, axes="yx", scale=(scale, scale)).spec
    assert spec.activation_bytes >= 4 + 4 * float(scale) ** 2
    assert spec.values == "any"
