"""Range and percentiles of an image in one streaming pass, the same for any way of cutting it.

Integers of up to 16 bits are counted exactly. All else is counted by the upper 16 bits of its float32 pattern, made
monotone: sign, exponent and seven bits of mantissa, so that a percentile is within 0.8 % of the exact one. Counts are
integers and minima are minima: merging is associative and commutative, and the order cannot show.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import DTypeLike, NDArray

    from scalesr.images.image import Image

_BINS = 1 << 16
_BLOCK_BYTES = 16 << 20


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known of the values of an image, or of a part of it."""

    count: int
    """Pixels, with those that are not finite."""
    nan_count: int
    """Pixels that are not a number."""
    inf_count: int
    """Pixels that are infinite."""
    min: float | None
    """Smallest finite value; ``None`` where no pixel is finite. Exact."""
    max: float | None
    """Largest finite value; ``None`` where no pixel is finite. Exact."""
    bins: NDArray[np.int64]
    """Bins of the histogram that hold anything, ascending."""
    counts: NDArray[np.int64]
    """Finite pixels in each of `bins`."""
    dtype: str
    """Number format of the pixels, which says what a bin is."""

    def percentile(self, q: float) -> float:
        """Return a percentile of the finite values, as ``numpy.percentile`` does by default.

        Exact for integers of up to 16 bits, else within the bin.

        Parameters
        ----------
        q
            0 to 100.

        Raises
        ------
        ValueError
            `q` is out of range, or no pixel is finite.
        """
        if not 0 <= q <= 100:
            raise ValueError(f"a percentile is 0 to 100, not {q}")
        if self.min is None or self.max is None:
            raise ValueError("no pixel is finite")
        rank = q / 100 * (int(self.counts.sum()) - 1)
        low = self._value(math.floor(rank))
        high = self._value(math.ceil(rank))
        return low + (high - low) * (rank - math.floor(rank))

    def span(self, low: float, high: float) -> tuple[float, float]:
        """Return two percentiles as what becomes 0 and 1, see `apart`; 0 and 1 where no pixel is finite."""
        if self.min is None or self.max is None:
            return 0.0, 1.0
        return apart(self.percentile(low), self.percentile(high), least=float(self.min), most=float(self.max))

    def _value(self, rank: int) -> float:
        assert self.min is not None
        assert self.max is not None
        ends = np.cumsum(self.counts)
        place = int(np.searchsorted(ends, rank, side="right"))
        low, high = _bin_range(int(self.bins[place]), np.dtype(self.dtype))
        share = (rank - (int(ends[place]) - int(self.counts[place])) + 0.5) / int(self.counts[place])
        return min(max(low + (high - low) * share, self.min), self.max)


def apart(low: float, high: float, *, least: float, most: float) -> tuple[float, float]:
    """Return two ends that differ, so that something can be divided by their distance.

    Where percentiles meet, in a nearly empty band of which everything but a few bright pixels is one value, these are
    the extremes; where those meet too, the upper end is 1 higher.
    """
    if high <= low:
        low, high = least, most
    return low, high if high > low else low + 1.0


class StatisticsAccumulator:
    """Counts values block by block; accumulators of parts merge to that of the whole, in any order.

    Parameters
    ----------
    dtype
        Number format of all blocks: integers or floats.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self._dtype = np.dtype(dtype).newbyteorder("=")
        if self._dtype.kind not in "uif":
            raise ValueError(f"{self._dtype} has no order to count by")
        self._histogram = np.zeros(_BINS, np.int64)
        self._count = self._nan = self._inf = 0
        self._min: float | None = None
        self._max: float | None = None

    def update(self, block: NDArray[Any]) -> StatisticsAccumulator:
        """Count the values of a block, and return the accumulator."""
        values = np.asarray(block, dtype=self._dtype).ravel()
        self._count += values.size
        if self._dtype.kind == "f":
            finite = np.isfinite(values)
            if not finite.all():
                nan = int(np.isnan(values).sum())
                self._nan += nan
                self._inf += values.size - int(finite.sum()) - nan
                values = values[finite]
        if values.size:
            self._extend(values.min().item(), values.max().item())
            self._histogram += np.bincount(_bins(values), minlength=_BINS)
        return self

    def merge(self, other: StatisticsAccumulator) -> StatisticsAccumulator:
        """Add what another accumulator of the same number format has counted, and return this one."""
        if other._dtype != self._dtype:
            raise ValueError(f"statistics of {other._dtype} do not merge into those of {self._dtype}")
        self._count += other._count
        self._nan += other._nan
        self._inf += other._inf
        self._histogram += other._histogram
        if other._min is not None and other._max is not None:
            self._extend(other._min, other._max)
        return self

    def finalize(self) -> Statistics:
        """Return the statistics of all that was counted."""
        bins = np.flatnonzero(self._histogram)
        return Statistics(
            count=self._count,
            nan_count=self._nan,
            inf_count=self._inf,
            min=self._min,
            max=self._max,
            bins=bins,
            counts=self._histogram[bins],
            dtype=self._dtype.name,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return all that was counted as plain numbers for JSON; `from_dict` continues from it."""
        bins = np.flatnonzero(self._histogram)
        return {
            "dtype": self._dtype.name,
            "count": self._count,
            "nan": self._nan,
            "inf": self._inf,
            "min": self._min,
            "max": self._max,
            "bins": bins.tolist(),
            "counts": self._histogram[bins].tolist(),
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> StatisticsAccumulator:
        """Return the accumulator that `to_dict` wrote."""
        made = cls(facts["dtype"])
        made._count, made._nan, made._inf = facts["count"], facts["nan"], facts["inf"]
        made._min, made._max = facts["min"], facts["max"]
        made._histogram[facts["bins"]] = facts["counts"]
        return made

    def _extend(self, low: float, high: float) -> None:
        self._min = low if self._min is None else min(self._min, low)
        self._max = high if self._max is None else max(self._max, high)


def image_statistics(image: Image, *, level: int, region: tuple[slice, ...] | None = None) -> Statistics:
    """Return the statistics of one resolution of an image, or of a region of it, reading some 16 MiB at a time.

    Raises
    ------
    StorageError
        A chunk cannot be read; the message names it.
    """
    plan = image.levels[level]
    bounds = region or tuple(slice(0, size) for size in plan.shape)
    accumulator = StatisticsAccumulator(plan.dtype)
    steps = _steps(plan.chunks, plan.shards or plan.shape, itemsize=np.dtype(plan.dtype).itemsize)
    spans = [
        # Cut on the grid of the storage, so that no chunk is read twice.
        [
            slice(max(start, piece.start), min(start + step, piece.stop))
            for start in range(piece.start // step * step, piece.stop, step)
        ]
        for piece, step in zip(bounds, steps, strict=True)
    ]
    for part in itertools.product(*spans):
        accumulator.update(image.read(part, level=level))
    return accumulator.finalize()


def _steps(chunks: tuple[int, ...], most: tuple[int, ...], *, itemsize: int) -> tuple[int, ...]:
    steps = list(chunks)
    size = itemsize * math.prod(steps)
    for axis in reversed(range(len(steps))):
        while steps[axis] < most[axis] and size * 2 <= _BLOCK_BYTES:
            steps[axis] *= 2
            size *= 2
    return tuple(steps)


def _bins(values: NDArray[Any]) -> NDArray[Any]:
    dtype = values.dtype
    if dtype.kind == "u" and dtype.itemsize <= 2:
        return values
    if dtype.kind == "i" and dtype.itemsize <= 2:
        return values.astype(np.int32) + (1 << (8 * dtype.itemsize - 1))
    limit = np.finfo(np.float32).max
    narrow = np.clip(values, -limit, limit).astype(np.float32) if dtype.itemsize > 4 else values.astype(np.float32)
    narrow += np.float32(0)  # minus zero is zero, and must share its bin
    bits = narrow.view(np.uint32)
    # Positive floats sort like their bits; negative ones in reverse, below them.
    keys = bits ^ np.where(bits >> 31 == 1, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    return (keys >> np.uint32(16)).astype(np.int64)


def _bin_range(number: int, dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind in "ui" and dtype.itemsize <= 2:
        value = float(number - (1 << (8 * dtype.itemsize - 1)) if dtype.kind == "i" else number)
        return value, value
    keys = np.array([number << 16, (number << 16) | 0xFFFF], np.uint32)
    bits = np.where(keys >> 31 == 1, keys ^ np.uint32(0x80000000), keys ^ np.uint32(0xFFFFFFFF)).astype(np.uint32)
    low, high = bits.view(np.float32)
    return float(low), float(high)
