"""How much of an output's energy lies where the measurement cannot have held any: beyond its Nyquist frequency.

All of that was added by whatever made the output: detail that is true, detail that is invented, ringing, noise, and the
replicas that interpolation leaves. So the share is no quality in itself. It says something beside that of the cubic
interpolation of the measurement, which adds no detail, and beside that of a reference, which holds what is true.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.degradation import refuse_unmeasured
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.measure import Measure
from scalesr.metrics.resampling import enlarge
from scalesr.metrics.rings import rings_of, transform
from scalesr.metrics.state import Count, Rows, State
from scalesr.metrics.tiles import EDGES, LEAST, count_tiles, left_out, places

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.patch import Patch

SERIES = ("output", "baseline: cubic", "reference")


@dataclass(frozen=True)
class Energies:
    """Spectral energies of tiles, all but the mean and beyond the measurement's Nyquist frequency, for each band.

    A tile is faded out by a Hann window after its mean under the window was taken off. The measurement is interpolated
    tile by tile, the edge pixels repeated beyond it, where the window lets through next to nothing. An image counts as
    beyond where it is so along any axis: what the measurement holds is a box of frequencies. Only tiles that lie whole
    inside the image and miss no pixel count, and these for all images alike.
    """

    tile: tuple[int, ...]
    ratio: tuple[Fraction, ...]

    @property
    def context(self) -> tuple[int, ...]:
        """Tiles lie inside their cells."""
        return (0,) * len(self.tile)

    def update(self, state: State, patch: Patch) -> State:
        """Add the tiles of a cell."""
        assert patch.measured is not None
        bands = len(patch.output)
        energies = np.zeros((bands, len(SERIES), 2))
        n, missing, flat = (np.zeros(bands, np.int64) for _ in range(3))
        for index, fine in places(patch, self.tile):
            coarse = tuple(
                slice(int(part.start / ratio), int(part.stop / ratio))
                for part, ratio in zip(fine, self.ratio, strict=True)
            )
            shares = np.full(bands, np.nan)
            for band in range(bands):
                here: tuple[Any, ...] = (band, *fine)
                under: tuple[Any, ...] = (band, *coarse)
                tile, measured = patch.output[here], patch.measured[under]
                if not np.isfinite(measured).all() or (patch.missing is not None and patch.missing[here].any()):
                    missing[band] += 1
                    continue
                if tile.min() == tile.max():
                    flat[band] += 1
                    continue
                n[band] += 1
                found = [self._energies(tile), self._energies(enlarge(measured, self.ratio))]
                if patch.reference is not None:
                    found.append(self._energies(patch.reference[here]))
                energies[band, : len(found)] += found
                shares[band] = found[0][1] / found[0][0]
            state.add("shares", Rows({index: shares}))
        count_tiles(state, patch, self.tile, missing=missing, flat=flat)
        return state.add("n", Count(n)).add("energies", ExactSum(energies.shape).add(energies))

    def _energies(self, pixels: NDArray[Any]) -> tuple[float, float]:
        """Return the energy of a tile without its mean, and that beyond the measurement's Nyquist frequency."""
        window, mass, weights = _hann(self.tile)
        values = pixels.astype(np.float64, order="C")
        if values.min() == values.max():
            return 0.0, 0.0
        values -= np.sum(values * window) / mass
        spectrum = transform(values, window)
        power = (spectrum.real**2 + spectrum.imag**2) * weights
        return float(np.sum(power)), float(np.sum(power * _beyond(self.tile, self.ratio)))


@lru_cache(maxsize=8)
def _hann(tile: tuple[int, ...]) -> tuple[NDArray[np.float64], float, NDArray[np.float64]]:
    """Return the window of a tile, its sum, and how often each column of ``rfftn`` stands in the full transform."""
    window: NDArray[Any] = np.ones(())
    for n in tile:
        window = window[..., None] * np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2
    return window, float(np.sum(window)), rings_of(tile, (1.0,) * len(tile)).weights


@lru_cache(maxsize=8)
def _beyond(tile: tuple[int, ...], ratio: tuple[Fraction, ...]) -> NDArray[np.bool_]:
    """Return which pixels of ``rfftn`` lie beyond the measurement's Nyquist frequency, along any axis."""
    found: NDArray[Any] = np.zeros((), np.bool_)
    for axis, (n, factor) in enumerate(zip(tile, ratio, strict=True)):
        cycles = np.arange(n // 2 + 1) if axis == len(tile) - 1 else np.abs(np.fft.fftfreq(n, 1 / n)).astype(np.int64)
        found = found[..., None] | (2 * factor.numerator * cycles > n * factor.denominator)
    return found


@dataclass(frozen=True)
class BeyondNyquist:
    """Share of the energy beyond the measurement's Nyquist frequency; the map is that of each tile."""

    statistic: Energies
    name: str = "beyond_nyquist"

    @property
    def tile(self) -> tuple[int, ...]:
        """Edges of a tile in pixels of the output."""
        return self.statistic.tile

    def tiles(self, state: State, frame: Frame) -> NDArray[Any]:
        """Return the shares of the output; see `TileMap`."""
        grid = tuple(-(-size // edge) for size, edge in zip(frame.shape, self.tile, strict=True))
        found = np.full((frame.bands, *grid), np.nan, np.float32)
        for key, shares in state.rows("shares").items():
            where: tuple[Any, ...] = (slice(None), *key[: frame.ndim])
            found[where] = shares
        return found

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the shares of output, cubic interpolation and reference: of all bands, then of each."""
        every = self._shares(state, frame, None)
        if frame.bands > 1:
            for band in range(frame.bands):
                every += self._shares(state, frame, band)
        return every

    def _shares(self, state: State, frame: Frame, band: int | None) -> list[Measure]:
        some = slice(0, frame.bands) if band is None else slice(band, band + 1)
        energies = state.sums("energies", (frame.bands, len(SERIES), 2))[some].sum(0)
        n = int(state.counts("n", (frame.bands,))[some].sum())
        note = f"of the energy without the mean; tiles of {' x '.join(map(str, self.tile))} pixels"
        if band is None and frame.bands > 1:
            note += "; energies of the bands added, so that bright ones count most"
        said = {
            "output": "what was added to the measurement, be it true or not",
            "baseline: cubic": "the interpolated measurement, which adds no detail",
            "reference": "what the output may have",
        }
        measures = []
        for kind, (total, beyond) in zip(SERIES, energies, strict=True):
            if kind == "reference" and not frame.has_reference:
                continue
            why = "" if total > 0 else "no whole tile to count" if n == 0 else "nothing but a mean"
            measures.append(
                Measure(
                    metric=self.name,
                    kind=kind,
                    value=float(beyond / total) if total > 0 else None,
                    n=n,
                    left_out=left_out(state, some, total=frame.bands),
                    band=None if band is None else frame.band_names[band],
                    note="; ".join(filter(None, (why, said[kind], note))),
                )
            )
        return measures


def tile_of(frame: Frame, settings: Settings) -> tuple[int, ...]:
    """Return the edges of the tiles: whole numbers of measured pixels, and a cell holds a whole number of them.

    Raises
    ------
    InputError
        The tile that was asked for is not so, or the image is too small for any.
    """
    tile = []
    for size, edge, ratio in zip(frame.shape, frame.cell, frame.ratio, strict=True):
        unit = ratio.numerator
        if settings.tile is not None and (settings.tile % unit or (edge % settings.tile and edge < size)):
            raise InputError(
                f"Tiles of {settings.tile} pixels do not fit cells of {edge} pixels and {ratio} pixels of the output "
                "for each of the measurement.",
                remedy=f"Choose a tile that is a multiple of {unit} and divides {edge}, or none.",
            )
        wanted = settings.tile or _largest_part(edge, unit, most=EDGES[frame.ndim])
        tile.append(min(wanted, size // unit * unit))
    if any(edge < LEAST for edge, ratio in zip(tile, frame.ratio, strict=True) if ratio > 1):
        raise InputError(
            f"An image of {' x '.join(map(str, frame.shape))} pixels was to be cut in tiles of "
            f"{' x '.join(map(str, tile))}, too small for a spectrum.",
            remedy="Choose a larger tile, or leave the metric 'beyond_nyquist' out.",
        )
    return tuple(tile)


def _largest_part(edge: int, unit: int, *, most: int) -> int:
    """Return the largest part of an edge in whole units that is no longer than `most`, or the edge if all are short."""
    parts = [n for n in range(unit, most + 1, unit) if edge % n == 0]
    return parts[-1] if parts and 2 * parts[-1] > most else edge


def make_beyond_nyquist(frame: Frame, settings: Settings) -> BeyondNyquist:
    """Return the metric.

    Raises
    ------
    InputError
        No measurement, one that is as fine as the output along all axes, or tiles that do not fit.
    """
    refuse_unmeasured("beyond_nyquist", frame)
    if max(frame.ratio) == 1:
        raise InputError(
            "Output and measurement have the same pixels, so no frequency lies beyond the measurement's.",
            remedy="Leave the metric 'beyond_nyquist' out.",
        )
    return BeyondNyquist(Energies(tile_of(frame, settings), frame.ratio))
