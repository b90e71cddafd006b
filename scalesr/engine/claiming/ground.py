"""The blocks of a run as one of several processes sees them: done, claimed by somebody, or to be had.

Blocks are claimed from the last to the first, as the ledger's folders hold them, a thousand at a time: one request
lists the claims of a folder and one its records, so that what a process asks does not grow with the number of the
others.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from scalesr.engine.claiming.claims import BLOCKS, block_name
from scalesr.engine.ledger import RECORDS, file_number, record_key
from scalesr.engine.strips import strip_key

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator

    from scalesr.engine.claiming.claims import Claims
    from scalesr.engine.job import Job

GROUP = 1000
"""Blocks of a folder of the ledger."""


class Ground:
    """Finds blocks for this process, and sees what others have done.

    Parameters
    ----------
    job
        What is being done.
    claims
        Of this process.
    done
        One byte for each block, 1 where it is done; changed as others finish.
    pause
        Seconds between two looks for blocks that others have, or had.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, job: Job, claims: Claims, done: bytearray, *, pause: float, clock: Callable[[], float] = monotonic
    ) -> None:
        self._job = job
        self._claims = claims
        self._pause = pause
        self._clock = clock
        self._looked = -pause
        self.done = done
        self._strips = bytearray(len(done))
        self._first = self._fresh()

    def next(self, *, without: Container[int]) -> int | None:
        """Claim a block and return it; `None` where there is none now, since all are done or others have them.

        Parameters
        ----------
        without
            Blocks that are not wanted: those that this process has, or has given up.
        """
        for block in self._first:
            return block
        # From here on there is nothing but what others have: are they still there?
        now = self._clock()
        if now - self._looked < self._pause:
            return None
        self._looked = now
        for group in range((len(self.done) - 1) // GROUP, -1, -1):
            if self._left(group):
                self._refresh(group)
                for block in self._left(group):
                    if block not in without and self.seize(block):
                        return block
        return None

    def seize(self, block: int) -> bool:
        """Claim a block that nobody holds who is still there; return whether this process has it, and has to do it."""
        if not self._claims.seize(block_name(block)):
            return False
        # Who looks for claims and then for records does not mistake a block for free that was done in between.
        if self.is_done(block):
            self._claims.forget(block_name(block))
            return False
        return True

    def release(self, block: int) -> None:
        """Give a block back that is not done."""
        self._claims.release(block_name(block))

    def finish(self, block: int) -> None:
        """Note that a block is done."""
        self.done[block] = 1
        self._claims.forget(block_name(block))

    def is_done(self, block: int) -> bool:
        """Return whether a block is done by now."""
        if not self.done[block] and self._job.files.exists(record_key(block)):
            self.done[block] = 1
        return bool(self.done[block])

    def has_strips(self, block: int) -> bool:
        """Return whether the strips of a block were handed over by now."""
        if not self._strips[block] and self._job.files.exists(strip_key(block)):
            self._strips[block] = 1
        return bool(self._strips[block])

    def handed(self, block: int) -> None:
        """Note that this process has handed the strips of a block over."""
        self._strips[block] = 1

    def drop_strips(self, block: int) -> None:
        """Delete the strips that nobody needs any more now that a block is done."""
        lattice = self._job.plan.lattice
        for _, giver in lattice.givers(lattice.index(block)):
            if all(self.is_done(lattice.number(taker)) for _, taker in lattice.takers(giver)):
                self._job.files.delete(strip_key(lattice.number(giver)))

    def _fresh(self) -> Iterator[int]:
        """Yield blocks that nobody had claimed before, and that are claimed now."""
        for group in range((len(self.done) - 1) // GROUP, -1, -1):
            if not self._left(group):
                continue
            claimed = self._refresh(group)
            for block in self._left(group):
                if block_name(block) not in claimed and self._claims.take(block_name(block)):
                    if self.is_done(block):
                        self._claims.forget(block_name(block))
                    else:
                        yield block

    def _left(self, group: int) -> list[int]:
        first = group * GROUP
        last = min(first + GROUP, len(self.done)) - 1
        if self.done.find(0, first, last + 1) < 0:
            return []
        return [block for block in range(last, first - 1, -1) if not self.done[block]]

    def _refresh(self, group: int) -> set[str]:
        """Look which blocks of a folder are done, and return the names of those that were ever claimed."""
        claimed = self._claims.claimed(f"{BLOCKS}/{group:06d}")
        for key in self._job.files.list(f"{RECORDS}/{group:06d}/"):
            number = file_number(key.rsplit("/", 1)[-1].removesuffix(".json"))
            if number is not None and number // GROUP == group and number < len(self.done):
                self.done[number] = 1
        return claimed
