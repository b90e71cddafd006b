"""The objects of an image, as they are stored: what a server may hand out, and nothing beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from zarr.abc.store import RangeByteRequest
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync as awaited

from scalesr.errors import InputError, StorageError
from scalesr.images import ArrayImage, Image, Location

if TYPE_CHECKING:
    from zarr.abc.store import Store

METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup", ".zmetadata"})
"""Names of the objects of Zarr that are no pixels."""
REMEMBERED = 30.0
"""Seconds for which the size of an object in a store is taken for the same."""
MOST_SIZES = 2**16
"""Sizes that are remembered at most."""
_CHUNK = re.compile(r".+/(?:c/)?\d+(?:[./]\d+)*", re.ASCII)
"""Keys of chunks and shards: below an array, and named by numbers."""
_NEVER = frozenset("\\%?#\0")
"""What would mean something else to a file system or to another server."""


@dataclass(frozen=True)
class Found:
    """An object that is there."""

    key: str
    """Which."""
    size: int
    """Its bytes."""
    tag: str | None
    """What changes when it changes; ``None`` where finding out is not cheap."""


class Exhibit(Protocol):
    """The objects of one image by key. All methods block, and are called from several threads."""

    def find(self, key: str) -> Found | None:
        """Return what is known of an object without reading it; ``None`` where there is none, or it is none's business.

        Raises
        ------
        ScalesrError
            The store refuses, or does not answer.
        """

    def read(self, key: str, part: range) -> bytes:
        """Return some bytes of an object; fewer where it has become shorter.

        Raises
        ------
        ScalesrError
            The store refuses, or does not answer.
        OSError
            A file cannot be read.
        """


def exhibit(image: Image) -> Exhibit:
    """Return the objects of an image.

    Raises
    ------
    InputError
        It lies in memory and has none.
    """
    if isinstance(image, ArrayImage):
        raise InputError(
            f"{image.name} lies in memory, and a viewer reads what is stored.",
            remedy="Write it first, as array.scalesr.to_ome_zarr does.",
        )
    location = Location(image.url, image.storage_options)
    return Objects(location.store("read"), location) if location.path is None else Folder(location.path)


def belongs(key: str) -> bool:
    """Say whether a key is one of an image: metadata, or a chunk below an array; a ledger, for one, is neither."""
    parts = key.split("/")
    if not all(parts) or {".", ".."} & set(parts) or _NEVER & set(key):
        return False
    return parts[-1] in METADATA or _CHUNK.fullmatch(key) is not None


class Folder:
    """An image in a folder. What a link leads to outside the folder is not part of it.

    Parameters
    ----------
    folder
        Of the image's group.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def find(self, key: str) -> Found | None:
        """Return size and time of change of a file."""
        path = self._path(key)
        if path is None:
            return None
        facts = path.stat()
        return Found(key, facts.st_size, f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"')

    def read(self, key: str, part: range) -> bytes:
        """Return some bytes of a file."""
        path = self._path(key)
        if path is None:
            raise StorageError(f"{self._folder / key} is gone.", remedy="Open the image again.")
        with path.open("rb") as file:
            file.seek(part.start)
            return file.read(len(part))

    def _path(self, key: str) -> Path | None:
        if not belongs(key):
            return None
        path = Path(self._folder, key).resolve()
        return path if path.is_relative_to(self._folder) and path.is_file() else None


class Objects:
    """An image in an object store, a zip file, or wherever else images can lie.

    Parameters
    ----------
    store
        Rooted at the image's group.
    location
        The same place, for errors.
    """

    def __init__(self, store: Store, location: Location) -> None:
        self._store = store
        self._location = location
        self._sizes: dict[str, tuple[float, int]] = {}

    def find(self, key: str) -> Found | None:
        """Return the size of an object, which is asked for once for the many parts of a shard."""
        if not belongs(key):
            return None
        now = monotonic()
        known = self._sizes.get(key)
        if known is None or known[0] < now:
            try:
                known = now + REMEMBERED, awaited(self._store.getsize(key))
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
            if len(self._sizes) >= MOST_SIZES:
                self._sizes.clear()
            self._sizes[key] = known
        return Found(key, known[1], None)

    def read(self, key: str, part: range) -> bytes:
        """Return some bytes of an object, in one request."""
        request = RangeByteRequest(part.start, part.stop)
        content = awaited(self._store.get(key, default_buffer_prototype(), request))
        if content is None:
            raise StorageError(f"{self._location / key} is gone.", remedy="Open the image again.")
        return content.to_bytes()
