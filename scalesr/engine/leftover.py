"""What an earlier run left in the ledger of an output: blocks that are done, and strips for the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesr.engine.ledger import file_number, recorded
from scalesr.engine.strips import FOLDER, strip_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.engine.job import Job


def survey(job: Job) -> tuple[bytearray, set[int]]:
    """Return what an earlier run left done, and which of its blocks must hand their strips over once more."""
    done = recorded(job.files, job.plan.blocks)
    if not any(done) or not job.plan.lattice.offsets:
        return done, set()
    strips = set(job.files.list(FOLDER))
    for key in unneeded(job, done, strips):
        job.files.delete(key)
    return done, lacking(job, done, strips)


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
