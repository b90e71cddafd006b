"""OME-Zarr metadata as found in the wild, read strictly where a guess would change the science and leniently elsewhere.

Strict: axes, their number and names, and every number of a transformation. Lenient: an absent version, absent types of
axes with the usual names, absent units, channels with parts missing, unknown keys.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scalesr.errors import InputError
from scalesr.images.axes import KINDS, Axis, AxisKind, Channel, canonical_unit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scalesr.images.image import Version
    from scalesr.images.layout import ImageLayout

_KINDS = {"time", "channel", "space"}
Geometry = tuple[tuple[float, ...], tuple[float, ...]]


def parse_axes(raw: object, *, where: str) -> tuple[Axis, ...]:
    """Return the axes of a multiscale image.

    Raises
    ------
    InputError
        Axes are absent, without a name, or two share one; or their number is not 2 to 5.
    """
    remedy = "Write the axes into the metadata, or name them while importing: scalesr import --axes."
    if not isinstance(raw, list) or not raw:
        raise InputError(f"{where} names no axes.", remedy=remedy)
    axes = []
    for number, entry in enumerate(raw):
        if isinstance(entry, str):
            raise InputError(
                f"{where} has axes as OME-Zarr 0.3 wrote them ({entry!r} without a type).",
                remedy="Convert it to OME-Zarr 0.4 or 0.5, with ome2024-ngff-challenge or bioformats2raw.",
            )
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            raise InputError(f"{where}: axis {number} has no name.", remedy=remedy)
        axes.append(Axis(name, _kind(name, entry.get("type")), canonical_unit(_text(entry.get("unit")))))
    check_axes(axes, where=where)
    return tuple(axes)


def check_axes(axes: Iterable[Axis], *, where: str) -> None:
    """Raise InputError unless there are 2 to 5 axes with different names."""
    names = [axis.name for axis in axes]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            f"{where} has more than one axis named {', '.join(twice)} (axes: {', '.join(names)}).",
            remedy="Give each axis its own name.",
        )
    if not 2 <= len(names) <= 5:
        raise InputError(
            f"{where} has {len(names)} axes ({', '.join(names)}); OME-Zarr allows 2 to 5.",
            remedy="Take one index of the axes that are too many.",
        )


def parse_geometry(transformations: Iterable[object], *, ndim: int, where: str) -> Geometry:
    """Return pixel size and centre of the first pixel that transformations, applied in order, amount to.

    Raises
    ------
    InputError
        A transformation is of another type than identity, scale and translation, has another number of values than
        there are axes, or a scale is zero, negative or not finite.
    """
    scale, origin = [1.0] * ndim, [0.0] * ndim
    for entry in transformations:
        kind = entry.get("type") if isinstance(entry, dict) else None
        if kind == "identity":
            continue
        if kind not in ("scale", "translation"):
            raise InputError(
                f"{where} has a transformation of type {kind!r}.", remedy="Use only scale and translation."
            )
        values = cast("dict[str, Any]", entry).get(kind)
        numbers = _numbers(values)
        if numbers is None or len(numbers) != ndim or not all(math.isfinite(value) for value in numbers):
            raise InputError(f"{where}: {kind} {values!r} does not give one number for each of {ndim} axes.",
                             remedy="Write one finite number for each axis.")  # fmt: skip
        if kind == "scale":
            if min(numbers) <= 0:
                raise InputError(
                    f"{where}: scale {values!r} is not positive.", remedy="Write the size of a pixel for each axis."
                )
            scale = [old * new for old, new in zip(scale, numbers, strict=True)]
            origin = [old * new for old, new in zip(origin, numbers, strict=True)]
        else:
            origin = [old + new for old, new in zip(origin, numbers, strict=True)]
    return tuple(scale), tuple(origin)


def parse_channels(raw: object) -> tuple[Channel, ...]:
    """Return what the ``omero`` block says of the channels; parts that are absent or odd are left out."""
    entries = raw.get("channels") if isinstance(raw, dict) else None
    if not isinstance(entries, list):
        return ()
    channels = []
    for entry in entries:
        facts = entry if isinstance(entry, dict) else {}
        window = facts.get("window")
        span = window if isinstance(window, dict) else {}
        start, end = (_number(span.get(key)) for key in ("start", "end"))
        color = _text(facts.get("color"))
        channels.append(Channel(_text(facts.get("label")), start, end, color and color.lstrip("#").upper()))
    return tuple(channels)


def _dump_axes(axes: Iterable[Axis]) -> list[dict[str, str]]:
    """Return the axes as OME-Zarr writes them; an axis of kind ``other`` has no type, which the format allows."""
    entries = []
    for axis in axes:
        entry = {"name": axis.name}
        if axis.kind != "other":
            entry["type"] = axis.kind
        if axis.unit is not None:
            entry["unit"] = axis.unit
        entries.append(entry)
    return entries


def _dump_channels(channels: Iterable[Channel], *, lowest: float, highest: float) -> dict[str, Any]:
    """Return the ``omero`` block; what a channel leaves open is filled as viewers expect it: full range, white.

    Parameters
    ----------
    channels
        What is known of the channels.
    lowest, highest
        Range of the number format, or of the values.
    """
    entries: list[Mapping[str, Any]] = []
    for number, channel in enumerate(channels):
        start = lowest if channel.start is None else channel.start
        end = highest if channel.end is None else channel.end
        window = {"min": min(lowest, start), "max": max(highest, end), "start": start, "end": end}
        entries.append(
            {
                "label": channel.label or f"channel {number}",
                "color": channel.color or "FFFFFF",
                "window": window,
                "active": True,
            }
        )
    return {"channels": entries}


def image_attributes(layout: ImageLayout, *, version: Version) -> dict[str, Any]:
    """Return the OME-Zarr metadata of a layout, checked by the models of ome-zarr-models."""
    multiscale: dict[str, Any] = {
        "name": layout.name,
        "axes": _dump_axes(layout.axes),
        "datasets": [
            {
                "path": level.path,
                "coordinateTransformations": [
                    {"type": "scale", "scale": list(level.scale)},
                    {"type": "translation", "translation": list(level.translation)},
                ],
            }
            for level in layout.levels
        ],
        "type": "mean",
        "metadata": {"description": "mean of two along each halved axis, rounded half up", "method": "scalesr"},
    }
    ome: dict[str, Any] = {"multiscales": [multiscale]}
    if version == "0.5":
        ome["version"] = "0.5"
    else:
        multiscale["version"] = "0.4"
    if layout.channels:
        dtype = np.dtype(layout.dtype)
        lowest, highest = (0.0, 1.0) if dtype.kind == "f" else (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))
        ome["omero"] = _dump_channels(layout.channels, lowest=lowest, highest=highest)
    _validate(ome, version)
    return ome


def _kind(name: str, raw: object) -> AxisKind:
    if raw is None:
        return KINDS.get(name, "other")
    return cast("AxisKind", raw) if isinstance(raw, str) and raw in _KINDS else "other"


def _text(raw: object) -> str | None:
    return raw if isinstance(raw, str) and raw else None


def _number(raw: object) -> float | None:
    if not isinstance(raw, int | float) or isinstance(raw, bool):
        return None
    try:
        number = float(raw)
    except OverflowError:  # an integer of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def _numbers(raw: object) -> list[float] | None:
    if not isinstance(raw, list):
        return None
    numbers = [_number(value) for value in raw]
    return [number for number in numbers if number is not None] if None not in numbers else None


def _validate(ome: dict[str, Any], version: Version) -> None:
    # Imported late: pydantic models take a good part of a second, and a worker that only writes pixels needs none.
    if version == "0.5":
        from ome_zarr_models.v05.image import ImageAttrs as Attributes5  # noqa: PLC0415

        Attributes5.model_validate(ome)
    else:
        from ome_zarr_models.v04.image import ImageAttrs as Attributes4  # noqa: PLC0415

        Attributes4.model_validate(ome)
