"""Means and variances of two images over all windows of a patch: what the structural metrics are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.gaussian import RADIUS, REACH, TAPS, gaussian_means

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame
    from scalesr.metrics.patch import Patch

WINDOW = "window not finite or masked"
"""Why a window that lies inside the image was left out."""
BORDER = "border"
"""Why a pixel has no window around it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Moments:
    """Moments of two images x and y over some windows, as those of their sum and of their difference.

    From these all others follow: 2 E[x] E[y] = (E[x+y]^2 - E[x-y]^2) / 2, E[x]^2 + E[y]^2 = (E[x+y]^2 + E[x-y]^2) / 2,
    and the same with variances for twice the covariance and the sum of the variances. They need one filter fewer than
    the moments of x and y, and are exact for images that are equal.
    """

    rows: slice
    """Which windows along the first axis, counted by their first pixel."""
    total: NDArray[np.float64]
    """E[x+y]^2, shape (rows, *other axes)."""
    difference: NDArray[np.float64]
    """E[x-y]^2."""
    total_variance: NDArray[np.float64]
    """Variance of x+y; it can fall below zero by a rounding."""
    difference_variance: NDArray[np.float64]
    """Variance of x-y."""
    power: NDArray[np.float64]
    """E[(x+y)^2] + E[(x-y)^2] of the images as they were filtered: the roundings of the variances follow it."""


def moments(x: NDArray[Any], y: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> Iterator[Moments]:
    """Yield the moments over all windows of two images of one band, piece by piece; none where they are too small.

    Parameters
    ----------
    x, y
        Images of the same shape, two or three axes, any number format.
    missing
        Pixels that are not to be trusted; windows that touch them come with numbers of no meaning, see `touched`.
    """
    if min(x.shape) < TAPS:
        return
    offsets = [_level(image, missing) for image in (x, y)]
    sum_offset, difference_offset = offsets[0] + offsets[1], offsets[0] - offsets[1]

    def prepare(rows: slice, out: NDArray[np.float64]) -> None:
        a, b = x[rows].astype(np.float64), y[rows].astype(np.float64)
        a -= offsets[0]
        b -= offsets[1]
        if missing is not None:
            a[missing[rows]] = b[missing[rows]] = 0
        np.add(a, b, out=out[:, 0])
        np.subtract(a, b, out=out[:, 1])
        np.multiply(out[:, :2], out[:, :2], out=out[:, 2:])

    for rows, means in gaussian_means(prepare, channels=4, shape=x.shape):
        total, difference, total_square, difference_square = (means[:, channel] for channel in range(4))
        power = total_square + difference_square
        total_variance = total_square - np.square(total)
        difference_variance = difference_square - np.square(difference)
        yield Moments(
            rows=rows,
            total=np.square(total + sum_offset),
            difference=np.square(difference + difference_offset),
            total_variance=total_variance,
            difference_variance=difference_variance,
            power=power,
        )


def touched(missing: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which windows touch a missing pixel, shape of the image less `REACH` along each axis."""
    found = missing.astype(np.int32)
    for axis in range(missing.ndim):
        sums = np.cumsum(found, axis=axis, dtype=np.int32)
        edge = [(0, 0)] * missing.ndim
        edge[axis] = (1, 0)
        sums = np.moveaxis(np.pad(sums, edge), axis, 0)
        found = np.moveaxis((sums[TAPS:] - sums[:-TAPS] > 0).astype(np.int32), 0, axis)
    return found.astype(np.bool_)


def missing_of(patch: Patch, band: int) -> NDArray[np.bool_] | None:
    """Return the missing pixels of a band, `None` where it has none."""
    if patch.missing is None:
        return None
    missing: NDArray[np.bool_] = patch.missing[band]
    return missing if missing.any() else None


def border_pixels(patch: Patch) -> int:
    """Return how many pixels of the cell have no full window around them, so near are they to the image's border."""
    inner = 1
    for start, cell, size in zip(patch.start, patch.cell, patch.shape, strict=True):
        inner *= max(0, min(start + cell, size - RADIUS) - max(start, RADIUS))
    return int(np.prod(patch.cell)) - inner


def sum_up(values: NDArray[np.float64], left: NDArray[np.bool_] | None) -> tuple[float, int]:
    """Return the sum of the values that are finite and not left out, and how many these are."""
    if left is None:
        total = float(values.sum())
        if np.isfinite(total):
            return total, values.size
    counted = values[np.isfinite(values) if left is None else np.isfinite(values) & ~left]
    return float(counted.sum()), counted.size


def window_count(shape: tuple[int, ...]) -> int:
    """Return how many windows lie fully inside an image."""
    return int(np.prod([max(0, size - REACH) for size in shape]))


def means(sums: NDArray[np.float64], counted: NDArray[np.int64]) -> list[float | None]:
    """Return the mean of each band, `None` where nothing was counted."""
    return [float(total / n) if n else None for total, n in zip(sums, counted, strict=True)]


def why_undefined(frame: Frame) -> str:
    """Return why a band has no window to count."""
    if min(frame.shape) < TAPS:
        return f"smaller than the window of {TAPS} pixels"
    return "no window to count: all touch pixels that are masked or not finite"


def require_reference(frame: Frame, metric: str) -> None:
    """Refuse to measure without a reference.

    Raises
    ------
    InputError
        There is none.
    """
    if not frame.has_reference:
        raise InputError(f"{metric} compares with a reference, and there is none.", remedy="Give it with --reference.")


def _level(image: NDArray[Any], missing: NDArray[np.bool_] | None) -> float:
    """Return a level that most of an image lies near: the median of a sample, which single bright pixels do not move.

    Variances are differences of squares: without the level taken off first, they would drown in the roundings where an
    image has a large offset.
    """
    sparse = (slice(None, None, TAPS),) * image.ndim
    sample = image[sparse].astype(np.float64)
    if missing is not None:
        sample = sample[~missing[sparse]]
    return float(np.median(sample)) if sample.size else 0.0
