"""What a blur is: weights on a fine grid, that act before the pixels of a measurement add up.

A blur acts on the pixels of the output (or of the truth, when measurements are made from it), and sums to 1, so that no
light is lost. Weights are sums of separable terms: one term for a Gaussian, one for each row of a disc.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import TypeAlias

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.resampling import Neighbours

Line: TypeAlias = Neighbours
"""Weights along an axis, counted from the pixel that is blurred."""
Period: TypeAlias = tuple[Neighbours, ...]
"""Weights along an axis of each measured pixel of a period of the ratio's denominator."""
Term: TypeAlias = tuple[Period, ...]
"""One period for each axis of space. Weights of axes multiply, those of terms add."""

STAY: Line = Neighbours(0, (1.0,))
"""No blur."""


def area_taps(ratio: Fraction) -> Period:
    """Return the weights of area means over `ratio` pixels, at least 1, of each measured pixel of a period."""
    period = []
    for low, high in ((j * ratio, (j + 1) * ratio) for j in range(ratio.denominator)):
        first, stop = math.floor(low), math.ceil(high)
        parts = tuple(float((min(high, Fraction(n + 1)) - max(low, Fraction(n))) / ratio) for n in range(first, stop))
        period.append(Neighbours(first, parts))
    return tuple(period)


class Blur(ABC):
    """A blur, and the degradation of blurring and then taking area means. Frozen, so that it can be compared.

    ``str`` of a blur is its setting; `scalesr.metrics.degradation.read_blur` is the inverse.
    """

    @property
    @abstractmethod
    def blurs(self) -> str:
        """What it does to the fine grid, in words."""

    @property
    def text(self) -> str:
        """What it does, with the area mean that follows."""
        return f"{self.blurs}, then area mean"

    @property
    @abstractmethod
    def reach(self) -> int:
        """Farthest pixel that it looks at."""

    @property
    def bands(self) -> int | None:
        """How many bands it is for; `None` where it is the same for all."""
        return None

    @abstractmethod
    def lines(self, space: int, band: int) -> tuple[tuple[Line, ...], ...]:
        """Return the terms of a band, each with one line for each of `space` axes."""

    @abstractmethod
    def scaled(self, factor: float) -> Blur:
        """Return the same blur on a grid with `factor` times as many pixels along each axis."""

    def terms(self, ratio: tuple[Fraction, ...], band: int) -> tuple[Term, ...]:
        """Return the weights of area means of what is blurred; see `Degradation`."""
        areas = [area_taps(factor) for factor in ratio]
        return tuple(
            tuple(
                tuple(after(line, taps) for taps in period) if line != STAY else period
                for line, period in zip(term, areas, strict=True)
            )
            for term in self.lines(len(ratio), band)
        )


def after(line: Line, taps: Neighbours) -> Neighbours:
    """Return the weights of what `taps` makes of pixels that are blurred along a line."""
    return Neighbours(taps.start + line.start, tuple(np.convolve(line.weights, taps.weights).tolist()))


@dataclass(frozen=True)
class Chain(Blur):
    """Blurs one after the other."""

    members: tuple[Blur, ...]

    def __post_init__(self) -> None:
        if len({each.bands for each in self.members} - {None}) > 1:
            raise InputError(
                f"The blurs {self} are for different numbers of bands.", remedy="Give one list of wavelengths."
            )

    def __str__(self) -> str:
        return "+".join(map(str, self.members))

    @property
    def blurs(self) -> str:
        """What they do."""
        return ", ".join(each.blurs for each in self.members)

    @property
    def reach(self) -> int:
        """All of theirs together."""
        return sum(each.reach for each in self.members)

    @property
    def bands(self) -> int | None:
        """Those of the one that knows."""
        return next((each.bands for each in self.members if each.bands is not None), None)

    def lines(self, space: int, band: int) -> tuple[tuple[Line, ...], ...]:
        """Return a term for each choice of one from each blur; see `Blur`."""
        result = []
        for choice in product(*(each.lines(space, band) for each in self.members)):
            term = []
            for along in zip(*choice, strict=True):
                joint = STAY
                for line in along:
                    joint = line if joint == STAY else joint if line == STAY else after(line, joint)
                term.append(joint)
            result.append(tuple(term))
        return tuple(result)

    def scaled(self, factor: float) -> Chain:
        """Return the same blurs on the finer grid."""
        return Chain(tuple(each.scaled(factor) for each in self.members))
