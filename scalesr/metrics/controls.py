"""What a figure of one image alone is held against: noise through the same pipeline, and plain interpolation.

A method that reads the resolution from one image cannot tell a resolved image from an up-sampled one: pixels that were
made from common neighbours agree, whatever they show. So noise is taken the same way, and an image that does no better
has no such figure.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scalesr.metrics.resampling import cubic, resample
from scalesr.metrics.thresholds import told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scalesr.metrics.patch import Patch

MARGIN = 0.05
"""Noise within so much of the image's resolution counts as good as it."""
REACH = 2
"""Periods of the ratio beyond a tile that its interpolation looks at: two pixels of the measurement at least."""
NOT_NOISE = "not better than noise through the same pipeline"
NOT_CUBIC = "not better than interpolation"
UNMEASURED = "no measurement given, so that an up-sampled image cannot be told from a resolved one"


def generator(purpose: int, patch: Patch, band: int, index: Sequence[int]) -> np.random.Generator:
    """Return the random numbers of a tile: a function of its place in the image alone.

    Parameters
    ----------
    purpose
        Number of what they are for, so that no two uses share their numbers.
    patch
        Whose plane it is.
    band, index
        Band, and place of the tile in the image.
    """
    seed = np.random.SeedSequence([purpose, band, len(index), *index, *patch.plane])
    return np.random.Generator(np.random.Philox(seed))


def interpolated_noise(
    draw: Callable[[tuple[int, ...]], NDArray[np.float64]], patch: Patch, region: Sequence[slice]
) -> NDArray[np.float64]:
    """Return noise on the measurement's grid, enlarged to a tile of the output's by the cubic kernel.

    Parameters
    ----------
    draw
        Gives noise of a shape.
    patch
        Where the tile lies; where there is no measurement the noise is drawn on the output's grid.
    region
        The tile in it.
    """
    spans = [_span(patch, axis, part) for axis, part in enumerate(region)]
    return _enlarge(draw(tuple(stop - start for start, stop in spans)), patch, region, spans)


def interpolated_measurement(patch: Patch, band: int, region: Sequence[slice]) -> NDArray[np.float64] | None:
    """Return the cubic interpolation of the measurement at a tile, and `None` where it has missing pixels.

    At the borders of the cell its last pixels are repeated: tiles are faded out there.
    """
    assert patch.measured is not None
    spans = [_span(patch, axis, part) for axis, part in enumerate(region)]
    coarse = patch.measured[band].astype(np.float64)
    for axis, (start, stop) in enumerate(spans):
        first = int(patch.start[axis] / patch.ratio[axis])
        coarse = coarse.take(np.clip(np.arange(start, stop) - first, 0, coarse.shape[axis] - 1), axis)
    return _enlarge(coarse, patch, region, spans) if np.isfinite(coarse).all() else None


def withheld(image: float, noise: float) -> str:
    """Say why a period is no figure of the image: noise through the same pipeline is resolved as well.

    Returns
    -------
    str
        The reason, with both, or nothing where the image is better.
    """
    if not math.isfinite(image) or noise > image * (1 + MARGIN):
        return ""
    return f"{NOT_NOISE} (image {_text(image)}, noise {_text(noise)})"


def not_better(image: float, cubic: float) -> str:
    """Say that interpolation alone is resolved as well as the image, or nothing."""
    return NOT_CUBIC if math.isfinite(image) and cubic <= image * (1 + MARGIN) else ""


def _text(period: float) -> str:
    value, note = told(period)
    return note if value is None else f"{value:.4g}"


def _span(patch: Patch, axis: int, part: slice) -> tuple[int, int]:
    """Return the pixels of the measurement that a tile is interpolated from: whole periods of the ratio."""
    ratio = patch.ratio[axis]
    begin, end = patch.start[axis] + part.start, patch.start[axis] + part.stop
    return (begin // ratio.numerator - REACH) * ratio.denominator, (
        -(-end // ratio.numerator) + REACH
    ) * ratio.denominator


def _enlarge(
    coarse: NDArray[np.float64], patch: Patch, region: Sequence[slice], spans: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    for axis, (part, (start, _), ratio) in enumerate(zip(region, spans, patch.ratio, strict=True)):
        first = patch.start[axis] + part.start - start // ratio.denominator * ratio.numerator
        stop = first + part.stop - part.start
        coarse = resample(coarse, cubic(ratio), step=ratio.denominator, axis=axis, first=first, stop=stop)
    return coarse
