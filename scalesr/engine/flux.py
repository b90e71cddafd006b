"""Flux: over the area of each input pixel the output has, on average, what was measured there.

A pixel of a spectral image is a sum over its area: counts of ions, of photons. A finer image that is to agree with the
measurement must give the same sums. The network does not know that; what it gives is corrected in the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np

from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from scalesr.engine.options import FluxOption
    from scalesr.models import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Corrected:
    """What had to be done beside scaling."""

    negative: int = 0
    """Voxels below zero, inside input pixels that are not, which were set to zero."""
    flat: int = 0
    """Input pixels above zero in which nothing was left that could be scaled: all their voxels got the pixel's own
    value."""

    def __add__(self, other: Corrected) -> Corrected:
        return Corrected(negative=self.negative + other.negative, flat=self.flat + other.flat)


def choose_flux(
    option: FluxOption, spec: ModelSpec, scale: Sequence[Fraction], *, names: Sequence[str]
) -> Literal["free", "conserved"]:
    """Return whether a run conserves the flux.

    Parameters
    ----------
    option
        What was asked for; ``auto`` is what the model's author recommends, and ``free`` where it is not possible.
    spec
        The model.
    scale, names
        Output pixels for each input pixel along each axis of the image, and the names of these axes.

    Raises
    ------
    PlanError
        The flux is to be conserved, and an input pixel is not a whole number of output pixels, or just one.
    """
    if option == "free" or (option == "auto" and spec.flux == "free"):
        return "free"
    broken = [f"{s} along {name!r}" for s, name in zip(scale, names, strict=True) if s.denominator != 1]
    if not broken and any(s > 1 for s in scale):
        return "conserved"
    if option == "auto":
        return "free"
    if not broken:
        raise PlanError(
            f"The model {spec.name!r} does not enlarge the image: with the flux conserved each output pixel would be "
            "its input pixel.",
            remedy="Use --flux free.",
        )
    raise PlanError(
        f"--flux conserved needs whole numbers of output pixels for each input pixel; the scale is "
        f"{' and '.join(broken)}.",
        remedy="Use --flux free, or another --scale.",
    )


def conserve(values: NDArray[np.float64], measured: NDArray[np.float64], scale: Sequence[int]) -> Corrected:
    """Change the voxels of each input pixel, in place, so that their mean is what was measured.

    In pixels of zero or more, voxels below zero become zero and all are multiplied by one factor: none is negative,
    zero stays zero, and the shape within the pixel stays. Where all of them are zero and the pixel is not, they become
    the pixel's value. In pixels below zero, which background subtraction leaves, one number is added. A pixel that is
    NaN is left alone.

    The same bits come out for any block of whole pixels: sums are made voxel by voxel in a fixed order. The mean is
    exact to some 1e-15 here, and to the rounding of the data type when it is stored.

    Parameters
    ----------
    values
        Voxels in the units of the measurement.
    measured
        Input pixels of the same region.
    scale
        Voxels for each input pixel along each axis; the shape of `values` is that of `measured` times this.
    """
    count = prod(scale)
    kept, negative = measured >= 0, 0
    total = np.zeros_like(measured)
    for phase in _phases(values, scale):
        below = kept & (phase < 0)
        negative += int(np.count_nonzero(below))
        phase[below] = 0.0
        total += phase
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        factor = measured * count / total
    # A sum so small that the factor overflows is as good as none.
    flat = (measured > 0) & ~np.isfinite(factor)
    factor = np.where(measured > 0, factor, np.where(measured == 0, 0.0, 1.0))
    added = np.where(measured < 0, measured - total / count, 0.0)
    for phase in _phases(values, scale):
        np.multiply(phase, factor, out=phase, where=~flat)
        np.add(phase, added, out=phase)
        np.copyto(phase, measured, where=flat)
    return Corrected(negative=negative, flat=int(np.count_nonzero(flat)))


def _phases(values: NDArray[np.float64], scale: Sequence[int]) -> Iterator[NDArray[np.float64]]:
    """Yield one voxel of each input pixel after the other, as views."""
    for offset in product(*(range(step) for step in scale)):
        yield values[tuple(slice(start, None, step) for start, step in zip(offset, scale, strict=True))]
