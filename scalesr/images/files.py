"""Small plain files beside an image, in any storage: the ledger's records, a manifest, a report."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync as awaited

from scalesr.errors import StorageError
from scalesr.images.faults import writing
from scalesr.images.locations import Location
from scalesr.images.stores import StoreOptions, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from zarr.abc.store import Store

_PARTIAL = ".partial"
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})
"""What file systems say that know no links, such as those of memory cards and of Windows servers."""


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

    def create(self, key: str, content: bytes) -> bool:
        """Write a file as a whole unless there is one, and return whether that was done.

        Of several who do so at the same moment one succeeds. Object stores are asked to put an object only if there is
        none (``If-None-Match: *``); some of them, and some kinds of store, do not know that and let everybody succeed.

        Parameters
        ----------
        key
            Which.
        content
            Nobody else's: where an answer was lost on its way, this tells whose file is there.

        Raises
        ------
        OutputError
            No space, no permission, no connection.
        """
        location = Location.parse(self.url, self.storage_options)
        with writing(f"{location}/{key}"):
            if location.path is not None:
                return _create_local(location.path / key, content, sync=self.sync)
            store = open_store(location.url, StoreOptions.of(location.options))
            created: bool = awaited(store.create(key, content))
        return created or self.get(key) == content

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
            found = [path.relative_to(location.path).as_posix() for path in _walked(location.path / folder)]
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

    def clear(self, folder: str) -> None:
        """Remove all files of a folder; what others put there meanwhile may stay."""
        location = Location.parse(self.url, self.storage_options)
        with writing(f"{location}/{folder}"):
            if location.path is not None:
                shutil.rmtree(location.path / folder, ignore_errors=True)
                return
            awaited(location.store("write").delete_dir(folder))


def _walked(folder: Path) -> Iterator[Path]:
    # Others may be removing folders meanwhile, which this passes over.
    for place, _, names in os.walk(folder):
        yield from (path for path in (folder / place / name for name in names) if path.is_file())


async def _listed(store: Store, prefix: str) -> list[str]:
    return [key async for key in store.list_prefix(prefix)]


def _put_local(path: Path, content: bytes, *, sync: Literal["system", "disk"]) -> None:
    with _partial(path, content, sync=sync) as partial:
        partial.replace(path)
    if sync == "disk":
        _sync_folder(path.parent)


def _create_local(path: Path, content: bytes, *, sync: Literal["system", "disk"]) -> bool:
    try:
        with _partial(path, content, sync=sync) as partial:
            try:
                # A link is made whole or not at all, by the server of a network file system too.
                os.link(partial, path)
            except FileExistsError:
                # Such a server may have made it, and its answer was lost.
                return partial.stat().st_nlink > 1
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                with path.open("xb") as file:
                    file.write(content)
    except FileExistsError:
        return False
    if sync == "disk":
        _sync_folder(path.parent)
    return True


@contextmanager
def _partial(path: Path, content: bytes, *, sync: Literal["system", "disk"]) -> Iterator[Path]:
    """Write a file beside another one; it is gone afterwards, unless it was moved."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_PARTIAL}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            if sync == "disk":
                file.flush()
                os.fsync(file.fileno())
        yield partial
    finally:
        partial.unlink(missing_ok=True)


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
