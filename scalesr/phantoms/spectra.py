"""Spectral cubes: tissues with sharp and with smooth borders, and small deposits, each with its own spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import InputError

from .lattice import Reals, Sites, boxes, noise, step, uniform
from .phantom import Box, Image, Labels, box, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

_TISSUES, _DEPOSITS, _SPECTRA, _AMOUNT = 0, 64, 96, 128
"""First of the streams of random numbers that each property takes."""


def spectral_cube(
    shape: Sequence[int],
    *,
    seed: int = 0,
    tissues: int = 4,
    peaks: int = 8,
    counts: float = 100.0,
    pitch: float = 60.0,
) -> SpectralCube:
    """Return a cube of expected counts: a sum over components of (amount at the pixel) x (spectrum of the component).

    The components are the tissues and, as the last one, deposits a few pixels wide. Every second tissue has a border a
    pixel wide, the others fade into their neighbours. The expected counts carry no noise: `degrade` draws the counts.

    Parameters
    ----------
    shape
        ``(c, y, x)``.
    seed
        The same seed gives the same tissues for any y and x; the peaks depend on c too.
    tissues
        Number of tissues, at least 2.
    peaks
        Peaks in each spectrum; some are shared by two components.
    counts
        Expected counts of the highest possible peak.
    pitch
        Mean size of a piece of tissue, in pixels.

    Raises
    ------
    InputError
        The shape does not have three axes, or has an empty one; fewer than two tissues.
    """
    lengths, axes = positive(shape, axes=("cyx",), kind="A spectral cube")
    if tissues < 2:
        raise InputError(f"A spectral cube of {tissues} tissue has no border.", remedy="Ask for two or more.")
    return SpectralCube(shape=lengths, axes=axes, seed=seed, tissues=tissues, peaks=peaks, counts=counts, pitch=pitch)


@dataclass(frozen=True, kw_only=True)
class SpectralCube:
    """A cube of expected counts; see `spectral_cube`."""

    shape: tuple[int, ...]
    axes: str
    seed: int
    tissues: int
    peaks: int
    counts: float
    pitch: float

    def region(self, slices: Sequence[slice]) -> Image:
        """Return the expected counts of one region, float32; each voxel has the same value in any region."""
        channels, *plane = box(slices, self.shape)
        out = np.zeros([stop - start for start, stop in (channels, *plane)], np.float32)
        spectra = self._spectra(channels)
        for spectrum, amount in zip(spectra, self._amounts(tuple(plane)), strict=True):
            out += (self.counts * spectrum)[:, None, None].astype(np.float32) * amount.astype(np.float32)
        return out

    def labels(self, slices: Sequence[slice]) -> Labels:
        """Return which component is the largest at each pixel of a region ``(y, x)``, int64: 0 to ``tissues``."""
        return np.asarray(np.argmax(self._amounts(box(slices, self.shape[1:])), axis=0), np.int64)

    def amounts(self, slices: Sequence[slice]) -> Image:
        """Return how much of each component is at each pixel of a region ``(y, x)``, float32 ``(component, y, x)``."""
        return np.stack(self._amounts(box(slices, self.shape[1:]))).astype(np.float32)

    def spectra(self) -> Image:
        """Return the spectrum of each component, float32 ``(component, c)``, at most 1."""
        return self._spectra((0, self.shape[0])).astype(np.float32)

    def _spectra(self, channels: tuple[int, int]) -> Reals:
        length = self.shape[0]
        at = np.arange(*channels, dtype=np.float64)
        component, peak = np.ix_(np.arange(self.tissues + 1), np.arange(self.peaks))
        # of the peaks, the odd ones of a component are the even ones of the next: real spectra share compounds
        owner = (component + peak % 2) % (self.tissues + 1)
        kind = peak // 2
        centre = uniform(self.seed, _SPECTRA, owner, kind) * length
        width = 1.0 + 0.012 * length * uniform(self.seed, _SPECTRA + 1, owner, kind)
        height = 0.15 + 0.85 * uniform(self.seed, _SPECTRA + 2, component, peak)
        total = 0.02 * np.ones((self.tissues + 1, len(at)))
        for n in range(self.peaks):
            near = np.clip(1.0 - ((at - centre[:, n, None]) / (2.0 * width[:, n, None])) ** 2, 0.0, 1.0)
            total = np.maximum(total, height[:, n, None] * near * near)
        return total

    def _amounts(self, plane: Box) -> list[Reals]:
        fields = [self._field(plane, n) for n in range(self.tissues)]
        amounts = []
        for n, field in enumerate(fields):
            other = np.max([f for m, f in enumerate(fields) if m != n], axis=0)
            # the fields change by about 1 over a pitch, so this is the border's width in pixels
            width = (1.5 if n % 2 == 0 else 0.35 * self.pitch) / self.pitch
            amounts.append(step((field - other) / width + 0.5))
        total = amounts[0]
        for amount in amounts[1:]:
            total = total + amount
        deposits = self._deposits(plane)
        varying = 0.55 + 0.45 * noise(plane, spacing=0.2 * self.pitch, seed=self.seed, stream=_AMOUNT)
        left = varying * (1.0 - deposits) / np.maximum(total, 1e-3)
        return [*(left * amount for amount in amounts), deposits]

    def _field(self, plane: Box, n: int) -> Reals:
        coarse = noise(plane, spacing=self.pitch, seed=self.seed, stream=_TISSUES + 2 * n)
        fine = noise(plane, spacing=0.3 * self.pitch, seed=self.seed, stream=_TISSUES + 2 * n + 1)
        return coarse + 0.25 * fine

    def _deposits(self, plane: Box) -> Reals:
        out = np.zeros([stop - start for start, stop in plane])
        sites = Sites(self.seed, _DEPOSITS, 0.5 * self.pitch)
        index = list(sites.near(plane, reach=0.1 * self.pitch + 2.0).T)
        kept = sites.draw(index, 0) < 0.3
        index = [axis[kept] for axis in index]
        centre = sites.centre(index)
        radius = 1.0 + 0.06 * self.pitch * sites.draw(index, 1)
        reach = radius + 2.0
        for n, part, (y, x) in boxes(plane, [c - reach for c in centre], [c + reach for c in centre]):
            square = (y - centre[0][n]) * (y - centre[0][n]) + (x - centre[1][n]) * (x - centre[1][n])
            out[part] = np.maximum(out[part], step((radius[n] - np.sqrt(square)) / 2.0 + 0.5))
        return out
