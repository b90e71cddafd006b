"""Writing plates: all metadata of plate and wells first, by one writer, so that afterwards nothing but images is."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import InputError, OutputError
from scalesr.images.files import Files
from scalesr.images.locations import Location
from scalesr.images.plates import Plate, group_attributes, open_plate
from scalesr.images.removing import remove_image
from scalesr.images.writer import OWN

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from scalesr.images.image import Version
    from scalesr.images.plate_layout import PlateLayout
    from scalesr.images.writer import Mode

_WRITERS = 16
_KIND = "plate"
PARTIAL = ".partial"
"""How the names of files end that are being written, by zarr and by `Files` alike."""
_RUNNING = {"state": "running", "kind": _KIND}


def create_plate(
    url: str | os.PathLike[str],
    like: PlateLayout | Plate,
    *,
    mode: Mode = "create",
    version: Version = "0.5",
    storage_options: Mapping[str, Any] | None = None,
) -> Plate:
    """Write the metadata of a plate and of all its wells; what is left to do is to write images at the fields' places.

    These can then be written side by side: no metadata is shared between them that two writers could race for. The
    attribute ``scalesr`` says that the plate is not finished until `mark_plate` says otherwise.

    Parameters
    ----------
    url
        Local path or fsspec URL.
    like
        What the plate consists of. A plate to be like, or a layout.
    mode
        What to do if something is there: refuse, remove the plate, or add to it the wells and fields that it lacks.
        Only a plate that was written here is removed or added to.
    version
        Version of OME-Zarr to write.
    storage_options
        Handed to fsspec.

    Raises
    ------
    InputError
        The layout is not one that OME-Zarr allows, such as a field whose name is not made of letters and digits.
    OutputError
        Something is there that `mode` does not allow, or storage refuses.
    """
    layout = like.layout if isinstance(like, Plate) else like
    layout.check()
    location = Location.parse(url, storage_options)
    files = Files(location.url, location.options)
    found = check_plate_place(location.url, mode=mode, storage_options=location.options)
    if mode == "overwrite" and found is not None:
        remove_image(location.url, storage_options=location.options)
    if mode == "resume" and found == version:
        old = _old(location)
        layout = layout if old is None else old.layout.joined(layout)
        if old is not None and layout == old.layout:
            return old
    elif mode == "resume" and found is not None:
        raise OutputError(
            f"{location} is a plate of OME-Zarr {found}, to which wells of {version} cannot be added.",
            remedy=f"Write OME-Zarr {found}, or choose another place.",
        )
    # The plate is named first as ours, so that one that is killed here can be gone on with, and as a plate last.
    _put_group(files, "", {OWN: _RUNNING}, version)
    for row in sorted({well.row for well in layout.wells}):
        _put_group(files, row, {}, version)
    with ThreadPoolExecutor(_WRITERS) as pool:
        for _ in pool.map(
            lambda well: _put_group(files, well.path, layout.well_attributes(well, version), version), layout.wells
        ):
            pass
    attributes = layout.plate_attributes(version) | {OWN: _RUNNING}
    _put_group(files, "", attributes, version)
    return Plate(
        url=location.url,
        version=version,
        layout=layout,
        metadata=attributes,
        storage_options=location.options,
    )


def mark_plate(plate: Plate, *, state: Literal["running", "done"]) -> Plate:
    """Write into the attribute ``scalesr`` of a plate whether all of its images are there, and return the plate.

    Raises
    ------
    OutputError
        No space, no permission, no connection.
    """
    attributes = {**plate.metadata, OWN: {**_RUNNING, "state": state}}
    _put_group(Files(plate.url, plate.storage_options), "", attributes, plate.version)
    return replace(plate, metadata=attributes)


def clear_field(plate: Plate, path: str) -> None:
    """Remove what a process left at the place of a field that was killed before there was a group; else do nothing."""
    folder = plate.location(path).path
    if folder is not None and folder.is_dir() and _only_partial(folder):
        for partial in folder.iterdir():
            partial.unlink(missing_ok=True)


def _only_partial(folder: Path) -> bool:
    """Return whether a folder holds nothing but files that were being written, if any."""
    return all(entry.name.endswith(PARTIAL) for entry in folder.iterdir())


def _put_group(files: Files, path: str, attributes: Mapping[str, Any], version: Version) -> None:
    below = f"{path}/" if path else ""
    if version == "0.5":
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        files.put(f"{below}zarr.json", json.dumps(group, indent=2).encode())
        return
    files.put(f"{below}.zattrs", json.dumps(attributes, indent=2).encode())
    files.put(f"{below}.zgroup", json.dumps({"zarr_format": 2}).encode())


def check_plate_place(
    url: str | os.PathLike[str], *, mode: Mode, storage_options: Mapping[str, Any] | None = None
) -> Version | None:
    """Return the version of the plate that scalesr wrote to a place, ``None`` where there is nothing; refuse all else.

    Raises
    ------
    OutputError
        Something is there that `mode` does not allow.
    """
    location = Location.parse(url, storage_options)
    found = _found(Files(location.url, location.options))
    if found is None:
        path = location.path
        if path is not None and (path.is_file() or (path.is_dir() and not _only_partial(path))):
            raise OutputError(
                f"{location} exists and is no plate; scalesr will not write into it or remove it.",
                remedy="Choose another place, or remove it yourself.",
            )
        return None
    if mode == "create":
        raise OutputError(
            f"{location} already exists.", remedy="Choose another place, or pass --overwrite or --resume."
        )
    attributes, version = found
    own = attributes.get(OWN)
    if not isinstance(own, dict) or own.get("kind") != _KIND:
        raise OutputError(
            f"{location} is no plate that scalesr wrote, and will be neither removed nor added to.",
            remedy="Choose another place, or remove it yourself.",
        )
    return version


def _found(files: Files) -> tuple[dict[str, Any], Version] | None:
    versions: tuple[Version, ...] = ("0.5", "0.4")
    for version in versions:
        marker = "zarr.json" if version == "0.5" else ".zgroup"
        if files.get(marker) is None:
            continue
        try:
            return group_attributes(files, "", version) or {}, version
        except ValueError:
            return {}, version
    return None


def _old(location: Location) -> Plate | None:
    """Return the plate that was begun there, or None where that was stopped before it was one."""
    try:
        return open_plate(location.url, storage_options=location.options)
    except InputError:
        return None
