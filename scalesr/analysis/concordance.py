"""How far the bands of an image and those of another modality of the same sample go together."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.areas import Areas
from scalesr.analysis.cube import Cube
from scalesr.analysis.labels import NOT_FINITE, NOT_MEASURED, Labels
from scalesr.analysis.tabular import Tabular
from scalesr.errors import InputError
from scalesr.metrics import ExactSum

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from fractions import Fraction

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source, Span

NOT_SHARED = "pixels outside what both images cover"
GROUP_BYTES = 2**28
"""Bytes of histograms at a time; more bands are taken in groups, with a pass over the images for each."""
RANK_BITS = 16
"""Bits of a float32 that tell values apart in ranks: exponent and eight bits of mantissa of how far a value lies above
the lowest of its band, so that two share a rank where these distances differ by less than 0.4 %."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Concordance(Tabular):
    """Correlations of the bands of two images over the pixels of the coarser grid."""

    bands: tuple[str, ...]
    """Of the first image."""
    others: tuple[str, ...]
    """Of the other image."""
    pearson: NDArray[np.float64]
    """Shape (bands, others); NaN where a band is constant."""
    spearman: NDArray[np.float64]
    """Correlation of ranks, shape (bands, others); NaN where a band is constant."""
    n: int
    """Pixels that it stands on."""
    pixel_size: tuple[float, float]
    """Of the grid on which both were compared, along y and x."""
    unit: str | None
    """Of the pixel size."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Pixels of that grid that were not counted, by reason."""

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each pair of bands."""
        return [
            {
                "band": band,
                "other": other,
                "pearson": float(self.pearson[a, b]),
                "spearman": float(self.spearman[a, b]),
                "n": self.n,
            }
            for a, band in enumerate(self.bands)
            for b, other in enumerate(self.others)
        ]

    def plot(self, ax: Any) -> None:
        """Draw the rank correlations into axes of matplotlib, from -1 to 1."""
        ax.imshow(self.spearman, vmin=-1, vmax=1, cmap="coolwarm", aspect="auto", interpolation="nearest")
        ax.set_xticks(range(len(self.others)), list(self.others))
        ax.set(xlabel="other modality", ylabel="band")


def concordance(
    cube: Source,
    other: Source,
    *,
    mask: Source | None = None,
    bands: Sequence[int | str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Concordance:
    """Return how far the bands of an image go together with those of a registered image of another modality.

    Both are compared on the coarser of their grids: the finer one by its means over the ground of those pixels. Places
    are those of the metadata, in physical units; any ratio and offset will do. Pearson's correlation sees what is
    proportional, Spearman's what rises together. Neither is evidence of resolution: pixels of one tissue correlate
    whatever the sharpness. Compare with the same figure of the interpolated measurement.

    Ranks come from histograms, so that memory does not grow with the images: values whose distances from the lowest of
    the band differ by less than 0.4 % may share a rank, the mean of theirs. Figures are the same bits for any chunks.

    Parameters
    ----------
    cube, other
        OME-Zarr images of one sample.
    mask
        Pixels that count are not zero in it, on the grid of the coarser image. Masks beside the images' levels count
        too: a coarser pixel counts where all of it was measured.
    bands
        Of the first image, by number or name; all when not given.
    storage_options
        Handed to fsspec.

    Raises
    ------
    InputError
        The images share no pixel, or there is no such band.
    """
    mine, theirs = (Cube.open(source, storage_options=storage_options) for source in (cube, other))
    chosen = [mine.band_number(band) for band in bands] if bands is not None else list(range(mine.bands))
    factor = theirs.in_units_of(mine)
    swapped = math.prod(mine.pixel_size) < math.prod(theirs.pixel_size) * factor * factor
    pair = _Pair(mine, theirs, coarser=int(swapped), mask=mask, options=storage_options)
    names = chosen, list(range(theirs.bands))
    spearman = np.empty((len(chosen), theirs.bands))
    moments, extremes = _Moments(len(chosen), theirs.bands), [np.full(len(some), np.inf) for some in names]
    for values in pair.values(*names):
        moments.add(*values)
        extremes = [np.minimum(e, v.min(axis=1, initial=np.inf)) for e, v in zip(extremes, values, strict=True)]
    if not pair.n:
        raise InputError(
            f"{mine.image.url} and {theirs.image.url} share no pixel that counts.",
            remedy="Check the masks, and whether the images hold NaN.",
        )
    size = max(1, GROUP_BYTES // (8 << RANK_BITS) - theirs.bands)
    for start in range(0, len(chosen), size):
        part = slice(start, start + size)
        spearman[part] = _rank_correlation(pair, chosen[part], lowest=(extremes[0][part], extremes[1]))
    return Concordance(
        bands=tuple(mine.band_names[band] for band in chosen),
        others=theirs.band_names,
        pearson=moments.correlation(),
        spearman=spearman,
        n=pair.n,
        pixel_size=pair.coarse.pixel_size,
        unit=pair.coarse.unit,
        left_out={reason: count for reason, count in pair.left_out.items() if count},
    )


class _Pair:
    """Two images on the grid of the coarser one, a cell at a time."""

    def __init__(
        self, mine: Cube, theirs: Cube, *, coarser: int, mask: Source | None, options: Mapping[str, Any] | None
    ) -> None:
        self.coarser = coarser
        self.coarse, self.fine = (theirs, mine) if coarser else (mine, theirs)
        self.areas = Areas(coarse=self.coarse, fine=self.fine)
        self.mask = None if mask is None else Labels.open(mask, of=self.coarse, storage_options=options)
        self.spans = self.areas.covered(0), self.areas.covered(1)
        self.n = 0
        self.left_out: Counter[str] = Counter()
        self.inside = math.prod(stop - start for start, stop in self.spans)
        if not self.inside:
            raise InputError(
                f"No pixel of {self.coarse.image.url} lies within {self.fine.image.url}, by the metadata of both.",
                remedy="Register the images, and check pixel size, unit and translation of both.",
            )

    def values(self, mine: Sequence[int], theirs: Sequence[int]) -> Iterator[tuple[NDArray[np.float64], ...]]:
        """Yield, for each part of a cell, the values (bands, pixels) of both images at the pixels that count.

        A pixel that lacks a value in any band of either image is left out, whichever bands are asked for.
        """
        self.n = 0
        self.left_out = Counter({NOT_SHARED: math.prod(self.coarse.shape) - self.inside})
        edge = self.areas.step()
        for whole_rows, whole_columns, pixels in self.coarse.cells():
            (top, bottom), (left, right) = (
                (max(span[0], inside[0]), min(span[1], inside[1]))
                for span, inside in zip((whole_rows, whole_columns), self.spans, strict=True)
            )
            for y in range(top, bottom, edge):
                for x in range(left, right, edge):
                    rows, columns = (y, min(y + edge, bottom)), (x, min(x + edge, right))
                    part = (slice(*(n - whole_rows[0] for n in rows)), slice(*(n - whole_columns[0] for n in columns)))
                    here = pixels[:, *part].astype(np.float64)
                    found = [here, self.areas.read(rows, columns)]
                    used = self._used(rows, columns, found)
                    both = found[self.coarser], found[1 - self.coarser]
                    yield tuple(v[list(some)][:, used] for v, some in zip(both, (mine, theirs), strict=True))

    def _used(self, rows: Span, columns: Span, found: Sequence[NDArray[np.float64]]) -> NDArray[np.bool_]:
        used = self.coarse.measured(rows, columns) & self.areas.measured(rows, columns)
        if self.mask is not None:
            used &= self.mask.read(rows, columns)[0] != 0
        finite = np.isfinite(found[0]).all(axis=0) & np.isfinite(found[1]).all(axis=0)
        self.left_out[NOT_MEASURED] += int(np.count_nonzero(~used))
        self.left_out[NOT_FINITE] += int(np.count_nonzero(used & ~finite))
        used &= finite
        self.n += int(np.count_nonzero(used))
        return used


def _rank_correlation(
    pair: _Pair, bands: Sequence[int], *, lowest: tuple[NDArray[np.float64], NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return Spearman's correlations, shape (bands, others), in two passes over the images."""
    numbers = list(bands), list(range(len(lowest[1])))
    ranks = [np.zeros((len(some), 1 << RANK_BITS), np.int64) for some in numbers]
    for values in pair.values(*numbers):
        for histogram, part, low in zip(ranks, values, lowest, strict=True):
            for band, keys in enumerate(_keys(part, low)):
                histogram[band] += np.bincount(keys, minlength=1 << RANK_BITS)
    for histogram in ranks:
        for row in histogram:
            # Twice the mean rank of a bin, counted from the middle, so that the sums stay whole and small.
            row[...] = 2 * np.cumsum(row) - row - pair.n
    moments = _Moments(*map(len, numbers))
    for values in pair.values(*numbers):
        moments.add(
            *(
                np.take_along_axis(table, _keys(part, low), axis=1).astype(np.float64)
                for table, part, low in zip(ranks, values, lowest, strict=True)
            )
        )
    return moments.correlation()


class _Moments:
    """Exact sums of values, squares and products of the bands of two images."""

    def __init__(self, bands: int, others: int) -> None:
        self.n = 0
        self.first, self.second = ExactSum((2, bands)), ExactSum((2, others))
        self.products = ExactSum((bands, others))

    def add(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> None:
        """Add values of shape (bands, pixels) and (others, pixels)."""
        self.n += first.shape[1]
        for total, values in ((self.first, first), (self.second, second)):
            total.add(np.stack([values.sum(axis=1), np.square(values).sum(axis=1)]))
        # Sums over the last axis have a fixed order, which those of BLAS do not promise.
        self.products.add(np.stack([(first * other).sum(axis=1) for other in second], axis=1))

    def correlation(self) -> NDArray[np.float64]:
        """Return Pearson's correlation, shape (bands, others), NaN where either is constant."""
        a, b = self.first.fractions(), self.second.fractions()
        c, d, products = len(a) // 2, len(b) // 2, self.products.fractions()
        spread = [[self._spread(s[k], s[k + size]) for k in range(size)] for s, size in ((a, c), (b, d))]
        found = np.full((c, d), np.nan)
        for i in range(c):
            for j in range(d):
                power = spread[0][i] * spread[1][j]
                if power > 0:
                    found[i, j] = float(self.n * products[i * d + j] - a[i] * b[j]) / power
        return np.asarray(np.clip(found, -1, 1))

    def _spread(self, total: Fraction, squares: Fraction) -> float:
        """Return n times the standard deviation, 0 where it is nothing but rounding."""
        variance = float(self.n * squares - total * total)
        floor = 1e-14 * float(self.n * squares)
        return math.sqrt(variance) if variance > floor else 0.0


def _keys(values: NDArray[np.float64], lowest: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return numbers that sort as the values of each band do: leading bits of their distance from the lowest.

    Positive floats sort like their bits, of which the sign is none.
    """
    limit = float(np.finfo(np.float32).max)
    above = np.minimum(values - lowest[:, None], limit).astype(np.float32)
    return (above.view(np.uint32) >> np.uint32(31 - RANK_BITS)).astype(np.int64)
