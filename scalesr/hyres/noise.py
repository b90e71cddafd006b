"""What chance does to a measurement: gain of each pixel, counts, noise of the reading, saturation and dead pixels.

In this order: the gain comes before the counts, because it stands for how much arrives (matrix crystals, roughness of
the surface, the response of a photosite); the reading comes after them; what is too bright for the reading is full
scale; a dead pixel gives nothing whatever arrives.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scalesr.phantoms.lattice import uniform
from scalesr.phantoms.laws import normal, poisson

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COUNTS, _GAIN, _READ, _DEAD = range(2048, 2052)
"""Streams of random numbers; below 2048 are those of the phantoms."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pixels:
    """What all bands of a measured pixel share, for a region of the measurement."""

    rows: NDArray[np.int64]
    """Where the region lies in the whole measurement, of shape (y,)."""
    columns: NDArray[np.int64]
    """Likewise, of shape (x,)."""
    gains: NDArray[np.float64] | None
    """Shape (y, x): log-normal with mean 1; `None` where it is always 1."""
    dead: NDArray[np.bool_]
    """Which pixels give nothing, shape (y, x)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Noisy:
    """One band of a measurement, and what was done to it."""

    values: NDArray[np.float64]
    """Shape (y, x)."""
    saturated: int
    """Living pixels that were cut off at full scale."""
    negative: int
    """Living pixels of which a negative intensity was expected, and no counts were drawn for that reason."""


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The chance of an `Instrument`, whose fields these are."""

    counts: float | None
    gain: float
    read_noise: float
    dead: float
    full_scale: float | None

    def pixels(self, seed: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> Pixels:
        """Draw what all bands share: a function of the seed and of the position of the pixel."""
        place = np.ix_(rows, columns)
        dead = np.asarray(uniform(seed, _DEAD, *place) < self.dead)
        gains = None
        if self.gain:
            gains = np.exp(self._spread * normal(uniform(seed, _GAIN, *place)) - self._spread**2 / 2)
        return Pixels(rows=rows, columns=columns, gains=gains, dead=dead)

    def of_band(self, expected: NDArray[np.float64], pixels: Pixels, *, seed: int, band: int) -> Noisy:
        """Return what is read of one band: a function of seed, band and position of the pixel.

        Parameters
        ----------
        expected
            Expected intensities, shape (y, x).
        pixels
            What all bands share.
        seed
            Of all noise.
        band
            Which band of the whole measurement it is.
        """
        place = np.ix_(np.array([band]), pixels.rows, pixels.columns)
        values = expected if pixels.gains is None else expected * pixels.gains
        negative = saturated = 0
        if self.counts is not None:
            negative = int(np.count_nonzero((values < 0) & ~pixels.dead))
            values = poisson(np.maximum(values, 0.0) * self.counts, uniform(seed, _COUNTS, *place)[0]) / self.counts
        if self.read_noise:
            values = values + self.read_noise * normal(uniform(seed, _READ, *place)[0])
        if self.full_scale is not None:
            saturated = int(np.count_nonzero((values > self.full_scale) & ~pixels.dead))
            values = np.minimum(values, self.full_scale)
        return Noisy(values=np.where(pixels.dead, 0.0, values), saturated=saturated, negative=negative)

    def of_tensor(self, expected: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return what is read of a batch (n, bands, y, x), by torch's random numbers, without gradients.

        Where negative intensities are expected no counts are drawn, as in `of_band`; dead pixels are 0.
        """
        values = expected.detach()
        each = (len(values), 1, *values.shape[2:])  # a gain, and life and death, are those of the pixel
        random: dict[str, Any] = {"generator": generator, "device": values.device, "dtype": values.dtype}
        if self.gain:
            values = values * torch.exp(self._spread * torch.randn(each, **random) - self._spread**2 / 2)
        if self.counts is not None:
            values = torch.poisson(values.clamp(min=0) * self.counts, generator=generator) / self.counts
        if self.read_noise:
            values = values + self.read_noise * torch.randn(values.shape, **random)
        if self.full_scale is not None:
            values = values.clamp(max=self.full_scale)
        if self.dead:
            values = values.masked_fill(torch.rand(each, **random) < self.dead, 0)
        return values

    @property
    def _spread(self) -> float:
        """Standard deviation of the logarithm of the gain, whose own relative standard deviation is `gain`."""
        return math.sqrt(math.log1p(self.gain**2))
