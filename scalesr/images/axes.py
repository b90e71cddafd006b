"""What the dimensions of an image mean: axes with units, and the channels along one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AxisKind = Literal["time", "channel", "space", "other"]
"""What an axis runs along; ``other`` is any that OME-Zarr lets a user name: angle, wavelength, m/z."""

KINDS: dict[str, AxisKind] = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
"""Kind of an axis that has no type, by its name."""

_METRES = {
    "angstrom": 1e-10,
    "attometer": 1e-18,
    "centimeter": 1e-2,
    "decimeter": 1e-1,
    "femtometer": 1e-15,
    "foot": 0.3048,
    "hectometer": 1e2,
    "inch": 0.0254,
    "kilometer": 1e3,
    "megameter": 1e6,
    "meter": 1.0,
    "micrometer": 1e-6,
    "mile": 1609.344,
    "millimeter": 1e-3,
    "nanometer": 1e-9,
    "picometer": 1e-12,
    "yard": 0.9144,
}

_ALIASES = {
    "\u00b5m": "micrometer",  # micro sign
    "\u03bcm": "micrometer",  # Greek mu, which looks the same
    "\\u00b5m": "micrometer",  # ImageJ escapes what is not ASCII
    "um": "micrometer",
    "micron": "micrometer",
    "microns": "micrometer",
    "micrometre": "micrometer",
    "nm": "nanometer",
    "nanometre": "nanometer",
    "mm": "millimeter",
    "millimetre": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "metre": "meter",
    "pm": "picometer",
    "\u00e5": "angstrom",
    "in": "inch",
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "\u00b5s": "microsecond",
    "min": "minute",
    "h": "hour",
}


@dataclass(frozen=True)
class Axis:
    """One dimension of an image."""

    name: str
    """Unique within the image; mostly one letter of ``tczyx``."""
    kind: AxisKind
    """What the axis runs along."""
    unit: str | None = None
    """UDUNITS-2 name such as ``micrometer`` or ``second``; ``None`` where the file names none."""


@dataclass(frozen=True)
class Channel:
    """How a viewer is asked to show one channel."""

    label: str | None = None
    """Name of the dye, the band or the stain."""
    start: float | None = None
    """Intensity shown as black."""
    end: float | None = None
    """Intensity shown at full brightness."""
    color: str | None = None
    """Six hexadecimal digits, RRGGBB."""


def canonical_unit(text: str | None) -> str | None:
    """Return the UDUNITS-2 name of a unit as people and programs write it; unknown ones come back as they are.

    ``None``, an empty text and ``pixel`` mean that there is no unit.
    """
    if text is None:
        return None
    name = text.strip()
    if name.lower() in {"", "pixel", "pixels", "px", "pix", "null", "none", "reference frame"}:
        return None
    return _ALIASES.get(name.lower(), name if name.lower() not in _METRES else name.lower())


def metres(unit: str | None) -> float | None:
    """Return the metres in a unit of length, or ``None`` for any other unit and for none."""
    return None if unit is None else _METRES.get(unit)


def axis_named(name: str, *, unit: str | None = None) -> Axis:
    """Return an axis whose kind follows from its name; anything but ``t``, ``c``, ``z``, ``y``, ``x`` is ``other``."""
    return Axis(name, KINDS.get(name, "other"), unit)
