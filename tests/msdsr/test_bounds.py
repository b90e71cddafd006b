"""Voxels are held near what was measured around them, and only where they are not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scalesr.msdsr.bounds import MARGIN, NEAR, bounds_of
from scalesr.msdsr.rows import guide
from scalesr.msdsr.slicing import Canvas, canvas

SCALES = st.sampled_from([Fraction(2), Fraction(4), Fraction(5, 2), Fraction(48, 13)])


def stack(seed: int, *, scale: Fraction, channels: int = 1, holes: float = 0.0) -> Canvas:
    """Planes of noise, some of whose pixels were not measured."""
    random = torch.Generator().manual_seed(seed)
    planes = torch.rand(1, channels, 2 * scale.denominator, 9, 11, generator=random)
    gone = torch.rand(1, 1, *planes.shape[2:], generator=random) < holes
    return canvas(torch.where(gone, torch.nan, planes), scale=scale)


def wild(like: torch.Tensor, seed: int) -> torch.Tensor:
    """What a network may make of it."""
    return 8 * torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))


def bounded(volume: torch.Tensor, there: Canvas) -> torch.Tensor:
    """What a sampler makes of a volume."""
    return volume.clamp(*bounds_of(there))


@given(seed=st.integers(0, 999), scale=SCALES, holes=st.sampled_from([0.0, 0.4]))
@settings(max_examples=20, deadline=None)
def test_they_are_the_extremes_around_with_a_margin(seed: int, scale: Fraction, holes: float) -> None:
    there = stack(seed, scale=scale, holes=holes)
    found = bounded(wild(there.values, seed), there)[0, 0].numpy()
    values, known = there.values[0, 0].numpy(), there.known[0, 0].numpy() > 0
    size, around = 2 * NEAR + 1, {"mode": "constant"}
    for row in range(len(values)):
        least, most = np.full(values.shape[1:], np.inf), np.full(values.shape[1:], -np.inf)
        seen = np.array([ndimage.maximum_filter(each, size, **around) for each in known])
        for column in np.ndindex(*values.shape[1:]):
            rows = np.flatnonzero(seen[:, *column])
            before, after = rows[rows <= row], rows[rows >= row]
            for one in {*(before[-1:] if len(before) else after[:1]), *(after[:1] if len(after) else before[-1:])}:
                window = (one, *(slice(max(0, place - NEAR), place + NEAR + 1) for place in column))
                some = values[window][known[window]]
                least[column], most[column] = min(least[column], some.min()), max(most[column], some.max())
        margin = MARGIN * (most - least)
        free = wild(there.values, seed)[0, 0, row].numpy()
        wanted = np.where(least <= most, np.clip(free, least - margin, most + margin), free)
        np.testing.assert_allclose(found[row], wanted, atol=1e-6)


@given(seed=st.integers(0, 999), scale=SCALES)
@settings(max_examples=20, deadline=None)
def test_an_interpolation_is_never_touched(seed: int, scale: Fraction) -> None:
    there = stack(seed, scale=scale, channels=2)
    between = guide(there.values.flatten(-2), there.known.flatten(-2)).view(there.values.shape)
    torch.testing.assert_close(bounded(between, there), between, rtol=0, atol=1e-6)


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_nothing_is_made_up_where_nothing_is_seen(level: float) -> None:
    there = canvas(torch.full((1, 1, 3, 8, 8), level), scale=Fraction(4))
    assert torch.equal(bounded(wild(there.values, 0), there), torch.full((1, 1, 12, 8, 8), level))


def test_without_a_measurement_there_are_none() -> None:
    there = canvas(torch.full((1, 1, 2, 8, 8), torch.nan), scale=Fraction(4))
    free = wild(there.values, 0)
    assert torch.equal(bounded(free, there), free)
