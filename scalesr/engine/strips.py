"""Strips: what a block computed for its lower neighbours, handed over through the output's own storage.

They do not wait in a scheduler's memory: a volume's frontier is a plane of blocks, and a run that is killed finds them
again. One object holds all strips of one block; putting it is atomic and idempotent; it is deleted when the last
neighbour that needs it is done.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from scalesr.errors import LedgerError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.engine.job import Job
    from scalesr.tiling import Index, Offset

FOLDER = "strips"


def strip_key(block: int) -> str:
    """Return where a block's strips lie in the ledger."""
    return f"{FOLDER}/{block // 1000:06d}/{block}"


def put_strips(job: Job, block: int, values: NDArray[Any]) -> None:
    """Put the strips of a block, cut out of its sums of all kinds, into storage."""
    lattice = job.plan.lattice
    parts = [
        values[(slice(None), *lattice.part(offset))].tobytes() for offset, _ in lattice.takers(lattice.index(block))
    ]
    content = b"".join(parts)
    job.files.put(strip_key(block), content + google_crc32c.value(content).to_bytes(4, "big"))


def get_strip(job: Job, giver: Index, offset: Offset) -> NDArray[Any]:
    """Return the strip, of all kinds, that the block `giver` computed for its neighbour that lies `offset` below it.

    Raises
    ------
    LedgerError
        The strips of that block are gone or damaged.
    """
    lattice = job.plan.lattice
    block = lattice.number(giver)
    key = strip_key(block)
    stored = job.files.get(key)
    size = sum(prod(_shape(job, giver, taker)) for taker, _ in lattice.takers(giver)) * job.plan.sum_itemsize
    whole = stored is not None and len(stored) == size + 4
    if stored is None or not whole or google_crc32c.value(stored[:-4]).to_bytes(4, "big") != stored[-4:]:
        # What is damaged must not be taken for there when the run is resumed.
        job.files.delete(key)
        raise LedgerError(
            f"The strips of block {block} in {job.target} are missing or damaged.",
            remedy="Run again with --resume: the blocks that they come from are computed once more.",
        )
    start = 0
    itemsize = job.plan.sum_itemsize
    for candidate, _ in lattice.takers(giver):
        shape = _shape(job, giver, candidate)
        if candidate == offset:
            count = prod(shape)
            return np.frombuffer(stored, job.plan.sum_dtype, count, start).reshape(shape)
        start += prod(shape) * itemsize
    raise AssertionError(f"block {giver} has no neighbour at {offset}")


def _shape(job: Job, giver: Index, offset: Offset) -> tuple[int, ...]:
    axes = job.plan.summed.axes
    sums = job.plan.summed.sums(giver)
    return job.plan.kinds, *(
        axis.strip if step else total - axis.strip for axis, step, total in zip(axes, offset, sums, strict=True)
    )
