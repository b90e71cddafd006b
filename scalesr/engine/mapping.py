"""Maps of a measurement: figures that have a place, as OME-Zarr images over the same ground."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.flights import results
from scalesr.engine.gathering import Stretch, Survey, stretches, walk
from scalesr.engine.targets import exists
from scalesr.errors import OutputError
from scalesr.images import ImageLayout, ImageWriter, Location, build_pyramid, create_image, pyramid_layout
from scalesr.metrics import PixelMap, TileMap
from scalesr.metrics.walk import context_of

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.engine.events import Callback
    from scalesr.engine.executors import Executor
    from scalesr.engine.views import View
    from scalesr.metrics import Metric, State

STAGE = "drawing maps"


def write_maps(
    survey: Survey,
    metrics: Sequence[Metric],
    planes: Mapping[tuple[int, ...], tuple[State, ...]],
    folder: str | os.PathLike[str],
    executor: Executor,
    *,
    storage_options: Mapping[str, Any] | None,
    tell: Callback,
) -> dict[str, str]:
    """Write the map of each metric that has one, and return their URLs by metric.

    Raises
    ------
    OutputError
        A map exists, or cannot be written.
    StorageError
        A chunk cannot be read.
    """
    written = {}
    for metric in metrics:
        url = _place(metric, folder, storage_options).url
        states = {plane: some[survey.statistics.index(metric.statistic)] for plane, some in planes.items()}
        if isinstance(metric, TileMap):
            written[metric.name] = _write_tiles(survey, metric, states, url, storage_options)
        elif isinstance(metric, PixelMap):
            written[metric.name] = _write_pixels(survey, metric, states, url, executor, storage_options, tell=tell)
    return written


def check_maps(
    metrics: Sequence[Metric], folder: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None
) -> None:
    """Refuse maps that exist before anything is read.

    Raises
    ------
    OutputError
        One exists, or the folder cannot be written to.
    """
    for metric in metrics:
        place = _place(metric, folder, storage_options)
        if isinstance(metric, TileMap | PixelMap) and exists(place):
            raise OutputError(f"The map {place} already exists.", remedy="Choose another folder with --maps.")


def _place(metric: Metric, folder: str | os.PathLike[str], storage_options: Mapping[str, Any] | None) -> Location:
    return Location.parse(folder, storage_options) / f"{metric.name}.ome.zarr"


def _write_tiles(
    survey: Survey,
    metric: TileMap,
    states: Mapping[tuple[int, ...], State],
    url: str,
    storage_options: Mapping[str, Any] | None,
) -> str:
    frame, view = survey.subjects.frame, survey.subjects.output
    tiles = {plane: metric.tiles(state, frame) for plane, state in states.items()}
    size = next(iter(tiles.values())).shape[1:]
    layout = _layout(view, size, factors=[Fraction(1, edge) for edge in metric.tile], bands=frame.bands)
    writer = create_image(url, layout, mode="create", storage_options=storage_options)
    for plane, values in tiles.items():
        _write(writer, view, plane, (0,) * len(size), values)
    writer.publish()
    return writer.url


def _write_pixels(
    survey: Survey,
    metric: PixelMap,
    states: Mapping[tuple[int, ...], State],
    url: str,
    executor: Executor,
    storage_options: Mapping[str, Any] | None,
    *,
    tell: Callback,
) -> str:
    frame, subjects = survey.subjects.frame, survey.subjects
    coarse = metric.grid == "measured"
    view = subjects.measured if coarse and subjects.measured is not None else subjects.output
    ratio = frame.ratio if coarse else (Fraction(1),) * frame.ndim
    shape = tuple(-int(-n // r) for n, r in zip(frame.shape, ratio, strict=True))
    cell = tuple(int(n / r) for n, r in zip(frame.cell, ratio, strict=True))
    layout = _layout(view, shape, factors=(Fraction(1),) * frame.ndim, bands=frame.bands, cell=cell)
    writer = create_image(url, layout, mode="create", storage_options=storage_options)
    # Only what the map needs is read, with the context of its own statistic.
    own = replace(survey, statistics=(metric.statistic,), context=context_of([metric.statistic], frame))  # type: ignore[attr-defined]
    work = stretches(subjects, slots=executor.slots)
    tell(StageStarted(name=STAGE, total=len(work)))
    tasks = (
        partial(
            executor.submit,
            draw_stretch,
            own,
            stretch,
            metric,
            states[stretch.plane],
            writer,
            view,
            name=f"map-{number}-{writer.url}",
            needs="device",
        )
        for number, stretch in enumerate(work)
    )
    for _ in results(executor, tasks, size=executor.slots + 2, tell=tell):
        tell(StageAdvanced(name=STAGE))
    build_pyramid(writer)
    writer.publish()
    return writer.url


def draw_stretch(
    survey: Survey, stretch: Stretch, metric: PixelMap, state: State, writer: ImageWriter, view: View
) -> None:
    """Write the map of a stretch: each cell is a chunk of its own. Atomic for each chunk and idempotent."""
    frame = survey.subjects.frame
    ratio = frame.ratio if metric.grid == "measured" else (Fraction(1),) * frame.ndim
    lead = getattr(metric, "lead", None)
    cells = product(*stretch.cells)
    for cell, patch in zip(cells, walk(survey, stretch, [], lead=lead), strict=True):
        start = tuple(int(i * n / r) for i, n, r in zip(cell, frame.cell, ratio, strict=True))
        _write(writer, view, stretch.plane, start, metric.pixels(patch, state, frame))


def _layout(
    view: View,
    size: tuple[int, ...],
    *,
    factors: Sequence[Fraction],
    bands: int,
    cell: tuple[int, ...] | None = None,
) -> ImageLayout:
    """Return a float image over the ground of a view, of another number of pixels."""
    image, level = view.image, view.image.levels[0]
    shape, chunks = [1] * image.ndim, [1] * image.ndim
    scale, origin = list(level.scale), list(level.translation)
    for axis in view.planes:
        if axis is not None:
            shape[axis] = image.shape[axis]
    if view.band is not None:
        shape[view.band] = bands
    for k, axis in enumerate(view.space):
        shape[axis], chunks[axis] = size[k], min(size[k], cell[k] if cell else size[k])
        old, new = level.scale[axis], level.scale[axis] / float(factors[k])
        scale[axis] = new
        origin[axis] = level.translation[axis] + view.start[k] * old + (new - old) / 2
    return pyramid_layout(
        axes=image.axes,
        shape=tuple(shape),
        dtype="float32",
        scale=tuple(scale),
        translation=tuple(origin),
        chunks=tuple(chunks),
        shards=tuple(chunks),
        channels=image.channels,
        smallest=512,
        name=image.name,
    )


def _write(
    writer: ImageWriter, view: View, plane: tuple[int, ...], start: tuple[int, ...], values: NDArray[Any]
) -> None:
    """Write (bands, *space) where it belongs in the axes of the image."""
    ndim = view.image.ndim
    region, shape = [slice(0, 1)] * ndim, [1] * ndim
    for axis, index in zip(view.planes, plane, strict=True):
        if axis is not None:
            region[axis] = slice(index, index + 1)
    order = (() if view.band is None else (view.band,)) + view.space
    kept, firsts = (values[0], start) if view.band is None else (values, (0, *start))
    for axis, first, size in zip(order, firsts, kept.shape, strict=True):
        region[axis], shape[axis] = slice(first, first + size), size
    writer.write(0, tuple(region), kept.transpose(np.argsort(order)).reshape(shape).astype(np.float32, copy=False))
