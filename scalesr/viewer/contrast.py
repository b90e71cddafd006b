"""What a viewer shows as black and as white, from what an image says or from its pixels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.images import image_statistics
from scalesr.images.colours import channels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.images import Image

ENOUGH = 2**16
"""Pixels of a resolution that says how an image looks: coarser ones are means, which have lost what is bright."""
MOST = 2**22
"""Pixels that are looked at: of an image without coarse resolutions, its middle."""
SHARES = (0.1, 99.9)
"""Percentiles that become black and white."""
BANDS = 16
"""Bands of a spectrum of which the brightest is shown first."""

Span = tuple[float, float]


def contrast(images: Sequence[Image], channel: int) -> list[Span]:
    """Return black and white of one channel in each of some images.

    Images of the same number format share them, since to compare is to see the same intensity in the same grey: the
    first that says what it wants is followed, else these are the outermost of `SHARES` of all their pixels. A window
    that is all that the number format can hold is what programs write that know nothing, and is not looked at.
    """
    found: dict[str, list[Span]] = {}
    wanted: dict[str, Span] = {}
    for image in images:
        chosen = _chosen(image, channel)
        if chosen is not None:
            wanted.setdefault(image.dtype.name, chosen)
    for image in images:
        if image.dtype.name not in wanted:
            found.setdefault(image.dtype.name, []).append(_measured(image, channel))
    for name, spans in found.items():
        wanted[name] = min(low for low, _ in spans), max(high for _, high in spans)
    return [_whole(wanted[image.dtype.name], image.dtype) for image in images]


def brightest_band(image: Image) -> int:
    """Return the channel with the highest mean, of some that lie evenly along the axis."""
    count = channels_of(image)
    some = sorted({round(place) for place in np.linspace(0, count - 1, min(BANDS, count))})
    level = _level(image)
    means = []
    for band in some:
        pixels = image.read(_region(image, level, band, most=MOST // BANDS), level=level)
        means.append(float(np.mean(pixels, where=np.isfinite(pixels), dtype=np.float64)) if pixels.size else 0.0)
    return int(some[int(np.argmax(np.nan_to_num(means, nan=-np.inf)))])


def _chosen(image: Image, channel: int) -> Span | None:
    if channel >= len(image.channels):
        return None
    low, high = image.channels[channel].start, image.channels[channel].end
    if low is None or high is None or low >= high:
        return None
    return None if (low, high) == _bounds(image.dtype) else (low, high)


def _bounds(dtype: np.dtype[Any]) -> Span:
    if dtype.kind == "f":
        return 0.0, 1.0
    facts = np.iinfo(dtype)
    return float(facts.min), float(facts.max)


def _measured(image: Image, channel: int) -> Span:
    level = _level(image)
    some = image_statistics(image, level=level, region=_region(image, level, channel, most=MOST))
    return some.span(*SHARES)


def _whole(span: Span, dtype: np.dtype[Any]) -> Span:
    return span if dtype.kind == "f" else (float(math.floor(span[0])), float(math.ceil(span[1])))


def _level(image: Image) -> int:
    """Return the coarsest resolution that has enough pixels of one channel at one time."""
    for number in reversed(range(len(image.levels))):
        sizes = [
            size for axis, size in zip(image.axes, image.levels[number].shape, strict=True) if axis.kind == "space"
        ]
        if math.prod(sizes) >= ENOUGH:
            return number
    return 0


def _region(image: Image, level: int, channel: int, *, most: int) -> tuple[slice, ...]:
    """Return the middle of one channel at the first time, of so many pixels at most."""
    shape = image.levels[level].shape
    kept = [size if axis.kind == "space" else 1 for axis, size in zip(image.axes, shape, strict=True)]
    while math.prod(kept) > most:
        longest = kept.index(max(kept))
        kept[longest] = -(-kept[longest] // 2)
    region = []
    for axis, size, some in zip(image.axes, shape, kept, strict=True):
        at = min(channel, size - 1) if axis.kind == "channel" else 0
        first = (size - some) // 2 if axis.kind == "space" else at
        region.append(slice(first, first + some))
    return tuple(region)
