"""Instruments around those that are named, so that a network does not depend on how well one is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from scalesr.errors import PlanError
from scalesr.hyres.presets import read_instrument
from scalesr.metrics.blurs import Gaussian

if TYPE_CHECKING:
    import numpy as np

    from scalesr.hyres.instrument import Instrument, Spot
    from scalesr.hyres.settings import Vary

SOME, FEW = 0.25, 0.1
"""How often a patch gets what the named instrument does not have: a spot or counts, and gain or read noise."""


@dataclass(frozen=True, kw_only=True)
class InstrumentFamily:
    """Draws instruments near those that are named; our own choice, as the paper does not say how it degrades.

    Widths of spot and washout are drawn from half to one and a half times those of the centre, counts from a quarter
    to four times, gain and read noise from nothing to twice. What the centre lacks is there in a few patches and weak:
    a spot of 0.5 to 2.8 pixels full width, 50 to 5,000 counts, a gain of up to 5 %, read noise of up to 2 %. Dead
    pixels are as often, and full scale is where it is, as with the centre.

    Raises
    ------
    PlanError
        There is none, they bin by different factors, or the blur of one depends on the wavelength, and patches are of
        one band.
    """

    centres: tuple[Instrument, ...]
    """The instruments that are named, drawn alike; they bin by the same factor."""
    vary: Vary = "family"
    """``fixed`` draws them as they are named."""

    def __post_init__(self) -> None:
        if len({centre.factor for centre in self.centres}) != 1:
            raise PlanError("Instruments of one training bin by one factor.", remedy="Give all the same factor.")
        if any(centre.degradation.bands is not None for centre in self.centres):
            raise PlanError(
                "A network for each band alone cannot be trained with a blur that depends on the wavelength.",
                remedy="Give the instrument a Gaussian spot of the width at the middle of the spectrum.",
            )

    @classmethod
    def read(cls, text: str, *, factor: int, vary: Vary = "family") -> InstrumentFamily:
        """Return the family around the instruments of a setting, joined by semicolons: ``binning; maldi,counts=50``.

        Parameters
        ----------
        text
            Each as `read_instrument` reads it; one that is named twice is drawn twice as often.
        factor
            Pixels of the truth for each measured one; spots and tails keep their size on the sample, see
            `Instrument.at`.
        vary
            See the class.

        Raises
        ------
        InputError
            One is neither a preset nor properties.
        PlanError
            As for the class.
        """
        return cls(centres=tuple(read_instrument(each).at(factor) for each in text.split(";")), vary=vary)

    def __str__(self) -> str:
        return "; ".join(map(str, self.centres))

    @property
    def factor(self) -> int:
        """Pixels of the truth for each measured one, along y and x."""
        return self.centres[0].factor

    def draw(self, random: np.random.Generator) -> Instrument:
        """Return the instrument of one patch; it always takes the same number of random numbers."""
        which, width, counts, gain, noise, *rare = (float(each) for each in random.random(9))
        centre = self.centres[int(which * len(self.centres))]
        if self.vary == "fixed":
            return centre
        drawn: float | None = None
        if centre.counts is not None:
            drawn = _between(centre.counts / 4, centre.counts * 4, counts)
        elif rare[0] < SOME:
            drawn = _between(50.0, 5000.0, counts)
        return replace(
            centre,
            spot=_spot(centre.spot, width, there=rare[1] < SOME),
            washout=centre.washout * (0.5 + width),
            counts=drawn,
            gain=2 * gain * centre.gain if centre.gain else 0.05 * gain * (rare[2] < FEW),
            read_noise=2 * noise * centre.read_noise if centre.read_noise else 0.02 * noise * (rare[3] < FEW),
        )


def _spot(spot: Spot | None, share: float, *, there: bool) -> Spot | None:
    if spot is not None:
        return spot.scaled(0.5 + share)
    return Gaussian.of_width(0.5 + 2.3 * share) if there else None


def _between(low: float, high: float, share: float) -> float:
    """Return a number between two, all orders of magnitude alike."""
    return low * math.exp(share * math.log(high / low))
