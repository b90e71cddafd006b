"""Measuring images of any size: read once, cell by cell, merged exactly."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import psutil

from scalesr.engine.allocator import give_back_memory
from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.executors import open_executor
from scalesr.engine.flights import results
from scalesr.engine.gathering import Survey, buffer_bytes, gather_stretch, stretches
from scalesr.engine.labelled import as_image, as_other
from scalesr.engine.mapping import check_maps, write_maps
from scalesr.engine.memory import GIVEN_BACK_LATE, PROCESS_BYTES
from scalesr.engine.pairing import match_images
from scalesr.engine.riding import WITH_REFERENCE
from scalesr.engine.seams import with_borders
from scalesr.errors import InputError, InterruptedRunError, PlanError
from scalesr.metrics import MAKERS, Settings, State, make_metrics
from scalesr.metrics.measurement import Measurement
from scalesr.metrics.walk import context_of, finalized
from scalesr.tiling import human_bytes

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from scalesr.engine.events import Callback, Event
    from scalesr.engine.executors import Executor
    from scalesr.engine.gathering import Gathered
    from scalesr.engine.labelled import Source
    from scalesr.engine.pairing import Position, Subjects
    from scalesr.images import Image
    from scalesr.metrics import Statistic

STAGE = "measuring"
WITH_MEASURED = ("consistency", "beyond_nyquist")
"""What is measured of an output and its input when nothing is asked for by name."""

Planes = dict[tuple[int, ...], tuple[State, ...]]
"""What was gathered of each plane, one state for each statistic."""


def measure(
    output: Source,
    *,
    reference: Source | None = None,
    measured: Source | None = None,
    mask: Source | None = None,
    dims: str | None = None,
    pixel_sizes: float | Mapping[str, float] | None = None,
    metrics: Sequence[str] | None = None,
    settings: Settings | None = None,
    axes: str | None = None,
    by: str | None = None,
    maps: str | os.PathLike[str] | None = None,
    position: Position = "check",
    scheduler: str = "threads",
    workers: int | None = None,
    memory: int | None = None,
    on_bad_block: Literal["stop", "fill"] = "stop",
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Measurement:
    """Measure an image of any size: against a reference, against what it was made from, or alone.

    Images are read once, whatever is measured. The figures are the same bits for any chunks, workers and order. Memory
    does not grow with the image, but for the few bytes that tile-wise figures keep of each tile.

    Parameters
    ----------
    output
        The image that is judged: OME-Zarr by path or URL, an opened image, or an array of NumPy, dask or xarray.
    reference
        The truth, or another acquisition, on the same grid.
    measured
        The measurement that the output was made from, on a coarser grid.
    mask
        Pixels that count are not zero in it; on the output's grid.
    dims, pixel_sizes
        Of an array of NumPy or dask as output, as for `lazy`. Other such arrays have the same dimensions and cover the
        same field.
    metrics
        Names from `scalesr.metrics.MAKERS`; a choice by what is given when `None`.
    settings
        All settings of the metrics; the defaults when not given.
    axes
        Axes of space that metrics mix: ``yx`` or ``zyx``; all that the image has when not given.
    by
        Name of an axis that is neither bands nor space: figures for each of its entries too.
    maps
        Folder or URL for the maps of those metrics that have one, as OME-Zarr images.
    position
        ``check``: images must lie at the same place by their metadata. ``ignore``: compared from their first pixels on.
    scheduler, workers, memory
        As in `scalesr.run`.
    on_bad_block
        A chunk that cannot be decoded stops the measurement, or is replaced by the fill value and reported.
    callbacks
        Called with each event, in this process.
    storage_options
        Handed to fsspec for all images.
    **changes
        Single settings by name, on top of `settings`.

    Raises
    ------
    ScalesrError
        What is wrong and what to do about it: InputError, OutputError and PlanError before anything is read,
        StorageError for a chunk that cannot be read.
    """
    began = perf_counter()

    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    image = as_image(output, dims=dims, pixel_sizes=pixel_sizes, storage_options=storage_options)

    def opened(other: Source | None) -> Image | None:
        return None if other is None else as_other(other, image, storage_options=storage_options)

    settings = Settings(**{**(vars(settings) if settings else {}), **changes})
    subjects = match_images(
        image,
        reference=opened(reference),
        measured=opened(measured),
        mask=opened(mask),
        axes=axes,
        settings=settings,
        position=position,
    )
    if by is not None and by not in subjects.plane_names:
        known = ", ".join(subjects.plane_names) or "none"
        raise InputError(
            f"{image.url} has no planes along {by!r}; axes that are neither bands nor measured as space: {known}.",
            remedy="Choose one of these with --by, or take an axis out of the space with --axes yx.",
        )
    settings = with_borders(settings, subjects)
    chosen = make_metrics(_names(metrics, subjects), subjects.frame, settings)
    if maps is not None:
        check_maps(chosen, maps, storage_options=storage_options)
    statistics = tuple(dict.fromkeys(metric.statistic for metric in chosen))
    survey = Survey(
        subjects=subjects,
        statistics=statistics,
        context=context_of(statistics, subjects.frame),
        on_bad_block=on_bad_block,
    )
    slots = workers or psutil.cpu_count() or 1
    _check_memory(survey, slots=1 if scheduler == "serial" else slots, allowed=memory)
    executor = open_executor(scheduler, slots=slots, device="cpu")
    how: Literal["finished", "stopped"] = "stopped"
    try:
        planes, bad = _gather(survey, executor, tell=tell)
        total = _merged(planes.items(), statistics)
        written = {}
        if maps is not None:
            written = write_maps(survey, chosen, planes, maps, executor, storage_options=storage_options, tell=tell)
        how = "finished"
    except KeyboardInterrupt:
        raise InterruptedRunError("Stopped; nothing was measured.", remedy="Run the same command again.") from None
    finally:
        executor.close(how=how)
        give_back_memory()
    measures = finalized(chosen, total, subjects.frame)
    if by is not None:
        place = subjects.plane_names.index(by)
        for number in range(subjects.plane_shape[place]):
            some = [(plane, states) for plane, states in planes.items() if plane[place] == number]
            measures += [
                m.placed(f"{by}={number}") for m in finalized(chosen, _merged(some, statistics), subjects.frame)
            ]
    return Measurement(
        measures=tuple(measures),
        frame=subjects.frame,
        settings=settings,
        output=image.url,
        reference=None if subjects.reference is None else subjects.reference.image.url,
        measured=None if subjects.measured is None else subjects.measured.image.url,
        maps=written,
        notes=subjects.notes,
        bad_chunks=tuple(bad),
        seconds=perf_counter() - began,
    )


def _names(metrics: Sequence[str] | None, subjects: Subjects) -> Sequence[str]:
    if metrics is not None:
        if not metrics:
            raise InputError("No metric is asked for.", remedy=f"Choose from: {', '.join(MAKERS)}.")
        return metrics
    frame = subjects.frame
    if not (frame.has_reference or frame.has_measured):
        raise InputError(
            "There is nothing to compare the image with.",
            remedy="Give --reference or --input, or name metrics of single images with --metrics.",
        )
    several = ("sam",) if frame.bands > 3 else ()
    return ((*WITH_REFERENCE, *several) if frame.has_reference else ()) + (WITH_MEASURED if frame.has_measured else ())


def _check_memory(survey: Survey, *, slots: int, allowed: int | None) -> None:
    needed = int(GIVEN_BACK_LATE * (PROCESS_BYTES + slots * buffer_bytes(survey.subjects, survey.context)))
    limit = allowed or int(0.9 * psutil.virtual_memory().available)
    if needed > limit:
        raise PlanError(
            f"Measuring needs about {human_bytes(needed)} with {slots} workers; {human_bytes(limit)} are allowed.",
            remedy="Lower --workers, or raise --memory.",
        )


def _gather(survey: Survey, executor: Executor, *, tell: Callback) -> tuple[Planes, list[str]]:
    """Run all stretches, with a bounded number in flight, and merge what comes back plane by plane."""
    work = stretches(survey.subjects, slots=executor.slots)
    tell(StageStarted(name=STAGE, total=len(work)))
    planes: Planes = {}
    bad: dict[str, None] = {}
    tasks = (
        partial(executor.submit, gather_stretch, survey, stretch, name=f"gather-{number}", needs="device")
        for number, stretch in enumerate(work)
    )
    found: Gathered
    for found in results(executor, tasks, size=executor.slots + 2, tell=tell):
        bad.update(dict.fromkeys(found.bad_chunks))
        there = planes.setdefault(found.stretch.plane, tuple(State() for _ in survey.statistics))
        for state, new in zip(there, found.states, strict=True):
            state.merge(new)
        tell(StageAdvanced(name=STAGE))
    return planes, list(bad)


def _merged(planes: Any, statistics: tuple[Statistic, ...]) -> dict[Statistic, State]:
    """Return the states of several planes as one, leaving theirs as they are."""
    merged = tuple(State() for _ in statistics)
    for plane, states in planes:
        for state, part in zip(merged, states, strict=True):
            state.merge(part.placed(plane))
    return dict(zip(statistics, merged, strict=True))
