"""Sums become voxels: denormalised, brought to the flux that was measured, cast to the output's data type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.engine.eigenimages import low_context, mixed_pieces
from scalesr.engine.flux import Corrected, conserve
from scalesr.engine.masks import nearest
from scalesr.engine.reading import either, read_context, read_pixels
from scalesr.engine.verbatim import Cut, verbatim_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from scalesr.engine.inference import Sums
    from scalesr.engine.job import Job
    from scalesr.tiling import Index

SLAB_BYTES = 2**20
"""Sums are turned into voxels in pieces that stay in a core's cache."""


@dataclass(frozen=True, kw_only=True)
class Voxels:
    """A block as it will be stored, and what had to be done to it."""

    values: NDArray[Any]
    """Voxels in the output's data type."""
    clipped: int
    """Those outside the range of the data type, set to its nearest value."""
    corrected: Corrected
    """What the conservation of the flux had to do beside scaling."""


def to_voxels(job: Job, index: Index, own: NDArray[Any], sums: Sums, bands: range | None = None) -> Voxels:
    """Return the voxels that fixed-point sums stand for.

    In floats a voxel whose nearest input pixel is missing, or was not measured, is NaN; in integers zero if it was not
    measured. Conserving the flux comes after denormalisation and before rounding to the data type: in integers the mean
    over an input pixel is then exact up to that rounding, and up to what had to be clipped. Measured planes that are to
    be kept come last, bit for bit; of 64-bit integers so much as a float64 holds.

    Parameters
    ----------
    job, index
        What is done, and which block it is.
    own
        The block's own sums of values, cut to what it owns.
    sums
        Where, among its input pixels, something is missing; and these pixels, where the run has them at hand.
    bands
        Which bands to make, where eigenimages stand for them in the sums; all where nothing does.

    Raises
    ------
    StorageError
        The input pixels are needed, and cannot be read again.
    """
    dtype = np.dtype(job.plan.out_dtype)
    gone = _of_bands(job, either(sums.missing, sums.outside), bands)
    source = _source(job, index, own, sums, bands)
    kept = verbatim_rows(job, index, gone)
    scale = [int(axis.scale) for axis in job.plan.lattice.axes]
    voxels = np.empty(source.shape, dtype)
    clipped, corrected = 0, Corrected()
    for cut, values in source.pieces:
        if source.measured is not None and job.plan.flux == "conserved":
            corrected += conserve(values, _as_measured(source.measured, gone, cut, scale), scale)
        lost = _lost(job, source.shape, gone if dtype.kind == "f" else _of_bands(job, sums.outside, bands), cut)
        if lost is not None:
            np.copyto(values, np.nan if dtype.kind == "f" else 0, where=lost)
        if kept is not None and source.measured is not None:
            kept.put(values, cut, source.measured)
        if dtype.kind in "iu":
            np.rint(values, out=values)
            limits = np.iinfo(dtype)
            if values.min() < limits.min or values.max() > limits.max:
                clipped += int(((values < limits.min) | (values > limits.max)).sum())
                np.clip(values, limits.min, limits.max, out=values)
        voxels[cut] = values
    return Voxels(values=voxels, clipped=clipped, corrected=corrected)


def to_deviations(job: Job, index: Index, own: NDArray[Any], sums: Sums) -> NDArray[np.float32]:
    """Return the standard deviations that fixed-point sums stand for, in the units of the measurement.

    Where tiles fade into each other it is the mean of theirs, an upper bound. What was measured has none: 0. Where the
    voxels are NaN, or zero because nothing was measured, it is NaN.

    Parameters
    ----------
    job, index
        What is done, and which block it is.
    own
        The block's own sums of deviations, cut to what it owns.
    sums
        Where, among its input pixels, something is missing.
    """
    gone = either(sums.missing, sums.outside)
    kept = verbatim_rows(job, index, gone)
    deviations = np.empty(own.shape, np.float32)
    for cut, values in _slabs(job, index, own, of="deviations"):
        lost = _lost(job, own.shape, gone, cut)
        if lost is not None:
            np.copyto(values, np.nan, where=lost)
        if kept is not None:
            kept.put(values, cut, 0.0)
        deviations[cut] = values
    return deviations


@dataclass(frozen=True, kw_only=True)
class _Source:
    """What voxels are made of."""

    pieces: Iterable[tuple[Cut, NDArray[Any]]]
    """Denormalised values, piece by piece."""
    shape: tuple[int, ...]
    """Voxels of all of them."""
    measured: NDArray[Any] | None
    """The input pixels under them, if the flux is to be conserved or planes are to be kept."""


def _source(job: Job, index: Index, own: NDArray[Any], sums: Sums, bands: range | None) -> _Source:
    conserved = job.plan.flux == "conserved"
    if bands is not None:
        assert job.channel_axis is not None
        region = list(own_region(job, index))
        region[job.channel_axis] = slice(bands.start, bands.stop)
        contexts = low_context(job, tuple(region))
        low = read_context(job, contexts)
        shape = list(own.shape)
        shape[job.channel_axis] = len(bands)
        inner = tuple(
            slice(part.start - start, part.stop - start) for part, (start, _) in zip(region, contexts, strict=True)
        )
        return _Source(
            pieces=mixed_pieces(job, own, low, bands),
            shape=tuple(shape),
            measured=low.pixels[inner] if conserved else None,
        )
    measured = None
    if conserved or job.plan.verbatim == "planes":
        # They do not wait in memory with the sums.
        measured = sums.pixels if sums.pixels is not None else read_pixels(job, own_region(job, index))[0]
    return _Source(pieces=_slabs(job, index, own), shape=own.shape, measured=measured)


def own_region(job: Job, index: Index) -> tuple[slice, ...]:
    """Return the input pixels that a block answers for."""
    return tuple(slice(*axis.own(i)) for axis, i in zip(job.plan.lattice.axes, index, strict=True))


def _of_bands(job: Job, gone: NDArray[np.bool_] | None, bands: range | None) -> NDArray[np.bool_] | None:
    """Return what is gone of some bands; a mask serves all."""
    if gone is None or bands is None or job.channel_axis is None or gone.shape[job.channel_axis] == 1:
        return gone
    part = [slice(None)] * gone.ndim
    part[job.channel_axis] = slice(bands.start, bands.stop)
    return gone[tuple(part)]


def _slabs(
    job: Job, index: Index, own: NDArray[Any], *, of: Literal["values", "deviations"] = "values"
) -> Iterator[tuple[Cut, NDArray[Any]]]:
    """Yield pieces of a block, denormalised, in float32 where that is enough; each is whole input pixels."""
    plan = job.plan
    channel = job.normalisation.axis
    channels = [0]
    if channel is not None:
        axis = plan.lattice.axes[channel]
        places = range(*axis.owned(index[channel]))
        channels = [min(int(i / axis.scale), axis.size - 1) for i in places]
    offset, gain = job.normalisation.figures(channels, own.ndim)
    if of == "deviations":
        offset, gain = np.zeros_like(offset), np.abs(gain)
    # 24 bits on a scale of one fit a float32, so that integers up to 16 bits come back exactly.
    short = plan.fraction_bits <= 24 and np.dtype(plan.out_dtype).itemsize <= 2 and plan.flux == "free"
    exact = np.float32 if short else np.float64
    step = gain * 2.0**-plan.fraction_bits
    axis_cut = max(range(own.ndim), key=lambda a: own.shape[a] if a != channel else 0)
    rows = max(1, SLAB_BYTES * own.shape[axis_cut] // max(1, own.size * own.itemsize))
    if plan.flux == "conserved":
        unit = int(plan.lattice.axes[axis_cut].scale)
        rows = max(unit, rows - rows % unit)
    for start in range(0, own.shape[axis_cut], rows):
        cut = tuple(slice(start, start + rows) if a == axis_cut else slice(None) for a in range(own.ndim))
        values: NDArray[Any] = np.multiply(own[cut], step.astype(exact), dtype=exact)
        values += offset.astype(exact)
        yield cut, values


def _as_measured(
    pixels: NDArray[Any], gone: NDArray[np.bool_] | None, cut: Cut, scale: list[int]
) -> NDArray[np.float64]:
    """Return the input pixels of a piece of a block, NaN where there is none."""
    under = tuple(
        part if part == slice(None) else slice(part.start // step, -(-part.stop // step))
        for part, step in zip(cut, scale, strict=True)
    )
    found = pixels[under].astype(np.float64)
    if gone is not None:
        # Lazily computed blocks know of their upper neighbours too.
        own = gone[tuple(slice(0, size) for size in pixels.shape)]
        found[np.broadcast_to(own, pixels.shape)[under]] = np.nan
    return found


def _lost(job: Job, shape: tuple[int, ...], gone: NDArray[np.bool_] | None, cut: Cut) -> NDArray[np.bool_] | None:
    """Return which voxels of a piece lie in input pixels that are gone; axes that do not matter are of size 1."""
    if gone is None:
        return None
    picks = []
    axes = zip(shape, job.plan.lattice.axes, job.plan.sampling, gone.shape, cut, strict=True)
    for size, axis, sampling, there, part in axes:
        first, stop, _ = part.indices(size)
        places = np.minimum(nearest(range(first, stop), axis.scale, sampling=sampling), there - 1)
        picks.append(places if there > 1 else places[:1])
    return gone[np.ix_(*picks)]
