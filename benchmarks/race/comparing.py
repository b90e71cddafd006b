"""What the outputs of a race are: how far from the reference, with how much of a seam, the same bits or not."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from scalesr.metrics import Frame, Settings, make_metrics
from scalesr.metrics.walk import choose_cell, context_of, finalized, gather, patches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MIDDLE = {2: 4096, 3: 256}
"""Edge of the part in the middle of an output that is looked at, by axes of space."""


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """How an output differs from the reference, in parts of the range of the reference."""

    inside: float
    """Largest difference, more than a halo away from the border of the image: there all that tools do differs only by
    the order of sums, or by tiles."""
    anywhere: float
    """Largest difference, borders of the image included, which tools continue in different ways."""


def compare(found: str, expected: str, *, margin: int, ndim: int) -> Likeness:
    """Compare two arrays of the same shape, plane by plane.

    Raises
    ------
    ValueError
        Their shapes differ.
    """
    one, other = (zarr.open_array(place, mode="r") for place in (found, expected))
    if one.shape != other.shape:
        raise ValueError(f"{found} has shape {one.shape}, and {expected} {other.shape}")
    lead, space = one.shape[: one.ndim - ndim], one.shape[one.ndim - ndim :]
    inner = tuple(slice(margin, n - margin) for n in space)
    inside = anywhere = 0.0
    low, high = np.inf, -np.inf
    for index in np.ndindex(lead):
        reference = np.asarray(other[index], np.float32)
        difference = np.abs(np.asarray(one[index], np.float32) - reference)
        # What is not a number is as different as can be, and no comparison hides it.
        difference[~np.isfinite(difference)] = np.inf
        low, high = min(low, float(reference.min())), max(high, float(reference.max()))
        anywhere = max(anywhere, float(difference.max()))
        if min(space) > 2 * margin:
            inside = max(inside, float(difference[inner].max()))
    span = high - low or 1.0
    return Likeness(inside=inside / span, anywhere=anywhere / span)


def identical(found: Sequence[str], other: Sequence[str], *, ndim: int) -> bool:
    """Return whether two outputs hold the same bits, whatever their chunks."""
    for one, two in zip(found, other, strict=True):
        first, second = (zarr.open_array(place, mode="r") for place in (one, two))
        if first.shape != second.shape or first.dtype != second.dtype:
            return False
        steps = (1,) * (first.ndim - ndim) + (MIDDLE[ndim],) * ndim
        for corner in product(*(range(0, n, step) for n, step in zip(first.shape, steps, strict=True))):
            part = tuple(slice(start, start + step) for start, step in zip(corner, steps, strict=True))
            if np.asarray(first[part]).tobytes() != np.asarray(second[part]).tobytes():
                return False
    return True


def seam_score(place: str, *, period: Sequence[int], offset: Sequence[int]) -> float | None:
    """Return scalesr's seam score of the middle of an output, by gradient; None where it has no border of tiles.

    Parameters
    ----------
    place
        Array of Zarr; of a stack, its first plane.
    period
        Pixels of the output from one border of tiles to the next, along each axis of space.
    offset
        Pixel after the first border.
    """
    array = zarr.open_array(place, mode="r")
    ndim = len(period)
    space = array.shape[array.ndim - ndim :]
    starts = [max(0, (n - MIDDLE[ndim]) // 2) for n in space]
    part = tuple(slice(start, start + MIDDLE[ndim]) for start in starts)
    pixels = np.asarray(array[((0,) * (array.ndim - ndim)) + part])[None]
    here = tuple((o - start) % p for o, start, p in zip(offset, starts, period, strict=True))
    return _seam(pixels, Settings(seam_period=tuple(period), seam_offset=here))


def _seam(output: NDArray[Any], settings: Settings) -> float | None:
    space = output.shape[1:]
    frame = Frame(
        bands=1,
        band_names=("0",),
        shape=space,
        pixel_size=(1.0,) * len(space),
        unit=None,
        dtype=output.dtype.name,
        cell=choose_cell(space, bands=1, itemsize=output.dtype.itemsize),
        has_reference=False,
        has_measured=False,
        ratio=(Fraction(1),) * len(space),
    )
    metrics = make_metrics(("seam",), frame, settings)
    statistics = list(dict.fromkeys(metric.statistic for metric in metrics))
    pieces = patches(frame, output, reference=None, measured=None, mask=None, context=context_of(statistics, frame))
    measures = finalized(metrics, gather(statistics, pieces), frame)
    return next(measure.value for measure in measures if measure.kind == "combined")
