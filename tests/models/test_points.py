"""Interpolation between planes that stand for points: optical sections, of which plane k is row k x scale."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import ModelError
from scalesr.models import Sampling, kernels, load, resolve
from scalesr.models.baselines import Baseline, Interpolation

ORIGINS = torch.zeros(1, 3, dtype=torch.int64)
ANISOTROPIES = st.fractions(1, 9, max_denominator=16)
kernel_names = st.sampled_from(["nearest", "linear", "cubic"])


def between(kernel: Baseline, scale: Fraction) -> Interpolation:
    return Interpolation(
        kernel, axes="zyx", scale=(scale, Fraction(1), Fraction(1)), sampling=("point", "area", "area")
    )


def stack(values: torch.Tensor) -> torch.Tensor:
    """Return one value for each plane as a stack of planes."""
    return values.float().view(1, 1, -1, 1, 1).expand(-1, -1, -1, 3, 2).contiguous()


def planes_for(scale: Fraction, least: int = 8) -> int:
    return scale.denominator * math.ceil(least / scale.denominator)


@given(kernel=kernel_names, scale=ANISOTROPIES)
@settings(max_examples=80, deadline=None)
def test_measured_planes_are_hit_to_the_bit(kernel: Baseline, scale: Fraction) -> None:
    """Row j lies at j / scale, which is a plane wherever it is a whole number; at every plane if the scale is whole."""
    count = planes_for(scale)
    tile = torch.rand(1, 1, count, 3, 2, generator=torch.Generator().manual_seed(1))
    result = between(kernel, scale)(tile, ORIGINS)
    hit = [k for k in range(count) if (k * scale).denominator == 1]
    assert set(range(0, count, scale.denominator)) == set(hit)
    for k in hit:
        assert torch.equal(result[:, :, int(k * scale)], tile[:, :, k])


@given(kernel=st.sampled_from(["linear", "cubic"]), scale=ANISOTROPIES)
@settings(max_examples=60, deadline=None)
def test_polynomials_are_reproduced_between_the_planes(kernel: Baseline, scale: Fraction) -> None:
    count = planes_for(scale, 12)
    degree = 1 if kernel == "linear" else 2
    result = between(kernel, scale)(stack((torch.arange(count) / count).pow(degree)), ORIGINS)[0, 0, :, 0, 0].double()
    where = torch.arange(len(result), dtype=torch.float64) / float(scale)
    inside = (where >= degree - 1) & (where <= count - degree - 1)
    assert torch.allclose(result[inside], (where[inside] / count).pow(degree), atol=1e-6)


@given(kernel=kernel_names, scale=st.fractions(Fraction(1, 5), 9, max_denominator=20))
@settings(deadline=None)
def test_weights_are_those_of_the_positions(kernel: kernels.Kernel, scale: Fraction) -> None:
    for row, tap in enumerate(kernels.taps(kernel, scale, sampling="point")):
        assert sum(tap.weights) == 1
        centre = sum(Fraction(tap.start + i) * weight for i, weight in enumerate(tap.weights))
        if kernel == "nearest":
            assert abs(centre - row / scale) <= Fraction(1, 2)
        elif scale >= 1:
            assert centre == row / scale


@pytest.mark.parametrize(
    ("kernel", "scale", "receptive"),
    [("nearest", 4, 1), ("linear", 4, 1), ("cubic", 4, 2), ("linear", 1, 0), ("cubic", Fraction(48, 13), 2)],
)
def test_receptive_field(kernel: Baseline, scale: Fraction, receptive: int) -> None:
    spec = between(kernel, Fraction(scale)).spec
    assert spec.receptive == (receptive, 0, 0)
    assert spec.sampling == ("point", "area", "area")


@given(kernel=kernel_names, scale=st.fractions(1, 6, max_denominator=6), start=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_a_tile_anywhere_on_the_lattice_gives_the_same_rows(kernel: Baseline, scale: Fraction, start: int) -> None:
    model = between(kernel, scale)
    unit = scale.denominator
    halo = math.ceil(2 / unit) * unit
    whole = stack(torch.rand(2 * halo + 6 * unit, generator=torch.Generator().manual_seed(start)))
    expected = model(whole, ORIGINS)
    first = start * unit
    found = model(whole[:, :, first : first + 3 * unit + 2 * halo], ORIGINS)
    rows = slice(int(halo * scale), int((halo + 3 * unit) * scale))
    shifted = slice(rows.start + int(first * scale), rows.stop + int(first * scale))
    assert torch.equal(found[:, :, rows], expected[:, :, shifted])


def test_linear_between_planes_is_that_of_numpy() -> None:
    values = torch.rand(9, generator=torch.Generator().manual_seed(3))
    result = between("linear", Fraction(3))(stack(values), ORIGINS)[0, 0, :, 1, 1].numpy()
    expected = np.interp(np.arange(27) / 3, np.arange(9), values.numpy())
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_points_by_name() -> None:
    ref = resolve("linear", scale=(4, 1, 1), sampling="point", image_channels=None, image_axes="zyx")
    model = load(ref)
    assert model.spec.sampling == ("point", "area", "area")
    assert load(resolve("linear", scale=(4, 1, 1), image_channels=None, image_axes="zyx")).spec.sampling is None
    assert model.to(device="cpu", precision="fp32").spec.sampling == ("point", "area", "area")
    with pytest.raises(ModelError, match="each plane by itself"):
        resolve("cubic", scale=4, sampling="point", image_channels=None, image_axes="zyx")


def test_a_network_keeps_the_meaning_of_its_axes() -> None:
    for asked in get_args(Sampling):
        ref = resolve("default", sampling=asked, image_channels=None, image_axes="yx")
        if asked == "area":
            load(ref)
            continue
        with pytest.raises(ModelError, match="pixels along y for areas, and points were asked for"):
            load(ref)
