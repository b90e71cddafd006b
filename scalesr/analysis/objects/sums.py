"""Sums for each of many objects that are exact, and so the same for any order of adding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Parts = dict[int, NDArray[np.int64]]

PIECE = 32
"""Bits of one part: so many pixels as have 31 bits can be added before a part overflows."""


def parts_of(values: NDArray[Any]) -> Parts:
    """Return numbers as integers times powers of two, by the power: their sum is that of the parts, exactly.

    Integers of up to 16 bits, and int64 arrays of integers that are small enough to be added as they are, make one
    part. Other numbers are cut into 32 bits each, as `scalesr.metrics.exact` does for one sum; integers beyond 2^53
    are rounded to float64 first.

    Parameters
    ----------
    values
        Finite numbers, shape (n,).
    """
    if values.dtype.kind in "iub" and values.dtype.itemsize <= 2:
        return {0: values.astype(np.int64)}
    fraction, exponent = np.frexp(values.astype(np.float64))
    whole = np.ldexp(np.abs(fraction), 53).astype(np.uint64)
    sign = np.sign(fraction).astype(np.int64)
    place = exponent.astype(np.int64) - 53
    piece, shift = place // PIECE, (place % PIECE).astype(np.uint64)
    mask, bits = np.uint64(2**PIECE - 1), np.uint64(PIECE)
    low, high = (whole & mask) << shift, (whole >> bits) << shift
    cut = [low & mask, (low >> bits) + (high & mask), high >> bits]
    found: Parts = {}
    for number in np.unique(piece[sign != 0]).tolist():
        here = np.where(piece == number, sign, 0)
        for step, part in enumerate(cut):
            signed = here * part.astype(np.int64)
            if signed.any():
                power = (number + step) * PIECE
                found[power] = found[power] + signed if power in found else signed
    return found or {0: np.zeros(len(values), np.int64)}


def squares_of(values: NDArray[Any]) -> Parts:
    """Return the squares of numbers as `parts_of` returns numbers, without rounding where they are float64 at most.

    Of float64 that is the rounded square and what rounding took off (Dekker, Numerische Mathematik 18, 224, 1971).
    """
    if values.dtype.kind in "iub" and values.dtype.itemsize <= 2:
        wide = values.astype(np.int64)
        return {0: wide * wide}
    number = values.astype(np.float64)
    square = number * number
    found = parts_of(square)
    if values.dtype.kind == "f" and values.dtype.itemsize <= 4:
        return found
    upper = number * (2.0**27 + 1)
    upper = upper - (upper - number)
    lower = number - upper
    rest = ((upper * upper - square) + 2 * upper * lower) + lower * lower
    for power, part in parts_of(rest).items():
        found[power] = found[power] + part if power in found else part
    return found


def split(values: NDArray[np.int64]) -> Parts:
    """Return integers of up to 63 bits in two parts of 32, so that 2^31 of them can be added."""
    return {0: values & (2**PIECE - 1), PIECE: values >> PIECE}


def total(parts: Mapping[int, NDArray[np.int64]], *, unit: int) -> NDArray[Any]:
    """Return the sums as Python's integers, in units of 2^`unit`, which is at most the lowest power.

    Returns
    -------
    NDArray
        Of objects, shape (n,).
    """
    whole = sum(part.astype(object) * (1 << (power - unit)) for power, part in parts.items())
    return np.asarray(whole, object)


def mean_and_deviation(
    count: NDArray[np.int64], first: Mapping[int, NDArray[np.int64]], second: Mapping[int, NDArray[np.int64]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return sum, mean and standard deviation (over n) of each object; NaN of those without a value.

    Differences are taken between integers, so nothing cancels. Each figure is rounded once, but for the root.

    Parameters
    ----------
    count
        Values of each object, shape (n,).
    first, second
        Parts of the sums of values and of their squares.
    """
    unit = min(0, *first, *(power // 2 for power in second))
    one, two = total(first, unit=unit), total(second, unit=2 * unit)
    scale = 1 << -unit
    sums, means, deviations = (np.full(len(count), np.nan) for _ in range(3))
    for k in np.flatnonzero(count).tolist():
        n = int(count[k])
        sums[k] = one[k] / scale
        means[k] = one[k] / (n * scale)
        # Squares that underflow are rounded, so that what is left of equal ones may lie below zero.
        deviations[k] = (max(0, n * two[k] - one[k] * one[k]) / (n * scale) ** 2) ** 0.5
    return sums, means, deviations
