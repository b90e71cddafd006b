"""Universal image quality index (Wang & Bovik 2002), cell by cell, in two or three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalesr.metrics.bandwise import band_measures
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.gaussian import REACH
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

CONSTANT = "constant windows"
"""Why a window was left out: neither image varies in it, or both means are zero, and the index is zero by zero."""
ROUNDING = 64 * float(np.finfo(np.float64).eps)
"""Variances below this share of the mean squares are what rounding makes of none."""


@dataclass(frozen=True)
class UniversalQuality:
    """Sums of the universal quality index over windows, for each band.

    The index is 4 cov(x, y) E[x] E[y] / ((var x + var y) (E[x]^2 + E[y]^2)). The windows are those of torchmetrics
    and not the squares of 8 pixels of the paper: 11 pixels along each axis, weighted by a Gaussian of 1.5 pixels, fully
    inside the image. A window in which neither image varies has no index: it is left out and counted. (torchmetrics
    counts a zero for it, and adds 2.2e-16 to every denominator, which shows where intensities are below 0.001.)
    """

    ndim: int
    """Axes of space: 2 or 3."""

    @property
    def context(self) -> tuple[int, ...]:
        """Pixels above the cell that windows reach."""
        return (REACH,) * self.ndim

    def update(self, state: State, patch: Patch) -> State:
        """Add the windows that begin in a cell."""
        assert patch.reference is not None
        bands = len(patch.output)
        sums = np.zeros(bands)
        counted, flat, lost = np.zeros((3, bands), np.int64)
        for band in range(bands):
            missing = missing_of(patch, band)
            left = None if missing is None else touched(missing)
            with np.errstate(over="ignore", invalid="ignore"):
                for piece in moments(patch.output[band], patch.reference[band], missing):
                    near = None if left is None else left[piece.rows]
                    values, constant = _index(piece)
                    if near is not None:
                        constant &= ~near
                    some = bool(constant.any())
                    total, number = sum_up(values, _either(near, constant) if some else near)
                    sums[band] += total
                    counted[band] += number
                    flat[band] += int(np.count_nonzero(constant))
            lost[band] = window_count(patch.output.shape[1:]) - counted[band] - flat[band]
        state.add("uqi", ExactSum((bands,)).add(sums)).add("windows", Count(counted))
        state.add("constant", Count(flat)).add("missing", Count(lost))
        return state.add("border", Count([border_pixels(patch)] * bands))


@dataclass(frozen=True)
class Uqi:
    """Mean universal quality index of each band, and their mean."""

    statistic: UniversalQuality
    name: str = "uqi"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the mean of the bands, then each band."""
        none = (frame.bands,)
        counted, constant = state.counts("windows", none), state.counts("constant", none)
        note = "windows that vary in neither image have no index" if constant.any() else ""
        return band_measures(
            self.name,
            means(state.sums("uqi", none), counted),
            n=counted,
            left_out={
                WINDOW: state.counts("missing", none),
                CONSTANT: constant,
                BORDER: state.counts("border", none),
            },
            frame=frame,
            note=note,
            undefined="no window that varies" if constant.any() else why_undefined(frame),
        )


def make_uqi(frame: Frame, settings: Settings) -> Uqi:
    """Return the metric `uqi`; it needs no setting.

    Raises
    ------
    InputError
        There is no reference.
    """
    del settings
    require_reference(frame, "uqi")
    return Uqi(UniversalQuality(frame.ndim))


def _index(piece: Moments) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the index of some windows, and which have none."""
    variances = piece.total_variance + piece.difference_variance
    constant = variances <= ROUNDING * piece.power
    squares = piece.total + piece.difference
    below = variances * squares
    constant |= below == 0
    above = piece.total - piece.difference
    above *= piece.total_variance - piece.difference_variance
    np.divide(above, below, out=above, where=~constant)
    return above, constant


def _either(first: NDArray[np.bool_] | None, second: NDArray[np.bool_]) -> NDArray[np.bool_]:
    return second if first is None else first | second
