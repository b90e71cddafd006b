"""How often the blocks of a run may fail, what the ledger keeps of it, and when a block is given up.

The rule goes by the class of what a task raises. A `ScalesrError` is the user's to mend and would meet the next block
as well (a full disk, no permission, a model that is gone, a tile that does not fit into memory, a damaged ledger, input
that the run was told to stop at): the run stops at once. Anything else is counted against the block: it is tried
`ATTEMPTS` times and then given up, and the others go on. A block that was lost with its worker has not failed, until
`LOSSES` workers died while they had it: then it is taken for what kills them.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.events import BlockGivenUp, BlockLost, BlockRetried
from scalesr.engine.ledger import FAILURES, failure_key, file_number
from scalesr.errors import FailedBlocksError
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    from scalesr.engine.events import Callback
    from scalesr.engine.executors.losses import LostTaskError
    from scalesr.engine.job import Job

ATTEMPTS = 3
"""How often a block is tried before the run goes on without it."""
LOSSES = 12
"""Workers that may die while they have a block. Dask itself hands a task to four before it speaks of it; that nodes are
pre-empted three times so often with the same block at work, which takes seconds, does not happen by chance."""
HOPELESS = 10
"""Blocks that must be given up before the run stops if fewer than these are done: the fault is then not the blocks'."""
MOST = 1000
"""Blocks that are given up at the most, in whatever large a run, so that what is kept of them stays small."""
LONGEST = 1000
"""Characters that are kept of an error."""
SHOWN = 5
"""Blocks that an error names."""

Verdict = Literal["again", "given up"]


@dataclass
class _Course:
    """What a block went through in this run."""

    tries: list[dict[str, Any]] = field(default_factory=list)
    workers: int = 0


class Attempts:
    """Counts what goes wrong with each block, and notes it in the ledger until the block is done.

    Parameters
    ----------
    job
        What is being done.
    tell
        Called when a block is tried again, lost or given up.
    """

    def __init__(self, job: Job, tell: Callback) -> None:
        self._job = job
        self._tell = tell
        self._courses: dict[int, _Course] = {}
        names = (key.rsplit("/", 1)[-1].removesuffix(".json") for key in job.files.list(f"{FAILURES}/"))
        self._noted = {number for number in map(file_number, names) if number is not None}
        self.given_up: dict[int, str] = {}
        """The last error of each block that was given up."""
        self.finished = 0
        """Blocks that are done, by this run and those that it resumes."""
        self._aside = bytearray(job.plan.blocks)
        self._first_aside: dict[int, int] = {}

    def failed(self, block: int, error: BaseException) -> Verdict:
        """Count a failed attempt.

        Raises
        ------
        FailedBlocksError
            So many blocks failed that there is no sense in going on.
        """
        course = self._courses.setdefault(block, _Course())
        words = _words(error)
        course.tries.append({"attempt": len(course.tries) + 1, "error": words, "where": _where(error)})
        verdict: Verdict = "given up" if len(course.tries) >= ATTEMPTS else "again"
        self._note(block, course, verdict)
        if verdict == "given up":
            self._give_up(block, words)
        else:
            self._tell(BlockRetried(block=block, attempt=len(course.tries) + 1, error=words))
        return verdict

    def lost(self, block: int, error: LostTaskError) -> Verdict:
        """Count the workers that a block was lost with.

        Raises
        ------
        FailedBlocksError
            So many blocks failed that there is no sense in going on.
        """
        course = self._courses.setdefault(block, _Course())
        course.workers += error.workers
        self._tell(BlockLost(block=block, workers=course.workers, error=str(error)))
        if course.workers < LOSSES:
            return "again"
        words = f"{course.workers} workers died while they had it"
        course.tries.append({"attempt": len(course.tries) + 1, "error": words, "where": ""})
        self._note(block, course, "given up")
        self._give_up(block, words)
        return "given up"

    def done(self, block: int) -> None:
        """Forget what went wrong with a block that is done."""
        self._courses.pop(block, None)
        if block in self._noted:
            self._job.files.delete(failure_key(block))
            self._noted.discard(block)

    def set_aside(self, block: int, *, wanted: int) -> None:
        """Note that a block cannot be made for want of another one."""
        if not self._aside[block]:
            self._aside[block] = 1
            if len(self._first_aside) < SHOWN:
                self._first_aside[block] = wanted

    def conclude(self) -> None:
        """Say which blocks were not made, if any.

        Raises
        ------
        FailedBlocksError
            There are some.
        """
        if self.given_up:
            raise self._error("The others are done")

    def _give_up(self, block: int, words: str) -> None:
        self.given_up[block] = words
        self._tell(BlockGivenUp(block=block, error=words))
        many = len(self.given_up)
        if many >= MOST or (many >= HOPELESS and many > self.finished):
            raise self._error(f"The run stopped at so many: {self.finished:,} of {self._job.plan.blocks:,} are done")

    def _error(self, rest: str) -> FailedBlocksError:
        shown = "; ".join(f"block {block} ({words})" for block, words in list(self.given_up.items())[:SHOWN])
        more = f"; and {len(self.given_up) - SHOWN:,} more" if len(self.given_up) > SHOWN else ""
        waiting = sum(self._aside) - sum(self._aside[block] for block in self.given_up)
        wanting = ""
        if waiting:
            block, wanted = next((b, w) for b, w in self._first_aside.items() if b not in self.given_up)
            wanting = f" {waiting:,} could not be made for want of these, such as block {block} for want of {wanted}."
        return FailedBlocksError(
            f"{self._job.target} is not whole: {len(self.given_up):,} of {self._job.plan.blocks:,} blocks failed "
            f"each time that they were tried: {shown}{more}.{wanting} {rest}, and kept.",
            remedy="Mend what the errors say and run the same command with --resume, which tries these blocks again; "
            "`scalesr status` lists them all.",
        )

    def _note(self, block: int, course: _Course, verdict: Verdict) -> None:
        found = {"block": block, "state": verdict, "workers lost": course.workers, "tries": course.tries[-ATTEMPTS:]}
        self._job.files.put(failure_key(block), json.dumps(found).encode())
        self._noted.add(block)


def _words(error: BaseException) -> str:
    words = without_secrets(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    return words if len(words) <= LONGEST else f"{words[: LONGEST - 3]}..."


def _where(error: BaseException) -> str:
    """Return the place in the code that an error arose at, as far as it travelled with it."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}, line {frames[-1].lineno}, in {frames[-1].name}" if frames else ""
