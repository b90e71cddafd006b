"""Interpolation kernels as exact rational weights on the half-pixel grid, or on that of points.

Output pixel j of an axis enlarged by s lies at (j + 1/2)/s - 1/2 in input pixels where pixels stand for areas, and at
j/s where they stand for points. For s = p/q these positions repeat after p outputs (q inputs), so p short lists of
weights describe an axis of any length.

The cubic kernel is that of Keys (1981) with a = -1/2, which reproduces quadratics; on shrinking, linear and cubic
kernels are widened by 1/s so that they also remove what the coarser grid cannot hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from scalesr.models.spec import Sampling

Kernel = Literal["nearest", "linear", "cubic"]

_RADIUS = {"linear": 1, "cubic": 2}


@dataclass(frozen=True)
class Taps:
    """The input pixels that one output pixel of a period is made of."""

    start: int
    """First input pixel, counted from the first of the period."""
    weights: tuple[Fraction, ...]
    """Weight of that pixel and of those after it; they sum to 1 exactly."""

    @property
    def base(self) -> int:
        """Position in `weights` of the heaviest one."""
        return max(range(len(self.weights)), key=lambda index: self.weights[index])


def taps(kernel: Kernel, scale: Fraction, *, sampling: Sampling = "area") -> tuple[Taps, ...]:
    """Give the exact weights of every output pixel of one period.

    Parameters
    ----------
    kernel
        Which interpolation.
    scale
        Output pixels for each input pixel, positive.
    sampling
        What pixels stand for; see `Sampling`. Of points, those of the input are hit exactly where scale x position is
        whole.

    Returns
    -------
    tuple of Taps
        One for each of ``scale.numerator`` outputs, which cover ``scale.denominator`` inputs.
    """
    shift = Fraction(1, 2) if sampling == "area" else Fraction(0)
    centres = [(phase + shift) / scale - shift for phase in range(scale.numerator)]
    return tuple(_nearest(centre) if kernel == "nearest" else _smooth(kernel, centre, scale) for centre in centres)


def receptive(kernel: Kernel, scale: Fraction, *, sampling: Sampling = "area") -> int:
    """Distance in input pixels from the pixel that an output lies in to the farthest one that it uses."""
    reach = 0
    for phase, tap in enumerate(taps(kernel, scale, sampling=sampling)):
        home = math.floor(phase / scale)
        reach = max(reach, home - tap.start, tap.start + len(tap.weights) - 1 - home)
    return reach


def _nearest(centre: Fraction) -> Taps:
    return Taps(math.floor(centre + Fraction(1, 2)), (Fraction(1),))


def _smooth(kernel: Literal["linear", "cubic"], centre: Fraction, scale: Fraction) -> Taps:
    widening = max(Fraction(1), 1 / scale)
    radius = _RADIUS[kernel] * widening
    first, last = math.floor(centre - radius) + 1, math.ceil(centre + radius) - 1
    shape = _linear if kernel == "linear" else _keys
    weights = {index: shape(abs(index - centre) / widening) for index in range(first, last + 1)}
    used = [index for index, weight in weights.items() if weight]
    total = sum(weights.values(), Fraction(0))
    return Taps(used[0], tuple(weights[index] / total for index in range(used[0], used[-1] + 1)))


def _linear(distance: Fraction) -> Fraction:
    return max(Fraction(0), 1 - distance)


def _keys(distance: Fraction) -> Fraction:
    if distance < 1:
        return 1 - Fraction(5, 2) * distance**2 + Fraction(3, 2) * distance**3
    if distance < 2:
        return 2 - 4 * distance + Fraction(5, 2) * distance**2 - Fraction(1, 2) * distance**3
    return Fraction(0)
