"""What of an image is object and what is ground: smoothing, a threshold, and the distance to the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import ndimage

from scalesr.analysis.objects.telling import steps
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.objects.blocks import Block, Blocks
    from scalesr.analysis.objects.field import Field
    from scalesr.engine import Callback

CONTRAST = 4.0
"""Least distance of objects from ground, in standard deviations of the ground. Our own choice: halves of Gaussian noise
lie 2.6 apart, those of evenly spread values 3.5, and nuclei 5.2 or more in 248 fields of the Data Science Bowl 2018."""
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


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A field that a threshold is to be found for."""

    field: Field
    """The field."""
    blocks: Blocks
    """Its blocks, with a margin of at least what the smoothing sees."""
    channel: int
    """Number of the channel."""


def otsu(grounds: Sequence[Ground], *, sigma: float, callbacks: Sequence[Callback] = ()) -> float:
    """Return the threshold that parts the smoothed values of all fields into two classes of most variance between them.

    Otsu (IEEE Transactions on Systems, Man and Cybernetics 9, 62, 1979), over 256 bins from the smallest to the largest
    smoothed value, as ``skimage.filters.threshold_otsu`` finds it for floats. Two passes; counts are integers, so
    blocks cannot show. Otsu's method parts noise as well. So the two classes must lie further apart than `CONTRAST`
    standard deviations of the lower one.

    Raises
    ------
    InputError
        The values are equal, or spread like those of a field without objects.
    """
    where = grounds[0].field.image.url + (f" and {len(grounds) - 1} more fields" if len(grounds) > 1 else "")
    dye = grounds[0].field.channel_names[grounds[0].channel]
    remedy = "Leave out empty fields, or give a threshold that was chosen on others."
    walk = tuple((ground, block) for ground in grounds for block in ground.blocks)
    low, high = math.inf, -math.inf
    for ground, block in steps(walk, name="looking at the brightness", callbacks=callbacks):
        values = smoothed(ground.field, block, channel=ground.channel, sigma=sigma)[block.inner]
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    if low == high:
        raise InputError(
            f"All pixels of {where} in channel {dye} are {low:g}: no threshold parts objects from ground.",
            remedy=remedy,
        )
    counts = np.zeros(BINS, np.int64)
    for ground, block in steps(walk, name="finding a threshold", callbacks=callbacks):
        values = smoothed(ground.field, block, channel=ground.channel, sigma=sigma)[block.inner]
        counts += np.histogram(values, bins=BINS, range=(low, high))[0]
    edges = np.histogram_bin_edges(np.empty(0), bins=BINS, range=(low, high))
    centres = (edges[:-1] + edges[1:]) / 2
    threshold = otsu_of(counts, centres)
    apart = contrast(counts, centres, threshold)
    if apart < CONTRAST:
        raise InputError(
            f"No object stands out in channel {dye} of {where}: what lies above the automatic threshold of "
            f"{threshold:g} is {apart:.1f} deviations of the rest away from it, as in noise, and not {CONTRAST:g}.",
            remedy=remedy,
        )
    return threshold


def contrast(counts: NDArray[np.int64], centres: NDArray[np.float64], threshold: float) -> float:
    """Return how far the means of both classes lie apart, in standard deviations of the lower one."""
    below = centres <= threshold
    means = [float(np.average(centres[part], weights=counts[part])) for part in (below, ~below)]
    spread = math.sqrt(float(np.average(np.square(centres[below] - means[0]), weights=counts[below])))
    return (means[1] - means[0]) / spread if spread else math.inf


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
