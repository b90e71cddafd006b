"""Weighted sums of neighbours along an axis, for grids whose pixels keep an exact ratio."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.models.kernels import taps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

SLAB = 2**16
"""Elements that are worked on at a time: they stay in the cache of a core."""


@dataclass(frozen=True)
class Neighbours:
    """The pixels of an axis that one result is made of."""

    start: int
    """The first, counted from the first of the period."""
    weights: tuple[float, ...]
    """Weight of that pixel and of those after it."""


def whole(period: Sequence[Neighbours], *, step: int, length: int) -> int:
    """Return the end of the run of results whose neighbours all lie before the end of an axis.

    Parameters
    ----------
    period
        Weights of the results of one period, see `resample`.
    step
        Pixels of the axis that one period covers.
    length
        Pixels of the axis.
    """
    phases = len(period)
    ends = [phase + phases * ((length - t.start - len(t.weights)) // step + 1) for phase, t in enumerate(period)]
    return max(0, min(ends))


def resample(
    values: NDArray[Any], period: Sequence[Neighbours], *, step: int, axis: int, first: int, stop: int
) -> NDArray[np.float64]:
    """Return results `first` to `stop` along one axis: sums of weighted pixels, added one after the other.

    Result m has the weights of ``period[m % len(period)]``, whose pixels are counted from pixel
    ``step * (m // len(period))`` of the axis. Additions are in float64 and in a fixed order, so the same pixels give
    the same bits; pixels of equal weight are added before they are weighted, which is exact for integers.

    Parameters
    ----------
    values
        Real numbers of any format; every pixel that a result needs is there.
    period
        Weights of the results of one period.
    step
        Pixels of the axis that one period covers.
    axis
        Along which axis.
    first, stop
        Which results.
    """
    shape = list(values.shape)
    shape[axis] = max(0, stop - first)
    out = np.zeros(shape)
    across = 0 if axis else 1
    if values.ndim == 1 or not out.size:
        _add(out, values, period, step=step, axis=axis, first=first)
        return out
    width = max(1, SLAB * shape[across] // out.size)
    for start in range(0, shape[across], width):
        part = tuple(slice(start, start + width) if n == across else slice(None) for n in range(values.ndim))
        _add(out[part], values[part], period, step=step, axis=axis, first=first)
    return out


def _add(
    out: NDArray[np.float64], values: NDArray[Any], period: Sequence[Neighbours], *, step: int, axis: int, first: int
) -> None:
    before: tuple[slice, ...] = (slice(None),) * axis
    phases = len(period)
    many = max(len(each.weights) for each in period) > 2
    values = values.astype(np.float64) if many and values.dtype != np.float64 else values
    for lead in range(min(phases, out.shape[axis])):
        number, phase = divmod(first + lead, phases)
        total = out[(*before, slice(lead, None, phases))]
        weights = period[phase].weights
        origin, extent = step * number + period[phase].start, step * (total.shape[axis] - 1) + 1
        even = min(weights) == max(weights)
        term = np.empty(0 if even else total.shape)
        for k, weight in enumerate(weights):
            near = values[(*before, slice(origin + k, origin + k + extent, step))]
            total += near if even else np.multiply(near, weight, out=term)
        if even and weights[0] != 1:
            total *= weights[0]


@lru_cache(maxsize=64)
def cubic(ratio: Fraction) -> tuple[Neighbours, ...]:
    """Return the weights of cubic interpolation (Keys 1981) to `ratio` times as many pixels."""
    return tuple(Neighbours(each.start, tuple(map(float, each.weights))) for each in taps("cubic", ratio))


def enlarge(values: NDArray[Any], ratio: Sequence[Fraction]) -> NDArray[np.float64]:
    """Return the cubic interpolation of an array on the half-pixel grid, its edge pixels repeated beyond its edges.

    Parameters
    ----------
    values
        As many axes as `ratio` has entries; along each a whole number of periods of the ratio.
    ratio
        Pixels of the result for each pixel, at least 1.
    """
    result = np.asarray(values, np.float64)
    for axis, factor in enumerate(ratio):
        if factor == 1:
            continue
        period, pad = cubic(factor), 2 * factor.denominator
        padded = np.pad(result, [(pad, pad) if n == axis else (0, 0) for n in range(result.ndim)], mode="edge")
        # The padding is a whole number of periods, so that results keep their phase.
        lead, count = pad // factor.denominator * factor.numerator, int(result.shape[axis] * factor)
        result = resample(padded, period, step=factor.denominator, axis=axis, first=lead, stop=lead + count)
    return result
