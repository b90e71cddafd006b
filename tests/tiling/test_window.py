"""Windows: symmetric ramps, sums of exactly one, products without rounding."""

from __future__ import annotations

from itertools import product, starmap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.tiling import UNIT, cell_window, ramp


@given(length=st.integers(0, 600))
def test_ramp_is_point_symmetric_and_rises(length: int) -> None:
    weights = ramp(length)
    assert len(weights) == length
    assert all(a + b == UNIT for a, b in zip(weights, reversed(weights), strict=True))
    assert sorted(weights) == list(weights)
    assert all(0 <= weight <= UNIT for weight in weights)


@pytest.mark.parametrize(
    ("length", "expected"), [(0, ()), (1, (128,)), (2, (37, 219)), (4, (10, 79, 177, 246)), (3, (17, 128, 239))]
)
def test_ramp_examples(length: int, expected: tuple[int, ...]) -> None:
    assert ramp(length) == expected


@given(data=st.data(), cell=st.integers(1, 200))
def test_neighbouring_windows_sum_to_one(data: st.DataObject, cell: int) -> None:
    half_width = data.draw(st.integers(0, cell // 2))
    cells = data.draw(st.integers(1, 5))
    width = 2 * half_width
    total = np.zeros(width + cells * cell, np.int64)
    for i in range(cells):
        window = cell_window(cell, half_width, first=i == 0, last=i == cells - 1)
        assert len(window) == width + cell
        total[i * cell : i * cell + width + cell] += window
    assert not total[:width].any()  # outside the image
    assert (total[width:] == UNIT).all()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_products_of_weights_are_exact_in_float32(axes: int) -> None:
    weights = np.unique(np.concatenate([ramp(n) for n in (2, 3, 8, 16, 36, 100)]))
    quantum = np.float32(1 / UNIT)
    for combination in product(weights[:: 1 if axes < 3 else 4], repeat=axes):
        exact = np.prod(np.array(combination, np.int64))
        single = np.prod([np.float32(w) * quantum for w in combination], dtype=np.float32)
        assert np.float64(single) * UNIT**axes == exact


@given(weights=st.tuples(*[st.integers(0, UNIT)] * 3))
def test_any_product_of_three_weights_is_exact_in_any_order(weights: tuple[int, int, int]) -> None:
    a, b, c = (np.float32(weight / UNIT) for weight in weights)
    exact = weights[0] * weights[1] * weights[2] / UNIT**3
    assert list(starmap(_times, ((a, b, c), (c, a, b), (b, c, a)))) == [exact] * 3


def _times(a: np.float32, b: np.float32, c: np.float32) -> float:
    return float((a * b) * c)
