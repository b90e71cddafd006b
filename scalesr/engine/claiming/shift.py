"""The share of one process in a run: it claims blocks, computes them, and waits for what its neighbours hand over.

As in the window of an ordinary run, blocks go from the last to the first, and what is in flight is bounded. What is
different is that the strips a block needs may come from another process. So a block is computed at once, its own strips
are handed over, and its sums wait in memory until the strips of the others lie in the output. Strips are made without
waiting for anybody: as long as each holder of a block is at work, nobody waits for ever.

Where the holder of a block has died whose strips are waited for, the one who waits takes the block over. If it has no
room left it lets go of the sums of the lowest block that waits, and computes these again later: so the highest block of
all is never kept from being made, and what is in flight stays bounded.

A block that this process gives up after three tries (see `attempts`) is free again: another machine may have better
luck. A process that has given blocks up ends when nothing is left that it could do, and does not wait for the others.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from time import sleep
from typing import TYPE_CHECKING, Any

from scalesr.engine.attempts import Attempts
from scalesr.engine.claiming.leaving import LEAVE
from scalesr.engine.events import BatchReduced, BlockDone, StageAdvanced
from scalesr.engine.executors.losses import LostTaskError
from scalesr.engine.ledger import record_key
from scalesr.engine.lookout import Lookout
from scalesr.engine.riding import uppers
from scalesr.engine.stitching import stitch_block
from scalesr.engine.window import Tasks
from scalesr.errors import InterruptedRunError, ScalesrError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.engine.claiming.ground import Ground
    from scalesr.engine.events import BlockReport, Callback
    from scalesr.engine.executors import Executor, Handle
    from scalesr.engine.inference import Sums
    from scalesr.engine.job import Job
    from scalesr.engine.window import What


@dataclass(kw_only=True)
class _Flight:
    """One block of this process."""

    block: int
    what: What
    sums: Handle
    """What its tiles add up to."""
    task: Handle | None
    """What is at work: the handing over of its strips, or its stitching; `None` while it waits for others."""
    stitching: bool = False
    lacks: set[int] = field(default_factory=set)
    """Blocks whose strips, or voxels, it waits for."""


def stitch_once(job: Job, block: int, sums: Sums) -> BlockReport | None:
    """Stitch a block, or return None where somebody else has done so: who took it over, from a process that slept."""
    if job.files.exists(record_key(block)):
        return None
    try:
        return stitch_block(job, block, sums)
    except Exception:
        # Strips are gone as soon as nobody needs them.
        if job.files.exists(record_key(block)):
            return None
        raise


class Shift:
    """Runs blocks beside other processes, until all are done.

    Parameters
    ----------
    job
        What to do.
    executor
        Who does it here.
    ground
        Which blocks are to be had.
    size
        Blocks in flight.
    pause
        Seconds between two looks at what others do.
    tell
        Called with each event.
    stage
        Name of the stage that blocks of others advance.
    tasks
        What is done for each block.
    """

    def __init__(
        self,
        job: Job,
        executor: Executor,
        ground: Ground,
        *,
        size: int,
        pause: float,
        tell: Callback,
        stage: str,
        tasks: Tasks = Tasks(stitch=stitch_once),  # noqa: B008 immutable
    ) -> None:
        self._job = job
        self._executor = executor
        self._ground = ground
        self._size = size
        self._pause = pause
        self._tell = tell
        self._stage = stage
        self._tasks = tasks
        self._lookout = Lookout(executor, tell)
        self._attempts = Attempts(job, tell)
        self._flights: dict[int, _Flight] = {}
        # What this process has to do beside those in flight: blocks taken over, or let go of while they waited.
        self._owed: dict[int, What] = {}
        # Blocks that this process has given up, or cannot make for want of such.
        self._without: set[int] = set()
        self._launches = 0
        self._batch = job.plan.batch
        self._told = ground.done.count(1)
        self._own = 0

    def run(self) -> Iterator[BlockReport]:
        """Yield the report of each block that this process makes; all are done when it ends.

        Raises
        ------
        FailedBlocksError
            Blocks failed here as often as they may, and nothing else is left to do here.
        InterruptedRunError
            The process was told to leave.
        ScalesrError
            Something that the user can mend; nothing that was done is lost.
        """
        while True:
            self._fill()
            if not self._flights:
                if self._ground.done.find(0) < 0:
                    self._tell_others()
                    return
                if LEAVE.is_set():
                    raise self._left()
                self._attempts.conclude()
                sleep(self._pause)
                continue
            yield from self._collect()
            self._look()
            if LEAVE.is_set() and all(flight.task is None for flight in self._flights.values()):
                raise self._left()

    def _fill(self) -> None:
        """Begin blocks while there is room, and those first that somebody waits for."""
        while not LEAVE.is_set():
            if self._owed and (len(self._flights) < self._size or self._let_go(below=max(self._owed))):
                block = max(self._owed)
                self._launch(block, self._owed.pop(block))
                continue
            if len(self._flights) >= self._size:
                return
            found = self._ground.next(without={*self._flights, *self._owed, *self._without})
            if found is None:
                return
            self._launch(found, "all")

    def _let_go(self, *, below: int) -> bool:
        """Let go of the sums of the lowest block that waits for others, if there is one below a block."""
        waiting = [flight.block for flight in self._flights.values() if flight.task is None and flight.block < below]
        if waiting:
            del self._flights[min(waiting)]
            self._owed[min(waiting)] = "all"
        return bool(waiting)

    def _launch(self, block: int, what: What) -> None:
        executor, job = self._executor, self._job
        self._launches += 1
        suffix = f"{block}-{self._launches}"
        read = executor.submit(self._tasks.read, job, block, name=f"read-{suffix}")
        sums = executor.submit(self._tasks.infer, job, block, read, name=f"infer-{suffix}", needs="device")
        task = sums
        if what == "strips" or any(True for _ in job.plan.lattice.takers(job.plan.lattice.index(block))):
            task = executor.submit(self._tasks.strip, job, block, sums, name=f"strip-{suffix}")
        self._flights[block] = _Flight(block=block, what=what, sums=sums, task=task)

    def _collect(self) -> Iterator[BlockReport]:
        """Take in what has ended."""
        by_task = {flight.task: flight for flight in self._flights.values() if flight.task is not None}
        if not by_task:
            sleep(self._pause)
            return
        ended = self._executor.wait(by_task, seconds=self._pause)
        if not ended:
            self._lookout.stay()
        for flight in sorted((by_task[task] for task in ended), key=lambda flight: -flight.block):
            try:
                found = self._executor.result(flight.task)
            except ScalesrError:
                raise
            except LostTaskError as error:
                self._lookout.stay()
                self._again(flight, self._attempts.lost(flight.block, error) if error.workers else "again")
            except Exception as error:  # noqa: BLE001 any other is the block's own, see `attempts`
                self._again(flight, self._attempts.failed(flight.block, error))
            else:
                yield from self._advance(flight, found)

    def _again(self, flight: _Flight, verdict: str) -> None:
        del self._flights[flight.block]
        if verdict == "again":
            self._launch(flight.block, flight.what)
        else:
            self._give_back(flight.block)

    def _give_back(self, block: int) -> None:
        self._without.add(block)
        self._ground.release(block)

    def _advance(self, flight: _Flight, found: Any) -> Iterator[BlockReport]:
        """Go on with a block one of whose tasks went well."""
        if not flight.stitching:
            self._ground.handed(flight.block)
            flight.task = None
            if flight.what == "strips":
                del self._flights[flight.block]
            else:
                flight.lacks = set(self._wanted(flight.block))
            return
        del self._flights[flight.block]
        self._attempts.done(flight.block)
        self._ground.finish(flight.block)
        if found is not None:
            self._own += 1
            yield self._report(found)
        self._ground.drop_strips(flight.block)

    def _report(self, report: BlockReport) -> BlockReport:
        self._tell_others()
        if report.batch < self._batch:
            self._batch = report.batch
            self._tell(BatchReduced(block=report.block, batch=report.batch))
        self._tell(BlockDone(report=report, done=self._attempts.finished, total=self._job.plan.blocks))
        return report

    def _tell_others(self) -> None:
        """Tell how many blocks others have done meanwhile."""
        self._attempts.finished = self._ground.done.count(1)
        others = self._attempts.finished - self._told - self._own
        if others > 0:
            self._told += others
            self._tell(StageAdvanced(name=self._stage, steps=others))

    def _wanted(self, block: int) -> Iterator[int]:
        """Yield the blocks that a block needs something of."""
        lattice = self._job.plan.lattice
        for _, giver in lattice.givers(lattice.index(block)):
            yield lattice.number(giver)
        yield from uppers(self._job, lattice.index(block))

    def _provided(self, block: int, wanted: int) -> bool:
        """Return whether what a block needs of another one is there."""
        index = self._job.plan.lattice.index(block)
        if wanted in uppers(self._job, index) and not self._ground.is_done(wanted):
            return False
        lattice = self._job.plan.lattice
        givers = (lattice.number(giver) for _, giver in lattice.givers(index))
        return wanted not in givers or self._ground.has_strips(wanted)

    def _look(self) -> None:
        """Stitch what waits no longer, and see to it that nobody waits for the dead."""
        for flight in sorted(self._flights.values(), key=lambda flight: -flight.block):
            if flight.task is not None:
                continue
            flight.lacks = {wanted for wanted in flight.lacks if not self._provided(flight.block, wanted)}
            if not flight.lacks:
                self._stitch(flight)
            elif not self._tend(flight):
                del self._flights[flight.block]

    def _stitch(self, flight: _Flight) -> None:
        self._launches += 1
        flight.stitching = True
        flight.task = self._executor.submit(
            self._tasks.stitch, self._job, flight.block, flight.sums, name=f"stitch-{flight.block}-{self._launches}"
        )

    def _tend(self, flight: _Flight) -> bool:
        """See to what a block waits for; return whether it is worth waiting."""
        for wanted in sorted(flight.lacks, reverse=True):
            if wanted in self._flights or wanted in self._owed:
                continue
            if wanted in self._without:
                self._attempts.set_aside(flight.block, wanted=wanted)
                self._give_back(flight.block)
                return False
            if self._ground.is_done(wanted):
                if self._provided(flight.block, wanted):
                    continue
                if self._ground.is_done(flight.block):
                    # Somebody else has made it, and the strips went with it.
                    self._ground.finish(flight.block)
                    return False
                self._owed[wanted] = "strips"
            elif not LEAVE.is_set() and self._ground.seize(wanted):
                self._owed[wanted] = "all"
        return True

    def _left(self) -> InterruptedRunError:
        done = self._ground.done
        return InterruptedRunError(
            f"Told to leave with {done.count(1):,} of {len(done):,} blocks done; nothing is lost, and what was claimed "
            "here is free for others.",
            remedy="If nobody else is at work, run the same command again to go on.",
        )
