"""What the clients of stores do differently: how they list and remove. All else they do as Zarr's stores do."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import ObjectStore

from scalesr.images.stores.failures import is_there

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype
    from zarr.storage import FsspecStore

PAGE = 1000
"""Keys that one request lists or removes; S3 allows no more."""


class Backend(Protocol):
    """A Zarr store with requests of a size that can be sent again one by one."""

    store: Any
    """Zarr's own store, which gets, puts and looks for objects."""

    async def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        """Return keys that begin with a prefix, and what to give as `after` for the next; "" where it was the last."""

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove objects, at most `PAGE`; what is not there is no error."""

    async def make_room(self, key: str) -> bool:
        """Make the folder of an object, where the store has folders; false where it has none."""

    async def create(self, key: str, content: bytes) -> bool:
        """Put an object on condition that there is none; false where there is one.

        A store that does not know the condition puts it all the same.
        """


class S3Backend:
    """S3 through s3fs."""

    def __init__(self, store: FsspecStore) -> None:
        self.store = store
        self._call: Any = store.fs._call_s3  # noqa: SLF001 one request, and no more
        self._bucket, _, root = store.path.strip("/").partition("/")
        self._root = f"{root}/" if root else ""

    async def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        """List one page."""
        more = {"ContinuationToken": after} if after else {}
        found = await self._call(
            "list_objects_v2", Bucket=self._bucket, Prefix=f"{self._root}{prefix}", MaxKeys=PAGE, **more
        )
        keys = [item["Key"].removeprefix(self._root) for item in found.get("Contents", ())]
        return [key for key in keys if key], found.get("NextContinuationToken", "") if found.get("IsTruncated") else ""

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove in one request."""
        if len(keys) == 1:
            await self._call("delete_object", Bucket=self._bucket, Key=f"{self._root}{keys[0]}")
            return
        objects = [{"Key": f"{self._root}{key}"} for key in keys]
        found = await self._call("delete_objects", Bucket=self._bucket, Delete={"Objects": objects, "Quiet": True})
        for refused in found.get("Errors", ()):
            raise PermissionError(f"{refused.get('Key')}: {refused.get('Message') or refused.get('Code')}")

    async def make_room(self, key: str) -> bool:  # noqa: ARG002 see the protocol
        """Do nothing: there are no folders."""
        return False

    async def create(self, key: str, content: bytes) -> bool:
        """Put with ``If-None-Match: *``."""
        try:
            await self._call("put_object", Bucket=self._bucket, Key=f"{self._root}{key}", Body=content, IfNoneMatch="*")
        except Exception as error:
            if not is_there(error):
                raise
            return False
        return True


class PartsOrWhole(ObjectStore[Any]):
    """Zarr's store over obstore, which says why there is no object, and reads all of one where a part is not to be had.

    obstore takes a part only if the answer's status is 206; some servers send parts, or everything, with 200.
    """

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return an object or a part of it.

        Raises
        ------
        FileNotFoundError
            There is no such object, or no such bucket, as the text says.
        """
        obstore = import_module("obstore")  # need not be installed
        try:
            if isinstance(byte_range, RangeByteRequest):
                part = await obstore.get_range_async(self.store, key, start=byte_range.start, end=byte_range.end)
                return prototype.buffer.from_bytes(part)
            options = {} if byte_range is None else {"range": _open_ended(byte_range)}
            answer = await obstore.get_async(self.store, key, options=options)
            return prototype.buffer.from_bytes(await answer.bytes_async())
        except Exception as error:
            if byte_range is None or "non-partial response" not in str(error):
                raise
        whole = await self.get(key, prototype)
        return None if whole is None else whole[_part(byte_range, len(whole))]


def _open_ended(part: ByteRequest) -> dict[str, int]:
    if isinstance(part, SuffixByteRequest):
        return {"suffix": part.suffix}
    assert isinstance(part, OffsetByteRequest)
    return {"offset": part.offset}


def _part(part: ByteRequest, size: int) -> slice:
    if isinstance(part, SuffixByteRequest):
        return slice(max(0, size - part.suffix), size)
    if isinstance(part, OffsetByteRequest):
        return slice(part.offset, size)
    return slice(part.start, part.end)


class ObstoreBackend:
    """S3 through obstore."""

    def __init__(self, store: ObjectStore[Any]) -> None:
        self.store = store

    async def page(self, prefix: str, after: str) -> tuple[list[str], str]:
        """List one page. obstore takes whole folders only, so what a prefix says beyond one is looked for here."""
        obstore = import_module("obstore")  # need not be installed
        folder, _, start = prefix.rpartition("/")
        pages = obstore.list(self.store.store, prefix=folder or None, offset=after or None, chunk_size=PAGE)
        async for found in pages:
            keys = [item["path"] for item in found]
            wanted = [key for key in keys if key.startswith(prefix)] if start else keys
            return wanted, keys[-1] if keys else ""
        return [], ""

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove in one request."""
        obstore = import_module("obstore")  # need not be installed
        try:
            await obstore.delete_async(self.store.store, list(keys))
        except FileNotFoundError:
            return

    async def make_room(self, key: str) -> bool:  # noqa: ARG002 see the protocol
        """Do nothing: there are no folders."""
        return False

    async def create(self, key: str, content: bytes) -> bool:
        """Put with ``If-None-Match: *``."""
        obstore = import_module("obstore")  # need not be installed
        try:
            await obstore.put_async(self.store.store, key, content, mode="create")
        except Exception as error:
            if not is_there(error):
                raise
            return False
        return True


class FsspecBackend:
    """Any other file system that fsspec knows."""

    def __init__(self, store: FsspecStore) -> None:
        self.store = store

    async def page(self, prefix: str, after: str) -> tuple[list[str], str]:  # noqa: ARG002 it comes as a whole
        """List everything."""
        fs: Any = self.store.fs
        base = self.store.path.rstrip("/")
        folder = prefix.rpartition("/")[0]
        fs.invalidate_cache()
        try:
            found = await fs._find(f"{base}/{folder}" if folder else base)  # noqa: SLF001 asynchronous as the store
        except (FileNotFoundError, NotADirectoryError):
            return [], ""
        keys = [path.removeprefix(base).lstrip("/") for path in found]
        return [key for key in keys if key.startswith(prefix)], ""

    async def remove(self, keys: Sequence[str]) -> None:
        """Remove one by one."""
        fs: Any = self.store.fs
        base = self.store.path.rstrip("/")
        for key in keys:
            try:
                await fs._rm_file(f"{base}/{key}")  # noqa: SLF001 asynchronous as the store
            except (FileNotFoundError, NotADirectoryError):
                continue

    async def make_room(self, key: str) -> bool:
        """Make the folders."""
        folder = f"{self.store.path.rstrip('/')}/{key}".rpartition("/")[0]
        await self.store.fs._makedirs(folder, exist_ok=True)  # noqa: SLF001 asynchronous as the store
        return True

    async def create(self, key: str, content: bytes) -> bool:
        """Put in fsspec's mode of creating, as far as the file system knows it."""
        await self.make_room(key)
        try:
            await self.store.fs._pipe_file(  # noqa: SLF001 asynchronous as the store
                f"{self.store.path.rstrip('/')}/{key}", content, mode="create"
            )
        except FileExistsError:
            return False
        return True
