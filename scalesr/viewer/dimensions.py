"""The axes of an image as neuroglancer has them: names, sizes of pixels in units without prefixes, places of pixels."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalesr.images.axes import metres
from scalesr.images.opening import ome_attributes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.images import Axis, Image

NUMBERS = frozenset({"uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "float32"})
"""Number formats that neuroglancer draws."""
_THOUSANDS = ("atto", "femto", "pico", "nano", "micro", "milli", "", "kilo", "mega", "giga", "tera")
_PREFIXES = {name: 3 * place for place, name in enumerate(_THOUSANDS, start=-6)}
_PREFIXES |= {"centi": -2, "deci": -1, "deca": 1, "hecto": 2}
_UNITS: dict[str, tuple[float, str]] = {
    **{f"{prefix}meter": (10.0**power, "m") for prefix, power in _PREFIXES.items()},
    **{f"{prefix}second": (10.0**power, "s") for prefix, power in _PREFIXES.items()},
    **{name: (metres(name) or 1.0, "m") for name in ("angstrom", "foot", "inch", "mile", "yard")},
    "minute": (60.0, "s"),
    "hour": (3600.0, "s"),
    "day": (86400.0, "s"),
}
"""Units that neuroglancer knows in OME-Zarr, in metres and seconds."""


@dataclass(frozen=True, kw_only=True)
class Dimension:
    """One axis of an image."""

    name: str
    """As neuroglancer allows: letters, digits and underscores."""
    axis: Axis
    """What it is in the image."""
    step: float
    """Size of a pixel in `unit`."""
    unit: str
    """``m``, ``s``, or nothing."""
    first: float
    """Centre of the first pixel, in pixels."""
    size: int
    """Pixels at full resolution."""

    @property
    def pair(self) -> list[Any]:
        """The size of a pixel with its unit, as neuroglancer writes it."""
        return [self.step, self.unit]

    def centre(self, pixel: float) -> float:
        """Return where the centre of a pixel lies, in pixels from the origin of the unit, as neuroglancer counts."""
        return self.first + pixel


def dimensions(image: Image) -> tuple[Dimension, ...]:
    """Return the axes of an image, in its order."""
    level = image.levels[0]
    found = []
    for axis, size, scale, start in zip(image.axes, level.shape, level.scale, level.translation, strict=True):
        factor, unit = (1.0, "") if axis.unit is None else _UNITS[axis.unit]
        found.append(
            Dimension(
                name=re.sub(r"\W", "_", axis.name, flags=re.ASCII).lstrip("0123456789") or "axis",
                axis=axis,
                step=scale * factor,
                unit=unit,
                first=start / scale,
                size=size,
            )
        )
    return tuple(found)


def shown_axes(image: Image) -> list[str]:
    """Return the names of the axes along which a picture extends, fastest first: two or three of space."""
    space = [axis.name for axis in image.axes if axis.kind == "space"]
    return list(reversed((space if len(space) >= 2 else [axis.name for axis in image.axes])[-3:]))


def objection(image: Image, *, beside: Image | None = None) -> str | None:
    """Return why neuroglancer cannot show an image, alone or beside another one; ``None`` where it can."""
    return next(_objections(image, beside), None)


def _objections(image: Image, beside: Image | None) -> Iterator[str]:
    for level in image.levels:
        if level.dtype not in NUMBERS:
            yield f"{image.url} holds {level.dtype}, which neuroglancer does not draw ({', '.join(sorted(NUMBERS))})"
    # What the file says, and not what it was taken for.
    listed = ome_attributes(image.metadata, image.version).get("multiscales", [{}])[0]
    for axis in listed.get("axes", []):
        unit = axis.get("unit") if isinstance(axis, dict) else None
        if unit is not None and unit not in _UNITS:
            yield f"{image.url} gives axis {axis.get('name')} the unit {unit!r}, which neuroglancer does not know"
    if not all(isinstance(one, dict) and one.get("coordinateTransformations") for one in listed.get("datasets", [])):
        yield f"{image.url} does not say the size of its pixels, which neuroglancer needs"
    units = {} if beside is None else {axis.name: axis.unit for axis in beside.axes}
    for axis in image.axes:
        if axis.name in units and (axis.unit is None) != (units[axis.name] is None):
            yield (
                f"{image.url} gives axis {axis.name} in {axis.unit or 'no unit'}, the other image in "
                f"{units[axis.name] or 'no unit'}"
            )
