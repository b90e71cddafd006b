"""Instruments with a name, to begin with: typical figures of each kind, to be replaced by those of one's own.

All are our own choice; the paper on HyReS names none. They measure 4 x 4 pixels of the truth at once, and their counts
are for a truth whose brightest intensity is about 1.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from scalesr.errors import InputError
from scalesr.hyres.instrument import Instrument, read_fields
from scalesr.metrics.blurs import Disc, Gaussian

if TYPE_CHECKING:
    from collections.abc import Mapping

PRESETS: Mapping[str, Instrument] = MappingProxyType(
    {
        # Area means and nothing else: the paper's synthetic data is downsampled too, by a method that it calls bicubic.
        "binning": Instrument(factor=4),
        # A laser focus half as wide as the pixel, some hundred ions in the brightest peak, and crystals of matrix that
        # differ by a fifth from pixel to pixel. Pixels of failed shots are rare.
        "maldi": Instrument(factor=4, spot=Gaussian.of_width(2.0), counts=200.0, gain=0.2, dead=0.001),
        # A crater as wide as the pixel, an aerosol that is flushed out within about one shot, few ions of each label.
        "imc": Instrument(factor=4, spot=Disc(4.0), washout=1.0, counts=50.0, gain=0.03),
        # A focus far below the pixel, thousands of photons, and a cooled detector.
        "raman": Instrument(factor=4, spot=Gaussian.of_width(1.0), counts=2000.0, gain=0.01, read_noise=0.003),
        # A lens that resolves about one pixel of the sensor; photosites differ by one percent and a few are dead. Where
        # wavelengths are known, give a spot of `Diffraction` instead.
        "camera": Instrument(
            factor=4, spot=Gaussian.of_width(4.0), counts=10000.0, gain=0.01, read_noise=0.002, dead=0.0001
        ),
    }
)
"""Instruments by name."""


def read_instrument(text: str) -> Instrument:
    """Return the instrument of a setting: a preset, a preset with changes, or all properties.

    Such as ``maldi``, ``maldi,factor=2,counts=50`` or ``factor=4,spot=disc:4``. Another factor than the preset's keeps
    its spot and its tail as they are on the sample, see `Instrument.at`.

    Raises
    ------
    InputError
        Neither a preset nor properties; the message names both.
    """
    name, comma, changes = (each.strip() for each in text.partition(","))
    if name not in PRESETS:
        if "=" not in name:
            raise InputError(
                f"There is no instrument {name!r}.",
                remedy=f"Give {', '.join(PRESETS)}, or properties such as factor=4,spot=gaussian:1.5,counts=200.",
            )
        return Instrument.parse(text)
    preset = PRESETS[name]
    found = read_fields(changes) if comma else {}
    return replace(preset.at(found.pop("factor", preset.factor)), **found)
