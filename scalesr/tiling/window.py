"""The window that cross-fades neighbouring tiles: a product of one ramp for each axis.

Weights are whole multiples of 1/256, so that a product of three of them is exact in float32 and the windows of
neighbouring cells sum to one exactly, not nearly: no weight volume, no division.
"""

from __future__ import annotations

from functools import lru_cache
from math import pi, sin

UNIT = 256
"""A weight of one, in the integers that ramps are made of."""


@lru_cache(maxsize=64)
def ramp(length: int) -> tuple[int, ...]:
    """Return the rising ramp over `length` pixels, in units of 1/256: a raised cosine, point-symmetric about 1/2.

    ``ramp(n)[t] + ramp(n)[n - 1 - t] == UNIT`` for every t, which is what makes windows sum to one.
    """
    half = [round(UNIT * sin(pi / 2 * (t + 0.5) / length) ** 2) for t in range(length // 2)]
    middle = [UNIT // 2] if length % 2 else []
    return (*half, *middle, *(UNIT - weight for weight in reversed(half)))


@lru_cache(maxsize=256)
def cell_window(cell: int, half_width: int, *, first: bool, last: bool) -> tuple[int, ...]:
    r"""Return the weights of one cell along one axis, over ``[-2b, cell)`` counted from the cell's slot.

    ::

        weight   ___/‾‾‾‾‾‾‾‾‾‾‾‾\___        b = half_width
                -2b  0        S-2b  S         S = cell

    Parameters
    ----------
    cell
        Size of the cell in output pixels.
    half_width
        Half-width of the ramp in output pixels; 0 is plain cropping.
    first, last
        Whether the cell is the first or the last of the image along this axis: there is nobody to fade to.
    """
    width = 2 * half_width
    rise = ramp(width)
    # What the first cell computes below 0 lies outside the image.
    head = (0,) * width if first else rise
    tail = (UNIT,) * width if last else tuple(reversed(rise))
    return (*head, *(UNIT,) * (cell - width), *tail)
