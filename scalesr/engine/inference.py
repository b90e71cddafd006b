"""The task `infer`: all tiles of a block through the model, summed in fixed point on the model's device."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import islice, product
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from scalesr.engine.allocator import keep_freed_memory
from scalesr.engine.eigenimages import eigen_model
from scalesr.engine.lanes import lane
from scalesr.engine.reading import either
from scalesr.engine.tailoring import margins_of, tailored
from scalesr.errors import InterruptedRunError, ModelError, PlanError
from scalesr.models import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.engine.job import Job
    from scalesr.engine.lanes import Lane
    from scalesr.engine.reading import Context
    from scalesr.models import Model, Precision
    from scalesr.tiling import Index

STOP = threading.Event()
"""Set to make the inferences of this process stop after their current batch."""

_reduced: dict[tuple[str, str], int] = {}
"""Batches that this process had to reduce, by model and device."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """What a block's tiles add up to: its own part and its strips."""

    values: NDArray[Any]
    """Integers of 2^-fraction_bits on the normalised scale: an axis of the kinds, values and then their standard
    deviations where these are kept, and the image's axes in its order."""
    missing: NDArray[np.bool_] | None
    """Where, in the block's own input pixels, a value was missing."""
    outside: NDArray[np.bool_] | None
    """Where, among these, nothing was measured; axes that the mask does not have are of size 1."""
    pixels: NDArray[Any] | None
    """The block's own input pixels, NaN where they were missing, if the run measures with them."""
    tiles: int
    """Tiles computed."""
    batch: int
    """Tiles of a batch."""
    bad_chunks: tuple[str, ...]
    """Chunks that were filled on reading."""
    seconds: dict[str, float]
    """Time of each stage so far."""


def infer_block(job: Job, block: int, context: Context) -> Sums:
    """Run the model on all tiles of a block; see `infer_cells`."""
    lattice = job.plan.lattice
    return infer_cells(job, lattice.cells(lattice.index(block)), context)


def infer_cells(job: Job, cells: tuple[range, ...], context: Context) -> Sums:
    """Run the model on the tiles of some cells and sum them with their windows.

    The same integers come out for any batch order, and for any way of cutting the image into blocks. Out of memory
    halves the batch and goes on; the batch used is part of the result.

    Raises
    ------
    ModelError
        The model returns another shape than its spec says, or values that are not finite.
    PlanError
        One tile alone does not fit into the device's memory.
    InterruptedRunError
        `STOP` was set.
    """
    began = perf_counter()
    if job.device == "cpu":
        keep_freed_memory()
        # Newly started threads have a setting of their own.
        torch.set_num_threads(job.plan.threads)
    model = tailored(
        load(job.model, device=job.device, precision=cast("Precision", job.plan.precision)),
        job.model,
        device=job.device,
        precision=job.plan.precision,
        margins=margins_of([job.plan.lattice.axes[a] for a in job.spatial_axes]),
    )
    key = (job.model.sha256, job.device)
    while True:
        batch = min(job.plan.batch, _reduced.get(key, job.plan.batch))
        try:
            with torch.inference_mode():
                # One tile holds all bands; what goes through the network at once is eigenimages of it.
                called, together = (model, batch) if job.eigen is None else (eigen_model(job, model, group=batch), 1)
                with lane(job.device) as taken:
                    values = _infer(job, cells, context, called, together, taken)
            break
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            if batch == 1:
                raise PlanError(
                    f"One tile of {job.plan.lattice.tile_shape} px does not fit into the memory of {job.device}.",
                    remedy="Lower --cell or --halo, or use --precision bf16.",
                ) from error
            _reduced[key] = batch // 2
            if job.device.startswith("cuda"):
                torch.cuda.empty_cache()
    return Sums(
        values=values,
        missing=None if context.missing is None else _own_part(job, cells, context.missing),
        outside=None if context.outside is None else _own_part(job, cells, context.outside),
        pixels=_own_pixels(job, cells, context),
        tiles=prod(len(some) for some in cells),
        batch=batch,
        bad_chunks=context.bad_chunks,
        seconds={"read": context.seconds, "infer": perf_counter() - began},
    )


def _infer(job: Job, cells: tuple[range, ...], context: Context, model: Model, batch: int, taken: Lane) -> NDArray[Any]:
    feed, summing = taken.feed(job, cells, context.pixels, batch=batch), taken.summing(job, cells)
    kinds = kinds_of(model)
    for some in _batches(product(*cells), batch):
        if STOP.is_set():
            raise InterruptedRunError("The run was stopped.", remedy="Continue it with --resume.")
        # A constant batch shape: kernels are chosen by shape, and another kernel may round in another way.
        tiles = feed.tiles(some)
        if tiles.ndim == 4:
            tiles = tiles.contiguous(memory_format=torch.channels_last)
        results = model(tiles, _origins(job, some, batch))
        _check(job, model, results, batch)
        summing.add(some, results, kinds=kinds)
    return taken.collect(summing)


def _batches(cells: Iterator[Index], batch: int) -> Iterator[list[Index]]:
    while some := list(islice(cells, batch)):
        yield some


def _origins(job: Job, cells: list[Index], batch: int) -> torch.Tensor:
    """Return where the tiles of a batch begin in the image; those that fill it up lie where the last one does."""
    axes = job.plan.lattice.axes
    starts = [[axes[a].tile_start(cell[a]) for a in job.spatial_axes] for cell in cells]
    return torch.tensor(starts + starts[-1:] * (batch - len(cells)), dtype=torch.int64)


def kinds_of(model: Model) -> int:
    """Return how many kinds of channels a model returns: values, and perhaps their standard deviations."""
    return 2 if model.spec.deviation == "returned" else 1


def _check(job: Job, model: Model, results: torch.Tensor, batch: int) -> None:
    axes = job.plan.summed.axes
    channels = 1
    if job.channel_axis is not None:
        axis = axes[job.channel_axis]
        channels = int(axis.tile * axis.scale)
    shape = (batch, channels * kinds_of(model), *(int(axes[a].tile * axes[a].scale) for a in job.spatial_axes))
    if tuple(results.shape) != shape:
        raise ModelError(
            f"The model {job.model.source} returned shape {tuple(results.shape)} where its spec promises {shape}.",
            remedy="Correct the model's scale, channels, deviation or multiple.",
        )


def _own_pixels(job: Job, cells: tuple[range, ...], context: Context) -> NDArray[Any] | None:
    """Return the pixels that the cells answer for, NaN where nothing was measured, if the run measures with them.

    Integers cannot say it: there they are what the network saw.
    """
    if job.ride is None or not job.ride.needs_measured:
        return None
    pixels = _own_part(job, cells, context.pixels)
    gone = either(context.missing, context.outside)
    if gone is None or pixels.dtype.kind != "f":
        return pixels
    return np.where(_own_part(job, cells, gone), np.nan, pixels).astype(pixels.dtype)


def _own_part(job: Job, cells: tuple[range, ...], context: NDArray[Any]) -> NDArray[Any]:
    """Return what the cells answer for of an array that holds their context too."""
    spans = []
    for axis, some in zip(job.plan.lattice.axes, cells, strict=True):
        start = axis.halo + axis.ramp
        # What lies in the reflection is nobody's.
        count = min(len(some) * axis.cell, axis.size - some.start * axis.cell)
        spans.append(slice(start, start + count))
    return context[tuple(spans)]


def out_of_memory(error: Exception) -> bool:
    """Return whether an error says that the device, or the machine, has no memory left."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
