"""What lies beside an image, carried over to the output: what its bands are, and which pixels were measured.

What an importer knows of each pixel beyond that, the total ion current ``tic``, is not carried: it is a measurement of
whole spectra at the pixels of the input, and no output of a model.
"""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.flights import results
from scalesr.engine.masks import NAME, nearest
from scalesr.engine.planning import channel_axis
from scalesr.images import read_spectral, write_spectral
from scalesr.images.faults import writing
from scalesr.images.importing.companions import create_companion, writable_companion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.engine.events import Callback
    from scalesr.engine.executors import Executor
    from scalesr.engine.job import Job
    from scalesr.images import Image, SpectralAxis
    from scalesr.tiling import Plan

STAGE = "enlarging the mask"
CHUNKS = 8
"""Chunks of the mask along each of the last two axes that one task writes."""


def spectral_of(image: Image, plan: Plan) -> SpectralAxis | None:
    """Return what the bands of the output are: those of the input where there are as many; None where none are told.

    Raises
    ------
    InputError
        What lies beside the input does not fit it.
    """
    channel = channel_axis(image.axes)
    if channel is None or plan.lattice.out_shape[channel] != image.shape[channel]:
        return None
    return read_spectral(image)


def write_beside(job: Job, spectral: SpectralAxis | None, executor: Executor, *, size: int, tell: Callback) -> None:
    """Write what lies beside the output, with so many tasks in flight. Writing it again changes nothing.

    Raises
    ------
    OutputError
        No space, no permission, no connection.
    StorageError
        The mask cannot be read again.
    """
    output = job.output
    if spectral is not None:
        write_spectral(output.url, spectral, storage_options=output.storage_options)
    if job.mask is None:
        return
    array = create_companion(output, NAME, np.dtype(np.uint8))
    regions = list(_regions(array.shape, array.chunks))
    tell(StageStarted(name=STAGE, total=len(regions)))
    tasks = (
        partial(executor.submit, enlarge_mask, job, region, name=f"mask-{count}")
        for count, region in enumerate(regions)
    )
    for _ in results(executor, tasks, size=size, tell=tell):
        tell(StageAdvanced(name=STAGE))


def enlarge_mask(job: Job, region: tuple[slice, ...]) -> None:
    """Write a region of the output's mask, over its axes of space: each voxel what the pixel is that it lies in.

    The same voxels are zero here that the mask made NaN or zero in the output.
    """
    assert job.mask is not None
    space = [a for a, axis in enumerate(job.output.layout.axes) if axis.kind == "space"]
    under, picks = [slice(0, 1)] * job.mask.ndim, [np.zeros(1, np.intp)] * job.mask.ndim
    for a, part in zip(space, region, strict=True):
        axis = job.plan.lattice.axes[a]
        rows = range(part.start, part.stop)
        places = np.minimum(nearest(rows, axis.scale, sampling=job.plan.sampling[a]), axis.size - 1)
        first = int(places[0])
        under[a], picks[a] = slice(first, int(places[-1]) + 1), places - first
    kept = job.mask.read(tuple(under))
    picks = [pick if kept.shape[a] > 1 else np.zeros_like(pick) for a, pick in enumerate(picks)]
    values = kept[np.ix_(*picks)].astype(np.uint8).reshape([part.stop - part.start for part in region])
    with writing(f"{job.output.url}/{NAME}"):
        writable_companion(job.output, NAME)[region] = values


def _regions(shape: tuple[int, ...], chunks: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    steps = [chunk * CHUNKS if a >= len(shape) - 2 else chunk for a, chunk in enumerate(chunks)]
    yield from product(
        *([slice(i, min(i + step, n)) for i in range(0, n, step)] for n, step in zip(shape, steps, strict=True))
    )
