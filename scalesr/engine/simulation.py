"""A plan carried out by workers that sleep: whether a scheduler keeps so many busy, before anybody pays them."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from time import perf_counter, sleep
from typing import TYPE_CHECKING

import numpy as np
import psutil
from distributed import Client

from scalesr.engine.executors.dask import DEVICE, DaskExecutor
from scalesr.engine.flights import in_flight
from scalesr.engine.job import Job
from scalesr.engine.normalisation import Normalisation
from scalesr.engine.preparing import layout_of
from scalesr.engine.rehearsal import Rehearsed, rehearsal, sleeping
from scalesr.engine.window import Window
from scalesr.errors import PlanError
from scalesr.images import Image, ImageWriter, Level

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import NDArray

    from scalesr.engine.planning import Subject
    from scalesr.engine.preparing import Prepared

MOST = 1000
"""Workers that one machine can be asked to hold asleep."""
EACH = 6
"""Blocks of each worker that are rehearsed when nobody says how many; the plan's, where it has fewer."""
SECONDS = 30.0
"""Seconds of a block when nobody says how many, and nobody measured."""
SAMPLES = 50
"""How often memory is looked at, at most."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What memory was taken at one moment."""

    blocks: int
    """Blocks that were done."""
    scheduler: int
    """Bytes of the scheduler's process."""
    client: int
    """Bytes of the process that holds the window, with all that it has loaded."""


@dataclass(frozen=True, kw_only=True)
class Effort:
    """Seconds of a core for one block, in the mean; idle time and heartbeats shared out over the blocks."""

    client: float
    """Of the process that holds the window."""
    scheduler: float
    """Of the scheduler, which works on one core."""
    workers: float
    """Of all workers together, which in a run have cores of their own."""


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
    effort: Effort
    """What a block costs client, scheduler and workers; unlike wall time it hardly depends on who else works here."""
    course: tuple[Sample, ...]
    """Memory over the blocks, from when each worker had made one."""

    @property
    def scheduler_bytes(self) -> tuple[int, int]:
        """Memory of the scheduler when every worker had made one block, and in the end."""
        return self.course[0].scheduler, self.course[-1].scheduler

    @property
    def bytes_per_block(self) -> dict[str, float]:
        """What a block adds to the memory of scheduler and client: the slope of a line through the later half."""
        blocks = [sample.blocks for sample in self.course]
        return {
            "scheduler": slope(blocks, [sample.scheduler for sample in self.course]),
            "client": slope(blocks, [sample.client for sample in self.course]),
        }

    @property
    def most_blocks_per_second(self) -> float:
        """Blocks that client and scheduler could take care of in a second at least, each with a core for itself.

        What they do anyway is shared out over the blocks, so that it is the more the more blocks come in a second.
        """
        return 1 / max(self.effort.client, self.effort.scheduler)

    @property
    def most_workers(self) -> int:
        """Workers that they could keep busy with such blocks, at least."""
        return int(self.most_blocks_per_second * self.block_seconds)

    def run_seconds(self, blocks: int) -> float:
        """Return how long so many blocks take so many workers that are so busy."""
        return blocks * self.block_seconds / (self.workers * max(self.busy, 1e-9))


def simulate(
    prepared: Prepared, subject: Subject, *, workers: int, blocks: int | None = None, block_seconds: float | None = None
) -> Simulation:
    """Carry out a part of a plan with the real scheduler, the engine's window, and workers that sleep.

    Real are the scheduler, the client with its window, and all that they say to each other and to the workers, whose
    heartbeats, states and transfers are Dask's own. Not real are the tasks, which sleep, the storage, which is not
    asked, and the machines of the workers: these share this one with scheduler and client, so that where few cores hold
    many workers a cluster keeps more of them busy than is shown. What a block costs client and scheduler in seconds of
    a core does not depend on that, and says how many workers they could serve.

    Parameters
    ----------
    prepared, subject
        The plan, and the image that it is for.
    workers
        How many, each with one inference at a time.
    blocks
        How many are rehearsed: at least three for each worker.
    block_seconds
        Of the inference of one block; none at all is as fast as scheduler and client can.

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
    seconds = _seconds(prepared) if block_seconds is None else block_seconds
    with tempfile.TemporaryDirectory() as place, rehearsal(workers) as cluster:
        client = Client(cluster.address, set_as_default=False)
        executor = DaskExecutor(
            client, description=f"{workers} sleeping workers", slots=workers, resource=DEVICE, place="elsewhere"
        )
        # The last blocks of the plan come first; all others count as done.
        done = bytearray(b"\x01") * (plan.blocks - count) + bytearray(count)
        window = Window(
            rehearsed_job(prepared, subject, place),
            executor,
            done,
            lacking=set(),
            size=in_flight(workers),
            tell=lambda _: None,
            tasks=sleeping(seconds),
        )
        spans = np.zeros((count, 2))
        course: list[Sample] = []
        began, before = perf_counter(), _spent(cluster)
        for number, report in enumerate(window.run(), start=1):
            spans[number - 1] = report.seconds["began"], report.seconds["ended"]
            if number >= workers and (number - workers) % max(1, (count - workers) // SAMPLES) == 0:
                course.append(_sample(cluster, number))
        wall = perf_counter() - began
        effort = {who: (after - before[who]) / count for who, after in _spent(cluster).items()}
        # The scheduler forgets the last tasks a moment after they are done.
        sleep(0.5)
        course.append(_sample(cluster, count))
        executor.close(how="finished")
    return Simulation(
        workers=workers,
        processes=len(cluster.sleepers),
        blocks=count,
        block_seconds=seconds,
        seconds=wall,
        busy=busy_share(spans, workers=workers),
        tasks_per_second=count * plan.tasks_per_block / wall,
        scheduler_load=effort["scheduler"] * count / wall,
        effort=Effort(**effort),
        course=tuple(course),
    )


def slope(blocks: Sequence[float], sizes: Sequence[float]) -> float:
    """Return what a block adds, by least squares over the later half: what is loaded or kept once comes before.

    Parameters
    ----------
    blocks
        How many were done, in rising order.
    sizes
        Bytes at these moments.
    """
    half = len(blocks) // 2
    x, y = np.array(blocks[half:], "float64"), np.array(sizes[half:], "float64")
    x -= x.mean()
    square = float(x @ x)
    return float(x @ (y - y.mean())) / square if square else 0.0


def _sample(cluster: Rehearsed, blocks: int) -> Sample:
    client = psutil.Process().memory_info().rss
    return Sample(blocks=blocks, scheduler=cluster.scheduler.memory_info().rss, client=client)


def _spent(cluster: Rehearsed) -> dict[str, float]:
    """Return the seconds of cores that client, scheduler and workers took since they began."""
    return {
        "client": sum(psutil.Process().cpu_times()[:2]),
        "scheduler": sum(cluster.scheduler.cpu_times()[:2]),
        "workers": sum(sum(process.cpu_times()[:2]) for process in cluster.sleepers),
    }


def busy_share(spans: NDArray[Any] | Sequence[tuple[float, float]], *, workers: int) -> float:
    """Return the share of their time in which workers infer, while there is work for all of them.

    That is from when as many inferences began as there are workers, to when no more than that are left to begin.

    Parameters
    ----------
    spans
        When each inference began and ended.
    workers
        How many there are, with one inference at a time.
    """
    began, ended = np.asarray(spans, "float64").T
    starts = np.sort(began)
    first, last = starts[workers - 1], starts[-workers]
    if last <= first:
        return 1.0
    inside = np.maximum(0.0, np.minimum(ended, last) - np.maximum(began, first)).sum()
    return float(inside / (workers * (last - first)))


def _seconds(prepared: Prepared) -> float:
    """Return how long a block takes by what was measured of the model here, if that was asked for."""
    plan, rate = prepared.plan, prepared.rate
    if rate is None or not plan.passes:
        return SECONDS
    return plan.flops / plan.blocks / rate.flops


def rehearsed_job(prepared: Prepared, subject: Subject, place: str) -> Job:
    """Return what the tasks of such a run would be told; it travels sealed, as the job of a run does."""
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
