"""The tasks `strip` and `stitch`: sums become voxels, voxels become shards, levels and a record."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from scalesr.engine.events import BlockReport
from scalesr.engine.ledger import record
from scalesr.engine.riding import gather_block
from scalesr.engine.strips import get_strip, put_strips
from scalesr.images import downsample

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.engine.inference import Sums
    from scalesr.engine.job import Job
    from scalesr.tiling import Index

SLAB_BYTES = 2**20
"""Sums are turned into voxels in pieces that stay in a core's cache."""


def strip_block(job: Job, block: int, sums: Sums) -> None:
    """Hand a block's strips to its lower neighbours. Atomic and idempotent."""
    put_strips(job, block, sums.values)


def stitch_block(job: Job, block: int, sums: Sums, *after: None) -> BlockReport:  # noqa: ARG001 tasks that must come first
    """Add the strips of the upper neighbours, write the block on every level that is made in the pass, and record it.

    Atomic for each shard and idempotent: running a block twice changes nothing. The record comes last.

    Raises
    ------
    OutputError
        The output cannot be written.
    LedgerError
        A strip that the block needs is gone.
    """
    began = perf_counter()
    lattice, levels = job.plan.lattice, job.plan.levels
    index = lattice.index(block)
    own = _own(job, index, sums)
    voxels, clipped = to_voxels(job, index, own)
    if sums.missing is not None:
        restore_missing(job, voxels, sums.missing)
    stitched = perf_counter()
    gathered = gather_block(job, index, voxels, sums)
    measured = perf_counter()
    checksums = []
    starts = [position.start for position in lattice.owned(index)]
    finer = levels[0]
    for number, level in enumerate(levels):
        if level.made == "at end":
            break
        if number:
            halved = [a for a, (now, was) in enumerate(zip(level.halved, finer.halved, strict=True)) if now > was]
            voxels = downsample(voxels, tuple(halved))
        finer = level
        at = [start >> times for start, times in zip(starts, level.halved, strict=True)]
        region = tuple(slice(start, start + size) for start, size in zip(at, voxels.shape, strict=True))
        job.writer.write(number, region, voxels)
        checksums.append(f"{google_crc32c.value(np.ascontiguousarray(voxels)):08x}")
    report = BlockReport(
        block=block,
        index=index,
        checksums=tuple(checksums),
        tiles=sums.tiles,
        batch=sums.batch,
        seconds=sums.seconds
        | {"stitch": stitched - began, "measure": measured - stitched, "write": perf_counter() - measured},
        bad_chunks=sums.bad_chunks,
        not_finite=0 if sums.missing is None else int(sums.missing.sum()),
        clipped=clipped,
        gathered=gathered,
    )
    record(job.files, report)
    return report


def _own(job: Job, index: Index, sums: Sums) -> NDArray[Any]:
    """Return the block's own part with all strips added, cut to what it owns."""
    lattice = job.plan.lattice
    zeros = (0,) * len(index)
    own = sums.values[lattice.part(zeros)]
    givers = list(lattice.givers(index))
    if givers:
        # The sums may be used again, by another task or another attempt.
        own = own.copy()
    for offset, giver in givers:
        own[lattice.landing(index, offset)] += get_strip(job, giver, offset)
    owned = lattice.owned(index)
    return own[tuple(slice(0, position.stop - position.start) for position in owned)]


def to_voxels(job: Job, index: Index, own: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Return the voxels that fixed-point sums stand for, in the output's data type, and how many had to be clipped."""
    plan = job.plan
    dtype = np.dtype(plan.out_dtype)
    channel = job.normalisation.axis
    channels = [0]
    if channel is not None:
        axis = plan.lattice.axes[channel]
        places = range(*axis.owned(index[channel]))
        channels = [min(int(i / axis.scale), axis.size - 1) for i in places]
    offset, gain = job.normalisation.figures(channels, own.ndim)
    # 24 bits on a scale of one fit a float32, so that integers up to 16 bits come back exactly.
    exact = np.float32 if plan.fraction_bits <= 24 and dtype.itemsize <= 2 else np.float64
    step = gain * 2.0**-plan.fraction_bits
    voxels = np.empty(own.shape, dtype)
    clipped = 0
    axis_cut = max(range(own.ndim), key=lambda a: own.shape[a] if a != channel else 0)
    rows = max(1, SLAB_BYTES * own.shape[axis_cut] // max(1, own.size * own.itemsize))
    for start in range(0, own.shape[axis_cut], rows):
        cut = tuple(slice(start, start + rows) if a == axis_cut else slice(None) for a in range(own.ndim))
        values: NDArray[Any] = np.multiply(own[cut], step.astype(exact), dtype=exact)
        values += offset.astype(exact)
        if dtype.kind in "iu":
            np.rint(values, out=values)
            limits = np.iinfo(dtype)
            if values.min() < limits.min or values.max() > limits.max:
                clipped += int(((values < limits.min) | (values > limits.max)).sum())
                np.clip(values, limits.min, limits.max, out=values)
        voxels[cut] = values
    return voxels, clipped


def restore_missing(job: Job, voxels: NDArray[Any], missing: NDArray[np.bool_]) -> None:
    """Set to NaN each voxel of a float output whose nearest input pixel was missing; integers cannot say it."""
    if voxels.dtype.kind != "f":
        return
    picks = [
        np.minimum((np.arange(size) * float(1 / axis.scale)).astype(np.intp), missing.shape[a] - 1)
        for a, (size, axis) in enumerate(zip(voxels.shape, job.plan.lattice.axes, strict=True))
    ]
    voxels[missing[np.ix_(*picks)]] = np.nan
