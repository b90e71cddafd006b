"""Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004), cell by cell, in two or three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.bandwise import band_measures
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.gaussian import RADIUS, REACH
from scalesr.metrics.state import Count
from scalesr.metrics.windows import (
    BORDER,
    WINDOW,
    border_pixels,
    means,
    missing_of,
    moments,
    require_reference,
    sum_up,
    touched,
    why_undefined,
    window_count,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.patch import Patch
    from scalesr.metrics.state import State
    from scalesr.metrics.windows import Moments

K1, K2 = 0.01, 0.03
"""Constants of the paper, for the luminance and for the contrast."""


@dataclass(frozen=True)
class StructuralSimilarity:
    """Sums of the structural similarity over windows.

    A window is 11 pixels along each axis, weighted by a Gaussian of 1.5 pixels; variances are those of the population,
    as in the paper; the constants are (0.01 L)^2 and (0.03 L)^2. Only windows that lie fully inside the image count.
    This is scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)``.
    """

    ndim: int
    """Axes of space: 2 or 3."""
    data_range: float
    """Largest minus smallest possible intensity, L."""

    @property
    def context(self) -> tuple[int, ...]:
        """Pixels above the cell that windows reach."""
        return (REACH,) * self.ndim

    def update(self, state: State, patch: Patch) -> State:
        """Add the windows that begin in a cell."""
        assert patch.reference is not None
        bands = len(patch.output)
        sums, counted = np.zeros(bands), np.zeros(bands, np.int64)
        for band in range(bands):
            missing = missing_of(patch, band)
            left = None if missing is None else touched(missing)
            with np.errstate(over="ignore", invalid="ignore"):
                for piece in moments(patch.output[band], patch.reference[band], missing):
                    values = similarity(piece, self.data_range)
                    total, number = sum_up(values, None if left is None else left[piece.rows])
                    sums[band] += total
                    counted[band] += number
        windows = window_count(patch.output.shape[1:])
        state.add("border", Count([border_pixels(patch)] * bands))
        state.add("missing", Count(windows - counted))
        return state.add("ssim", ExactSum((bands,)).add(sums)).add("windows", Count(counted))


@dataclass(frozen=True)
class Ssim:
    """Mean structural similarity of each band, and their mean; its map is the similarity around each pixel."""

    statistic: StructuralSimilarity
    note: str
    """Where the data range is from."""
    name: str = "ssim"

    @property
    def grid(self) -> str:
        """The map has the pixels of the output."""
        return "output"

    @property
    def lead(self) -> tuple[int, ...]:
        """Pixels below a cell that its part of the map looks at."""
        return (RADIUS,) * self.statistic.ndim

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the mean of the bands, then each band."""
        none = (frame.bands,)
        counted = state.counts("windows", none)
        return band_measures(
            self.name,
            means(state.sums("ssim", none), counted),
            n=counted,
            left_out={WINDOW: state.counts("missing", none), BORDER: state.counts("border", none)},
            frame=frame,
            note=self.note,
            undefined=why_undefined(frame),
        )

    def pixels(self, patch: Patch, state: State, frame: Frame) -> NDArray[np.float32]:
        """Return the similarity around each pixel of the cell, NaN at the image's border and near missing pixels."""
        del state
        assert patch.reference is not None
        stops = [start + size for start, size in zip(patch.start, patch.cell, strict=True)]
        firsts = [(stop - 1) // edge * edge for stop, edge in zip(stops, frame.cell, strict=True)]
        drawn = np.full((len(patch.output), *(b - a for a, b in zip(firsts, stops, strict=True))), np.nan, np.float32)
        # Where the map's first pixel lies in the arrays, and which pixels are looked at.
        origin = [first - start for first, start in zip(firsts, patch.start, strict=True)]
        seen = tuple(
            slice(max(0, low - RADIUS), low + size + RADIUS) for low, size in zip(origin, drawn.shape[1:], strict=True)
        )
        # Windows are counted by their first pixel, and the map has them at their centre.
        shift = [part.start + RADIUS - low for part, low in zip(seen, origin, strict=True)]
        for band, image in enumerate(drawn):
            missing = missing_of(patch, band)
            part = None if missing is None else missing[seen]
            left = None if part is None else touched(part)
            with np.errstate(over="ignore", invalid="ignore"):
                for piece in moments(patch.output[band][seen], patch.reference[band][seen], part):
                    values = similarity(piece, self.statistic.data_range)
                    if left is not None:
                        values[left[piece.rows]] = np.nan
                    rows = slice(piece.rows.start + shift[0], piece.rows.stop + shift[0])
                    others = (slice(s, s + n) for s, n in zip(shift[1:], values.shape[1:], strict=True))
                    image[(rows, *others)] = values
        return drawn


def make_ssim(frame: Frame, settings: Settings) -> Ssim:
    """Return the metric `ssim`.

    Raises
    ------
    InputError
        There is no reference, or no data range for floats.
    """
    require_reference(frame, "ssim")
    data_range, note = range_of(frame, settings, "ssim")
    return Ssim(StructuralSimilarity(frame.ndim, data_range), note)


def range_of(frame: Frame, settings: Settings, metric: str) -> tuple[float, str]:
    """Return the data range, and what to say of where it is from.

    Raises
    ------
    InputError
        It is neither given nor that of an integer format, or it is not a positive number.
    """
    given = settings.data_range
    if given is not None:
        if not 0 < given < np.inf:
            raise InputError(f"A data range of {given:g} cannot be measured with.", remedy="Give a positive number.")
        return float(given), f"data range {given:g} as given"
    dtype = np.dtype(frame.dtype)
    if dtype.kind not in "iu":
        raise InputError(
            f"{metric} compares with the range of possible intensities, which {frame.dtype} does not tell.",
            remedy="Give it with --data-range.",
        )
    span = float(np.iinfo(dtype).max) - float(np.iinfo(dtype).min)
    return span, f"data range {span:g}, that of {frame.dtype}"


def similarity(piece: Moments, data_range: float) -> NDArray[np.float64]:
    """Return the structural similarity of some windows: equation 13 of the paper."""
    above, below = _luminance(piece, data_range)
    more, less = _contrast(piece, data_range)
    above *= more
    below *= less
    above /= below
    return above


def contrast(piece: Moments, data_range: float) -> NDArray[np.float64]:
    """Return its second factor alone, which compares the variances and the correlation, not the means."""
    above, below = _contrast(piece, data_range)
    above /= below
    return above


def _luminance(piece: Moments, data_range: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return _fraction(piece.total, piece.difference, 2 * (K1 * data_range) ** 2)


def _contrast(piece: Moments, data_range: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return _fraction(piece.total_variance, piece.difference_variance, 2 * (K2 * data_range) ** 2)


def _fraction(
    total: NDArray[np.float64], difference: NDArray[np.float64], constant: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return numerator and denominator of a factor, both doubled."""
    above, below = total - difference, total + difference
    above += constant
    below += constant
    return above, below
