"""A run, from an image in storage to an image in storage."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.allocator import give_back_memory
from scalesr.engine.events import RunFinished, RunStarted, StageStarted
from scalesr.engine.executors import DaskExecutor, SerialExecutor
from scalesr.engine.figures import normalisation_of
from scalesr.engine.job import Job, ledger_files
from scalesr.engine.ledger import (
    Manifest,
    check_manifest,
    make_manifest,
    read_manifest,
    read_records,
    recorded,
    start_ledger,
)
from scalesr.engine.levels import finish_levels
from scalesr.engine.normalisation import Normalisation
from scalesr.engine.options import Options
from scalesr.engine.planning import needed_fraction_bits
from scalesr.engine.preparing import Prepared, check_memory, layout_of, prepare, subject_of
from scalesr.engine.riding import WITH_REFERENCE, make_ride, ride_term
from scalesr.engine.strips import FOLDER
from scalesr.engine.tally import Tally
from scalesr.engine.targets import begun, exists
from scalesr.engine.window import Window, lacking, unneeded
from scalesr.errors import InterruptedRunError, OutputError
from scalesr.images import Image, ImageWriter, Location, create_image, open_image
from scalesr.metrics import Settings

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from scalesr.engine.events import Callback, Event
    from scalesr.engine.executors import Executor
    from scalesr.metrics import Measurement
    from scalesr.tiling import Plan

STAGE = "blocks"
MEASUREMENT = "measurement.json"
"""Where, in the ledger, the figures lie that a run took on its way."""
LOCAL = ("serial", "threads", "processes")
"""Schedulers of this machine; anything else is an address."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run left behind."""

    image: Image
    """The output."""
    plan: Plan
    """What was done."""
    normalisation: Normalisation
    """How intensities were normalised."""
    seconds: float
    """Wall time."""
    blocks: int
    """Blocks computed by this run; the rest was there from an earlier one."""
    bad_chunks: tuple[str, ...]
    """Chunks of the input that could not be decoded and were filled."""
    clipped: int
    """Output voxels that were set to the nearest value of the data type."""
    not_finite: int
    """Input voxels that were NaN or infinite."""
    measurement: Measurement | None
    """What was measured on the way; `None` where nothing was asked for."""


def run(
    source: str | os.PathLike[str] | Image,
    target: str | os.PathLike[str],
    *,
    options: Options | None = None,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
    target_options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Result:
    """Super-resolve or restore an image of any size, tile by tile, into an OME-Zarr image.

    Every tile is computed once. The output is the same bytes for any block size, number of workers, executor and
    order, and after a crash and resume, on one class of device and version of torch. Memory does not grow with the
    image. Until the run ends the output does not count as an image, and nothing that is done is lost when it stops.

    Parameters
    ----------
    source
        OME-Zarr image: a path, an fsspec URL, or an opened image.
    target
        Where the output goes: a path or an fsspec URL.
    options
        All options; the defaults when not given.
    callbacks
        Called with each event, in this process.
    storage_options, target_options
        Handed to fsspec for input and output.
    **changes
        Single options by name, on top of `options`.

    Raises
    ------
    ScalesrError
        What is wrong and what to do about it: InputError, ModelError, PlanError, OutputError, LedgerError before
        anything is written; StorageError, OutputError and InterruptedRunError in mid-run, which can be resumed.
    """
    began = perf_counter()
    options = Options(**{**(vars(options) if options else {}), **changes})

    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    image = source if isinstance(source, Image) else open_image(source, storage_options=storage_options)
    job, prepared, fresh = settle(image, target, options, target_options=target_options, tell=tell)
    # A scheduler that does not answer must not leave an output behind that was only begun.
    executor = make_executor(prepared, options)
    tally = Tally(job.ride)
    how: Literal["finished", "stopped"] = "stopped"
    try:
        create_image(
            job.target, job.output.layout, mode=options.mode, storage_options=dict(job.output.storage_options) or None
        )
        if fresh is not None:
            start_ledger(job.output.files(), fresh)
        _work(job, prepared, executor, local=options.scheduler in LOCAL, tally=tally, tell=tell)
        how = "finished"
    finally:
        executor.close(how=how)
        give_back_memory()
    seconds = perf_counter() - began
    measurement = tally.measurement(seconds=seconds)
    if measurement is not None:
        job.files.put(MEASUREMENT, json.dumps(measurement.to_json(), indent=1, default=str).encode())
    tell(RunFinished(seconds=seconds, blocks=tally.blocks, bad_chunks=len(tally.bad_chunks)))
    return Result(
        image=open_image(job.output.url, storage_options=job.output.storage_options),
        plan=job.plan,
        normalisation=job.normalisation,
        seconds=seconds,
        blocks=tally.blocks,
        bad_chunks=tuple(tally.bad_chunks),
        clipped=tally.clipped,
        not_finite=tally.not_finite,
        measurement=measurement,
    )


def settle(
    image: Image,
    target: str | os.PathLike[str],
    options: Options,
    *,
    target_options: Mapping[str, Any] | None,
    tell: Callback,
) -> tuple[Job, Prepared, Manifest | None]:
    """Check everything that can be checked before anything is written.

    Returns
    -------
    tuple
        The job, what it was made of, and the manifest of a run that begins; None where one is resumed.
    """
    prepared = prepare(subject_of(image, level=options.level), options)
    check_memory(prepared, options)
    location = Location.parse(target, target_options)
    stored = _stored(location, image, options)
    kept = None if stored is None else Normalisation.from_json(stored.identity["normalisation"])
    job, prepared = make_job(image, location, prepared, options, normalisation=kept, tell=tell)
    if options.metrics or options.reference is not None:
        ride = make_ride(
            options.metrics or WITH_REFERENCE,
            options.settings or Settings(),
            source=image,
            level=options.level,
            reference=open_image(options.reference) if options.reference is not None else None,
            output=job.output,
            lattice=job.plan.lattice,
        )
        job = replace(job, ride=ride)
        host = (*prepared.demand.host, ride_term(ride, job.plan, prepared.workers))
        prepared = replace(prepared, demand=replace(prepared.demand, host=host))
        check_memory(prepared, options)
    manifest = make_manifest(job, normalise=options.normalise)
    if stored is not None:
        check_manifest(stored, manifest)
    return job, prepared, manifest if stored is None else None


def _work(job: Job, prepared: Prepared, executor: Executor, *, local: bool, tally: Tally, tell: Callback) -> None:
    """Run the blocks that are not done, finish the pyramid, publish."""
    done, gone = _survey(job)
    if job.ride is not None:
        for stored in read_records(job.files, done):
            tally.measured(stored["gathered"])
    try:
        tell(RunStarted(plan=job.plan, demand=prepared.demand, executor=executor.description, done=sum(done)))
        tell(StageStarted(name=STAGE, total=job.plan.blocks - sum(done)))
        size = prepared.workers.in_flight if local else 2 * executor.slots + 2
        for report in Window(job, executor, done, lacking=gone, size=size, tell=tell).run():
            tally.add(report)
        at_end = [n for n, level in enumerate(job.plan.levels) if level.made == "at end"]
        if at_end:
            finish_levels(job.output, executor, first=at_end[0], size=size, tell=tell)
        job.output.publish()
        _clear_strips(job)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Stopped with {sum(done)} of {job.plan.blocks} blocks done; nothing is lost.",
            remedy="Run the same command with --resume to go on.",
        ) from None


def make_job(
    image: Image,
    location: Location,
    prepared: Prepared,
    options: Options,
    *,
    normalisation: Normalisation | None,
    tell: Callback,
) -> tuple[Job, Prepared]:
    """Return what the tasks of a run are told, with the plan whose sums hold what the normalisation makes of the image.

    The image's figures are read where no normalisation is given.
    """
    plan = prepared.plan
    if normalisation is None:
        normalisation = normalisation_of(
            image,
            prepared.spec,
            prepared.mixing,
            level=options.level,
            how=options.normalise,
            out_dtype=plan.out_dtype,
            tell=tell,
        )
    bits = needed_fraction_bits(plan.out_dtype, normalisation.gain, normalisation.offset)
    prepared = replace(prepared, plan=replace(plan, fraction_bits=bits))
    name = location.url.rstrip("/").rsplit("/", 1)[-1].removesuffix(".zarr").removesuffix(".ome")
    layout = layout_of(image, prepared.plan, level=options.level, name=name)
    job = Job(
        source=image.url,
        source_options=tuple(sorted(image.storage_options.items())),
        level=options.level,
        output=ImageWriter(location.url, layout, storage_options=location.options),
        plan=prepared.plan,
        model=prepared.ref,
        device=prepared.device,
        normalisation=normalisation,
        channel_axis=prepared.mixing.channel,
        spatial_axes=prepared.mixing.spatial,
        on_bad_block=options.on_bad_block,
        on_nan=options.on_nan,
    )
    return job, prepared


def make_executor(prepared: Prepared, options: Options) -> Executor:
    """Return who runs the tasks.

    Raises
    ------
    PlanError
        There is no scheduler at the address given.
    """
    if options.scheduler == "serial":
        return SerialExecutor()
    if options.scheduler in LOCAL:
        workers = prepared.workers
        return DaskExecutor.local(
            kind="threads" if options.scheduler == "threads" else "processes",
            workers=workers.processes if options.scheduler == "processes" else workers.slots,
            slots=workers.slots,
        )
    return DaskExecutor.connect(options.scheduler, device=prepared.device)


def check_target(
    image: Image,
    target: str | os.PathLike[str],
    *,
    options: Options,
    target_options: Mapping[str, Any] | None = None,
) -> None:
    """Refuse an output that `run` would refuse before it reads the image; nothing is written.

    Raises
    ------
    OutputError, LedgerError
        It exists and the mode does not allow that, holds nothing to resume, or cannot be written to.
    """
    _stored(Location.parse(target, target_options), image, options)


def _stored(location: Location, image: Image, options: Options) -> Manifest | None:
    """Return the manifest of the run that is to be resumed, after refusing an output that cannot be used."""
    if location.url == Location.parse(image.url).url:
        raise OutputError("Input and output are the same image.", remedy="Choose another output.")
    there = exists(location)
    if there and options.mode == "create":
        raise OutputError(
            f"{location} already exists.", remedy="Choose another place, or pass --overwrite or --resume."
        )
    if options.mode != "resume" or not there:
        return None
    stored = read_manifest(ledger_files(location.url, location.options))
    if stored is None and not begun(location):
        raise OutputError(
            f"{location} holds no run that could be resumed.", remedy="Leave out --resume, or use --overwrite."
        )
    return stored


def _survey(job: Job) -> tuple[bytearray, set[int]]:
    """Return what an earlier run left done, and which of its blocks must hand their strips over once more."""
    done = recorded(job.files, job.plan.blocks)
    if not any(done) or not job.plan.lattice.offsets:
        return done, set()
    strips = set(job.files.list(FOLDER))
    for key in unneeded(job, done, strips):
        job.files.delete(key)
    return done, lacking(job, done, strips)


def _clear_strips(job: Job) -> None:
    if job.plan.lattice.offsets:
        for key in job.files.list(FOLDER):
            job.files.delete(key)
