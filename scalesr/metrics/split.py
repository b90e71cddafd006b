"""Fourier ring correlation of one image of photon counts, by splitting each count at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.curve import Curve, basis, curve_of
from scalesr.metrics.rings import WINDOWS, correlation_of, rings_of, spectrum, window_of
from scalesr.metrics.single_image import SingleImage, judged
from scalesr.metrics.thresholds import crossing, period_of, read_threshold, threshold_of
from scalesr.metrics.tiles import choose_tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings, Threshold
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.rings import WindowKind
    from scalesr.metrics.state import State


@dataclass(frozen=True, kw_only=True)
class SplitCorrelation(SingleImage):
    """Gathers ring sums of two halves of each tile: of n counts of a pixel, k ~ Binomial(n, 1/2) and n - k.

    Halves of Poisson counts are independent of one another, so that their noise does not correlate.
    """

    threshold: Threshold
    """Where the correlation counts as lost."""
    window: WindowKind
    """How a tile is faded out."""

    def sums(self, pixels: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
        """Return the ring sums of the halves; counts of interpolated controls are rounded first."""
        counts = np.maximum(np.rint(pixels), 0).astype(np.int64)
        half = rng.binomial(counts, 0.5)
        window = window_of(self.tile, self.window)
        first, second = (spectrum(part, window) for part in (half, counts - half))
        return rings_of(self.tile, self.pixel_size).correlate(first, second)

    def periods(self, sums: NDArray[np.float64], used: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return where the correlation falls below the threshold."""
        rings = rings_of(self.tile, self.pixel_size)
        limit = threshold_of(self.threshold, used[..., None] * rings.n)
        return period_of(crossing(rings.frequency, correlation_of(sums), limit))

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...], *, like: NDArray[np.float64]) -> NDArray[Any]:
        """Return Poisson counts with the mean of the tile."""
        return rng.poisson(like.mean(), shape).astype(np.float64)

    def usable(self, pixels: NDArray[np.float64]) -> bool:
        """Say whether there is a count, and none is negative."""
        return bool(pixels.min() >= 0 and pixels.any())


@dataclass(frozen=True, kw_only=True)
class SplitResolution:
    """The metric ``frc_split``: resolution of an image of Poisson counts, from two random halves of them.

    Each half has half the counts, which makes the figure a little coarser than the image. It holds for counts as they
    were detected: not for scaled, normalised or interpolated ones. The random numbers depend on the tile's place
    alone; they may change with the release of numpy.
    """

    statistic: SplitCorrelation
    name: str = "frc_split"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the resolution, its controls, and quantiles of the tiles."""
        chosen = self.statistic
        note = basis(threshold=chosen.threshold, window=WINDOWS[chosen.window], tile=chosen.tile)
        return judged(chosen, state, frame, metric=self.name, note=f"{note}, halves of the counts")

    def curve(self, state: State, frame: Frame) -> Curve:
        """Return the correlation of the halves over all tiles."""
        rings = rings_of(self.statistic.tile, self.statistic.pixel_size)
        sums, used = state.sums("image", (frame.bands, 3, rings.count)), state.counts("tiles", (frame.bands,))
        return curve_of(sums, used, rings=rings, threshold=self.statistic.threshold)


def make_frc_split(frame: Frame, settings: Settings) -> SplitResolution:
    """Make ``frc_split``.

    Raises
    ------
    InputError
        The image does not hold integers.
    """
    if np.dtype(frame.dtype).kind not in "ui":
        raise InputError(
            f"The metric 'frc_split' splits Poisson counts, and the image holds {frame.dtype}.",
            remedy="Measure the counts as they were detected, in an integer format, or ask for 'frc'.",
        )
    tile = choose_tile(frame, settings, metric="frc_split")
    statistic = SplitCorrelation(
        tile=tile, pixel_size=frame.pixel_size, threshold=read_threshold(settings.threshold), window=settings.window
    )
    return SplitResolution(statistic=statistic)
