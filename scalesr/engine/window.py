"""The rolling window: blocks in flight, bounded, from the last block of the image to the first.

A block adds to itself and to its lower neighbours only, so that in this order the strips that it needs were made
before it. What is in flight does not grow with the image, so neither does the memory of scheduler and client.

A block that fails is tried again; one that was lost with its worker is submitted again; `scalesr.engine.attempts` says
how often, and what stops the run at once. A block that is given up takes those with it that cannot be made without it,
which hand their own strips over all the same, so that nobody else is missing anything.

A block that takes very long is told, and nothing else: Dask cannot end a task that has begun, so that a second one
beside it would leave the first at work, on a device that the run needs, and perhaps writing hours later into an output
that somebody has begun anew. Ending the worker ends the task, and the scheduler hands the block to another one.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.attempts import Attempts
from scalesr.engine.events import BatchReduced, BlockDone, BlockSlow
from scalesr.engine.executors.losses import LostTaskError
from scalesr.engine.inference import infer_block
from scalesr.engine.lookout import TICK, Lookout
from scalesr.engine.reading import read_block
from scalesr.engine.riding import uppers
from scalesr.engine.stitching import stitch_block, strip_block
from scalesr.engine.strips import strip_key
from scalesr.errors import ScalesrError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scalesr.engine.events import BlockReport, Callback
    from scalesr.engine.executors import Executor, Handle
    from scalesr.engine.job import Job
    from scalesr.tiling import Index

SLOW_TIMES, SLOW_SECONDS = 6, 60.0
"""A block is slow when it takes so many times as long as usual, and so many seconds: below these nobody would act."""
USUAL = 50
"""Blocks whose time says what is usual."""
LEAST = 5
"""Fewer say nothing."""

What = Literal["all", "strips"]
"""Whether a block is made, or only what others need of it."""


@dataclass(frozen=True, kw_only=True)
class Flight:
    """The tasks of one block."""

    block: int
    what: What
    strip: Handle | None
    """Hands the strips over; `None` where nobody is below."""
    last: Handle
    """The task after which nothing of the block is left to do."""
    after: tuple[Handle, ...]
    """Tasks of other blocks that it waits for."""
    began: float


@dataclass(frozen=True)
class Tasks:
    """What is done for a block. Others than the engine's own make a rehearsal: the real scheduler, nothing computed."""

    read: Callable[..., Any] = read_block
    infer: Callable[..., Any] = infer_block
    strip: Callable[..., Any] = strip_block
    stitch: Callable[..., Any] = stitch_block


class Window:
    """Runs the blocks of a job that are not done yet.

    Parameters
    ----------
    job
        What to do.
    executor
        Who does it.
    done
        One byte for each block, 1 where it is done; changed as blocks finish.
    lacking
        Blocks that are done but must hand their strips over once more.
    size
        Blocks in flight.
    tell
        Called with each event.
    tasks
        What is done for each block.
    """

    def __init__(
        self,
        job: Job,
        executor: Executor,
        done: bytearray,
        *,
        lacking: set[int],
        size: int,
        tell: Callback,
        tasks: Tasks = Tasks(),  # noqa: B008 immutable
    ) -> None:
        self._tasks = tasks
        self._job = job
        self._executor = executor
        self._done = done
        self._lacking = lacking
        self._size = size
        self._tell = tell
        self._flights: dict[int, Flight] = {}
        self._lookout = Lookout(executor, tell)
        self._attempts = Attempts(job, tell)
        self._attempts.finished = sum(done)
        self._batch = job.plan.batch
        self._launches = 0
        # Blocks that wait until another one is decided.
        self._held: set[int] = set()
        # Blocks that were lost with workers: one of them at a time, so that the one to blame is told from the others.
        self._suspects: set[int] = set()
        # Blocks given up that left no strips behind.
        self._stripless: set[int] = set()
        self._durations: deque[float] = deque(maxlen=USUAL)
        self._slow: set[int] = set()
        self._waiting: dict[int, float] = {}
        self._looked = monotonic()

    def run(self) -> Iterator[BlockReport]:
        """Yield the report of each block as it finishes.

        Raises
        ------
        FailedBlocksError
            Blocks failed as often as they may; raised when all others are done.
        ScalesrError
            Something that the user can mend; nothing that was done is lost.
        """
        for block in range(self._job.plan.blocks - 1, -1, -1):
            if self._done[block] and block not in self._lacking:
                continue
            while len(self._flights) + len(self._held) >= self._size:
                yield from self._collect()
            self._begin(block)
        while self._flights or self._held:
            yield from self._collect()
        self._attempts.conclude()

    def _begin(self, block: int, *, handed: Literal["strips", "nothing"] = "nothing") -> None:
        """Do what can be done of a block, some of which may have been `handed` over before."""
        index = self._job.plan.lattice.index(block)
        if any(wanted in self._held for wanted in self._wanted(index)):
            self._held.add(block)
            return
        if self._done[block]:
            self._launch(block, "strips")
            return
        wanted = self._lost(index)
        if wanted is None:
            self._launch(block, "all")
            return
        self._attempts.set_aside(block, wanted=wanted)
        if handed == "nothing" and any(True for _ in self._job.plan.lattice.takers(index)):
            self._launch(block, "strips")

    def _wanted(self, index: Index) -> Iterator[int]:
        """Yield the blocks that a block needs something of."""
        for _, giver in self._job.plan.lattice.givers(index):
            yield self._job.plan.lattice.number(giver)
        yield from uppers(self._job, index)

    def _lost(self, index: Index) -> int | None:
        """Return a block without which another one cannot be made, and that will not be made itself."""
        lattice = self._job.plan.lattice
        for _, giver in lattice.givers(index):
            if lattice.number(giver) in self._stripless:
                return lattice.number(giver)
        for upper in uppers(self._job, index):
            flight = self._flights.get(upper)
            if not self._done[upper] and (flight is None or flight.what == "strips"):
                return upper
        return None

    def _launch(self, block: int, what: What) -> None:
        executor, job = self._executor, self._job
        lattice = job.plan.lattice
        self._launches += 1
        suffix = f"{block}-{self._launches}"
        index = lattice.index(block)
        read = executor.submit(self._tasks.read, job, block, name=f"read-{suffix}")
        sums = executor.submit(self._tasks.infer, job, block, read, name=f"infer-{suffix}", needs="device")
        strip, last = None, None
        if what == "strips" or any(True for _ in lattice.takers(index)):
            strip = last = executor.submit(self._tasks.strip, job, block, sums, name=f"strip-{suffix}")
        after: list[Handle] = []
        if what == "all":
            for _, giver in lattice.givers(index):
                flight = self._flights.get(lattice.number(giver))
                if flight is not None:
                    after.append(flight.strip)
            for upper in uppers(job, index):
                flight = self._flights.get(upper)
                if flight is not None:
                    after.append(flight.last)
            # Its own strips too, so that a block that is done has them in storage, whatever happens next.
            last = executor.submit(
                self._tasks.stitch,
                job,
                block,
                sums,
                name=f"stitch-{suffix}",
                after=after if strip is None else [strip, *after],
            )
        self._flights[block] = Flight(
            block=block, what=what, strip=strip, last=last, after=tuple(after), began=monotonic()
        )

    def _collect(self) -> Iterator[BlockReport]:
        self._release()
        by_handle = {flight.last: flight for flight in self._flights.values()}
        ended = [by_handle[handle] for handle in self._lookout.ended(by_handle)] if by_handle else []
        self._tell_slow()
        stayed = False
        # Upper blocks first: one that is tried again must be in flight before those that wait for its strips.
        for flight in sorted(ended, key=lambda flight: -flight.block):
            try:
                report: BlockReport | None = self._executor.result(flight.last)
            except ScalesrError:
                raise
            except LostTaskError as error:
                if not stayed:
                    self._lookout.stay()
                    stayed = True
                self._lose(flight, error)
            except Exception as error:  # noqa: BLE001 any other is the block's own, see `attempts`
                self._fail(flight, error)
            else:
                del self._flights[flight.block]
                self._suspects.discard(flight.block)
                self._durations.append(monotonic() - flight.began)
                if flight.what == "all" or self._done[flight.block]:
                    self._attempts.done(flight.block)
                if report is not None:
                    yield self._finish(report)

    def _fail(self, flight: Flight, error: Exception) -> None:
        del self._flights[flight.block]
        if self._inherited(flight):
            self._begin(flight.block, handed=self._handed(flight))
        elif self._attempts.failed(flight.block, error) == "again":
            self._launch(flight.block, flight.what)
        else:
            self._abandon(flight)

    def _lose(self, flight: Flight, error: LostTaskError) -> None:
        del self._flights[flight.block]
        if error.workers and not self._inherited(flight):
            if self._attempts.lost(flight.block, error) == "given up":
                self._abandon(flight)
                return
            self._suspects.add(flight.block)
        self._held.add(flight.block)

    def _abandon(self, flight: Flight) -> None:
        self._suspects.discard(flight.block)
        if self._handed(flight) == "nothing":
            self._stripless.add(flight.block)

    def _release(self) -> None:
        """Go on with those blocks that were held and need not wait any longer."""
        for block in sorted(self._held, reverse=True):
            if block in self._suspects and not self._suspects.isdisjoint(self._flights):
                continue
            if not any(wanted in self._held for wanted in self._wanted(self._job.plan.lattice.index(block))):
                self._held.discard(block)
                self._begin(block)

    def _inherited(self, flight: Flight) -> bool:
        """Return whether a block failed only since one failed that it waits for."""
        return any(self._outcome(handle) == "failed" for handle in flight.after)

    def _handed(self, flight: Flight) -> Literal["strips", "nothing"]:
        well = flight.strip is not None and self._outcome(flight.strip) == "well"
        return "strips" if well else "nothing"

    def _outcome(self, handle: Handle) -> Literal["pending", "well", "failed"]:
        if handle not in self._executor.wait([handle], seconds=0):
            return "pending"
        try:
            self._executor.result(handle)
        except Exception:  # noqa: BLE001 whatever it was, somebody else deals with it
            return "failed"
        return "well"

    def _tell_slow(self) -> None:
        now = monotonic()
        if now - self._looked < TICK or len(self._durations) < LEAST:
            return
        self._looked = now
        usual = median(self._durations)
        # Who waits for the strips of a slow block is not slow. Nobody wants the results, which lie on other machines.
        ended = set(self._executor.wait({one for flight in self._flights.values() for one in flight.after}, seconds=0))
        self._waiting = {
            flight.block: now if not ended.issuperset(flight.after) else self._waiting.get(flight.block, flight.began)
            for flight in self._flights.values()
        }
        for block, since in self._waiting.items():
            if block not in self._slow and now - since >= max(SLOW_SECONDS, SLOW_TIMES * usual):
                self._slow.add(block)
                self._tell(BlockSlow(block=block, seconds=now - since, usual=usual))

    def _finish(self, report: BlockReport) -> BlockReport:
        self._done[report.block] = 1
        self._attempts.finished += 1
        self._drop_strips(report.block)
        if report.batch < self._batch:
            self._batch = report.batch
            self._tell(BatchReduced(block=report.block, batch=report.batch))
        self._tell(BlockDone(report=report, done=self._attempts.finished, total=self._job.plan.blocks))
        return report

    def _drop_strips(self, block: int) -> None:
        """Delete the strips of those givers that have no taker left."""
        lattice = self._job.plan.lattice
        for _, giver in lattice.givers(lattice.index(block)):
            if all(self._done[lattice.number(taker)] for _, taker in lattice.takers(giver)):
                self._job.files.delete(strip_key(lattice.number(giver)))
