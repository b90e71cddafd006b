"""A Dask cluster whose workers sleep: the real scheduler and real workers, with nothing to compute.

The scheduler has a process of its own, so that its memory and its time are told from all others'. Workers are Dask's
own objects, each with its connections, its heartbeat and its state, many of them in one process. They run coroutines
that sleep, so that they need no threads, and they do not watch the load of their machine. What a worker costs a machine
is not rehearsed, what it costs the scheduler is.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, parent_process
from threading import Thread
from typing import TYPE_CHECKING, Any

import dask
import psutil
from distributed import Client, Scheduler, Worker

from scalesr.engine.events import BlockReport
from scalesr.engine.executors.dask import DEVICE
from scalesr.engine.executors.unrecorded import QUIET_SCHEDULER, SCHEDULER_EXTENSIONS
from scalesr.engine.window import Tasks
from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from scalesr.engine.job import Job

AT_THE_SIDE = 0.05
"""Time of reading a block, and of writing it, as a share of the time of its inference; our own choice."""
SPREAD = 0.2
"""How much longer or shorter than the mean the inference of a block takes at most; our own choice."""
TOGETHER = 250
"""Workers in one process at most."""
STARTING = 240.0
"""Seconds in which all of them must be there."""
DROWSY = {
    **QUIET_SCHEDULER,
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.interval": "1h",
    "distributed.admin.tick.cycle": "1h",
    "distributed.admin.system-monitor.interval": "1h",
}
"""Settings of workers that sleep: none looks at the machine's load, or at its own, many times a second, which only a
worker that has a machine for itself can afford."""
THREADS = 2
"""Threads of a worker: while one holds the device the other reads and writes."""


@dataclass(frozen=True)
class Rehearsed:
    """A cluster that sleeps."""

    address: str
    """Of its scheduler."""
    scheduler: psutil.Process
    """The process of its scheduler."""
    sleepers: tuple[psutil.Process, ...]
    """The processes that its workers share."""


def sleeping(seconds: float) -> Tasks:
    """Return tasks that take their time and do nothing, with an inference of so many seconds in the mean.

    They are coroutines, which a worker runs without a thread of its own.
    """
    beside = partial(_pause, seconds * AT_THE_SIDE)
    return Tasks(
        read=beside, infer=partial(_infer, seconds), strip=_nothing, stitch=partial(_stitch, seconds * AT_THE_SIDE)
    )


def lasting(block: int, seconds: float) -> float:
    """Return how long the inference of a block takes: spread evenly about the mean, and the same at each rehearsal."""
    # Knuth's multiplicative hash: neighbours are far apart.
    place = (block * 2654435761 % 2**32) / 2**32
    return seconds * (1 - SPREAD + 2 * SPREAD * place)


async def _nothing(*_: object) -> None:
    """Stand in for handing strips over."""


async def _pause(seconds: float, *_: object) -> None:
    await asyncio.sleep(seconds)


async def _infer(seconds: float, _: Job, block: int, *__: object) -> tuple[float, float]:
    began = time.time()
    await asyncio.sleep(lasting(block, seconds))
    return began, time.time()


async def _stitch(seconds: float, job: Job, block: int, inferred: tuple[float, float], *_: object) -> BlockReport:
    await asyncio.sleep(seconds)
    began, ended = inferred
    return BlockReport(
        block=block,
        index=job.plan.lattice.index(block),
        checksums=(),
        tiles=1,
        batch=job.plan.batch,
        seconds={"began": began, "ended": ended},
    )


@contextmanager
def rehearsal(workers: int) -> Iterator[Rehearsed]:
    """Start a scheduler and so many workers, and end them.

    Raises
    ------
    PlanError
        This machine cannot hold so many.
    """
    context = get_context("spawn")
    near, far = context.Pipe()
    processes = [context.Process(target=_run_scheduler, args=(far,), daemon=True)]
    # Workers are killed, and leave their folders behind.
    place = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
    try:
        processes[0].start()
        if not near.poll(STARTING):
            raise PlanError("The scheduler of the simulation does not start.", remedy="Try again on an idle machine.")
        address: str = near.recv()
        counts = [min(TOGETHER, workers - first) for first in range(0, workers, TOGETHER)]
        processes += [
            context.Process(target=_run_workers, args=(address, count, place.name), daemon=True) for count in counts
        ]
        for process in processes[1:]:
            process.start()
        with Client(address, set_as_default=False, timeout="60s") as client:
            with suppress(TimeoutError):
                client.wait_for_workers(workers, timeout=STARTING)
            there = len(client.scheduler_info(n_workers=-1)["workers"])
        if there < workers:
            raise PlanError(
                f"After {STARTING:g} seconds {there} of {workers} sleeping workers are there.",
                remedy="Simulate fewer, or on an idle machine with more memory.",
            )
        yield Rehearsed(
            address=address,
            scheduler=psutil.Process(processes[0].pid),
            sleepers=tuple(psutil.Process(process.pid) for process in processes[1:]),
        )
    finally:
        for process in reversed(processes):
            if process.pid is not None:
                process.kill()
                process.join()
        place.cleanup()
        near.close()
        far.close()


def _run_scheduler(pipe: Connection) -> None:
    _end_with_parent()
    logging.disable(logging.CRITICAL)

    async def run() -> None:
        options: dict[str, Any] = {"host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
        async with Scheduler(port=0, extensions=SCHEDULER_EXTENSIONS, **options) as scheduler:
            pipe.send(scheduler.address)
            await scheduler.finished()

    with dask.config.set(QUIET_SCHEDULER):
        asyncio.run(run())


def _run_workers(address: str, count: int, place: str) -> None:
    _end_with_parent()
    logging.disable(logging.CRITICAL)
    _allow_files()

    async def run() -> None:
        started = [
            Worker(
                address,
                nthreads=THREADS,
                memory_limit=0,
                resources={DEVICE: 1},
                dashboard=False,
                dashboard_address="127.0.0.1:0",
                host="127.0.0.1",
                local_directory=place,
            )
            for _ in range(count)
        ]
        await asyncio.gather(*started)
        await asyncio.gather(*(worker.finished() for worker in started))

    with dask.config.set(DROWSY):
        asyncio.run(run())


def _end_with_parent() -> None:
    """End this process when that which started it is gone, even killed: hundreds of workers would stay for nobody."""
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def _allow_files() -> None:
    """Let this process have as many connections as the system allows; each worker has several."""
    try:
        import resource  # noqa: PLC0415 not on Windows, which has no such limit
    except ImportError:
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
