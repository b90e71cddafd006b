"""Reflection at the edge of an image, on integers.

Past its edge an image is mirrored about the centre of its outermost pixel (``d c b | a b c d | c b a``), as often as
a tile needs it; a one-pixel image is constant.
"""

from __future__ import annotations


def reflect(index: int, size: int) -> int:
    """Return the pixel of an axis of `size` pixels that stands at `index`, which may lie outside."""
    if size == 1:
        return 0
    period = 2 * size - 2
    folded = index % period
    return folded if folded < size else period - folded


def reflected_span(start: int, stop: int, size: int) -> tuple[int, int]:
    """Return the smallest range inside the axis that holds all that ``[start, stop)`` reflects to, in O(1)."""
    if start >= 0 and stop <= size:
        return start, stop
    if size == 1:
        return 0, 1
    first, last = reflect(start, size), reflect(stop - 1, size)
    low, high = min(first, last), max(first, last)
    # The path turns round at every multiple of size - 1: at even ones on pixel 0, at odd ones on the last pixel.
    turn = -(-start // (size - 1))
    turns = (stop - 1) // (size - 1) - turn + 1
    if turns >= 2 or (turns == 1 and turn % 2 == 0):
        low = 0
    if turns >= 2 or (turns == 1 and turn % 2 == 1):
        high = size - 1
    return low, high + 1
