"""Plates: wells in rows and columns, and the fields of view in them, each of which is an image."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from scalesr.errors import InputError
from scalesr.images.locations import Location
from scalesr.images.opening import ome_attributes, open_group

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_READERS = 16


def is_plate(url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> bool:
    """Say whether a place holds an OME-Zarr plate; one small file is read.

    Raises
    ------
    InputError
        There is nothing, or it is not Zarr.
    """
    return _plate(Location.parse(url, storage_options)) is not None


def list_fields(url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return the fields of an OME-Zarr 0.4 or 0.5 plate as paths below it, such as ``A/1/0``.

    They come in the order in which the plate lists its wells and each well its fields. Only the metadata of the plate
    and of its wells is read, several wells at a time; the fields themselves are not looked at.

    Parameters
    ----------
    url
        Local path or any URL that fsspec knows.
    storage_options
        Credentials and the like, handed to fsspec.

    Raises
    ------
    InputError
        There is no plate, it lists no wells, or a well that it lists is absent or lists no fields.
    """
    location = Location.parse(url, storage_options)
    plate = _plate(location)
    if plate is None:
        raise InputError(f"{location} is not a plate.", remedy="Name the group that has plate metadata.")
    wells = _paths(plate.get("wells"), f"{location} has a well without a usable path.")
    if not wells:
        raise InputError(
            f"The plate {location} lists no wells.", remedy="Name them under plate/wells, or copy its metadata again."
        )
    with ThreadPoolExecutor(min(_READERS, len(wells))) as pool:
        fields = list(pool.map(lambda well: _fields(location, well), wells))
    return tuple(f"{well}/{field}" for well, some in zip(wells, fields, strict=True) for field in some)


def _plate(location: Location) -> Mapping[str, Any] | None:
    group, version = open_group(location)
    plate = ome_attributes(dict(group.attrs), version).get("plate")
    return plate if isinstance(plate, dict) else None


def _fields(plate: Location, path: str) -> list[str]:
    remedy = "Copy the plate again, or take the well out of plate/wells."
    try:
        group, version = open_group(plate / path)
    except InputError as error:
        raise InputError(
            f"The plate {plate} lists the well {path}, which cannot be opened: {error.problem}", remedy=remedy
        ) from error
    well = ome_attributes(dict(group.attrs), version).get("well")
    fields = _paths(
        well.get("images") if isinstance(well, dict) else None,
        f"The well {path} of {plate} has a field without a usable path.",
    )
    if not fields:
        raise InputError(f"The well {path} of the plate {plate} lists no fields.", remedy=remedy)
    return fields


def _paths(entries: object, problem: str) -> list[str]:
    """Return the paths that plates and wells give their parts, each once."""
    paths = []
    for entry in entries if isinstance(entries, list) else []:
        path = entry.get("path") if isinstance(entry, dict) else None
        # What lies beside a plate is none of its parts, and maps are written to folders of the same names.
        if not isinstance(path, str) or not path.strip("/") or ".." in path.split("/"):
            raise InputError(problem, remedy="Write the path of each into the metadata.")
        paths.append(path.strip("/"))
    return list(dict.fromkeys(paths))
