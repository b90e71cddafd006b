"""Slabs of a cell: so many pixels at a time that their float64 copies stay in the cache of a core."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SLAB = 2**16
"""Numbers in a slab: large enough that calls cost little beside the arithmetic, small enough for the L2 cache."""
ROW = 128
"""Numbers in a row of a buffer. OpenBLAS gives dot products of more than 10 000 to several threads, and the last bit
would then depend on their number. And NumPy keeps the lock of the interpreter during a `vecdot` of 500 rows or fewer,
however long they are, which stops whatever is being read meanwhile: a slab has 512."""
_ONES = np.ones(ROW)


class Buffer:
    """Float64 numbers of one slab after the other, in memory that is reused.

    Parameters
    ----------
    size
        Most numbers that it must hold.
    """

    def __init__(self, size: int = SLAB) -> None:
        self._numbers = np.empty(-(-size // ROW) * ROW)

    def shaped(self, shape: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the buffer twice: in the shape of a slab, to be filled, and in rows, with zeros after the slab."""
        size = math.prod(shape)
        rows = self._numbers[: -(-size // ROW) * ROW]
        rows[size:] = 0
        return rows[:size].reshape(tuple(shape)), rows.reshape(-1, ROW)


def slabs(space: Sequence[int], *, most: int = SLAB) -> Iterator[tuple[int | slice, ...]]:
    """Yield indices along the axes of space that cut a cell into two-dimensional slabs of at most `most` pixels.

    They depend on the shape alone, so that sums over them are taken in the same order everywhere.
    """
    *above, height, width = space
    wide = min(width, most)
    tall = most // wide
    for index in np.ndindex(*above):
        for top, left in product(range(0, height, tall), range(0, width, wide)):
            yield (*index, slice(top, top + tall), slice(left, left + wide))


def dot(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the sum of the products of two buffers in rows; the same bits for any number of threads."""
    return float(np.add.reduce(np.vecdot(one, other)))


def total(rows: NDArray[np.float64]) -> float:
    """Return the sum of a buffer in rows; the same bits for any number of threads."""
    return float(np.add.reduce(np.vecdot(rows, _ONES)))


def small_integers(*images: NDArray[Any]) -> bool:
    """Whether all are integers of at most 16 bits: float64 then holds the sums of their products exactly.

    Exactly means below 2^53, which is a cell of 2^21 pixels of the largest 16-bit number.
    """
    return all(image.dtype.kind in "iu" and image.dtype.itemsize <= 2 for image in images)
