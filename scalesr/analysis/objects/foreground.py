"""What of an image is object and what is ground: smoothing, a threshold, and the distance to the ground."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from scalesr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.objects.blocks import Block, Blocks
    from scalesr.analysis.objects.field import Field

BINS = 256
"""Bins of the histogram that Otsu's threshold is found in."""
TRUNCATE = 4.0
"""Standard deviations at which a Gaussian is cut off."""
STEPS = 1024
"""Distances are whole multiples of this part of a pixel, so that equal ones are equal to the bit in any block."""


def smoothing_radius(sigma: float) -> int:
    """Return how many pixels around a pixel its smoothed value depends on."""
    return int(TRUNCATE * sigma + 0.5)


def smoothed(field: Field, block: Block, *, channel: int, sigma: float) -> NDArray[np.float64]:
    """Return a block's outer part, smoothed; correct where `smoothing_radius` pixels or the field's edge surround it.

    The field is continued by its mirror image, edge pixels included (``b a | a b``), as scipy and scikit-image do.

    Raises
    ------
    InputError
        A pixel is not finite.
    """
    pixels = field.read(block.outer, channel).astype(np.float64)
    if not np.isfinite(pixels).all():
        raise InputError(
            f"{field.image.url} holds pixels that are not finite, which no threshold can place.",
            remedy="Fill them first, or label another channel.",
        )
    return np.asarray(ndimage.gaussian_filter(pixels, sigma, truncate=TRUNCATE)) if sigma else pixels


def otsu(field: Field, blocks: Blocks, *, channel: int, sigma: float) -> float:
    """Return the threshold that parts the smoothed values into two classes of most variance between them.

    Otsu (IEEE Transactions on Systems, Man and Cybernetics 9, 62, 1979), over 256 bins from the smallest to the largest
    smoothed value, as ``skimage.filters.threshold_otsu`` finds it for floats. Two passes; counts are integers, so
    blocks cannot show.

    Raises
    ------
    InputError
        All values are equal, so that nothing parts them.
    """
    low, high = math.inf, -math.inf
    for block in blocks:
        values = smoothed(field, block, channel=channel, sigma=sigma)[block.inner]
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low == high:
        raise InputError(
            f"All pixels of {field.image.url} in channel {channel} are {low:g}: no threshold parts objects from "
            "ground.",
            remedy="Leave out empty fields, or give a threshold.",
        )
    counts = np.zeros(BINS, np.int64)
    for block in blocks:
        values = smoothed(field, block, channel=channel, sigma=sigma)[block.inner]
        counts += np.histogram(values, bins=BINS, range=(low, high))[0]
    edges = np.histogram_bin_edges(np.empty(0), bins=BINS, range=(low, high))
    return otsu_of(counts, (edges[:-1] + edges[1:]) / 2)


def otsu_of(counts: NDArray[np.int64], centres: NDArray[np.float64]) -> float:
    """Return Otsu's threshold of a histogram: the centre of the last bin that belongs to the lower class."""
    shares = counts.astype(np.float64)
    below, above = np.cumsum(shares), np.cumsum(shares[::-1])[::-1]
    first = np.cumsum(shares * centres) / np.maximum(below, 1)
    second = (np.cumsum((shares * centres)[::-1]) / np.maximum(above[::-1], 1))[::-1]
    between = below[:-1] * above[1:] * np.square(first[:-1] - second[1:])
    return float(centres[int(np.argmax(between))])


def capped_distance(inside: NDArray[np.bool_], *, reach: float, aspect: tuple[float, ...]) -> NDArray[np.int64]:
    """Return how far each pixel is from the ground, in units of 1 / `STEPS` of the smallest pixel edge, and 0 there.

    The field's edge is no ground. Beyond `reach` all distances are `reach`: what lies further away cannot show, so
    that a block with a margin of `reach` around it gives what the whole image gives.

    Parameters
    ----------
    inside
        Which pixels are no ground.
    reach
        In the smallest pixel edge.
    aspect
        Edges of a pixel relative to the smallest.
    """
    cap = round(reach * STEPS)
    if inside.all():
        return np.full(inside.shape, cap, np.int64)
    exact: Any = ndimage.distance_transform_edt(inside, sampling=aspect)
    return np.asarray(np.minimum(np.rint(exact * STEPS), cap), np.int64)
