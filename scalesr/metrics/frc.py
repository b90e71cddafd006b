"""Fourier ring and shell correlation between the output and a reference, tile by tile."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics import tiles
from scalesr.metrics.curve import Curve, band_groups, basis, curve_of, resolutions
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.measure import Measure
from scalesr.metrics.rings import WINDOWS, centre, correlation_of, rings_of, spectra_of, transform, window_of
from scalesr.metrics.state import Count, Rows, State
from scalesr.metrics.thresholds import crossing, period_of, read_threshold, threshold_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings, Threshold
    from scalesr.metrics.patch import Patch
    from scalesr.metrics.rings import WindowKind

TOLERANCE = 0.01
"""A gain, or an offset in standard deviations of the reference, that is off by more is remarked on."""
MOMENTS = 5
"""Sums of the regression: pixels, output, reference, their product, and the squares of the reference."""
PLAIN = "intensities as in the reference"
DIFFERS = "intensities differ from the reference; the correlation is blind to that"


@dataclass(frozen=True, kw_only=True)
class TileCorrelation:
    """Gathers ring sums of the spectra of output and reference over all tiles, and each tile's own resolution.

    Each tile is freed from its mean and faded by a window.
    """

    tile: tuple[int, ...]
    """Edges of the tiles in pixels."""
    pixel_size: tuple[float, ...]
    """Size of a pixel along each axis."""
    threshold: Threshold
    """Where the correlation of a tile counts as lost."""
    window: WindowKind
    """How a tile is faded out."""

    @property
    def context(self) -> tuple[int, ...]:
        """Nothing: tiles lie inside their cell."""
        return (0,) * len(self.tile)

    def update(self, state: State, patch: Patch) -> State:
        """Add the tiles of one cell; those with missing pixels and those flat in both images are counted only."""
        assert patch.reference is not None
        bands, rings = len(patch.output), rings_of(self.tile, self.pixel_size)
        window, images = window_of(self.tile, self.window), (patch.output, patch.reference)
        places = list(tiles.places(patch, self.tile))
        sums = np.zeros((len(places), bands, 3, rings.count))
        moments = np.zeros((len(places), bands, MOMENTS))
        whole = np.zeros((len(places), bands), np.bool_)
        pair = np.empty((2, *self.tile))
        spectra = spectra_of(pair.shape)
        for place, (_, region) in enumerate(places):
            unmasked = patch.mask is None or bool(patch.mask[region].all())
            for band in range(bands):
                where: tuple[Any, ...] = (band, *region)
                # A pixel that is NaN or infinite shows in the mean, which spares looking for it.
                means = [centre(image[where], part) for image, part in zip(images, pair, strict=True) if unmasked]
                whole[place, band] = unmasked and all(map(math.isfinite, means))
                if whole[place, band]:
                    moments[place, band] = _moments(pair, *means)
                    sums[place, band] = rings.correlate(*transform(pair, window, spectra))
        used = sums[:, :, 1:].any(axis=(2, 3))
        missing, flat = (~whole).sum(axis=0), (whole & ~used).sum(axis=0)
        tiles.count_tiles(state, patch, self.tile, missing=missing, flat=flat)
        if places:
            limit = threshold_of(self.threshold, rings.n)
            periods = period_of(crossing(rings.frequency, correlation_of(sums), limit))
            rows = {index: row for (index, _), row in zip(places, np.where(used, periods, np.nan), strict=True)}
            totals = np.concatenate([sums.sum(axis=0).reshape(bands, -1), moments.sum(axis=0)], axis=1)
            state.add("sums", ExactSum(totals.shape).add(totals))
            state.add("tiles", Count(used.sum(axis=0))).add("periods", Rows(rows))
        return state


@dataclass(frozen=True, kw_only=True)
class FourierCorrelation:
    """The metrics ``frc`` and ``fsc``: resolution where the correlation with the reference is lost.

    The headline is that of one curve over all tiles, for several bands the median of theirs; beside it quantiles of the
    tiles' own, and gain and offset of the regression of the output on the reference, to which the correlation is blind
    (van Heel, 1987; Nieuwenhuizen et al., 2013).

    The window smears a sharp cut-off over some rings, the more the better the signal is: of a texture that ends at a
    period of 6 pixels, in tiles of 256 and with noise of a twentieth to thrice its standard deviation, the Tukey window
    finds 5.0 to 5.9 pixels and that of Hann 5.6 to 5.9.
    """

    name: str
    statistic: TileCorrelation

    @property
    def tile(self) -> tuple[int, ...]:
        """Edges of a tile of the map."""
        return self.statistic.tile

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return resolution, quantiles of the tiles, gain and offset."""
        note = basis(threshold=self.statistic.threshold, window=WINDOWS[self.statistic.window], tile=self.tile)
        fits = [self._fit(state, frame, bands, name) for bands, name in band_groups(frame)]
        remark = "" if all(fit.note == PLAIN for pair in fits for fit in pair) else "gain or offset differ, see there"
        whole = "; ".join(filter(None, (note, remark)))
        return [
            *resolutions(self.curve(state, frame).periods, state, frame, metric=self.name, note=whole),
            *tiles.spread(state, frame, metric=self.name, note=note),
            *(fit for pair in fits for fit in pair),
        ]

    def curve(self, state: State, frame: Frame) -> Curve:
        """Return the correlation over all tiles, from which the headline is read."""
        rings = rings_of(self.tile, self.statistic.pixel_size)
        sums = self._sums(state, frame)[:, :-MOMENTS].reshape(frame.bands, 3, rings.count)
        return curve_of(sums, state.counts("tiles", (frame.bands,)), rings=rings, threshold=self.statistic.threshold)

    def tiles(self, state: State, frame: Frame) -> NDArray[Any]:
        """Return the resolution of each tile; see `TileMap` and `scalesr.metrics.tiles.map_of`."""
        return tiles.map_of(state, frame, tile=self.tile)

    def _sums(self, state: State, frame: Frame) -> NDArray[np.float64]:
        rings = rings_of(self.tile, self.statistic.pixel_size)
        return state.sums("sums", (frame.bands, 3 * rings.count + MOMENTS))

    def _fit(self, state: State, frame: Frame, bands: slice, name: str | None) -> tuple[Measure, Measure]:
        """Return gain and offset of the regression of the output on the reference over all pixels of the tiles."""
        n, first, second, both, squares = self._sums(state, frame)[bands, -MOMENTS:].sum(axis=0)
        spread = squares / n - (second / n) ** 2 if n else 0.0
        gain = offset = None
        note = "the reference is flat" if n else "no tiles"
        if spread > 0:
            gain = (both / n - first / n * second / n) / spread
            offset = first / n - gain * second / n
            differs = abs(gain - 1) > TOLERANCE or abs(offset) > TOLERANCE * math.sqrt(spread)
            note = DIFFERS if differs else PLAIN
        common: dict[str, Any] = {
            "metric": self.name,
            "n": int(n),
            "band": name,
            "left_out": tiles.left_out(state, bands, total=frame.bands),
            "note": note,
        }
        return Measure(kind="gain", value=gain, **common), Measure(kind="offset", value=offset, **common)


def make_frc(frame: Frame, settings: Settings) -> FourierCorrelation:
    """Make ``frc``: Fourier ring correlation of planes."""
    return _make("frc", frame, settings, ndim=2, other="fsc")


def make_fsc(frame: Frame, settings: Settings) -> FourierCorrelation:
    """Make ``fsc``: Fourier shell correlation of volumes."""
    return _make("fsc", frame, settings, ndim=3, other="frc")


def _make(name: str, frame: Frame, settings: Settings, *, ndim: int, other: str) -> FourierCorrelation:
    if frame.ndim != ndim:
        raise InputError(
            f"The metric {name!r} is for images of {ndim} axes of space, and these have {frame.ndim}.",
            remedy=f"Ask for {other!r}.",
        )
    if not frame.has_reference:
        raise InputError(f"The metric {name!r} compares with a reference, and there is none.", remedy="Give one.")
    tile = tiles.choose_tile(frame, settings, metric=name)
    statistic = TileCorrelation(
        tile=tile, pixel_size=frame.pixel_size, threshold=read_threshold(settings.threshold), window=settings.window
    )
    return FourierCorrelation(name=name, statistic=statistic)


def _moments(pair: NDArray[np.float64], first: float, second: float) -> tuple[float, ...]:
    """Return the sums of the regression for tiles less their means, and these means."""
    # Row by row: BLAS splits vectors of more than some 10 000 among threads, whose number would show in the sum.
    both, squares = (float(part.sum()) for part in np.vecdot(pair, pair[1]))
    n = pair[1].size
    return n, n * first, n * second, both + n * first * second, squares + n * second**2
