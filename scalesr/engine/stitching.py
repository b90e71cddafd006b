"""The tasks `strip` and `stitch`: sums become voxels, voxels become shards, levels and a record."""

from __future__ import annotations

from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from scalesr.engine.events import BlockReport
from scalesr.engine.flux import Corrected
from scalesr.engine.ledger import record
from scalesr.engine.riding import gather_block
from scalesr.engine.strips import get_strip, put_strips
from scalesr.engine.voxels import own_region, to_deviations, to_voxels
from scalesr.images import downsample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.engine.inference import Sums
    from scalesr.engine.job import Job
    from scalesr.engine.riding import Gathered
    from scalesr.images import ImageWriter
    from scalesr.tiling import Index


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
    StorageError
        The input pixels are needed, and cannot be read again.
    """
    began = perf_counter()
    index = job.plan.lattice.index(block)
    own = _own(job, index, sums)
    seconds = {"stitch": perf_counter() - began, "measure": 0.0, "write": 0.0}
    gathered: Gathered = []
    clipped, corrected, checksums = 0, Corrected(), [0] * len(job.plan.levels)
    deviations = [0] * len(job.plan.levels)
    for bands in band_groups(job):
        began = perf_counter()
        made = to_voxels(job, index, own[0], sums, bands)
        clipped, corrected = clipped + made.clipped, corrected + made.corrected
        stitched = perf_counter()
        if job.ride is not None:
            # Measured are all bands of a block at once.
            gathered = gather_block(job, index, made.values, sums)
        measured = perf_counter()
        _write(job, job.writer, index, made.values, bands, checksums)
        for stage, start, stop in (
            ("stitch", began, stitched),
            ("measure", stitched, measured),
            ("write", measured, perf_counter()),
        ):
            seconds[stage] += stop - start
    if job.deviation_writer is not None:
        began = perf_counter()
        spread = to_deviations(job, index, own[1], sums)
        stitched = perf_counter()
        _write(job, job.deviation_writer, index, spread, None, deviations)
        seconds["stitch"] += stitched - began
        seconds["write"] += perf_counter() - stitched
    report = BlockReport(
        block=block,
        index=index,
        checksums=_in_words(job, checksums),
        deviations=() if job.deviation is None else _in_words(job, deviations),
        tiles=sums.tiles,
        batch=sums.batch,
        seconds=sums.seconds | seconds,
        bad_chunks=sums.bad_chunks,
        not_finite=0 if sums.missing is None else int(sums.missing.sum()),
        clipped=clipped,
        masked=_masked(job, index, sums),
        negative=corrected.negative,
        flat=corrected.flat,
        gathered=gathered,
    )
    record(job.files, report)
    return report


def band_groups(job: Job) -> Iterator[range | None]:
    """Yield bands that are made and written together, where eigenimages stand for them; else None: all is one group."""
    if job.plan.components is None:
        yield None
        return
    axis, _ = job.plan.components
    bands = job.plan.lattice.axes[axis].size
    together = bands if job.ride is not None else job.plan.bands_together
    yield from (range(first, min(first + together, bands)) for first in range(0, bands, together))


def _in_words(job: Job, checksums: list[int]) -> tuple[str, ...]:
    """Return the checksums of the levels that are made in the pass, in hexadecimal."""
    levels = zip(checksums, job.plan.levels, strict=True)
    return tuple(f"{value:08x}" for value, level in levels if level.made == "in pass")


def _write(
    job: Job, writer: ImageWriter, index: Index, voxels: NDArray[Any], bands: range | None, checksums: list[int]
) -> None:
    """Write voxels on every level that is made in the pass, and go on with the checksum of each."""
    lattice, levels = job.plan.lattice, job.plan.levels
    starts = [position.start for position in lattice.owned(index)]
    if bands is not None and job.channel_axis is not None:
        starts[job.channel_axis] = bands.start
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
        writer.write(number, region, voxels)
        checksums[number] = google_crc32c.extend(checksums[number], np.ascontiguousarray(voxels))


def _masked(job: Job, index: Index, sums: Sums) -> int:
    """Return how many input voxels of a block the mask leaves out, over all bands and times."""
    if sums.outside is None:
        return 0
    region = own_region(job, index)
    served = (part.stop - part.start for part, size in zip(region, sums.outside.shape, strict=True) if size == 1)
    masked: int = int(np.count_nonzero(sums.outside)) * prod(served)
    return masked


def _own(job: Job, index: Index, sums: Sums) -> NDArray[Any]:
    """Return the block's own part of all kinds with all strips added, cut to what it owns."""
    lattice = job.plan.lattice
    zeros = (0,) * len(index)
    own = sums.values[(slice(None), *lattice.part(zeros))]
    givers = list(lattice.givers(index))
    if givers:
        # The sums may be used again, by another task or another attempt.
        own = own.copy()
    for offset, giver in givers:
        own[(slice(None), *lattice.landing(index, offset))] += get_strip(job, giver, offset)
    owned = lattice.owned(index)
    return own[(slice(None), *(slice(0, position.stop - position.start) for position in owned))]
