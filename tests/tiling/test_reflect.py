"""Reflection at the image's edge, against NumPy's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.tiling import reflect, reflected_span


@given(size=st.integers(1, 40), before=st.integers(0, 150), after=st.integers(0, 150))
def test_reflect_is_numpys(size: int, before: int, after: int) -> None:
    # NumPy agrees that a one-pixel axis is constant.
    padded = np.pad(np.arange(size), (before, after), mode="reflect")
    assert [reflect(index, size) for index in range(-before, size + after)] == padded.tolist()


@given(size=st.integers(1, 40), start=st.integers(-150, 150), length=st.integers(1, 150))
def test_reflected_span_is_the_smallest_that_holds_all(size: int, start: int, length: int) -> None:
    seen = [reflect(index, size) for index in range(start, start + length)]
    assert reflected_span(start, start + length, size) == (min(seen), max(seen) + 1)


@pytest.mark.parametrize(
    ("span", "size", "expected"),
    [
        ((2, 5), 8, (2, 5)),
        ((-3, 2), 8, (0, 4)),
        ((-2, 5), 8, (0, 5)),
        ((6, 11), 8, (4, 8)),
        ((-9, 20), 8, (0, 8)),
        ((8, 10), 8, (5, 7)),
        ((-5, 5), 1, (0, 1)),
        ((-5, 5), 2, (0, 2)),
    ],
)
def test_reflected_span_examples(span: tuple[int, int], size: int, expected: tuple[int, int]) -> None:
    assert reflected_span(*span, size) == expected


def test_reflected_span_does_not_walk_the_axis() -> None:
    far = 10**15
    assert reflected_span(-far, far, far // 3) == (0, far // 3)
