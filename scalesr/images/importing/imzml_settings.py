"""What the terms in an imzML header mean: number formats, compression, the size of a pixel with its unit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesr.errors import InputError
from scalesr.images.axes import metres

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FORMATS = {
    "MS:1000521": "<f4",
    "MS:1000523": "<f8",
    "MS:1000519": "<i4",
    "MS:1000522": "<i8",
    "IMS:1000141": "<i4",
    "IMS:1000142": "<i8",
    "MS:1000520": "<f2",
    "IMS:1100000": "<i1",
    "IMS:1100001": "<i2",
}
"""Number formats by accession. Sizes are given in bytes: the C type behind a name differs between systems."""

_UNITS = {
    "UO:0000008": "meter",
    "UO:0000015": "centimeter",
    "UO:0000016": "millimeter",
    "UO:0000017": "micrometer",
    "UO:0000018": "nanometer",
    "UO:0000019": "angstrom",
    "UO:0000020": "picometer",
}
UNIT_ACCESSIONS = {name: accession for accession, name in _UNITS.items()}
"""Accession of a unit by its UDUNITS-2 name."""

_SIZES = {"IMS:1000046": "x", "IMS:1000047": "y"}


def precisions(group: Any) -> tuple[str, ...]:
    """Return every number format that a group of parameters names; some writers name two, of which one is true."""
    if group is None:
        return ()
    found = [_FORMATS[term[1]] for term in group.cv_params if term[1] in _FORMATS]
    return tuple(dict.fromkeys(found))


def compression(group: Any) -> str | None:
    """Return how the arrays of a group of parameters are compressed, in the words of its term; else ``None``."""
    if group is None:
        return None
    words = (str(term[0]) for term in group.cv_params if "compression" in str(term[0]))
    return next((word for word in words if word != "no compression"), None)


def read_pixel_size(settings: Mapping[str, Any], path: Path) -> tuple[dict[str, float], str | None]:
    """Return the size of a pixel by axis, and its unit; nothing where the file does not say, or in no known unit.

    A size without a unit is in micrometres, which is what the standard says of it; without a height, pixels are square.

    Raises
    ------
    InputError
        The file has several scan settings, which differ.
    """
    found = [size for group in settings.values() for size in [_size_of(group)] if size is not None]
    if not found:
        return {}, None
    if any(size != found[0] for size in found):
        named = " and ".join(f"{sizes['x']:g} x {sizes['y']:g} {unit}" for sizes, unit in found)
        raise InputError(
            f"{path} has several scan settings, with pixels of {named}.",
            remedy="Say which it is: --pixel-size and --unit.",
        )
    return found[0]


def _size_of(group: Any) -> tuple[dict[str, float], str] | None:
    sizes: dict[str, tuple[float, str]] = {}
    for _, accession, _, _, text, _, unit in group.cv_params:
        if accession not in _SIZES:
            continue
        try:
            size = float(text)
        except (TypeError, ValueError):
            continue
        name = _UNITS.get(unit) if unit else "micrometer"
        if name is None or not 0 < size < float("inf"):
            continue
        sizes[_SIZES[accession]] = size, name
    if not sizes:
        return None
    x, y = sizes.get("x", sizes.get("y")), sizes.get("y", sizes.get("x"))
    assert x is not None
    assert y is not None
    if x[1] == y[1]:
        return {"x": x[0], "y": y[0]}, x[1]
    ratio = (metres(y[1]) or 1.0) / (metres(x[1]) or 1.0)
    return {"x": x[0], "y": y[0] * ratio}, x[1]
