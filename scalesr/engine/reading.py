"""The task `read`: a block with its context, from storage, reflected past the image's edge."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.tiling import reflect, reflected_span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.engine.job import Job


@dataclass(frozen=True, kw_only=True)
class Context:
    """The pixels that a block's tiles see, in the image's own data type and axis order."""

    pixels: NDArray[Any]
    """All that was asked for, reflection included."""
    missing: NDArray[np.bool_] | None
    """Where `pixels` was NaN or infinite and was replaced; ``None`` where nothing was."""
    outside: NDArray[np.bool_] | None
    """Where the mask says that nothing was measured, and `pixels` was replaced; axes that the mask does not have are of
    size 1. ``None`` where all was measured."""
    bad_chunks: tuple[str, ...]
    """Chunks that could not be decoded and were filled."""
    seconds: float
    """Time taken."""


def read_block(job: Job, block: int) -> Context:
    """Read one block with its context; see `read_cells`."""
    lattice = job.plan.lattice
    return read_cells(job, lattice.cells(lattice.index(block)))


def read_cells(job: Job, cells: tuple[range, ...]) -> Context:
    """Read all that the tiles of some cells see; see `read_context`."""
    return read_context(job, [axis.span(some) for axis, some in zip(job.plan.lattice.axes, cells, strict=True)])


def read_context(job: Job, contexts: Sequence[tuple[int, int]]) -> Context:
    """Read a range of input pixels along each axis, reflected past the image's edge.

    What is missing or lies outside the mask is replaced by the offset of the normalisation, which the network sees as
    zero: dark. Planes that were not measured are NaN in floats and as they are stored in integers, and not `missing`:
    whoever cuts tiles knows them.

    Raises
    ------
    StorageError
        A chunk cannot be read or decoded, and the job does not fill.
    InputError
        The pixels hold NaN or infinity, and the job does not fill.
    """
    began = perf_counter()
    axes = job.plan.lattice.axes
    spans = [reflected_span(*context, axis.size) for context, axis in zip(contexts, axes, strict=True)]
    region = tuple(slice(*span) for span in spans)
    pixels, bad = read_pixels(job, region)
    outside = _outside(job, region)
    pixels = _without_gaps(job, pixels, spans)
    missing = _missing(job, pixels, outside, spans)
    gone = either(missing, outside)
    if gone is not None:
        pixels = _filled(job, pixels, gone, spans)
    for a, (context, span) in enumerate(zip(contexts, spans, strict=True)):
        if context != span:
            picked = [reflect(i, axes[a].size) - span[0] for i in range(*context)]
            pixels = np.take(pixels, picked, axis=a)
            missing = None if missing is None else np.take(missing, picked, axis=a)
            if outside is not None and job.mask is not None and a in job.mask.axes:
                outside = np.take(outside, picked, axis=a)
    return Context(pixels=pixels, missing=missing, outside=outside, bad_chunks=bad, seconds=perf_counter() - began)


def read_pixels(job: Job, region: tuple[slice, ...]) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return a region of the input as it is stored, and the keys of chunks that were filled because they are bad.

    Raises
    ------
    StorageError
        A chunk cannot be read or decoded, and the job does not fill.
    """
    if job.on_bad_block == "fill":
        pixels, chunks = job.image.read(region, level=job.level, on_bad="fill")
        return pixels, tuple(chunk.key for chunk in chunks)
    return job.image.read(region, level=job.level), ()


def either(missing: NDArray[np.bool_] | None, outside: NDArray[np.bool_] | None) -> NDArray[np.bool_] | None:
    """Return where a value is missing or was never measured; None where all is there."""
    if missing is None or outside is None:
        return missing if outside is None else outside
    return missing | outside


def _outside(job: Job, region: tuple[slice, ...]) -> NDArray[np.bool_] | None:
    if job.mask is None:
        return None
    outside = ~job.mask.read(region)
    return outside if outside.any() else None


def _missing(
    job: Job, pixels: NDArray[Any], outside: NDArray[np.bool_] | None, spans: list[tuple[int, int]]
) -> NDArray[np.bool_] | None:
    """Return where a value that should be there is NaN or infinite; None where none is."""
    if pixels.dtype.kind != "f" or np.isfinite(pixels).all():
        return None
    missing: NDArray[np.bool_] = ~np.isfinite(pixels)
    missing[_gaps(job, spans)] = False
    if outside is not None:
        missing &= ~outside
    if not missing.any():
        return None
    if job.on_nan == "stop":
        first = np.argwhere(missing)[0]
        names = [axis.name for axis in job.plan.lattice.axes]
        where = ", ".join(f"{n}={span[0] + i}" for n, span, i in zip(names, spans, first, strict=True))
        raise InputError(
            f"{job.source} holds {int(missing.sum())} NaN or infinite voxels, the first at {where}.",
            remedy="Use --on-nan fill: they are replaced for the network and become NaN in a float output.",
        )
    return missing


def _gaps(job: Job, spans: list[tuple[int, int]]) -> tuple[slice | list[int], ...]:
    """Return where, in a region of the input, planes lie that were not measured."""
    planes = job.spatial_axes[0]
    start, stop = spans[planes]
    return (*(slice(None),) * planes, [plane - start for plane in job.plan.missing_planes if start <= plane < stop])


def _without_gaps(job: Job, pixels: NDArray[Any], spans: list[tuple[int, int]]) -> NDArray[Any]:
    """Return pixels in which nothing can be read where planes were not measured, as far as their type can say it."""
    if not job.plan.missing_planes or pixels.dtype.kind != "f":
        return pixels
    pixels = pixels.copy()
    pixels[_gaps(job, spans)] = np.nan
    return pixels


def _filled(job: Job, pixels: NDArray[Any], gone: NDArray[np.bool_], spans: list[tuple[int, int]]) -> NDArray[Any]:
    channel = job.normalisation.axis
    channels = range(*spans[channel]) if channel is not None else range(1)
    offset, _ = job.normalisation.figures(channels, pixels.ndim)
    if pixels.dtype.kind in "iu":
        offset = np.rint(offset)
    return np.where(gone, offset.astype(pixels.dtype), pixels)
