"""Resolution of one image by decorrelation analysis."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.rings import rings_of, spectrum
from scalesr.metrics.single_image import SingleImage, judged
from scalesr.metrics.thresholds import period_of
from scalesr.metrics.tiles import choose_tile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.state import State

TAPER = 20
"""Pixels over which a tile fades to its mean at each edge; a quarter of the edge where that is less."""
STEPS = 50
"""Radii at which a curve is looked at."""
FILTERS = 10
"""High-pass filters in each round."""
LEAST_FILTER = 0.15
"""Width of the strongest high-pass, in pixels."""
LEAST_PEAK = 0.05
"""Peaks lower than this are noise."""
LEAST_DROP = 0.0005
"""A peak must stand above what follows by so much."""
QUANTUM = 0.001
"""Curves are floored to multiples of this."""
ROUNDS = 3
"""The first, and two that look closer around the best radius."""
AHEAD = 0.4
"""The refining rounds look so far beyond the best radius."""
DOUBTFUL = 0.1
"""A first peak below this makes the figure doubtful."""


@dataclass(frozen=True)
class _Radii:
    """The distinct frequencies of a tile of odd edges, as shares of the lowest Nyquist frequency, below 1."""

    values: NDArray[np.float64]
    """Ascending."""
    number: NDArray[np.int64]
    """Place in `values` of each pixel of ``rfftn``; one beyond the end where the share is 1 or more."""
    weights: NDArray[np.float64]
    """How often each pixel of ``rfftn`` stands in the full transform."""


@dataclass(frozen=True, kw_only=True)
class Decorrelation(SingleImage):
    """Gathers moduli of the spectra of all tiles by their radius: all that the analysis asks of an image.

    A high-pass filter depends on the radius alone, so each of its many curves comes from the same three sums: of the
    moduli, of their squares, and of the pixels that are not zero.
    """

    def sums(self, pixels: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:  # noqa: ARG002 nothing is drawn
        """Return the three sums for each radius, shape (3, radii)."""
        tile, radii = _odd(self.tile), _radii(self.tile, self.pixel_size)
        cut = pixels[tuple(slice(0, edge) for edge in tile)]
        modulus = np.abs(spectrum(cut, _fading(tile)))
        kinds = (modulus, np.square(modulus), modulus > 0)
        size = len(radii.values)
        return np.stack(
            [np.bincount(radii.number, (kind.ravel() * radii.weights), minlength=size + 1)[:size] for kind in kinds]
        )

    def periods(self, sums: NDArray[np.float64], used: NDArray[np.int64]) -> NDArray[np.float64]:  # noqa: ARG002 means do not matter
        """Return the resolution, infinite where no curve has a peak."""
        nyquist = rings_of(_odd(self.tile), self.pixel_size).nyquist
        cutoffs = [self.analyse(part)[0] for part in sums.reshape(-1, *sums.shape[-2:])]
        return period_of(np.reshape(cutoffs, sums.shape[:-2]) * nyquist)

    def analyse(self, sums: NDArray[np.float64]) -> tuple[float, float]:
        """Return the cut-off as a share of the Nyquist frequency, 0 where there is none, and the first peak's height.

        Parameters
        ----------
        sums
            Of one image, shape (3, radii).
        """
        radii = _radii(self.tile, self.pixel_size).values
        grid = np.linspace(0, 1, STEPS)
        start, height = _peak(_curves(sums, radii, grid, None)[0], grid)
        widest = min(self.tile) / 4
        widths = np.array([widest, *np.geomspace(2 / start if start else widest, LEAST_FILTER, FILTERS)])
        cutoff = start if height >= LEAST_PEAK else 0.0
        for _ in range(ROUNDS):
            peaks = [_peak(curve, grid) for curve in _curves(sums, radii, grid, widths)]
            good = [number for number, (radius, level) in enumerate(peaks) if radius and level >= LEAST_PEAK]
            if not good:
                break
            best = max(good, key=lambda number: peaks[number])
            cutoff, step = peaks[best][0], grid[1] - grid[0]
            widths = np.geomspace(widths[max(best - 1, 0)], widths[min(best + 1, len(widths) - 1)], FILTERS)
            grid = np.linspace(max(cutoff - step, 0.0), min(cutoff + AHEAD, 1.0), STEPS)
        return cutoff, height


@dataclass(frozen=True, kw_only=True)
class DecorrelationResolution:
    """The metric ``decorrelation``: the finest detail of one image that stands out against its high-passed noise.

    Built from the description of Descloux et al., Parameter-free image resolution estimation based on decorrelation
    analysis, Nature Methods 16, 918 (2019). Interpolation leaves detail of its own, so that the figure is withheld
    where noise through the same pipeline has as much.
    """

    statistic: Decorrelation
    name: str = "decorrelation"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the resolution, its controls, and quantiles of the tiles."""
        tile = " x ".join(map(str, self.statistic.tile))
        note = f"edges faded over {TAPER} px, tiles of {tile} px"
        measures = judged(self.statistic, state, frame, metric=self.name, note=note)
        if "image" in state.parts:
            used = state.counts("tiles", (frame.bands,)) > 0
            low = min(self.statistic.analyse(part)[1] for part in state.sums("image")[used])
            if low < DOUBTFUL:
                doubt = (
                    f"the first peak is {low:.3f} high, so the figure is doubtful: too noisy, or sampled too coarsely"
                )
                measures[0] = replace(measures[0], note=f"{measures[0].note}; {doubt}")
        return measures


def make_decorrelation(frame: Frame, settings: Settings) -> DecorrelationResolution:
    """Make ``decorrelation``.

    Raises
    ------
    InputError
        The images have three axes of space.
    """
    if frame.ndim != 2:
        raise InputError(
            "The metric 'decorrelation' is for planes, and these images have three axes of space.",
            remedy="Measure with axes yx, or ask for 'fsc' with a reference.",
        )
    tile = choose_tile(frame, settings, metric="decorrelation", least=16)
    return DecorrelationResolution(statistic=Decorrelation(tile=tile, pixel_size=frame.pixel_size))


def _curves(
    sums: NDArray[np.float64], radii: NDArray[np.float64], grid: NDArray[np.float64], widths: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Return the correlations of a filtered image with its own phases below each radius, shape (widths, radii).

    Parameters
    ----------
    sums
        Shape (3, radii).
    radii
        Of the sums.
    grid
        Radii at which the curves are looked at.
    widths
        Of the high-pass filters, in pixels; none when not given.
    """
    passed = np.ones((1, len(radii))) if widths is None else 1 - np.exp(-2 * np.square(widths[:, None] * radii))
    moduli, squares, counts = sums
    below = np.searchsorted(radii, grid, side="left")
    agreeing = _running(moduli * passed)[:, below]
    energy = (squares * np.square(passed)).sum(axis=1, keepdims=True)
    power = np.sqrt(energy) * np.sqrt(_running(counts[None])[:, below])
    return np.asarray(np.divide(agreeing, power, out=np.zeros_like(agreeing), where=power > 0))


def _running(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)


def _peak(curve: NDArray[np.float64], grid: NDArray[np.float64]) -> tuple[float, float]:
    """Return radius and height of the highest local maximum, radius 0 where the curve has none inside the grid."""
    floored = np.floor(curve / QUANTUM) * QUANTUM
    for end in range(len(floored), 1, -1):
        top = int(floored[:end].argmax())
        if top == 0:
            break
        if top < end - 1 and floored[top] - floored[top:end].min() >= LEAST_DROP:
            return float(grid[top]), float(floored[top])
    return 0.0, float(floored[0])


def _odd(tile: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(edge - 1 + edge % 2 for edge in tile)


@lru_cache(maxsize=8)
def _radii(tile: tuple[int, ...], pixel_size: tuple[float, ...]) -> _Radii:
    rings = rings_of(_odd(tile), pixel_size)
    share = np.round(rings.radius * (rings.step / rings.nyquist), 9).ravel()
    values, number = np.unique(share, return_inverse=True)
    inside = int(np.searchsorted(values, 1.0))
    weights = np.broadcast_to(rings.weights, rings.radius.shape).ravel().copy()
    return _Radii(values[:inside], np.minimum(number, inside), weights)


@lru_cache(maxsize=8)
def _fading(tile: tuple[int, ...]) -> NDArray[np.float64]:
    """Return the window that fades the edges of a tile by a cosine."""
    window = np.ones(())
    for edge in tile:
        from_edge = np.minimum(np.arange(edge), np.arange(edge)[::-1])
        share = np.minimum((from_edge + 0.5) / min(TAPER, edge // 4), 1.0)
        window = window[..., None] * (0.5 * (1 - np.cos(np.pi * share)))
    return window
