"""Small plain files beside an image, in any storage: the ledger's records, a manifest, a report."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync as awaited

from scalesr.errors import StorageError
from scalesr.images.faults import writing
from scalesr.images.locations import Location
from scalesr.images.stores import StoreOptions

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from zarr.abc.store import Store

_PARTIAL = ".partial"


@dataclass(frozen=True)
class Files:
    """Plain files by key below one place. ``put`` is atomic: a reader, or a crash, meets the old bytes or the new ones.

    Locally that is a temporary file and a rename; object stores put an object as a whole. With ``sync="disk"`` a local
    file is on the disk before ``put`` returns, so that it also survives a loss of power.
    """

    url: str
    """Local folder or fsspec URL; it need not exist yet."""
    storage_options: Mapping[str, Any] = field(default_factory=StoreOptions, hash=False, repr=False)
    """What fsspec needs to open it."""
    sync: Literal["system", "disk"] = "system"
    """``system``: the operating system writes when it likes. ``disk``: wait for the disk."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "storage_options", StoreOptions.of(self.storage_options))

    def put(self, key: str, content: bytes) -> None:
        """Write a file as a whole, making the folders above it.

        Raises
        ------
        OutputError
            No space, no permission, no connection.
        """
        location = Location.parse(self.url, self.storage_options)
        with writing(f"{location}/{key}"):
            if location.path is not None:
                _put_local(location.path / key, content, sync=self.sync)
            else:
                awaited(location.store("write").set(key, default_buffer_prototype().buffer.from_bytes(content)))

    def get(self, key: str, *, at_most: int | None = None) -> bytes | None:
        """Return the bytes of a file, or ``None`` if there is none.

        Parameters
        ----------
        key
            Which.
        at_most
            Bytes that a local file may have.

        Raises
        ------
        StoreError
            The store refuses, or does not answer.
        StorageError
            The file is larger than it may be.
        """
        location = Location.parse(self.url, self.storage_options)
        try:
            if location.path is not None:
                size = (location.path / key).stat().st_size
                if at_most is not None and size > at_most:
                    raise StorageError(
                        f"{location}/{key} has {size:,} bytes; at most {at_most:,} are expected.",
                        remedy="Find out who wrote it, and remove it.",
                    )
                return (location.path / key).read_bytes()
            content = awaited(location.store("read").get(key, default_buffer_prototype()))
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
        return None if content is None else content.to_bytes()

    def exists(self, key: str) -> bool:
        """Return whether there is a file, without reading it."""
        location = Location.parse(self.url, self.storage_options)
        if location.path is not None:
            return (location.path / key).is_file()
        found: bool = awaited(location.store("read").exists(key))
        return found

    def list(self, prefix: str = "") -> list[str]:
        """Return the sorted keys of all files whose key starts with a prefix; half-written ones are not among them."""
        location = Location.parse(self.url, self.storage_options)
        folder = prefix.rpartition("/")[0]
        if location.path is not None:
            root = location.path
            found = [path.relative_to(root).as_posix() for path in (root / folder).rglob("*") if path.is_file()]
        else:
            found = awaited(_listed(location.store("read"), prefix))
        return sorted(key for key in found if key.startswith(prefix) and not key.endswith(_PARTIAL))

    def delete(self, key: str) -> None:
        """Remove a file; one that is not there is no error."""
        location = Location.parse(self.url, self.storage_options)
        with writing(f"{location}/{key}"):
            if location.path is not None:
                (location.path / key).unlink(missing_ok=True)
                return
            awaited(location.store("write").delete(key))


async def _listed(store: Store, prefix: str) -> list[str]:
    return [key async for key in store.list_prefix(prefix)]


def _put_local(path: Path, content: bytes, *, sync: Literal["system", "disk"]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            if sync == "disk":
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    if sync == "disk":
        _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # The rename itself is on the disk only when the folder is.
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # folders cannot be opened on Windows
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
