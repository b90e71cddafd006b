"""The same tiles as a lazy dask array: a slice computes its own tiles and no others."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.highlevelgraph import HighLevelGraph

from scalesr.engine.array_source import ArraySource
from scalesr.engine.inference import STOP, infer_cells
from scalesr.engine.labelled import as_image
from scalesr.engine.options import Options
from scalesr.engine.preparing import prepare, subject_of
from scalesr.engine.reading import read_cells
from scalesr.engine.settling import make_job
from scalesr.engine.voxels import to_voxels
from scalesr.errors import PlanError
from scalesr.images import ArrayImage, Location
from scalesr.tiling import reflected_span

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dask.array as da
    from numpy.typing import NDArray

    from scalesr.engine.array_source import Part
    from scalesr.engine.job import Job
    from scalesr.engine.labelled import Source
    from scalesr.images import Image, ImageLayout
    from scalesr.tiling import Index


def lazy(
    source: Source,
    *,
    dims: str | None = None,
    pixel_sizes: float | Mapping[str, float] | None = None,
    options: Options | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **changes: Any,
) -> da.Array:
    """Return the super-resolved image as a dask array whose chunks are computed when they are asked for.

    The values are those that `run` writes, bit for bit. Nothing is stored. Chunks are blocks of one cell unless
    `block` says otherwise, so that a slice computes the tiles that it needs and no others; where tiles are blended, a
    chunk also computes the tiles above it that fade into it. Of an array, only the chunks that these tiles see are
    computed.

    Parameters
    ----------
    source
        As for `run`; or an array of NumPy, dask or xarray, whose labels ``array.scalesr.super_resolve`` keeps.
    dims
        Of an array of NumPy or dask, what its dimensions are: one letter of ``tczyx`` for each, slowest first.
    pixel_sizes
        Of such an array, micrometres of a pixel, of all axes of space or by axis; without unit, and 1, when not given.
    options, storage_options, **changes
        As for `run`; what concerns output, scheduler and workers is not looked at.

    Returns
    -------
    dask.array.Array
        Same axes as the image, of the output's data type.

    Raises
    ------
    ScalesrError
        As `run`, before it writes; also for the strategy ``eigen:K``, and for arrays of which it is not said, or said
        twice, what their dimensions are.
    """
    options = replace(options or Options(), **changes)
    image = as_image(source, dims=dims, pixel_sizes=pixel_sizes, storage_options=storage_options)
    return lazily(image, options)[0]


def lazily(image: Image, options: Options) -> tuple[da.Array, ImageLayout]:
    """Return the array of `lazy`, and what it would look like in storage: its geometry, its channels.

    Raises
    ------
    ScalesrError
        As `lazy`.
    """
    import dask.array as da  # noqa: PLC0415 it takes most of a second, and a run needs none of it

    # There is no second array for deviations, and nothing lies beside pixels in memory.
    options = replace(options, deviation="none", block=1 if options.block is None else options.block)
    if isinstance(image, ArrayImage) and options.mask == "auto":
        options = replace(options, mask="none")
    prepared = prepare(subject_of(image, level=options.level), options)
    if prepared.plan.components is not None:
        raise PlanError(
            "Eigenimages need a pass over the whole image, and their basis a place in an output.",
            remedy="Use scalesr.run for this strategy, or --strategy single.",
        )
    job, _ = make_job(image, Location.parse("lazy.zarr"), prepared, options, normalisation=None, tell=lambda _: None)
    lattice = job.plan.lattice
    what = repr((job.model.sha256, job.model.options, job.normalisation, job.mask, job.on_nan, job.on_bad_block))
    told = hashlib.sha256(what.encode()).hexdigest()
    name = f"scalesr-{job.plan.digest[:16]}-{told[:8]}-{image.fingerprint()[:8]}"
    chunks = tuple(tuple(stop - start for start, stop in map(axis.owned, range(axis.blocks))) for axis in lattice.axes)
    source = ArraySource.of(image) if isinstance(image, ArrayImage) else None
    graph: dict[Any, Any] = {}
    for index in product(*(range(count) for count in lattice.grid)):
        number = lattice.number(index)
        if source is None:
            graph[name, *index] = (compute_block, job, number)
        else:
            seen = _seen(job, index)
            graph[name, *index] = (compute_given, job, source.part(seen), number, source.pieces(seen))
    beneath: list[Any] = [] if source is None else source.collections
    layers = HighLevelGraph.from_collections(name, graph, dependencies=beneath)
    return da.Array(layers, name, chunks, dtype=np.dtype(job.plan.out_dtype)), job.output.layout


def compute_given(job: Job, part: Part, block: int, pieces: list[NDArray[Any]]) -> NDArray[Any]:
    """Return the voxels of one block whose input lies in memory."""
    return compute_block(replace(job, given=part.image(pieces)), block)


def compute_block(job: Job, block: int) -> NDArray[Any]:
    """Return the voxels of one block, computing its cells and those above it that fade into it."""
    # A run in threads of this process that was stopped leaves it set.
    STOP.clear()
    lattice = job.plan.lattice
    index = lattice.index(block)
    cells = _cells(job, index)
    sums = infer_cells(job, cells, read_cells(job, cells))
    region = [
        slice(axis.strip, axis.strip + owned.stop - owned.start)
        for axis, owned in zip(lattice.axes, lattice.owned(index), strict=True)
    ]
    return to_voxels(job, index, sums.values[0][tuple(region)], sums).values


def _cells(job: Job, index: Index) -> tuple[range, ...]:
    """Return the cells of a block, and those above it that fade into it."""
    lattice = job.plan.lattice
    return tuple(
        range(some.start, min(some.stop + (1 if axis.strip else 0), axis.cells))
        for axis, some in zip(lattice.axes, lattice.cells(index), strict=True)
    )


def _seen(job: Job, index: Index) -> tuple[slice, ...]:
    """Return the input pixels that the voxels of a block depend on."""
    found = []
    for axis, cells, place in zip(job.plan.lattice.axes, _cells(job, index), index, strict=True):
        context, own = reflected_span(*axis.span(cells), axis.size), axis.own(place)
        found.append(slice(min(context[0], own[0]), max(context[1], min(own[1], axis.size))))
    return tuple(found)
