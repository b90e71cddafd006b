"""The task `read`: a block with its context, from storage, reflected past the image's edge."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.tiling import reflect, reflected_span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.engine.job import Job


@dataclass(frozen=True, kw_only=True)
class Context:
    """The pixels that a block's tiles see, in the image's own data type and axis order."""

    pixels: NDArray[Any]
    """All of the block's context, reflection included."""
    missing: NDArray[np.bool_] | None
    """Where `pixels` was NaN or infinite and was replaced; ``None`` where nothing was."""
    bad_chunks: tuple[str, ...]
    """Chunks that could not be decoded and were filled."""
    seconds: float
    """Time taken."""


def read_block(job: Job, block: int) -> Context:
    """Read one block with its context; see `read_cells`."""
    lattice = job.plan.lattice
    return read_cells(job, lattice.cells(lattice.index(block)))


def read_cells(job: Job, cells: tuple[range, ...]) -> Context:
    """Read all that the tiles of some cells see.

    Raises
    ------
    StorageError
        A chunk cannot be read or decoded, and the job does not fill.
    InputError
        The pixels hold NaN or infinity, and the job does not fill.
    """
    began = perf_counter()
    axes = job.plan.lattice.axes
    contexts = [axis.span(some) for axis, some in zip(axes, cells, strict=True)]
    spans = [reflected_span(*context, axis.size) for context, axis in zip(contexts, axes, strict=True)]
    region = tuple(slice(*span) for span in spans)
    bad: tuple[str, ...] = ()
    if job.on_bad_block == "fill":
        pixels, chunks = job.image.read(region, level=job.level, on_bad="fill")
        bad = tuple(chunk.key for chunk in chunks)
    else:
        pixels = job.image.read(region, level=job.level)
    missing = None
    if pixels.dtype.kind == "f" and not np.isfinite(pixels).all():
        missing = ~np.isfinite(pixels)
        pixels = _filled(job, pixels, missing, spans)
    for a, (context, span) in enumerate(zip(contexts, spans, strict=True)):
        if context != span:
            picked = [reflect(i, axes[a].size) - span[0] for i in range(*context)]
            pixels = np.take(pixels, picked, axis=a)
            missing = None if missing is None else np.take(missing, picked, axis=a)
    return Context(pixels=pixels, missing=missing, bad_chunks=bad, seconds=perf_counter() - began)


def _filled(job: Job, pixels: NDArray[Any], missing: NDArray[np.bool_], spans: list[tuple[int, int]]) -> NDArray[Any]:
    if job.on_nan == "stop":
        first = np.argwhere(missing)[0]
        names = [axis.name for axis in job.plan.lattice.axes]
        where = ", ".join(f"{n}={span[0] + i}" for n, span, i in zip(names, spans, first, strict=True))
        raise InputError(
            f"{job.source} holds {int(missing.sum())} NaN or infinite voxels, the first at {where}.",
            remedy="Use --on-nan fill: they are replaced for the network and become NaN in a float output.",
        )
    channel = job.normalisation.axis
    channels = range(*spans[channel]) if channel is not None else range(1)
    offset, _ = job.normalisation.figures(channels, pixels.ndim)
    return np.where(missing, offset.astype(pixels.dtype), pixels)
