"""The convolution that comes nearest to what a restoration did to its interpolated input."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.cube import Cube, ratio_of
from scalesr.analysis.tabular import Tabular
from scalesr.errors import InputError
from scalesr.metrics import ExactSum
from scalesr.metrics.resampling import enlarge
from scalesr.metrics.rings import rings_of, spectrum, window_of
from scalesr.metrics.tiles import FLAT, MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source, Span

TILE = 128
"""Edge of a tile in pixels of the output, about; a multiple of the ratio."""
LEAST_TILE = 16
EPSILON = 1e-3
"""Regularisation as a part of the input's mean power: frequencies that the input hardly has are left out."""
MOST_TRANSFORMS = 2**14
"""Tiles times bands that are looked at where the user says nothing: more change no width by a percent."""
LEAST_TILES = 64
"""So many places are looked at all the same where there are many bands."""
MARGIN = 3
"""Pixels of the input around a tile that its interpolation looks at: the cubic kernel reaches 2."""
SHOWN = 4
"""Full widths to each side that are drawn."""
FINER = 8
"""Full widths are read off the function interpolated to so many times as many pixels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class EffectivePSF(Tabular):
    """The convolution that comes nearest to a restoration, with what the same estimate makes of doing nothing."""

    psf: NDArray[np.float64]
    """Shape (y, x), on the output's grid; its centre is pixel ``n // 2`` along each axis."""
    pixel_size: tuple[float, float]
    """Of the output, along y and x."""
    unit: str | None
    """Of the pixel size."""
    fwhm: tuple[float, float]
    """Full width at half maximum along y and x through the highest place, in `unit`; infinite where half the maximum
    is not reached within the tile."""
    control: tuple[float, float]
    """The same where the output is the interpolated input itself: the least width that this estimate can have."""
    shift: tuple[float, float]
    """Where the highest place lies from the centre, in `unit`, to an eighth of a pixel: images that are not registered
    have one."""
    explained: float
    """Share of the output's power that the input convolved with this accounts for, 0 to 1. What is missing is noise,
    detail beyond what the input holds, and whatever else is no convolution."""
    tiles: int
    """Tiles and bands that it stands on."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Tiles that were not counted, of all bands, by reason."""

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each axis: full width at half maximum, that of the control, shift and unit."""
        return [
            {
                "axis": name,
                "fwhm": self.fwhm[k],
                "control": self.control[k],
                "shift": self.shift[k],
                "unit": self.unit or "",
            }
            for k, name in enumerate("yx")
        ]

    def plot(self, ax: Any) -> None:
        """Draw the middle of the function into axes of matplotlib, with its scale."""
        ends = [(-(n // 2) - 0.5, n - n // 2 - 0.5) for n in self.psf.shape]
        (bottom, top), (left, right) = ((a * s, b * s) for (a, b), s in zip(ends, self.pixel_size, strict=True))
        limit = float(np.abs(self.psf).max())
        ax.imshow(self.psf, extent=(left, right, top, bottom), cmap="coolwarm", vmin=-limit, vmax=limit)
        unit = f" ({self.unit})" if self.unit else ""
        # What is worth looking at lies around the middle.
        reach = SHOWN * max([width for width in self.fwhm if math.isfinite(width)], default=math.inf)
        ax.set(
            xlabel=f"x{unit}",
            ylabel=f"y{unit}",
            xlim=(max(left, -reach), min(right, reach)),
            ylim=(min(top, reach), max(bottom, -reach)),
        )


def effective_psf(
    output: Source,
    measured: Source,
    *,
    bands: Sequence[int | str] | None = None,
    tile: int | None = None,
    most: int | None = None,
    epsilon: float = EPSILON,
    storage_options: Mapping[str, Any] | None = None,
) -> EffectivePSF:
    """Return the convolution that comes nearest to what a restoration did to its interpolated input.

    With X the transform of a tile of the output and U that of the input, enlarged by the cubic kernel to the output's
    grid, both less their means and under a Hann window, the estimate is ``sum X conj(U) / (sum |U|^2 + e)``, the
    regularised least-squares fit over all bands and half-overlapping tiles, and e is `epsilon` times the mean over the
    frequencies of ``sum |U|^2``. Bands have a say by their power.

    This is scalesr's own definition. The 'difference PSF' of HyReS (arXiv 2503.02908) is not defined in public
    material, and no figure here is comparable with it. A network is no convolution: `EffectivePSF.explained` says how
    much of its output one accounts for. Frequencies that the input lacks cannot be estimated, so that the function is
    never narrower than `EffectivePSF.control`: a width like that of the control means that nothing was blurred, and
    resolution beyond it does not show here.

    Parameters
    ----------
    output
        OME-Zarr image that was restored.
    measured
        What it was made from: pixels as large or a whole multiple, of the same ground and bands.
    bands
        By number or name; all when not given.
    tile
        Edge in pixels of the output, a multiple of the ratio; some 128 when not given, less in a smaller image.
    most
        Tiles that are looked at in each band at most, spread evenly over the image; all of a small image when not
        given, and of a large one so many that some 16,000 transforms are made.
    epsilon
        Regularisation, above 0.
    storage_options
        Handed to fsspec, for both images.

    Raises
    ------
    InputError
        The images do not fit each other, are too small, or have no whole tile of finite values that differ.
    """
    fine, coarse = (Cube.open(source, storage_options=storage_options) for source in (output, measured))
    ratio = ratio_of(coarse, fine)
    if fine.bands != coarse.bands:
        raise InputError(
            f"{fine.image.url} has {fine.bands} bands, and {coarse.image.url} {coarse.bands}.",
            remedy="Give the image that the output was made from.",
        )
    chosen = [fine.band_number(band) for band in bands] if bands is not None else list(range(fine.bands))
    edges = _edges(fine, coarse, ratio, tile)
    most = max(LEAST_TILES, MOST_TRANSFORMS // max(1, len(chosen))) if most is None else most
    if not 0 < epsilon < math.inf or not chosen or most < 1:
        raise InputError(
            f"A regularisation of {epsilon:g} over {len(chosen)} bands and {most} tiles was asked for.",
            remedy="Give a number above zero, and one band and tile or more.",
        )
    gathered = _Spectra(edges)
    for rows, columns in _tiles(fine, edges, ratio, most=most):
        below = _enlarged(coarse, rows, columns, ratio)
        above = fine.read(rows, columns)
        gathered.add(above[chosen].astype(np.float64), below[chosen])
    if not gathered.used:
        raise InputError(
            f"{fine.image.url} has no tile of {edges[0]} x {edges[1]} finite pixels that differ.",
            remedy="Choose other bands, or a smaller tile.",
        )
    cross, power, total = gathered.sums()
    level = epsilon * power.mean()
    ratio_of_spectra = cross / (power + level)
    psf, control = (_centred(part, edges) for part in (ratio_of_spectra, power / (power + level)))
    weights = rings_of(edges, fine.pixel_size).weights
    rest = total - 2 * (ratio_of_spectra.conj() * cross).real + np.square(np.abs(ratio_of_spectra)) * power
    widths, shift = _widths(psf)
    least, _ = _widths(control)
    sizes = fine.pixel_size
    return EffectivePSF(
        psf=psf,
        pixel_size=sizes,
        unit=fine.unit,
        fwhm=(widths[0] * sizes[0], widths[1] * sizes[1]),
        control=(least[0] * sizes[0], least[1] * sizes[1]),
        shift=(shift[0] * sizes[0], shift[1] * sizes[1]),
        explained=1 - float((rest * weights).sum() / (total * weights).sum()),
        tiles=gathered.used,
        left_out={reason: count for reason, count in ((MISSING, gathered.missing), (FLAT, gathered.flat)) if count},
    )


class _Spectra:
    """Exact sums of cross-spectra and power spectra over tiles."""

    def __init__(self, edges: tuple[int, int]) -> None:
        self.used = self.missing = self.flat = 0
        self._window = window_of(edges, "hann")
        self._sums = ExactSum((4, edges[0], edges[1] // 2 + 1))

    def add(self, above: NDArray[np.float64], below: NDArray[np.float64]) -> None:
        """Add a tile of the output and of the input, shape (bands, y, x)."""
        found = np.zeros(self._sums.shape)
        for one, two in zip(above, below, strict=True):
            if not (np.isfinite(one).all() and np.isfinite(two).all()):
                self.missing += 1
                continue
            x, u = spectrum(one, self._window), spectrum(two, self._window)
            if not u.any():
                self.flat += 1
                continue
            self.used += 1
            cross = x * u.conj()
            found += np.stack([cross.real, cross.imag, np.square(np.abs(u)), np.square(np.abs(x))])
        self._sums.add(found)

    def sums(self) -> tuple[NDArray[np.complex128], NDArray[np.float64], NDArray[np.float64]]:
        """Return cross-spectrum, power of the input and power of the output, each like ``rfft2`` of a tile."""
        real, imaginary, power, total = self._sums.value()
        return real + 1j * imaginary, power, total


def _edges(fine: Cube, coarse: Cube, ratio: tuple[int, int], tile: int | None) -> tuple[int, int]:
    edges = []
    for n, times in zip(coarse.shape, ratio, strict=True):
        most = (tile if tile is not None else TILE) // times
        # Even, so that tiles overlap by half at whole pixels of the input.
        edges.append(min(most, n) // 2 * 2 * times)
    if min(edges) < LEAST_TILE or (tile is not None and max(edges) > tile):
        raise InputError(
            f"Tiles of {edges[0]} x {edges[1]} pixels of {fine.image.url} are too small for their spectra.",
            remedy=f"Give a larger image, or a tile of {LEAST_TILE} pixels or more.",
        )
    return edges[0], edges[1]


def _tiles(fine: Cube, edges: tuple[int, int], ratio: tuple[int, int], *, most: int) -> Iterator[tuple[Span, Span]]:
    """Yield tiles that lie whole on the ground of both images, at whole pixels of the input.

    They overlap by half, or lie as far apart as it takes for at most so many.
    """
    ends = [n // times * times for n, times in zip(fine.shape, ratio, strict=True)]
    apart = 1
    while True:
        starts = [range(0, end - edge + 1, apart * edge // 2) for end, edge in zip(ends, edges, strict=True)]
        if len(starts[0]) * len(starts[1]) <= most or max(map(len, starts)) == 1:
            break
        apart += 1
    for y in starts[0]:
        for x in starts[1]:
            yield (y, y + edges[0]), (x, x + edges[1])


def _enlarged(coarse: Cube, rows: Span, columns: Span, ratio: tuple[int, int]) -> NDArray[np.float64]:
    """Return the input on a tile of the output, by the cubic kernel."""
    spans, inner = [], []
    for span, times, n in zip((rows, columns), ratio, coarse.shape, strict=True):
        first, last = span[0] // times, span[1] // times
        low, high = max(0, first - MARGIN), min(n, last + MARGIN)
        spans.append((low, high))
        inner.append(slice((first - low) * times, (last - low) * times))
    pixels = coarse.read(spans[0], spans[1])
    factors = [Fraction(times) for times in ratio]
    return np.stack([enlarge(plane, factors)[inner[0], inner[1]] for plane in pixels])


def _centred(spectra: NDArray[Any], edges: tuple[int, int]) -> NDArray[np.float64]:
    return np.asarray(np.fft.fftshift(np.fft.irfft2(spectra, s=edges)))


def _widths(psf: NDArray[np.float64]) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return full widths at half maximum along both axes and the place of the maximum from the centre, in pixels."""
    small = psf.shape
    spectra = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(psf)))
    pads = [((FINER - 1) * n // 2, (FINER - 1) * n - (FINER - 1) * n // 2) for n in small]
    spread = np.fft.ifftshift(np.pad(spectra, pads))
    dense = np.fft.fftshift(np.fft.ifft2(spread).real)
    peak = np.unravel_index(int(dense.argmax()), dense.shape)
    widths = tuple(_width(np.take(dense, peak[1 - k], axis=1 - k), int(peak[k])) / FINER for k in (0, 1))
    shift = tuple((int(peak[k]) - dense.shape[k] // 2) / FINER for k in (0, 1))
    return (widths[0], widths[1]), (shift[0], shift[1])


def _width(line: NDArray[np.float64], peak: int) -> float:
    """Return the full width at half maximum around a peak, by linear interpolation; infinite where it has none."""
    half, width = line[peak] / 2, 0.0
    for side in (line[peak:], line[peak::-1]):
        below = np.flatnonzero(side < half)
        if not len(below) or half <= 0:
            return math.inf
        k = int(below[0])
        width += k - 1 + (side[k - 1] - half) / (side[k - 1] - side[k])
    return float(width)
