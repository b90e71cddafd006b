"""What the instrument did to the truth: how an image of the output's grid would have been measured.

Each degradation is a list of weights for each axis, so it needs only the pixels around those of a measured one and is
the same in whatever cells it is computed. `scalesr.phantoms.degrade` makes measurements from phantoms, by whole factors
and in float32; here the ratio of the grids is any fraction, and figures are float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.resampling import Neighbours, resample

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame

CHOICES = "area, rows, gaussian:SIGMA (in pixels of the output, such as gaussian:1.5)"
TRUNCATE = 4.0
"""Standard deviations after which a Gaussian ends, as in ``scipy.ndimage.gaussian_filter``."""


class Degradation(Protocol):
    """How the instrument makes a measured pixel from pixels of the output's grid. Frozen, so that it can be compared.

    Weights are separable: those of the axes multiply.
    """

    @property
    def text(self) -> str:
        """What it does, in words for the note of a figure."""

    def taps(self, axis: int, ratio: Fraction) -> tuple[Neighbours, ...]:
        """Return the weights along an axis of space of each measured pixel of a period of the ratio's denominator."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Area:
    """Each measured pixel is the mean over its ground; a pixel on its border counts for the part that lies in it."""

    @property
    def text(self) -> str:
        """What it does."""
        return "area mean"

    def taps(self, axis: int, ratio: Fraction) -> tuple[Neighbours, ...]:
        """Return overlaps as parts of the whole; see `Degradation`."""
        del axis
        return area_taps(ratio)


@dataclass(frozen=True)
class RowSampling:
    """Thin sections: measured plane k is plane ``floor(k * ratio + 1/2)`` along the first axis of space, unblurred.

    The other axes are area means, which changes nothing where they have the same pixels. This is the geometry of rows
    that were kept among rows to be filled in: plane 0 of both images is the same plane. On the half-pixel grid of
    `Area` and of interpolation the centre of measured pixel 0 lies ``(ratio - 1) / 2`` output pixels further.
    """

    @property
    def text(self) -> str:
        """What it does."""
        return "single planes along the first axis of space"

    def taps(self, axis: int, ratio: Fraction) -> tuple[Neighbours, ...]:
        """Return one weight of 1 for each measured plane; see `Degradation`."""
        if axis:
            return area_taps(ratio)
        return tuple(Neighbours(math.floor(j * ratio + Fraction(1, 2)), (1.0,)) for j in range(ratio.denominator))


@dataclass(frozen=True)
class Gaussian:
    """A Gaussian blur of the output's grid, then the area mean.

    The Gaussian is sampled at the pixels, ends after 4 standard deviations and sums to 1, as that of
    ``scipy.ndimage.gaussian_filter`` does. It acts along all axes of space unless `along` says which.
    """

    sigma: float
    """Standard deviation in pixels of the output; 0 is no blur."""
    along: tuple[int, ...] | None = None
    """Axes of space that are blurred; `None` means all."""

    @property
    def text(self) -> str:
        """What it does."""
        return f"Gaussian blur of {self.sigma:g} pixels of the output, then area mean"

    def taps(self, axis: int, ratio: Fraction) -> tuple[Neighbours, ...]:
        """Return the area weights convolved with the Gaussian; see `Degradation`."""
        period = area_taps(ratio)
        radius = radius_of(self.sigma) if self.along is None or axis in self.along else 0
        if radius == 0:
            return period
        bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / self.sigma) ** 2)
        bell /= bell.sum()
        return tuple(Neighbours(t.start - radius, tuple(np.convolve(bell, t.weights).tolist())) for t in period)


def radius_of(sigma: float) -> int:
    """Return how many pixels a Gaussian reaches to each side."""
    return int(TRUNCATE * sigma + 0.5)


def area_taps(ratio: Fraction) -> tuple[Neighbours, ...]:
    """Return the weights of area means over `ratio` pixels, at least 1, of each measured pixel of a period."""
    period = []
    for low, high in ((j * ratio, (j + 1) * ratio) for j in range(ratio.denominator)):
        first, stop = math.floor(low), math.ceil(high)
        parts = tuple(float((min(high, Fraction(n + 1)) - max(low, Fraction(n))) / ratio) for n in range(first, stop))
        period.append(Neighbours(first, parts))
    return tuple(period)


def read_degradation(text: str) -> Degradation:
    """Return the degradation that a setting names.

    Raises
    ------
    InputError
        The text names none; the message lists the choices.
    """
    name, _, value = text.strip().partition(":")
    if name == "area" and not value:
        return Area()
    if name == "rows" and not value:
        return RowSampling()
    if name == "gaussian":
        try:
            sigma = float(value)
        except ValueError:
            sigma = math.nan
        if 0 <= sigma < math.inf:
            return Gaussian(sigma)
    raise InputError(f"There is no degradation {text!r}.", remedy=f"Choose from: {CHOICES}.")


def refuse_unmeasured(name: str, frame: Frame) -> None:
    """Refuse to compare with a measurement where there is none, or one of a finer grid.

    Raises
    ------
    InputError
        There is no measurement, or it has more pixels than the output along an axis.
    """
    if not frame.has_measured:
        raise InputError(
            f"The metric '{name}' compares with the measurement, and none was given.",
            remedy="Name the image that the output was made from as the measurement.",
        )
    if min(frame.ratio) < 1:
        raise InputError(
            f"The measurement has more pixels than the output (ratio {' x '.join(map(str, frame.ratio))}), "
            f"and the metric '{name}' needs at most as many.",
            remedy="Give the output and its measurement in this order, or leave the metric out.",
        )


@lru_cache(maxsize=256)
def weights_of(
    degradation: Degradation, ratio: tuple[Fraction, ...]
) -> tuple[tuple[tuple[Neighbours, ...], ...], tuple[int, ...]]:
    """Return the weights along each axis, and the margin; see `margin`."""
    every: list[tuple[Neighbours, ...]] = []
    margins: list[int] = []
    for axis, factor in enumerate(ratio):
        period = degradation.taps(axis, factor)
        beyond = [max(-t.start, t.start + len(t.weights) - factor.numerator, 0) for t in period]
        every.append(period)
        margins.append(-(-max(beyond) // factor.numerator) * factor.numerator)
    return tuple(every), tuple(margins)


def margin(degradation: Degradation, ratio: tuple[Fraction, ...]) -> tuple[int, ...]:
    """Return how many pixels of the output a measured pixel needs beyond its own period, in whole periods.

    A statistic asks for twice as many as context.
    """
    return weights_of(degradation, ratio)[1]


def degrade(
    values: NDArray[Any], degradation: Degradation, *, ratio: tuple[Fraction, ...], spans: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Return what the instrument would have measured of an image of the output's grid.

    Parameters
    ----------
    values
        Finite numbers of any format, shape (bands, *space).
    degradation
        What the instrument does.
    ratio
        Pixels of the output for each measured one along each axis of space.
    spans
        First measured pixel and the one after the last, along each axis of space, counted from that over the first of
        `values`; all that they need is there.

    Returns
    -------
    numpy.ndarray
        float64, shape (bands, *measured pixels).
    """
    periods, _ = weights_of(degradation, ratio)
    return np.stack([_degrade(band, periods, ratio, spans) for band in values])


def _degrade(
    band: NDArray[Any],
    periods: Sequence[tuple[Neighbours, ...]],
    ratio: Sequence[Fraction],
    spans: Sequence[tuple[int, int]],
) -> NDArray[np.float64]:
    result = band
    for axis, (period, factor, (first, stop)) in enumerate(zip(periods, ratio, spans, strict=True)):
        result = resample(result, period, step=factor.numerator, axis=axis, first=first, stop=stop)
    return result
