from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalesr.models import row_of
from scalesr.msdsr.rows import guide, random_rows, regular_rows, spaced_rows


def test_random_rows_are_as_many_as_in_the_released_code() -> None:
    counts = [int(random_rows(48, np.random.default_rng(seed)).sum()) for seed in range(400)]
    assert set(counts) == set(range(5, 21))
    assert np.mean(counts) == pytest.approx(12.5, abs=1)


@given(st.integers(0, 1000), st.integers(8, 96))
def test_regular_rows_have_one_spacing_of_two_to_eight(seed: int, rows: int) -> None:
    places = np.flatnonzero(regular_rows(rows, np.random.default_rng(seed)))
    gaps = np.diff(places)
    assert len(places) > 0
    assert places[0] <= 8
    if len(gaps):
        assert 1 < gaps.min() <= gaps.max() <= 8
        assert gaps.max() - gaps.min() <= 1


def test_planes_of_a_fractional_spacing_lie_at_the_nearest_rows() -> None:
    ratio = Fraction(48, 13)
    assert np.flatnonzero(spaced_rows(48, ratio)).tolist() == [row_of(plane, ratio) for plane in range(13)]
    assert row_of(13, ratio) == 48
    assert [row_of(k, Fraction(5, 2)) for k in (-2, -1, 0, 1, 2)] == [-5, -2, 0, 3, 5]


@given(st.integers(0, 10**6), st.integers(1, 3))
def test_the_guide_is_linear_interpolation(seed: int, channels: int) -> None:
    random = np.random.default_rng(seed)
    clean = torch.from_numpy(random.normal(size=(2, channels, 17, 3)).astype(np.float32))
    known = torch.from_numpy((random.random((2, 1, 17, 3)) < 0.3).astype(np.float32))
    found = guide(torch.where(known > 0, clean, float("nan")), known)
    for n in range(2):
        for x in range(3):
            there = np.flatnonzero(known[n, 0, :, x].numpy())
            for c in range(channels):
                column = clean[n, c, :, x].numpy()
                wanted = np.interp(np.arange(17), there, column[there]) if len(there) else np.zeros(17)
                np.testing.assert_allclose(found[n, c, :, x].numpy(), wanted, atol=1e-5)


def test_measured_pixels_stay_as_they_are() -> None:
    clean = torch.rand(1, 1, 12, 5)
    known = torch.from_numpy(spaced_rows(12, Fraction(3))).float().view(1, 1, -1, 1).expand(1, 1, 12, 5)
    assert torch.equal(guide(clean, known)[:, :, ::3], clean[:, :, ::3])
