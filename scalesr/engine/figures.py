"""The figures of the whole image that a normalisation is made of."""

from __future__ import annotations

from functools import lru_cache
from itertools import cycle, product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.normalisation import Normalisation
from scalesr.images import StatisticsAccumulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from scalesr.engine.events import Callback
    from scalesr.engine.masks import Mask
    from scalesr.engine.options import Normalise
    from scalesr.engine.planning import Mixing
    from scalesr.images import Image
    from scalesr.models import ModelSpec, Percentiles

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
    how = chosen(dtype, spec, how=how, out_dtype=out_dtype)
    if how == "none":
        return Normalisation(offset=(0.0,), gain=(1.0,), axis=None, origin="none")
    if how == "dtype" and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        return _of_range(float(limits.min), float(limits.max), f"range of {dtype}")
    if how == "dtype":
        return Normalisation(offset=(0.0,), gain=(1.0,), axis=None, origin=f"range of {dtype}, 0 to 1")
    if isinstance(how, tuple):
        return _of_range(*how, "as given")
    return _percentiles(image, found, spec.percentiles, level=level, mask=mask, gaps=gaps, tell=tell)


def chosen(dtype: np.dtype[Any], spec: ModelSpec, *, how: Normalise, out_dtype: str) -> Normalise:
    """Return how an image of a data type is normalised for a model: what was asked for, or what ``auto`` means."""
    if how != "auto":
        return how
    integer = dtype.kind in "iu" and np.dtype(out_dtype).kind in "iu"
    photograph = dtype == np.uint8 and spec.channels == 3
    # What says which intensities its percentiles stand for knows nothing of the data type's range.
    ranged = integer and spec.percentiles is None
    return "dtype" if ranged and (spec.values == "any" or photograph) else "percentile"


def level_of_figures(image: Image, *, level: int, channel: int | None, apart: bool) -> int:
    """Return the level that the percentiles of an image are taken of.

    Parameters
    ----------
    image
        The image.
    level
        The level that is processed.
    channel
        Its axis of channels.
    apart
        Whether some of its pixels do not count: coarser levels mix them with others.
    """
    channels = 1 if channel is None else image.shape[channel]
    coarser = () if apart else image.levels[level + 1 :]
    return level + sum(prod(some.shape) // channels >= ENOUGH_VOXELS for some in coarser)


def band_groups(image: Image, channel: int | None, *, level: int) -> list[slice]:
    """Return which bands of a level are read together: a chunk that holds many is not decoded many times."""
    channels = 1 if channel is None else image.shape[channel]
    group = 1 if channel is None else min(image.levels[level].chunks[channel], channels, TOGETHER)
    return [slice(first, min(first + group, channels)) for first in range(0, channels, group)]


def count_bands(
    image: Image,
    gathered: Sequence[StatisticsAccumulator],
    bands: slice,
    *,
    found: Mixing,
    level: int,
    mask: Mask | None,
    gaps: tuple[int, ...],
) -> Iterator[None]:
    """Add some bands of a level of an image to their figures, and yield after each part that is read.

    Raises
    ------
    StorageError
        A chunk cannot be read.
    """
    channel = found.channel
    for region in _regions(image, found, level=level, together=len(gathered)):
        own = tuple(bands if a == channel else s for a, s in enumerate(region))
        pixels = image.read(own, level=level)
        place = tuple((0, 1) if a == channel else (s.start, s.stop) for a, s in enumerate(region))
        kept = None if mask is None else _kept(mask, place)
        if gaps:
            kept = _measured(place, found.spatial[0], gaps) & (True if kept is None else kept)
        for number, figures in enumerate(gathered):
            band = pixels if channel is None else np.take(pixels, [number], axis=channel)
            figures.update(band if kept is None else band[np.broadcast_to(kept, band.shape)])
        yield


def of_spans(
    spans: Sequence[tuple[float, float]], meant: Percentiles | None, *, axis: int | None, origin: str
) -> Normalisation:
    """Return the normalisation of an image whose percentiles are known, one pair for each channel.

    Parameters
    ----------
    spans
        The percentiles.
    meant
        What they become; none: 0 and 1.
    axis
        Axis of the channels.
    origin
        What they were taken of, in words.
    """
    targets = meant or ((0.0, 1.0),)
    gains = [(high - low) / (most - least) for (low, high), (least, most) in zip(spans, cycle(targets), strict=False)]
    return Normalisation(
        offset=tuple(
            low - least * gain for (low, _), (least, _), gain in zip(spans, cycle(targets), gains, strict=False)
        ),
        gain=tuple(gains),
        axis=axis,
        origin=origin + ("" if meant is None else ", as those of what the model knows"),
    )


def _of_range(low: float, high: float, origin: str) -> Normalisation:
    gain = high - low
    return Normalisation(offset=(low,), gain=(gain if gain else 1.0,), axis=None, origin=origin)


def _percentiles(
    image: Image,
    found: Mixing,
    meant: Percentiles | None,
    *,
    level: int,
    mask: Mask | None,
    gaps: tuple[int, ...],
    tell: Callback,
) -> Normalisation:
    channel = found.channel
    level = level_of_figures(image, level=level, channel=channel, apart=mask is not None or bool(gaps))
    groups = band_groups(image, channel, level=level)
    steps = len(_regions(image, found, level=level, together=groups[0].stop))
    tell(StageStarted(name=STAGE, total=steps * len(groups)))
    spans: list[tuple[float, float]] = []
    for some in groups:
        gathered = [StatisticsAccumulator(image.levels[level].dtype) for _ in range(some.start, some.stop)]
        for _ in count_bands(image, gathered, some, found=found, level=level, mask=mask, gaps=gaps):
            tell(StageAdvanced(name=STAGE))
        spans += [figures.finalize().span(LOW, HIGH) for figures in gathered]
    within = (", within the mask" if mask is not None else "") + (", without missing planes" if gaps else "")
    return of_spans(spans, meant, axis=channel, origin=f"percentiles {LOW} and {HIGH} of level {level}{within}")


def _regions(image: Image, found: Mixing, *, level: int, together: int) -> list[tuple[slice, ...]]:
    """Return the parts that a level is read in, so many bands at a time."""
    plan = image.levels[level]
    return _steps(plan.shape, plan.shards or plan.chunks, found.channel, most=STEP_VOXELS // together)


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
