"""A run, from an image in storage to an image in storage."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.allocator import give_back_memory
from scalesr.engine.claiming import ensure_alone, joined
from scalesr.engine.companions import spectral_of, write_beside
from scalesr.engine.deviation import NAME, deviation_name
from scalesr.engine.eigenimages import FILE as BASIS
from scalesr.engine.events import RunFinished, RunStarted, StageStarted
from scalesr.engine.executors import LOCAL, open_executor
from scalesr.engine.flights import in_flight
from scalesr.engine.gaps import made_up_rows
from scalesr.engine.ledger import start_ledger, take_measured
from scalesr.engine.leftover import survey
from scalesr.engine.levels import finish_levels
from scalesr.engine.metering import Meter
from scalesr.engine.preflight import check_workers
from scalesr.engine.settling import settle
from scalesr.engine.strips import FOLDER
from scalesr.engine.tally import Tally
from scalesr.engine.targets import ended
from scalesr.engine.telling import result_lines
from scalesr.engine.window import Window
from scalesr.errors import InterruptedRunError, OutputError, ScalesrError
from scalesr.images import Location, create_image, open_image
from scalesr.images.showing import Section, Sheet, Shown
from scalesr.images.thumbnail import thumbnail

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from scalesr.engine.claiming import Crew
    from scalesr.engine.eigenimages import Spectra
    from scalesr.engine.events import Callback
    from scalesr.engine.executors import Executor
    from scalesr.engine.flux import Corrected
    from scalesr.engine.job import Job
    from scalesr.engine.normalisation import Normalisation
    from scalesr.engine.options import Mode, Options
    from scalesr.engine.preparing import Prepared
    from scalesr.engine.settling import Settled
    from scalesr.images import Image, ImageWriter, SpectralAxis
    from scalesr.images.stores import Traffic
    from scalesr.metrics import Measurement
    from scalesr.tiling import Plan

STAGE = "blocks"
MEASUREMENT = "measurement.json"
"""Where, in the ledger, the figures lie that a run took on its way."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Result(Shown):
    """What a run left behind. It shows itself as lines, in a notebook with a small picture and the figures."""

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
    masked: int
    """Input voxels that the mask leaves out."""
    deviation: Image | None
    """The standard deviations of the output's voxels; ``None`` where the model returns none, or they are not kept."""
    made_up: tuple[int, ...]
    """Rows of the output, along the first axis that the model mixes, that stand for planes that were not measured."""
    corrected: Corrected
    """What had to be done, beside scaling, to conserve the flux."""
    spectra: Spectra | None
    """What the eigenimages were fitted to; ``None`` where there are none."""
    explained: tuple[float, ...] | None
    """For each band, which share of its variance the eigenimages hold; ``None`` where there are none."""
    measurement: Measurement | None
    """What was measured on the way; `None` where nothing was asked for."""
    traffic: Traffic
    """Requests to stores that are not local, of this run; of all images that share its workers at the same time."""

    def _repr_html_(self) -> str:
        figures = "" if self.measurement is None else self.measurement._repr_html_()
        return self._sheet().html(thumbnail(self.image)) + figures

    def _sheet(self) -> Sheet:
        return Sheet(title=f"Run of {self.image.name}", sections=(Section(rows=result_lines(self)),))


def run_image(
    image: Image,
    target: str | os.PathLike[str],
    options: Options,
    *,
    target_options: Mapping[str, Any] | None,
    tell: Callback,
    shared: Executor | None = None,
    normalisation: Normalisation | None = None,
) -> Result:
    """Run one image; see `scalesr.run`.

    Parameters
    ----------
    image
        The input.
    target
        Where the output goes: a path or an fsspec URL.
    options
        All options.
    target_options
        Handed to fsspec for the output.
    tell
        Called with each event.
    shared
        Who runs the tasks, and of other images beside them; opened for this one alone when not given.
    normalisation
        That of the plate that the image is part of; what the options ask for when not given.
    """
    given: dict[str, Any] = {"target_options": target_options, "tell": tell}
    given |= {"shared": shared, "normalisation": normalisation}
    if options.share == "nothing":
        if options.mode != "create" and shared is None:
            ensure_alone(Location.parse(target, target_options), tell=tell)
        return _run_image(image, target, options, crew=None, **given)
    with joined(image, target, options, target_options=target_options) as crew:
        return _run_image(image, target, replace(options, mode="resume"), crew=crew, **given)


def _run_image(
    image: Image,
    target: str | os.PathLike[str],
    options: Options,
    *,
    target_options: Mapping[str, Any] | None,
    tell: Callback,
    shared: Executor | None,
    normalisation: Normalisation | None,
    crew: Crew | None,
) -> Result:
    began, meter = perf_counter(), Meter()
    settled = settle(image, target, options, target_options=target_options, normalisation=normalisation, tell=tell)
    job, prepared, basis = settled.job, settled.prepared, settled.basis
    # A scheduler that does not answer must not leave an output behind that was only begun.
    executor = shared or open_executor(
        options.scheduler, slots=prepared.workers.slots, device=prepared.device, threads=prepared.threads
    )
    spectral = spectral_of(image, job.plan)
    tally = Tally(job.ride)
    how: Literal["finished", "stopped"] = "stopped"
    try:
        meter.watch(executor)
        # Before anything is written: what is refused leaves no output behind that was only begun.
        check_workers(executor, job, prepared.spec)
        if crew is None or settled.fresh is not None:
            # Where no run was begun, others may be about to begin one.
            _begin(settled, mode=options.mode, sweep="partial files" if settled.fresh is None else "nothing")
        size = prepared.workers.in_flight if options.scheduler in LOCAL else in_flight(executor.slots)
        _work(job, prepared, executor, size=size, spectral=spectral, tally=tally, tell=tell, crew=crew)
        meter.note(executor)
        how = "finished"
    finally:
        if shared is None:
            executor.close(how=how)
            give_back_memory()
    seconds = perf_counter() - began
    measurement = tally.measurement(seconds=seconds)
    if measurement is not None:
        job.files.put(MEASUREMENT, json.dumps(measurement.to_json(), indent=1, default=str).encode())
    tell(RunFinished(seconds=seconds, blocks=tally.blocks, bad_chunks=len(tally.bad_chunks), traffic=meter.total()))
    return Result(
        image=open_image(job.output.url, storage_options=job.output.storage_options),
        plan=job.plan,
        normalisation=job.normalisation,
        seconds=seconds,
        blocks=tally.blocks,
        bad_chunks=tuple(tally.bad_chunks),
        clipped=tally.clipped,
        not_finite=tally.not_finite,
        masked=tally.masked,
        deviation=None
        if job.deviation is None
        else open_image(job.deviation.url, storage_options=job.deviation.storage_options),
        made_up=_made_up(job),
        corrected=tally.corrected,
        spectra=settled.spectra,
        explained=None if basis is None else tuple(basis.explained.tolist()),
        measurement=measurement,
        traffic=meter.total(),
    )


def _begin(settled: Settled, *, mode: Mode, sweep: Literal["partial files", "nothing"]) -> None:
    """Make the output, empty, and write down what the run is."""
    job = settled.job
    for writer in _writers(job):
        create_image(writer.url, writer.layout, mode=mode, storage_options=writer.storage_options, sweep=sweep)
    files = job.output.files()
    if settled.basis is not None:
        # Before the manifest: a run that has one has its basis.
        files.put(BASIS, settled.basis.to_bytes())
    if settled.fresh is not None:
        start_ledger(files, settled.fresh)


def _work(
    job: Job,
    prepared: Prepared,
    executor: Executor,
    *,
    size: int,
    spectral: SpectralAxis | None,
    tally: Tally,
    tell: Callback,
    crew: Crew | None,
) -> None:
    """Run the blocks that are not done, finish the pyramid and what lies beside it, publish."""
    done, gone = survey(job) if crew is None else (crew.survey(job), set())
    if job.ride is not None and crew is None:
        take_measured(tally, job.files, done)
    finish = partial(_finish, job, executor, size=size, spectral=spectral, tell=tell)
    try:
        tell(
            RunStarted(
                plan=job.plan,
                demand=prepared.demand,
                executor=executor.description,
                done=sum(done),
                slots=executor.slots,
            )
        )
        tell(StageStarted(name=STAGE, total=job.plan.blocks - sum(done)))
        if crew is None:
            for report in Window(job, executor, done, lacking=gone, size=size, tell=tell).run():
                tally.add(report)
            finish()
            return
        others = bytearray(b"\1" * job.plan.blocks)
        for report in crew.blocks(job, executor, done=done, size=size, tell=tell, stage=STAGE):
            tally.add(report)
            others[report.block] = 0
        if job.ride is not None:
            take_measured(tally, job.files, others)
        crew.settle(job, finish)
    except KeyboardInterrupt:
        raise InterruptedRunError(
            f"Stopped with {sum(done)} of {job.plan.blocks} blocks done; nothing is lost.",
            remedy="Run the same command with --resume to go on."
            if crew is None
            else "Run the same command again to go on, if nobody else does.",
        ) from None
    except ScalesrError as error:
        if crew is None and ended(Location(job.output.url, job.output.storage_options)):
            # Strips, and files that were being written, went when they came to the end.
            raise OutputError(
                f"Others joined this run by --share, and finished {job.output.url} meanwhile: it is whole.",
                remedy="Give --share to all who work at one output.",
            ) from error
        raise


def _finish(job: Job, executor: Executor, *, size: int, spectral: SpectralAxis | None, tell: Callback) -> None:
    """Make the smallest levels and what lies beside the output, and publish it. Doing it again changes nothing."""
    at_end = [n for n, level in enumerate(job.plan.levels) if level.made == "at end"]
    for writer, name in zip(_writers(job), ("level", NAME), strict=False):
        if at_end:
            finish_levels(writer, executor, first=at_end[0], size=size, tell=tell, name=name)
    write_beside(job, spectral, executor, size=size, tell=tell)
    # The output last: one that counts as whole has all that belongs to it.
    if job.deviation is not None:
        job.deviation.publish()
    _clear_strips(job)
    job.output.publish(facts=_facts(job))


def _writers(job: Job) -> tuple[ImageWriter, ...]:
    """Return the images that the job writes."""
    return (job.output,) if job.deviation is None else (job.output, job.deviation)


def _made_up(job: Job) -> tuple[int, ...]:
    planes = job.spatial_axes[0]
    return made_up_rows(job.plan.missing_planes, job.plan.lattice.axes[planes])


def _facts(job: Job) -> dict[str, Any]:
    """Return what the output's attributes tell its readers beside what OME-Zarr knows."""
    facts: dict[str, Any] = {}
    if job.plan.missing_planes:
        facts["made_up"] = {"planes": list(job.plan.missing_planes), "rows": list(_made_up(job))}
    if job.deviation is not None:
        facts["deviation"] = deviation_name(job.output, job.deviation)
    return facts


def _clear_strips(job: Job) -> None:
    if job.plan.lattice.offsets:
        for key in job.files.list(FOLDER):
            job.files.delete(key)
