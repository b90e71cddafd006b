"""Removing an image, or what processes that were killed left half-written in it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from zarr.core.sync import sync

from scalesr.images.faults import writing
from scalesr.images.locations import Location

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping
    from pathlib import Path

    from scalesr.images.writer import ImageWriter


def remove_image(url: str | os.PathLike[str], *, storage_options: Mapping[str, Any] | None = None) -> None:
    """Remove an image, its metadata first, so that what is left half-removed is not taken for whole."""
    location = Location.parse(url, storage_options)
    with writing(str(location)):
        remove_all(location)


def remove_all(location: Location) -> None:
    """Remove all that lies at a place, metadata first."""
    path = location.path
    if path is not None:
        if not path.exists():
            return
        for name in ("zarr.json", ".zattrs", ".zgroup"):
            (path / name).unlink(missing_ok=True)
        shutil.rmtree(path)
        return
    store = location.store("write")
    for name in ("zarr.json", ".zattrs", ".zgroup"):
        sync(store.delete(name))
    sync(store.delete_dir(""))


def sweep_levels(writer: ImageWriter) -> None:
    """Remove the half-written files that processes left among the shards when they were killed."""
    path = Location.parse(writer.url, writer.storage_options).path
    for level in writer.layout.levels:
        sweep_folder(None if path is None else path / level.path)


def sweep_folder(path: Path | None) -> None:
    """Remove the half-written files below a local folder."""
    # A process that was killed while it wrote leaves its temporary file behind.
    if path is not None:
        for partial in path.rglob("*.partial"):
            partial.unlink(missing_ok=True)
