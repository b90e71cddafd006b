"""The figures of the whole image that a normalisation is made of."""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import numpy as np

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.normalisation import Normalisation
from scalesr.images import StatisticsAccumulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.engine.events import Callback
    from scalesr.engine.masks import Mask
    from scalesr.engine.options import Normalise
    from scalesr.engine.planning import Mixing
    from scalesr.images import Image
    from scalesr.models import ModelSpec

LOW, HIGH = 0.1, 99.9
"""Percentiles that become 0 and 1."""
ENOUGH_VOXELS = 2**24
"""A coarser level with so many voxels in a channel says enough of the image, at a fraction of the reading."""
STEP_VOXELS = 2**23
"""Voxels that are read at a time."""
TOGETHER = 32
"""Most bands whose figures are gathered side by side: half a megabyte each."""
STAGE = "reading statistics"


def normalisation_of(
    image: Image,
    spec: ModelSpec,
    found: Mixing,
    *,
    level: int,
    how: Normalise,
    out_dtype: str,
    mask: Mask | None,
    gaps: tuple[int, ...],
    tell: Callback,
) -> Normalisation:
    """Return the normalisation of an image for a model, of what was measured: within a mask, without missing planes.

    Raises
    ------
    StorageError
        A chunk that the figures need cannot be read.
    """
    dtype = image.dtype
    integer = dtype.kind in "iu" and np.dtype(out_dtype).kind in "iu"
    photograph = dtype == np.uint8 and spec.channels == 3
    if how == "auto":
        how = "dtype" if integer and (spec.values == "any" or photograph) else "percentile"
    if how == "none":
        return Normalisation(offset=(0.0,), gain=(1.0,), axis=None, origin="none")
    if how == "dtype" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return _of_range(float(limits.min), float(limits.max), f"range of {dtype}")
    if how == "dtype":
        return Normalisation(offset=(0.0,), gain=(1.0,), axis=None, origin=f"range of {dtype}, 0 to 1")
    if isinstance(how, tuple):
        return _of_range(*how, "as given")
    return _percentiles(image, found, level=level, mask=mask, gaps=gaps, tell=tell)


def _of_range(low: float, high: float, origin: str) -> Normalisation:
    gain = high - low
    return Normalisation(offset=(low,), gain=(gain if gain else 1.0,), axis=None, origin=origin)


def _percentiles(
    image: Image, found: Mixing, *, level: int, mask: Mask | None, gaps: tuple[int, ...], tell: Callback
) -> Normalisation:
    channel = found.channel
    channels = 1 if channel is None else image.shape[channel]
    # Coarser levels have no mask, and missing planes are mixed with others there.
    coarser = image.levels[level + 1 :] if mask is None and not gaps else ()
    level += sum(prod(some.shape) // channels >= ENOUGH_VOXELS for some in coarser)
    shape = image.levels[level].shape
    unit = image.levels[level].shards or image.levels[level].chunks
    # Bands that are stored together are read together: a chunk of a thousand is not decoded a thousand times.
    group = 1 if channel is None else min(image.levels[level].chunks[channel], channels, TOGETHER)
    steps = _steps(shape, unit, channel, most=STEP_VOXELS // group)
    tell(StageStarted(name=STAGE, total=len(steps) * -(-channels // group)))
    offsets, gains = [], []
    for first in range(0, channels, group):
        some = slice(first, min(first + group, channels))
        gathered = [StatisticsAccumulator(image.levels[level].dtype) for _ in range(some.start, some.stop)]
        for region in steps:
            own = tuple(some if a == channel else s for a, s in enumerate(region))
            pixels = image.read(own, level=level)
            place = tuple((0, 1) if a == channel else (s.start, s.stop) for a, s in enumerate(region))
            kept = None if mask is None else _kept(mask, place)
            if gaps:
                kept = _measured(place, found.spatial[0], gaps) & (True if kept is None else kept)
            for number, figures in enumerate(gathered):
                band = pixels if channel is None else np.take(pixels, [number], axis=channel)
                figures.update(band if kept is None else band[np.broadcast_to(kept, band.shape)])
            tell(StageAdvanced(name=STAGE))
        for figures in gathered:
            low, high = figures.finalize().span(LOW, HIGH)
            offsets.append(low)
            gains.append(high - low)
    within = (", within the mask" if mask is not None else "") + (", without missing planes" if gaps else "")
    origin = f"percentiles {LOW} and {HIGH} of level {level}{within}"
    return Normalisation(offset=tuple(offsets), gain=tuple(gains), axis=channel, origin=origin)


@lru_cache(maxsize=1)
def _kept(mask: Mask, place: tuple[tuple[int, int], ...]) -> NDArray[np.bool_]:
    """Read a part of the mask, once for all channels where the image is one part."""
    return mask.read(tuple(slice(*bounds) for bounds in place))


def _measured(place: tuple[tuple[int, int], ...], planes: int, gaps: tuple[int, ...]) -> NDArray[np.bool_]:
    """Return which planes of a region were measured; all other axes are of size 1."""
    there: NDArray[np.bool_] = ~np.isin(np.arange(*place[planes]), gaps)
    return there.reshape([-1 if a == planes else 1 for a in range(len(place))])


def _steps(shape: tuple[int, ...], unit: tuple[int, ...], channel: int | None, *, most: int) -> list[tuple[slice, ...]]:
    """Return regions of whole chunks that cover a channel of an image, of at most `most` voxels where chunks allow."""
    step = [1 if a == channel else min(u, n) for a, (u, n) in enumerate(zip(unit, shape, strict=True))]
    for a in reversed(range(len(shape))):
        while a != channel and step[a] < shape[a] and 2 * prod(step) <= most:
            step[a] *= 2

    def spans(a: int) -> Iterator[slice]:
        if a == channel:
            yield slice(0, 1)
            return
        yield from (slice(i, min(i + step[a], shape[a])) for i in range(0, shape[a], step[a]))

    return list(product(*(list(spans(a)) for a in range(len(shape)))))
