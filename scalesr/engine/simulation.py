"""A plan carried out by workers that sleep: whether a scheduler keeps so many busy, before anybody pays them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import TYPE_CHECKING

from distributed import Client

from scalesr.engine.executors.dask import DEVICE, DaskExecutor
from scalesr.engine.flights import in_flight
from scalesr.engine.job import Job
from scalesr.engine.normalisation import Normalisation
from scalesr.engine.preparing import layout_of
from scalesr.engine.rehearsal import rehearsal, sleeping
from scalesr.engine.window import Window
from scalesr.errors import PlanError
from scalesr.images import Image, ImageWriter, Level

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.engine.planning import Subject
    from scalesr.engine.preparing import Prepared

MOST = 1000
"""Workers that one machine can be asked to hold asleep."""
EACH = 6
"""Blocks of each worker that are rehearsed when nobody says how many; the plan's, where it has fewer."""
SECONDS = 30.0
"""Seconds of a block when nobody says how many, and nobody measured."""


@dataclass(frozen=True, kw_only=True)
class Simulation:
    """What a rehearsal showed."""

    workers: int
    """Workers that slept."""
    processes: int
    """Processes that they shared."""
    blocks: int
    """Blocks that they pretended to make."""
    block_seconds: float
    """Seconds of the inference of a block, in the mean."""
    seconds: float
    """Wall time."""
    busy: float
    """Share of their time that workers spent in inference, from when all of them had a block until no more waited."""
    tasks_per_second: float
    """Tasks that the scheduler handled in a second."""
    scheduler_load: float
    """Share of one core that it took for that."""
    scheduler_bytes: tuple[int, int]
    """Its memory when every worker had made one block, and in the end."""
    bytes_per_block: float
    """What a block added to it between the two."""

    def run_seconds(self, blocks: int) -> float:
        """Return how long so many blocks take so many workers that are so busy."""
        return blocks * self.block_seconds / (self.workers * max(self.busy, 1e-9))


def simulate(
    prepared: Prepared, subject: Subject, *, workers: int, blocks: int | None = None, block_seconds: float | None = None
) -> Simulation:
    """Carry out a part of a plan with the real scheduler, the engine's window, and workers that sleep.

    Nothing is read, computed or written. What a run adds to this are the times of storage and the share of processor
    that workers take from a scheduler on the same machine; what a rehearsal adds are its workers, which share this
    machine with the scheduler. So where few cores hold many workers a cluster does better than is shown.

    Parameters
    ----------
    prepared, subject
        The plan, and the image that it is for.
    workers
        How many, each with one inference at a time.
    blocks
        How many are rehearsed: at least three for each worker.
    block_seconds
        Of the inference of one block.

    Raises
    ------
    PlanError
        So many workers, or so few blocks, say nothing; or this machine cannot hold them.
    """
    if not 1 <= workers <= MOST:
        raise PlanError(f"{workers} workers cannot be simulated.", remedy=f"Give 1 to {MOST}.")
    plan = prepared.plan
    count = min(plan.blocks, blocks or EACH * workers)
    if count < 3 * workers:
        raise PlanError(
            f"{count} blocks say nothing of {workers} workers: each needs three at least.",
            remedy="Simulate fewer workers, or more blocks; a lower --block makes more of an image.",
        )
    seconds = block_seconds or _seconds(prepared)
    with tempfile.TemporaryDirectory() as place, rehearsal(workers) as cluster:
        client = Client(cluster.address, set_as_default=False)
        executor = DaskExecutor(
            client, description=f"{workers} sleeping workers", slots=workers, resource=DEVICE, place="elsewhere"
        )
        # The last blocks of the plan come first; all others count as done.
        done = bytearray(b"\x01") * (plan.blocks - count) + bytearray(count)
        window = Window(
            _job(prepared, subject, place),
            executor,
            done,
            lacking=set(),
            size=in_flight(workers),
            tell=lambda _: None,
            tasks=sleeping(seconds),
        )
        spans: list[tuple[float, float]] = []
        began, cpu = perf_counter(), sum(cluster.scheduler.cpu_times()[:2])
        early = late = cluster.scheduler.memory_info().rss
        for report in window.run():
            spans.append((report.seconds["began"], report.seconds["ended"]))
            if len(spans) == workers:
                early = cluster.scheduler.memory_info().rss
        wall, cpu = perf_counter() - began, sum(cluster.scheduler.cpu_times()[:2]) - cpu
        # The scheduler forgets the last tasks a moment after they are done.
        sleep(0.5)
        late = cluster.scheduler.memory_info().rss
        executor.close(how="finished")
    return Simulation(
        workers=workers,
        processes=cluster.processes,
        blocks=count,
        block_seconds=seconds,
        seconds=wall,
        busy=busy_share(spans, workers=workers),
        tasks_per_second=count * plan.tasks_per_block / wall,
        scheduler_load=cpu / wall,
        scheduler_bytes=(early, late),
        bytes_per_block=(late - early) / max(1, count - workers),
    )


def busy_share(spans: Sequence[tuple[float, float]], *, workers: int) -> float:
    """Return the share of their time in which workers infer, while there is work for all of them.

    That is from when as many inferences began as there are workers, to when no more than that are left to begin.

    Parameters
    ----------
    spans
        When each inference began and ended.
    workers
        How many there are, with one inference at a time.
    """
    starts = sorted(began for began, _ in spans)
    first, last = starts[workers - 1], starts[-workers]
    if last <= first:
        return 1.0
    inside = sum(max(0.0, min(ended, last) - max(began, first)) for began, ended in spans)
    return inside / (workers * (last - first))


def _seconds(prepared: Prepared) -> float:
    """Return how long a block takes by what was measured of the model here, if that was asked for."""
    plan, rate = prepared.plan, prepared.rate
    if rate is None or not plan.passes:
        return SECONDS
    return plan.flops / plan.blocks / rate.flops


def _job(prepared: Prepared, subject: Subject, place: str) -> Job:
    """Return what the tasks of such a run would be told; it is sent with each of them."""
    level = Level(
        "0",
        subject.shape,
        subject.chunk,
        subject.chunk,
        subject.dtype,
        subject.pixel_sizes,
        (0.0,) * len(subject.shape),
    )
    image = Image(url=f"{place}/in.ome.zarr", version="0.5", name="simulated", axes=subject.axes, levels=(level,))
    output = ImageWriter(f"{place}/out.ome.zarr", layout_of(image, prepared.plan, level=0, name="simulated"))
    return Job(
        source=image.url,
        output=output,
        plan=prepared.plan,
        model=prepared.ref,
        device=prepared.device,
        normalisation=Normalisation(offset=(0.0,), gain=(1.0,), axis=None, origin="simulated"),
        channel_axis=prepared.mixing.channel,
        spatial_axes=prepared.mixing.spatial,
    )
