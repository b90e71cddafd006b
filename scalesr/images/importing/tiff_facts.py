"""Axes, pixel sizes, units and channels of a TIFF, from whichever of its many dialects says them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from scalesr.images.axes import Channel, canonical_unit, metres
from scalesr.images.importing.source import Facts

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_INCH, _CENTIMETRE = 2, 3
_COARSEST = 25.0


def tiff_facts(file: Any, series: Any, *, number: int, path: Path) -> Facts:
    """Return what a series says of itself.

    OME-XML is believed before ImageJ's metadata, that before a slide's, and the resolution tags come last.

    Parameters
    ----------
    file, series
        Of tifffile.
    number
        Position of the series in the file.
    path
        The file.
    """
    level = series.levels[0]
    sizes: dict[str, float] = {}
    units: dict[str, str] = {}
    channels: tuple[Channel, ...] = ()
    name = path.name.split(".")[0]
    positions: tuple[float, ...] = ()
    if file.is_ome and series.kind == "ome":
        image = _ome_image(file.ome_metadata, number)
        sizes, units = _ome_sizes(image)
        channels = _ome_channels(image)
        positions = _ome_positions(image)
        name = str(image.get("Name") or name)
    elif file.is_imagej:
        sizes, units = _imagej_sizes(file.imagej_metadata or {}, level.keyframe)
        channels = tuple(Channel(str(label)) for label in _imagej_labels(file.imagej_metadata or {}, level))
    elif file.is_svs and (pixel := _svs_pixel(level.keyframe.description)):
        sizes, units = {"y": pixel, "x": pixel}, {"y": "micrometer", "x": "micrometer"}
    else:
        sizes, units = _tag_sizes(level.keyframe)
    letters = tuple(level.axes)
    count = sum(n for letter, n in zip(letters, level.shape, strict=True) if letter in "CS")
    if not channels and "S" in letters and count == 3:
        channels = (Channel("red", color="FF0000"), Channel("green", color="00FF00"), Channel("blue", color="0000FF"))
    return Facts(
        where=str(path),
        name=name,
        letters=letters,
        shape=tuple(level.shape),
        dtype=np.dtype(level.dtype).newbyteorder("="),
        sizes=sizes,
        units=units,
        channels=channels if len(channels) == count else (),
        reads="rows" if not level.keyframe.is_tiled and level.dataoffset is None else "anywhere",
        colours="together" if letters[-1] == "S" else "apart",
        positions=positions if len(positions) == dict(zip(letters, level.shape, strict=True)).get("Z") else (),
    )


def _ome_image(xml: str, number: int) -> Mapping[str, Any]:
    images = tifffile.xml2dict(xml).get("OME", {}).get("Image", {})
    found = images[number] if isinstance(images, list) and number < len(images) else images
    return found if isinstance(found, dict) else {}


def _ome_sizes(image: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    pixels = image.get("Pixels", {})
    sizes: dict[str, float] = {}
    units: dict[str, str] = {}
    for axis, key, default in (
        ("x", "PhysicalSizeX", "micrometer"),
        ("y", "PhysicalSizeY", "micrometer"),
        ("z", "PhysicalSizeZ", "micrometer"),
        ("t", "TimeIncrement", "second"),
    ):
        size = _positive(pixels.get(key))
        if size is not None:
            unit = canonical_unit(str(pixels.get(f"{key}Unit", default)))
            sizes[axis] = size
            if unit is not None:
                units[axis] = unit
    return sizes, units


def _ome_channels(image: Mapping[str, Any]) -> tuple[Channel, ...]:
    entries = image.get("Pixels", {}).get("Channel", [])
    entries = entries if isinstance(entries, list) else [entries]
    channels: list[Channel] = []
    for entry in entries:
        color = entry.get("Color")
        # OME packs red, green, blue and alpha into one signed number.
        code = f"{(int(color) & 0xFFFFFFFF) >> 8:06X}" if color is not None else None
        label = entry.get("Name")
        channels.append(Channel(None if label is None else str(label), color=code))
        samples = int(entry.get("SamplesPerPixel", 1))
        channels.extend(Channel() for _ in range(samples - 1))
    return tuple(channels) if any(channel.label or channel.color for channel in channels) else ()


def _ome_positions(image: Mapping[str, Any]) -> tuple[float, ...]:
    """Return where each plane lies along z, at the first time and channel that say so; none if any plane does not.

    Programs that do not know it write the same position for all.
    """
    entries = image.get("Pixels", {}).get("Plane", [])
    found: dict[int, float] = {}
    for entry in entries if isinstance(entries, list) else [entries]:
        try:
            found.setdefault(int(entry["TheZ"]), float(entry["PositionZ"]))
        except (KeyError, TypeError, ValueError):
            continue
    places = tuple(found[z] for z in sorted(found))
    return places if sorted(found) == list(range(len(found))) and len(set(places)) > 1 else ()


def _imagej_sizes(metadata: Mapping[str, Any], page: Any) -> tuple[dict[str, float], dict[str, str]]:
    unit = canonical_unit(str(metadata.get("unit", "")))
    sizes: dict[str, float] = {}
    units: dict[str, str] = {}
    if unit is not None and metres(unit) is not None:
        for axis, tag in (("x", "XResolution"), ("y", "YResolution")):
            size = _tag_size(page, tag)
            if size is not None:
                sizes[axis], units[axis] = size, unit
        spacing = _positive(abs(float(metadata.get("spacing", 0))))
        if spacing is not None:
            sizes["z"], units["z"] = spacing, unit
    interval = _positive(metadata.get("finterval"))
    if interval is not None:
        sizes["t"], units["t"] = interval, "second"
    return sizes, units


def _imagej_labels(metadata: Mapping[str, Any], level: Any) -> list[str]:
    labels = metadata.get("Labels")
    channels = int(metadata.get("channels", 1))
    planes = int(np.prod([n for axis, n in zip(level.axes, level.shape, strict=True) if axis not in "YX"]))
    return list(labels) if isinstance(labels, list) and len(labels) == channels == planes > 1 else []


def _svs_pixel(description: str) -> float | None:
    try:
        return _positive(tifffile.tifffile.svs_description_metadata(description).get("MPP"))
    except ValueError:
        return None


def _tag_sizes(page: Any) -> tuple[dict[str, float], dict[str, str]]:
    tag = page.tags.get("ResolutionUnit")
    length = {_INCH: 25400.0, _CENTIMETRE: 10000.0}.get(int(tag.value)) if tag is not None else None
    sizes: dict[str, float] = {}
    if length is not None:
        for axis, name in (("x", "XResolution"), ("y", "YResolution")):
            size = _tag_size(page, name)
            # Coarser values are the resolution of a print (72 dpi is 353 micrometres), not of a microscope.
            if size is not None and size * length < _COARSEST:
                sizes[axis] = size * length
    return sizes, dict.fromkeys(sizes, "micrometer")


def _tag_size(page: Any, name: str) -> float | None:
    tag = page.tags.get(name)
    if tag is None:
        return None
    pixels, length = tag.value
    return length / pixels if pixels > 0 and length > 0 else None


def _positive(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number > 0 and np.isfinite(number) else None
