"""What a coarser and dimmer measurement would have seen: block means, and Poisson noise of a given light level."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from scalesr.errors import InputError

from .lattice import Reals, uniform
from .laws import poisson
from .phantom import Image, Phantom, box

if TYPE_CHECKING:
    from collections.abc import Sequence

_POISSON = 1024
"""Stream of the random numbers of the noise."""


@overload
def degrade(image: Phantom, *, factor: Sequence[int], photons: float | None = None, seed: int = 0) -> Degraded: ...
@overload
def degrade(
    image: np.ndarray[Any, Any], *, factor: Sequence[int], photons: float | None = None, seed: int = 0
) -> Image: ...
def degrade(
    image: Phantom | np.ndarray[Any, Any], *, factor: Sequence[int], photons: float | None = None, seed: int = 0
) -> Degraded | Image:
    """Return the block means of an image, with Poisson noise if asked for; a phantom stays one, made where looked at.

    Each value is the mean of ``factor`` pixels along each axis: pixel i of the result covers pixels ``i * factor`` to
    ``(i + 1) * factor`` of the image. What does not fill a block at the end is left out. The noise is a function of the
    seed and of the pixel's position, so a region of a degraded phantom equals that region of the degraded image.

    Parameters
    ----------
    image
        A phantom or an array.
    factor
        Pixels that become one, for each axis; 1 leaves an axis as it is.
    photons
        Photons (or ions) for each unit of intensity: the result is ``Poisson(photons * mean) / photons``, negative
        means counting as 0. None: no noise.
    seed
        Of the noise.

    Returns
    -------
    Degraded or numpy.ndarray
        float32.

    Raises
    ------
    InputError
        Not one factor for each axis, a factor below 1 or above the axis, or ``photons`` that are not positive.
    """
    factors = tuple(factor)
    if len(factors) != len(image.shape) or any(not 1 <= f <= n for f, n in zip(factors, image.shape, strict=False)):
        raise InputError(
            f"Factors {factors} do not fit an image of shape {tuple(image.shape)}.",
            remedy="Give one factor per axis, from 1 up to its length.",
        )
    if photons is not None and not photons > 0:
        raise InputError(f"Noise of {photons} photons was asked for.", remedy="Give a positive number, or None.")
    if isinstance(image, np.ndarray):
        return _measure(image, factors, photons, seed, origin=(0,) * image.ndim)
    return Degraded(image=image, factor=factors, photons=photons, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Degraded:
    """A phantom seen by a coarser and dimmer measurement; see `degrade`."""

    image: Phantom
    factor: tuple[int, ...]
    photons: float | None
    seed: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple(n // f for n, f in zip(self.image.shape, self.factor, strict=True))

    @property
    def axes(self) -> str:
        """One letter for each axis, as in the phantom."""
        return self.image.axes

    def region(self, slices: Sequence[slice]) -> Image:
        """Return one region, float32; each pixel has the same value in any region."""
        where = box(slices, self.shape)
        fine = [slice(start * f, stop * f) for (start, stop), f in zip(where, self.factor, strict=True)]
        origin = tuple(start for start, _ in where)
        return _measure(self.image.region(fine), self.factor, self.photons, self.seed, origin=origin)


def _measure(
    image: np.ndarray[Any, Any], factor: tuple[int, ...], photons: float | None, seed: int, *, origin: tuple[int, ...]
) -> Image:
    mean = _block_mean(image, factor)
    if photons is not None:
        position = np.ix_(*(np.arange(start, start + n) for start, n in zip(origin, mean.shape, strict=True)))
        chance = uniform(seed, _POISSON, *position)
        mean = poisson(np.maximum(mean, 0.0) * photons, chance) / photons
    return mean.astype(np.float32)


def _block_mean(image: np.ndarray[Any, Any], factor: tuple[int, ...]) -> Reals:
    ends = [n - n % f for n, f in zip(image.shape, factor, strict=True)]
    total = np.zeros([end // f for end, f in zip(ends, factor, strict=True)])
    # one addition after the other in a fixed order: numpy's own sum takes an order that depends on the shape
    for offset in itertools.product(*(range(f) for f in factor)):
        total += image[tuple(slice(o, end, f) for o, end, f in zip(offset, ends, factor, strict=True))]
    return np.asarray(total / math.prod(factor))
