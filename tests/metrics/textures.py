"""Random textures of a known cut-off, for the tests of Fourier metrics."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from scalesr.metrics.resampling import enlarge

if TYPE_CHECKING:
    from numpy.typing import NDArray


def texture(shape: tuple[int, ...], *, period: float, seed: int) -> NDArray[np.float64]:
    """Return noise of unit variance, shape (1, *shape), without anything finer than a period in pixels."""
    noise = np.random.default_rng(seed).standard_normal(shape)
    axes = np.meshgrid(*(np.fft.fftfreq(n) for n in shape), indexing="ij")
    frequency = np.sqrt(sum(np.square(axis) for axis in axes))
    image = np.fft.ifftn(np.fft.fftn(noise) * (frequency < 1 / period)).real
    return np.asarray(image[None] / image.std())


def noise(shape: tuple[int, ...], *, seed: int) -> NDArray[np.float64]:
    """Return white noise of unit variance."""
    return np.random.default_rng(seed).standard_normal(shape)


def enlarged(image: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    """Return the cubic interpolation of each band."""
    return np.stack([enlarge(band, (Fraction(factor),) * band.ndim) for band in image])
