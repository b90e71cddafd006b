"""The rolling window: blocks in flight, bounded, from the last block of the image to the first.

A block adds to itself and to its lower neighbours only, so that in this order the strips that it needs were made
before it. What is in flight does not grow with the image, so neither does the memory of scheduler and client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalesr.engine.events import BatchReduced, BlockDone, BlockRetried
from scalesr.engine.inference import infer_block
from scalesr.engine.ledger import file_number
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

ATTEMPTS = 3
"""How often a block is tried before the run gives up on it."""


@dataclass(frozen=True)
class Flight:
    """The tasks of one block."""

    block: int
    strip: Handle | None
    """Hands the strips over; `None` where nobody is below."""
    last: Handle
    """The task after which nothing of the block is left to do."""
    attempt: int


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
        self._finished = sum(done)
        self._batch = job.plan.batch

    def run(self) -> Iterator[BlockReport]:
        """Yield the report of each block as it finishes.

        Raises
        ------
        ScalesrError
            Something that the user can mend; nothing that was done is lost.
        """
        for block in range(self._job.plan.blocks - 1, -1, -1):
            if self._done[block] and block not in self._lacking:
                continue
            while len(self._flights) >= self._size:
                yield from self._collect()
            self._launch(block, attempt=1)
        while self._flights:
            yield from self._collect()

    def _launch(self, block: int, *, attempt: int) -> None:
        executor, job = self._executor, self._job
        lattice = job.plan.lattice
        suffix = f"{block}-{attempt}"
        index = lattice.index(block)
        read = executor.submit(self._tasks.read, job, block, name=f"read-{suffix}")
        sums = executor.submit(self._tasks.infer, job, block, read, name=f"infer-{suffix}", needs="device")
        strip = None
        after = []
        if any(True for _ in lattice.takers(index)):
            strip = executor.submit(self._tasks.strip, job, block, sums, name=f"strip-{suffix}")
            # So that a block that is done has its strips in storage, whatever happens next.
            after.append(strip)
        if self._done[block]:
            self._flights[block] = Flight(block, strip, strip, attempt)
            return
        for _, giver in lattice.givers(index):
            flight = self._flights.get(lattice.number(giver))
            if flight is not None:
                after.append(flight.strip)
        for upper in uppers(job, index):
            flight = self._flights.get(upper)
            if flight is not None:
                after.append(flight.last)
        stitch = executor.submit(self._tasks.stitch, job, block, sums, name=f"stitch-{suffix}", after=after)
        self._flights[block] = Flight(block, strip, stitch, attempt)

    def _collect(self) -> Iterator[BlockReport]:
        by_handle = {flight.last: flight for flight in self._flights.values()}
        ended = [by_handle[handle] for handle in self._executor.wait(by_handle)]
        # Upper blocks first: one that is tried again must be in flight before those that wait for its strips.
        for flight in sorted(ended, key=lambda flight: -flight.block):
            try:
                report: BlockReport | None = self._executor.result(flight.last)
            except ScalesrError:
                raise
            except Exception as error:
                if flight.attempt >= ATTEMPTS:
                    raise
                self._tell(BlockRetried(block=flight.block, attempt=flight.attempt + 1, error=_words(error)))
                self._launch(flight.block, attempt=flight.attempt + 1)
                continue
            del self._flights[flight.block]
            if report is not None:
                yield self._finish(report)

    def _finish(self, report: BlockReport) -> BlockReport:
        self._done[report.block] = 1
        self._finished += 1
        self._drop_strips(report.block)
        if report.batch < self._batch:
            self._batch = report.batch
            self._tell(BatchReduced(block=report.block, batch=report.batch))
        self._tell(BlockDone(report=report, done=self._finished, total=self._job.plan.blocks))
        return report

    def _drop_strips(self, block: int) -> None:
        """Delete the strips of those givers that have no taker left."""
        lattice = self._job.plan.lattice
        for _, giver in lattice.givers(lattice.index(block)):
            if all(self._done[lattice.number(taker)] for _, taker in lattice.takers(giver)):
                self._job.files.delete(strip_key(lattice.number(giver)))


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def lacking(job: Job, done: bytearray, strips: set[str]) -> set[int]:
    """Return the blocks that are done but whose strips are gone, deleted by hand or by a store, and still needed."""
    lattice = job.plan.lattice
    gone = set()
    for block in range(lattice.blocks) if lattice.offsets else ():
        if done[block] and strip_key(block) not in strips:
            takers = (lattice.number(taker) for _, taker in lattice.takers(lattice.index(block)))
            if not all(done[taker] for taker in takers):
                gone.add(block)
    return gone


def unneeded(job: Job, done: bytearray, strips: set[str]) -> Iterator[Any]:
    """Yield the keys of strips that nobody will ask for any more."""
    lattice = job.plan.lattice
    for key in strips:
        block = file_number(key.rsplit("/", 1)[-1])
        if block is None or block >= lattice.blocks:
            yield key
            continue
        if all(done[lattice.number(taker)] for _, taker in lattice.takers(lattice.index(block))):
            yield key
