"""The strategy ``eigen:K``: few eigenimages go through the network and stand for all bands of a spectral image.

Before the run one pass over the image sums up how its bands go together; the basis that follows is kept in the ledger.
The network is given views of the eigenimages that look like bands, some three for each. A block's sums hold what it
adds to each eigenimage. When they become voxels each band is interpolated from its own pixels and given its share of
them, so that what the eigenimages do not hold is upsampled and not lost: by cubic interpolation, with a part of
repeated pixels where the flux is conserved.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.errors import LedgerError, PlanError
from scalesr.models import Eigen, EigenBasis, SpectralSums, cubic, cubic_reach, mix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from scalesr.engine.events import Callback
    from scalesr.engine.job import Job
    from scalesr.engine.masks import Mask
    from scalesr.engine.normalisation import Normalisation
    from scalesr.engine.reading import Context
    from scalesr.images import Files, Image
    from scalesr.models import Model, ModelSpec, Precision, Strategy

FILE = "eigen.safetensors"
"""Where, in the ledger, the basis lies."""
STAGE = "summing spectra"
MOST_BYTES = 2**28
"""Bytes of spectra in float32 that are read at a time: with many bands less than a chunk, each of which is then decoded
more than once."""
FEW_BYTES = 2**25
"""Up to so many, several chunks are read at a time."""
ENOUGH_SPECTRA = 2**22
"""A coarser level with so many spectra says enough of how bands go together, at a fraction of the reading."""
PIECE_VALUES = 2**21
"""Values of float64 that a piece of a block holds while it is interpolated and mixed."""

REPEATED = 0.25
"""Share of repeated pixels in what is enlarged of the rest where the flux is conserved; our own choice. Block means
keep their noise then, and cubic interpolation swings around it: of 100 counts on a phantom shares of 0, 0.25, 0.5 and 1
gave -0.19, -0.01, +0.13 and +0.23 dB against the network on each band. But of a real Raman map with one eigenimage,
whose rest is signal too, the spectral angle grew from 0.777 degrees to 0.784, 0.801 and 0.857 (cubic alone: 0.785)."""


@dataclass(frozen=True, kw_only=True)
class Eigenimages:
    """Names the basis of a run; this, not the basis, travels with a task."""

    count: int
    """How many."""
    sha256: str
    """Hash of the basis."""


@dataclass(frozen=True, kw_only=True)
class Spectra:
    """What a basis was fitted to."""

    summed: int
    """Spectra that count."""
    missing: int
    """Those left out because a band is not finite, or the mask leaves them out."""
    beyond: int
    """Those left out because a value lies more than 256 ranges of its band away."""


def read_strategy(text: str) -> tuple[Strategy, int | None]:
    """Return how channels are shared out to the network, and how many eigenimages there are, if any.

    Raises
    ------
    PlanError
        There is no such strategy.
    """
    if text in ("auto", "single", "triples"):
        return cast("Strategy", text), None
    found = re.fullmatch(r"eigen:([1-9][0-9]*)", text)
    if found is None:
        raise PlanError(
            f"There is no strategy {text!r}.", remedy="Use --strategy auto, single, triples, or eigen:32 (any number)."
        )
    return "single", int(found[1])


def spec_of(model: Model, *, bands: int, count: int, group: int) -> ModelSpec:
    """Return what can be said of a model on eigenimages before there are any.

    Raises
    ------
    ModelError
        The model takes more than one channel.
    PlanError
        There are fewer bands than eigenimages, or the model shrinks the image or does more than to enlarge it.
    """
    if min(model.spec.scale) < 1:
        raise PlanError(f"The model {model.spec.name!r} shrinks the image.", remedy="Use --strategy single.")
    if (model.spec.verbatim, model.spec.deviation, model.spec.holes) != ("none", "none", "filled"):
        raise PlanError(
            f"The model {model.spec.name!r} does more than eigenimages can: it keeps planes, makes up missing ones, or "
            "returns standard deviations.",
            remedy="Use --strategy single.",
        )
    try:
        blank = EigenBasis.blank(bands=bands, k=count)
    except ValueError as error:
        raise PlanError(
            f"Eigenimages cannot be made: {error}.",
            remedy=f"Use --strategy eigen:{min(32, bands)}, or single.",
        ) from error
    return Eigen(model, blank, group=group).spec


def fit_basis(
    image: Image,
    count: int,
    normalisation: Normalisation,
    *,
    level: int,
    channel: int,
    mask: Mask | None,
    tell: Callback,
) -> tuple[EigenBasis, Spectra]:
    """Return the basis of an image from one pass over it, and what it stands on, in the memory of some spectra.

    Raises
    ------
    StorageError
        A chunk cannot be read.
    InputError
        No spectrum can be summed.
    """
    bands = image.levels[level].shape[channel]
    offset, gain = (np.broadcast_to(figures, bands) for figures in (normalisation.offset, normalisation.gain))
    sums = SpectralSums(offset=offset, gain=gain)
    coarser = image.levels[level + 1 :] if mask is None else ()
    level += sum(prod(some.shape) // bands >= ENOUGH_SPECTRA for some in coarser)
    found = image.levels[level]
    regions = list(_regions(found.shape, found.chunks, channel=channel))
    tell(StageStarted(name=STAGE, total=len(regions)))
    for region in regions:
        pixels = np.moveaxis(image.read(region, level=level), channel, 0)
        missing = None
        if mask is not None:
            there = np.moveaxis(mask.read(region), channel, 0)[0]
            missing = ~np.broadcast_to(there, pixels.shape[1:])
        sums.add(pixels, missing=missing)
        tell(StageAdvanced(name=STAGE))
    spectra = Spectra(summed=sums.spectra, missing=sums.missing, beyond=sums.beyond)
    return EigenBasis.fit(sums, count), spectra


def _regions(shape: tuple[int, ...], chunks: tuple[int, ...], *, channel: int) -> Iterator[tuple[slice, ...]]:
    """Yield regions of whole spectra that cover an image: chunks, or equal parts of them where these are too large."""
    most, few = (limit // (4 * shape[channel]) for limit in (MOST_BYTES, FEW_BYTES))
    step = [n if a == channel else min(chunk, n) for a, (chunk, n) in enumerate(zip(chunks, shape, strict=True))]
    space = [a for a in range(len(shape)) if a != channel]
    for a in space:
        while step[a] > 1 and prod(step[b] for b in space) > most:
            step[a] = -(-step[a] // 2)
    for a in reversed(space):
        while step[a] < shape[a] and 2 * prod(step[b] for b in space) <= few:
            step[a] *= 2
    spans = ([slice(i, min(i + k, n)) for i in range(0, n, k)] for n, k in zip(shape, step, strict=True))
    yield from product(*spans)


def stored_basis(files: Files) -> EigenBasis | None:
    """Return the basis of the run that lies in an output, or None where there is none.

    Raises
    ------
    ModelError
        It is damaged.
    """
    stored = files.get(FILE)
    return None if stored is None else EigenBasis.from_bytes(stored)


def basis_of(job: Job) -> EigenBasis:
    """Return the basis of a job, read once in each process.

    Raises
    ------
    LedgerError
        It is gone, or another one.
    """
    assert job.eigen is not None
    return _basis(job.files, job.eigen.sha256)


@lru_cache(maxsize=2)
def _basis(files: Files, sha256: str) -> EigenBasis:
    stored = files.get(FILE)
    if stored is None or hashlib.sha256(stored).hexdigest() != sha256:
        raise LedgerError(
            f"{files.url}/{FILE}, which the run began with, is gone or another.", remedy="Start again with --overwrite."
        )
    return EigenBasis.from_bytes(stored)


def eigen_model(job: Job, model: Model, *, group: int) -> Eigen:
    """Return the model on a job's eigenimages, with so many views at a time; made once in each process."""
    assert job.eigen is not None
    key = (job.model, job.eigen.sha256, job.device, job.plan.precision, job.plan.flux, group)
    found = _models.get(key)
    if found is None:
        made = Eigen(model, basis_of(job), group=group, repeated=_repeated_share(job))
        _models.clear()
        found = _models[key] = made.to(device=job.device, precision=cast("Precision", job.plan.precision))
    return found


_models: dict[tuple[Any, ...], Eigen] = {}


def low_context(job: Job, region: tuple[slice, ...]) -> list[tuple[int, int]]:
    """Return what must be read of the input to interpolate a region of it."""
    reach = [cubic_reach(axis.scale) if a in job.spatial_axes else 0 for a, axis in enumerate(job.plan.lattice.axes)]
    return [(part.start - near, part.stop + near) for part, near in zip(region, reach, strict=True)]


def _repeated_share(job: Job) -> float:
    return REPEATED if job.plan.flux == "conserved" else 0.0


def mixed_pieces(
    job: Job, own: NDArray[Any], low: Context, bands: range
) -> Iterator[tuple[tuple[slice, ...], NDArray[np.float64]]]:
    """Yield pieces of some bands of a block, denormalised, the same bits for any cut of the image.

    Parameters
    ----------
    job
        What is done.
    own
        The block's sums, with one row for each eigenimage, cut to what the block owns.
    low
        The input pixels of these bands with the context that `low_context` asks for.
    bands
        Which bands.

    Yields
    ------
    tuple
        Where a piece lies, counted from the first voxel of these bands in the block, in the image's axes; its values.
    """
    assert job.channel_axis is not None
    # Newly started threads have a setting of their own; more than one each would wait for one another.
    torch.set_num_threads(1)
    basis = basis_of(job)
    order = job.tile_order
    back = np.argsort(order)
    spatial = [job.plan.lattice.axes[a] for a in job.spatial_axes]
    scale = [axis.scale for axis in spatial]
    reach = [cubic_reach(factor) for factor in scale]
    offset, gain = (
        figures.reshape(-1, *[1] * len(spatial)) for figures in job.normalisation.figures(list(bands), own.ndim)
    )
    pixels, sums = low.pixels.transpose(order), own.transpose(order)
    inner = len(spatial) + 1
    rows = pixels.shape[1] - 2 * reach[0]
    unit = scale[0].denominator
    row_values = prod(sums.shape[2:inner]) * scale[0] * (len(bands) + len(sums))
    step = max(unit, int(PIECE_VALUES / row_values) // unit * unit)
    for rest in product(*(range(n) for n in pixels.shape[inner:])):
        plane: Any = (..., *rest)
        for start in range(0, rows, step):
            stop = min(start + step, rows)
            piece = pixels[plane][:, start : stop + 2 * reach[0]].astype(np.float64)
            piece -= offset
            piece /= gain
            values = cubic(piece, scale=scale, context=reach)
            if share := _repeated_share(job):
                values *= 1 - share
                values += share * _repeated(piece, scale, reach)
            first = int(start * scale[0])
            part = slice(first, first + values.shape[1])
            values += mix(sums[plane][:, part] * 2.0**-job.plan.fraction_bits, basis, bands=bands)
            values *= gain
            values += offset
            cut: list[slice] = [slice(0, len(bands)), part, *(slice(0, n) for n in values.shape[2:])]
            cut += [slice(i, i + 1) for i in rest]
            shaped = values.reshape(*values.shape, *[1] * len(rest)).transpose(back)
            yield tuple(cut[k] for k in back), shaped


def _repeated(low: NDArray[np.float64], scale: Sequence[Fraction], context: Sequence[int]) -> NDArray[np.float64]:
    """Return each pixel but the context as often as it is enlarged; scales are whole where the flux is conserved."""
    for axis, (factor, near) in enumerate(zip(scale, context, strict=True), start=1):
        low = np.repeat(low.take(range(near, low.shape[axis] - near), axis=axis), int(factor), axis=axis)
    return low
