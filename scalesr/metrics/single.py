"""Fourier ring correlation of one image with itself, by its diagonal neighbours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.curve import Curve, basis
from scalesr.metrics.rings import WINDOWS, Rings, correlation_of, rings_of, spectrum, window_of
from scalesr.metrics.single_image import SingleImage, judged
from scalesr.metrics.thresholds import AT_NYQUIST, crossing, period_of, read_threshold, threshold_of
from scalesr.metrics.tiles import choose_tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings, Threshold
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.state import State

PAIRS = (((1, 1), (0, 0)), ((1, 0), (0, 1)))
"""First rows and columns of the sub-images that are correlated with one another."""


@dataclass(frozen=True, kw_only=True)
class CheckerboardCorrelation(SingleImage):
    """Gathers ring sums of two pairs of sub-images, each of every second pixel, offset along a diagonal."""

    threshold: Threshold
    """Where the correlation counts as lost."""

    @property
    def rings(self) -> Rings:
        """Rings of a sub-image, whose pixels the calibration takes to be as large as those of the image."""
        return rings_of(tuple(edge // 2 for edge in self.tile), self.pixel_size)

    def sums(self, pixels: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:  # noqa: ARG002 nothing is drawn
        """Return the ring sums of both pairs, shape (2, 3, rings)."""
        rings = self.rings
        window = window_of(rings.tile, "hamming")
        found = []
        for pair in PAIRS:
            parts = (self._every_second(pixels, first) for first in pair)
            found.append(rings.correlate(*(spectrum(part, window) for part in parts)))
        return np.stack(found)

    def curves(self, sums: NDArray[np.float64], used: NDArray[np.int64]) -> tuple[NDArray[np.float64], ...]:
        """Return the mean of the correlations of both pairs, and the threshold of each ring."""
        correlation = correlation_of(sums).mean(axis=-2)
        return correlation, threshold_of(self.threshold, used[..., None] * self.rings.n)

    def periods(self, sums: NDArray[np.float64], used: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the calibrated resolution; finer than the pixels can hold counts as at or below Nyquist."""
        rings = self.rings
        lost = crossing(rings.frequency, *self.curves(sums, used))
        share = np.where(np.isfinite(lost), lost, 0.0) / rings.nyquist
        calibration = 0.95988146 * np.exp(13.90441896 * (share - 0.97979108)) + 0.55146136
        period = period_of(lost) / calibration
        return np.where(np.isfinite(period) & (period < 1 / rings.nyquist), AT_NYQUIST, period)

    def _every_second(self, pixels: NDArray[np.float64], first: tuple[int, ...]) -> NDArray[np.float64]:
        region = (slice(start, start + 2 * size, 2) for start, size in zip(first, self.rings.tile, strict=True))
        return pixels[tuple(region)]


@dataclass(frozen=True, kw_only=True)
class CheckerboardResolution:
    """The metric ``frc_single``: resolution of one image, by the correlation of its diagonal neighbours.

    Calibrated on micrographs that were sampled once: Koho et al., Fourier ring correlation simplifies image restoration
    in fluorescence microscopy, Nature Communications 10, 3103 (2019). On an enlarged image neighbours agree because
    they were made from the same pixels, so that the figure is withheld where noise does as well.
    """

    statistic: CheckerboardCorrelation
    name: str = "frc_single"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the resolution, its controls, and quantiles of the tiles."""
        chosen = self.statistic
        note = basis(threshold=chosen.threshold, window=WINDOWS["hamming"], tile=chosen.tile) + ", calibrated"
        return judged(chosen, state, frame, metric=self.name, note=note)

    def curve(self, state: State, frame: Frame) -> Curve:
        """Return the mean correlation of the sub-images over all tiles; its frequencies are not calibrated."""
        rings, used = self.statistic.rings, state.counts("tiles", (frame.bands,))
        correlation, limit = self.statistic.curves(state.sums("image", (frame.bands, 2, 3, rings.count)), used)
        return Curve(frequency=rings.frequency, correlation=correlation, n=used[:, None] * rings.n, threshold=limit)


def make_frc_single(frame: Frame, settings: Settings) -> CheckerboardResolution:
    """Make ``frc_single``.

    Raises
    ------
    InputError
        The images have three axes of space.
    """
    if frame.ndim != 2:
        raise InputError(
            "The metric 'frc_single' was calibrated for planes, and these images have three axes of space.",
            remedy="Measure with axes yx, or ask for 'fsc' with a reference.",
        )
    tile = choose_tile(frame, settings, metric="frc_single", least=16)
    statistic = CheckerboardCorrelation(
        tile=tile, pixel_size=frame.pixel_size, threshold=read_threshold(settings.threshold)
    )
    return CheckerboardResolution(statistic=statistic)
