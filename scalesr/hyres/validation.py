"""How good a generator is on tiles that it was not trained on, beside cubic interpolation of the same measurements."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch

from scalesr.errors import InputError
from scalesr.hyres.patches import measure
from scalesr.learning import cut
from scalesr.metrics.rings import correlation_of, rings_of, spectrum, window_of
from scalesr.metrics.ssim import similarity
from scalesr.metrics.thresholds import crossing, threshold_of
from scalesr.metrics.windows import moments
from scalesr.models.baselines import Interpolation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from scalesr.hyres.instrument import Instrument
    from scalesr.learning import Scores, Source

TILES = 24
"""Tiles at most. Each source gives the same number of them, give or take one; of more sources, every n-th gives one."""
EDGE, CONTEXT = 32, 8
"""Edge of a tile and context around it in pixels of the measurement. Only the tile is judged."""
TRIES = 64
"""Places that are tried for each tile."""
FLAT = 0.01
"""Tiles whose standard deviation is less tell nothing."""
STREAM = 1 << 32
"""Keeps the random numbers of validation apart from those of the steps."""
LEAST = 1e-12
"""Mean squared error that counts as none."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A measurement with context, and its truth without."""

    low: NDArray[np.float32]
    """Shape (EDGE + 2 CONTEXT,) * 2."""
    measured: NDArray[np.bool_]
    """False at dead pixels, in the same shape."""
    high: NDArray[np.float32]
    """Shape (factor * EDGE,) * 2."""
    zero: float
    """Where an intensity of zero lies on the normalised scale."""


class Validation:
    """Tiles of the sources at places that the seed decides, measured by the named instruments in turn, as they are.

    The scores are means over the tiles: ``psnr``, ``ssim`` and ``frc``, see the functions of these names.

    Raises
    ------
    InputError
        Not one tile was found that is neither flat nor lacks pixels.
    """

    def __init__(self, sources: Sequence[Source], instruments: Sequence[Instrument], *, seed: int) -> None:
        self.factor = instruments[0].factor
        found = [
            _tile(
                sources[number * len(sources) // TILES],
                instruments[number % len(instruments)],
                np.random.default_rng((seed, STREAM + number)),
                number,
            )
            for number in range(TILES)
        ]
        self.tiles = [tile for tile in found if tile is not None]
        if not self.tiles:
            raise InputError(
                "The images to validate on are flat, or lack pixels everywhere.",
                remedy="Name others with --validation.",
            )
        scale = (Fraction(self.factor), Fraction(self.factor))
        kernel = Interpolation("cubic", axes="yx", scale=scale)
        self.cubic = self.score(lambda low, *_: kernel(low, torch.zeros(1, 2, dtype=torch.int64)))
        """Scores of cubic interpolation."""

    def score(self, model: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]) -> Scores:
        """Return the scores of a model.

        Parameters
        ----------
        model
            Maps a measurement (1, 1, y, x), which of its pixels are measured, and where zero lies, to its output.
        """
        rows: list[Scores] = []
        edge = CONTEXT * self.factor
        for tile in self.tiles:
            low, measured = (
                torch.from_numpy(side.astype(np.float32))[None, None] for side in (tile.low, tile.measured)
            )
            with torch.inference_mode():
                out = model(low, measured, torch.tensor(tile.zero))[0, 0, edge:-edge, edge:-edge].float().cpu().numpy()
            rows.append({each.__name__: each(out, tile.high) for each in (psnr, ssim, frc)})
        return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def _tile(source: Source, instrument: Instrument, random: np.random.Generator, number: int) -> Tile | None:
    factor = instrument.factor
    edge, whole = EDGE * factor, (EDGE + 2 * CONTEXT) * factor
    planes, height, width = source.shape
    for _ in range(TRIES):
        plane = int(random.integers(planes))
        y, x = (int(random.integers(max(n - edge, 0) + 1)) - CONTEXT * factor for n in (height, width))
        truth = cut(source, plane, y=y, x=x, edge=(whole, whole))
        inner = truth[CONTEXT * factor : -CONTEXT * factor, CONTEXT * factor : -CONTEXT * factor]
        if np.isnan(truth).any() or inner.std() < FLAT:
            continue
        low, dead, _ = measure(truth, instrument, seed=number)
        return Tile(low, ~dead, np.ascontiguousarray(inner), zero=min(0.0, float(truth.min())))
    return None


def psnr(output: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the peak signal-to-noise ratio in dB for a peak of 1."""
    error = np.mean(np.square(output.astype(np.float64) - truth))
    return float(-10 * np.log10(max(float(error), LEAST)))


def ssim(output: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the structural similarity of two planes for a data range of 1, as the metric `ssim` has it."""
    return float(np.mean(np.concatenate([similarity(piece, 1.0).ravel() for piece in moments(output, truth)])))


def frc(output: NDArray[np.float32], truth: NDArray[np.float32]) -> float:
    """Return the frequency at which the Fourier ring correlation falls below 1/7, in cycles per pixel.

    An output that stays above counts with Nyquist, 0.5, and one that begins below with 0.
    """
    rings, window = rings_of(truth.shape, (1.0, 1.0)), window_of(truth.shape, "hann")
    sums = rings.correlate(spectrum(output, window), spectrum(truth, window))
    found = crossing(rings.frequency, correlation_of(sums), threshold_of("1/7", rings.n))
    return min(float(found), rings.nyquist)
