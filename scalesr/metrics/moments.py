"""Sums over pairs of pixels: of their differences, and of their powers and products."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.metrics.exact import ExactSum
from scalesr.metrics.slabs import SLAB, Buffer, dot, slabs, small_integers, total
from scalesr.metrics.state import Count, Extremes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.metrics.patch import Patch
    from scalesr.metrics.state import State

PIXELS = "pixels"
"""Part with the counted and the missing pixels of each band: a `Count` of shape (bands, 2)."""
SUMS = "sums"
"""Part with the sums of each band: an `ExactSum` of shape (bands, sums)."""
EXTREMES = "extremes"
"""Part with the extremes of output and reference: `Extremes` of shape (bands, 2)."""
_SHIFT_BITS = 12

Slab = tuple["NDArray[Any]", "NDArray[Any]", "NDArray[np.bool_] | None"]


@dataclass(frozen=True)
class Differences:
    """For each band the pixels counted and missing, and the sums of |d| and of d^2, d = output - reference.

    The sums of a cell of integers of at most 16 bits are exact; those of floats are taken of d itself, so that nothing
    cancels.
    """

    ndim: int
    """Axes of space."""

    ABSOLUTE, SQUARED = range(2)
    """Columns of the sums."""

    @property
    def context(self) -> tuple[int, ...]:
        """None is needed."""
        return (0,) * self.ndim

    def update(self, state: State, patch: Patch) -> State:
        """Add one cell."""
        assert patch.reference is not None, "the makers of the metrics see to it"
        buffer, distance = Buffer(), _Distance(patch.output, patch.reference)
        sums, counts = [], []
        for band in range(len(patch.output)):
            absolute = squared = 0.0
            missing = 0
            for output, reference, gone in _slabs_of(patch, band):
                shaped, rows = buffer.shaped(output.shape)
                distance.write(output, reference, out=shaped)
                if gone is not None:
                    shaped[gone] = 0
                    missing += int(np.count_nonzero(gone))
                absolute += total(rows)
                squared += dot(rows, rows)
            sums.append((absolute, squared))
            counts.append((math.prod(patch.cell) - missing, missing))
        return state.add(PIXELS, Count(counts)).add(SUMS, ExactSum((len(sums), 2)).add(sums))


@dataclass(frozen=True)
class Moments:
    """For each band the pixels counted and missing, the extremes, and the sums of x, y, x^2, y^2, x y and (x - y)^2.

    x is the output, y the reference. The sums of a cell of integers of at most 16 bits are exact. Those of floats are
    taken about a round number near the mean of the cell and moved back as an exact sum of products, so that the
    variance and the covariance survive a mean that is much larger than they are.
    """

    ndim: int
    """Axes of space."""

    X, Y, XX, YY, XY, DD = range(6)
    """Columns of the sums."""

    @property
    def context(self) -> tuple[int, ...]:
        """None is needed."""
        return (0,) * self.ndim

    def update(self, state: State, patch: Patch) -> State:
        """Add one cell."""
        buffers = (Buffer(), Buffer(), Buffer())
        exact = patch.reference is not None and small_integers(patch.output, patch.reference)
        gathered = [_gather_band(patch, band, buffers, exact=exact) for band in range(len(patch.output))]
        sums = ExactSum((len(gathered), 6))
        # How many terms there are depends on the number format only.
        for term in range(1 if exact else 3):
            sums.add([band.terms()[term] for band in gathered])
        state.add(PIXELS, Count([(band.n, band.missing) for band in gathered]))
        low, high = [band.low for band in gathered], [band.high for band in gathered]
        return state.add(SUMS, sums).add(EXTREMES, Extremes(low, high))


@dataclass
class _Band:
    """Moments of one band of a cell, about two shifts."""

    n: int
    missing: int
    shift: tuple[float, float]
    sums: NDArray[np.float64]
    low: list[float]
    high: list[float]

    def terms(self) -> tuple[list[float], list[float], list[float]]:
        """Return what adds up to the moments about zero: the sums, their products with the shifts, and n times those.

        The last are exact, for a shift has few bits.
        """
        s, t = self.shift
        u, v, uu, vv, uv, dd = map(float, self.sums)
        n = self.n
        return (
            [u, v, uu, vv, uv, dd],
            [0.0, 0.0, 2 * s * u, 2 * t * v, s * v + t * u, 0.0],
            [n * s, n * t, n * s * s, n * t * t, n * s * t, 0.0],
        )


def _gather_band(patch: Patch, band: int, buffers: tuple[Buffer, Buffer, Buffer], *, exact: bool) -> _Band:
    sums = np.zeros(6)
    low, high = [math.inf, math.inf], [-math.inf, -math.inf]
    shift: tuple[float, float] | None = (0.0, 0.0) if exact else None
    assert patch.reference is not None, "the makers of the metrics see to it"
    distance = _Distance(patch.output, patch.reference)
    missing = 0
    for output, reference, gone in _slabs_of(patch, band):
        images = (output, reference)
        if gone is not None:
            missing += int(np.count_nonzero(gone))
            if gone.all():
                continue
        there = images if gone is None else (output[~gone], reference[~gone])
        for i, values in enumerate(there):
            low[i], high[i] = min(low[i], float(values.min())), max(high[i], float(values.max()))
        if shift is None:
            shift = _round(float(there[0].mean(dtype=np.float64))), _round(float(there[1].mean(dtype=np.float64)))
        (x, rows_x), (y, rows_y), (d, rows_d) = (buffer.shaped(output.shape) for buffer in buffers)
        for image, shaped, about in zip(images, (x, y), shift, strict=True):
            np.subtract(image, about, out=shaped, dtype=np.float64) if about else np.copyto(shaped, image)
            if gone is not None:
                shaped[gone] = 0
        xx, yy, xy = dot(rows_x, rows_x), dot(rows_y, rows_y), dot(rows_x, rows_y)
        if exact:
            dd = xx - 2 * xy + yy  # integers, so nothing cancels
        else:
            distance.write(output, reference, out=d)
            if gone is not None:
                d[gone] = 0
            dd = dot(rows_d, rows_d)
        sums += (total(rows_x), total(rows_y), xx, yy, xy, dd)
    n = math.prod(patch.cell) - missing
    return _Band(n=n, missing=missing, shift=shift or (0.0, 0.0), sums=sums, low=low, high=high)


def _slabs_of(patch: Patch, band: int) -> Iterator[Slab]:
    """Yield one band of the cell in slabs: the output, the reference, and which pixels are missing."""
    assert patch.reference is not None, "the makers of the metrics see to it"
    output, reference = patch.output[patch.own][band], patch.reference[patch.own][band]
    missing = None if patch.missing is None else patch.missing[patch.own][band]
    for index in slabs(output.shape):
        gone = None if missing is None else missing[index]
        yield output[index], reference[index], gone if gone is not None and gone.any() else None


class _Distance:
    """Absolute differences of two images of fixed number formats, slab by slab."""

    def __init__(self, output: NDArray[Any], reference: NDArray[Any]) -> None:
        narrow = output.dtype == reference.dtype and small_integers(output, reference)
        self._scratch = np.empty((2, SLAB), output.dtype) if narrow else None

    def write(self, output: NDArray[Any], reference: NDArray[Any], *, out: NDArray[np.float64]) -> None:
        """Write |output - reference|; what comes of NaN and infinities is the caller's to replace."""
        if self._scratch is None:
            with np.errstate(invalid="ignore"):
                np.subtract(output, reference, out=out, dtype=np.float64)
            np.abs(out, out=out)
            return
        # In their own format a core takes four or eight numbers for one of float64. The difference of signed numbers
        # wraps around to the bits of the unsigned one.
        larger, smaller = (numbers[: out.size].reshape(out.shape) for numbers in self._scratch)
        np.maximum(output, reference, out=larger)
        np.minimum(output, reference, out=smaller)
        np.subtract(larger, smaller, out=larger)
        np.copyto(out, larger.view(f"{larger.dtype.byteorder}u{larger.dtype.itemsize}"))


def _round(value: float) -> float:
    """Return a number of few bits near a value, so that it can be squared and counted without rounding."""
    fraction, exponent = math.frexp(value)
    return math.ldexp(round(fraction * 2**_SHIFT_BITS), exponent - _SHIFT_BITS)
