"""What the instrument did to the truth: how an image of the output's grid would have been measured.

Each degradation is weights of the pixels on and around the ground of a measured one, so it is the same in whatever
cells it is computed. `scalesr.phantoms.degrade` makes measurements from phantoms, by whole factors and in float32; here
the ratio of the grids is any fraction, and figures are float64. `scalesr.hyres.Instrument` adds noise to these weights.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.blur import Blur, Chain, Period, Term, area_taps
from scalesr.metrics.blurs import Diffraction, Disc, Gaussian, Washout
from scalesr.metrics.resampling import Neighbours, resample, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame

BLURS = "gaussian:SIGMA, washout:LENGTH, disc:DIAMETER, diffraction:NA:PIXEL:WAVELENGTH/WAVELENGTH/..."
CHOICES = f"area, rows, {BLURS}, and blurs joined by + (in pixels of the output, such as gaussian:1.5+washout:0.5)"


class Degradation(Protocol):
    """How the instrument makes a measured pixel from pixels of the output's grid. Frozen, so that it can be compared.

    ``str`` of one is its setting; `read_degradation` is the inverse.

    Weights are a sum of separable terms: those of the axes multiply, those of the terms add. None is negative.
    """

    @property
    def text(self) -> str:
        """What it does, in words for the note of a figure."""

    @property
    def reach(self) -> int:
        """Farthest pixel of the output that it looks at beyond the ground of a measured pixel."""

    @property
    def bands(self) -> int | None:
        """How many bands it is for; `None` where it is the same for all."""

    def terms(self, ratio: tuple[Fraction, ...], band: int) -> tuple[Term, ...]:
        """Return the weights of a band: for each axis, those of the measured pixels of a period of the denominator."""

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class Area:
    """Each measured pixel is the mean over its ground; a pixel on its border counts for the part that lies in it."""

    text = "area mean"
    reach = 0
    bands = None

    def __str__(self) -> str:
        return "area"

    def terms(self, ratio: tuple[Fraction, ...], band: int) -> tuple[Term, ...]:
        """Return overlaps as parts of the whole; see `Degradation`."""
        del band
        return (tuple(map(area_taps, ratio)),)


@dataclass(frozen=True)
class RowSampling:
    """Thin sections: measured plane k is plane ``floor(k * ratio + 1/2)`` along the first axis of space, unblurred.

    The other axes are area means, which changes nothing where they have the same pixels. This is the geometry of rows
    that were kept among rows to be filled in: plane 0 of both images is the same plane. On the half-pixel grid of
    `Area` and of interpolation the centre of measured pixel 0 lies ``(ratio - 1) / 2`` output pixels further.
    """

    text = "single planes along the first axis of space"
    reach = 0
    bands = None

    def __str__(self) -> str:
        return "rows"

    def terms(self, ratio: tuple[Fraction, ...], band: int) -> tuple[Term, ...]:
        """Return one weight of 1 for each measured plane; see `Degradation`."""
        del band
        first, *others = ratio
        planes = (Neighbours(math.floor(j * first + Fraction(1, 2)), (1.0,)) for j in range(first.denominator))
        return ((tuple(planes), *map(area_taps, others)),)


def blurred(blurs: Sequence[Blur]) -> Degradation:
    """Return the degradation of blurs, one after the other, and area means."""
    return Chain(tuple(blurs)) if len(blurs) > 1 else blurs[0] if blurs else Area()


def read_degradation(text: str) -> Degradation:
    """Return the degradation that a setting names.

    Raises
    ------
    InputError
        The text names none; the message lists the choices.
    """
    name = text.strip()
    if name == "area":
        return Area()
    if name == "rows":
        return RowSampling()
    blurs = [_read(each) for each in re.split(r"\+(?=\s*[a-z])", name)]  # not the plus of 1e+3
    known = [each for each in blurs if each is not None]
    if len(known) < len(blurs):
        raise InputError(f"There is no degradation {text!r}.", remedy=f"Choose from: {CHOICES}.")
    return blurred(known)


def read_blur(text: str) -> Blur:
    """Return the blur that a setting names: the inverse of ``str`` of one.

    Raises
    ------
    InputError
        The text names none; the message lists the choices.
    """
    blur = _read(text)
    if blur is None:
        raise InputError(f"There is no blur {text!r}.", remedy=f"Choose from: {BLURS}.")
    return blur


def _read(text: str) -> Blur | None:
    name, _, rest = text.strip().partition(":")
    values = rest.split(":")
    try:
        match name, values:
            case "gaussian", [sigma]:
                return Gaussian(float(sigma))
            case "washout", [length]:
                return Washout(float(length))
            case "disc", [diameter]:
                return Disc(float(diameter))
            case "diffraction", [aperture, pixel, waves]:
                return Diffraction(float(aperture), float(pixel), tuple(map(float, waves.split("/"))))
    except (ValueError, InputError):
        return None  # the caller names the choices
    return None


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


@dataclass(frozen=True)
class Weights:
    """All that a degradation does at a ratio."""

    terms: tuple[tuple[Term, ...], ...]
    """Those of each band, or once for all."""
    margins: tuple[int, ...]
    """See `margin`."""

    def of(self, band: int) -> tuple[Term, ...]:
        """Return those of a band."""
        return self.terms[band if len(self.terms) > 1 else 0]

    def whole(self, axis: int, *, step: int, length: int) -> int:
        """Return the end of the measured pixels whose ground and margin lie before the end of an axis, in all bands."""
        return min(whole(term[axis], step=step, length=length) for band in self.terms for term in band)


@lru_cache(maxsize=256)
def weights_of(degradation: Degradation, ratio: tuple[Fraction, ...]) -> Weights:
    """Return the weights of each band along each axis."""
    terms = tuple(degradation.terms(ratio, band) for band in range(degradation.bands or 1))
    margins = []
    for axis, factor in enumerate(ratio):
        taps = [t for band in terms for term in band for t in term[axis]]
        beyond = max(max(-t.start, t.start + len(t.weights) - factor.numerator, 0) for t in taps)
        margins.append(-(-beyond // factor.numerator) * factor.numerator)
    return Weights(terms, tuple(margins))


def margin(degradation: Degradation, ratio: tuple[Fraction, ...]) -> tuple[int, ...]:
    """Return how many pixels of the output a measured pixel needs beyond its own period, in whole periods.

    A statistic asks for twice as many as context.
    """
    return weights_of(degradation, ratio).margins


def degrade(
    values: NDArray[Any], degradation: Degradation, *, ratio: tuple[Fraction, ...], spans: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Return what the instrument would have measured of an image of the output's grid.

    Parameters
    ----------
    values
        Finite numbers of any format, shape (bands, *space).
    degradation
        What the instrument does. Where it differs between bands, it is for as many.
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
    weights = weights_of(degradation, ratio)
    return np.stack([degrade_band(values[n], weights.of(n), ratio=ratio, spans=spans) for n in range(len(values))])


def degrade_band(
    band: NDArray[Any], terms: Sequence[Term], *, ratio: Sequence[Fraction], spans: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Return one band of `degrade`, by the weights of that band."""
    total = _degrade(band, terms[0], ratio, spans)
    for term in terms[1:]:
        total += _degrade(band, term, ratio, spans)
    return total


def _degrade(
    band: NDArray[Any], term: Sequence[Period], ratio: Sequence[Fraction], spans: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    result = band
    for axis, (period, factor, (first, stop)) in enumerate(zip(term, ratio, spans, strict=True)):
        result = resample(result, period, step=factor.numerator, axis=axis, first=first, stop=stop)
    return result
