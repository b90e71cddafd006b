"""Gaussian means over windows of 11 pixels along each axis: the weights of the structural metrics.

Of the ways to filter in float64 that numpy, scipy and torch offer, products with a banded matrix are the fastest: most
of the band is zeros, two and a half times the arithmetic of eleven taps, but BLAS does it ten times as fast.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

SIGMA = 1.5
"""Standard deviation of the Gaussian in pixels (Wang et al. 2004)."""
RADIUS = 5
"""Pixels on either side of the centre: 3.5 standard deviations, rounded, as in scikit-image and torchmetrics."""
TAPS = 2 * RADIUS + 1
"""Edge of a window in pixels."""
REACH = 2 * RADIUS
"""Pixels that windows take away from each axis of an image."""
_BAND = 16
"""Outputs of one product: few enough that little of the band is zeros, many enough that BLAS is fast."""
_ROWS = {1: 32, 2: 8}
"""Windows along the first axis that are made at once, by the number of the other axes: so that they stay in cache."""
_PIECE = 2**15
"""Pixels of one channel that are prepared at once."""


@cache
def weights() -> NDArray[np.float64]:
    """Return the weights along one axis: `TAPS` numbers that add to one."""
    taps = np.exp(-0.5 * (np.arange(-RADIUS, RADIUS + 1) / SIGMA) ** 2)
    taps /= taps.sum()
    taps.flags.writeable = False
    return taps


def gaussian_means(
    prepare: Callable[[slice, NDArray[np.float64]], None], *, channels: int, shape: tuple[int, ...]
) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    """Yield the means over all windows that lie fully inside an image, piece by piece along the first axis.

    Parameters
    ----------
    prepare
        Is called with some rows along the first axis and an array of shape (rows, channels, *other axes), and writes
        the pixels of these rows into it: finite float64 numbers. Rows come in order, each once.
    channels
        Images that are filtered side by side.
    shape
        Pixels along two or three axes, each at least `TAPS`.

    Yields
    ------
    rows, means
        Which windows along the first axis, counted by their first pixel, and their means, shape (rows, channels, *other
        axes less `REACH`). The array is used again for the next piece.
    """
    inner = shape[1:]
    cut = tuple(size - REACH for size in inner)
    most, length = _ROWS[len(inner)], shape[0] - REACH
    step = max(1, _PIECE // int(np.prod(inner)))
    raw = np.empty((min(step, shape[0]), channels, *inner))
    # Rows that are filtered along the other axes; its first REACH rows are kept from the piece before.
    ready = np.empty((most + REACH, channels, *cut))
    means = np.empty((most, channels, *cut))
    for first in range(0, length, most):
        rows = min(most, length - first)
        kept = REACH if first else 0
        if kept:
            ready[:REACH] = ready[most : most + REACH]
        for row in range(kept, rows + REACH, step):
            part = raw[: min(step, rows + REACH - row)]
            prepare(slice(first + row, first + row + len(part)), part)
            _along_others(part, ready[row : row + len(part)])
        # As stacks of matrices with the first axis as their rows.
        _along_rows(np.moveaxis(ready[: rows + REACH], 0, -2), np.moveaxis(means[:rows], 0, -2))
        yield slice(first, first + rows), means[:rows]


@cache
def _band(outputs: int) -> NDArray[np.float64]:
    """Return the matrix that takes `outputs` + `REACH` pixels to the means of `outputs` windows."""
    matrix = np.zeros((outputs, outputs + REACH))
    for row in range(outputs):
        matrix[row, row : row + TAPS] = weights()
    matrix.flags.writeable = False
    return matrix


def _along_others(pixels: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Filter along all axes but the first and that of the channels."""
    if pixels.ndim == 3:
        # One matrix for all channels: each product is larger, which BLAS likes.
        _along_columns(pixels.reshape(-1, pixels.shape[-1]), out.reshape(-1, out.shape[-1]))
        return
    half = np.empty((*pixels.shape[:-1], out.shape[-1]))
    _along_columns(pixels, half)
    _along_rows(half, out)


# OpenBLAS gives a product of up to 2^18 multiplications to one thread. All are cut to fewer, so that the bits cannot
# depend on how many threads there are.
_MOST = 512
"""Vectors that one product filters."""


def _along_rows(pixels: NDArray[Any], out: NDArray[Any]) -> None:
    """Filter along the last axis but one."""
    for row in range(0, out.shape[-2], _BAND):
        size = min(_BAND, out.shape[-2] - row)
        for column in range(0, out.shape[-1], _MOST):
            part = pixels[..., row : row + size + REACH, column : column + _MOST]
            np.matmul(_band(size), part, out=out[..., row : row + size, column : column + _MOST])


def _along_columns(pixels: NDArray[Any], out: NDArray[Any]) -> None:
    """Filter along the last axis."""
    for column in range(0, out.shape[-1], _BAND):
        size = min(_BAND, out.shape[-1] - column)
        for row in range(0, out.shape[-2], _MOST):
            part = pixels[..., row : row + _MOST, column : column + size + REACH]
            np.matmul(part, _band(size).T, out=out[..., row : row + _MOST, column : column + size])
