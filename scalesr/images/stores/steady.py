"""A Zarr store that keeps its temper: every request is counted, bounded, and sent again while that may help."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from zarr.storage import WrapperStore

from scalesr.images.stores.backends import PAGE
from scalesr.images.stores.traffic import count

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

    from zarr.abc.store import ByteRequest, Store
    from zarr.core.buffer import Buffer, BufferPrototype

    from scalesr.images.stores.backends import Backend
    from scalesr.images.stores.line import Line


class SteadyStore(WrapperStore[Any]):
    """A store over one client and one line.

    An object that is not there is told apart from a store that refuses or does not answer: the latter is a
    `StoreError` and never pixels of zero.

    Parameters
    ----------
    store
        Zarr's store.
    backend
        The same, with what scalesr needs beside it.
    line
        What carries its requests.
    url
        Address of the store, for errors.
    """

    def __init__(self, store: Store, *, backend: Backend, line: Line, url: str) -> None:
        super().__init__(store)
        self._backend = backend
        self._line = line
        self._url = url

    def _with_store(self, store: Store) -> Self:
        return type(self)(store, backend=self._backend, line=self._line, url=self._url)

    def __repr__(self) -> str:
        return f"SteadyStore({self._url!r})"

    __str__ = __repr__

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return an object or a part of it; `None` where there is none."""
        try:
            found: Buffer | None = await self._line.carry(
                lambda: self._store.get(key, prototype, byte_range), place=self._place(key), doing="read"
            )
        except FileNotFoundError:
            return None
        count(read=0 if found is None else len(found))
        return found

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Return parts of objects."""
        return list(await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges)))

    async def _get_many(
        self, requests: Iterable[tuple[str, BufferPrototype, ByteRequest | None]]
    ) -> AsyncGenerator[tuple[str, Buffer | None], None]:
        for key, prototype, part in requests:
            yield key, await self.get(key, prototype, part)

    async def exists(self, key: str) -> bool:
        """Return whether there is an object."""
        try:
            found: bool = await self._line.carry(lambda: self._store.exists(key), place=self._place(key), doing="read")
        except FileNotFoundError:
            return False
        return found

    async def getsize(self, key: str) -> int:
        """Return the bytes of an object without reading it.

        Raises
        ------
        FileNotFoundError
            There is none.
        """
        size: int = await self._line.carry(lambda: self._store.getsize(key), place=self._place(key), doing="read")
        return size

    async def set(self, key: str, value: Buffer) -> None:
        """Put an object as a whole."""
        place = self._place(key)
        try:
            await self._line.carry(lambda: self._store.set(key, value), place=place, doing="written")
        except FileNotFoundError:
            if not await self._line.carry(lambda: self._backend.make_room(key), place=place, doing="written"):
                raise
            await self._line.carry(lambda: self._store.set(key, value), place=place, doing="written")
        count(written=len(value))

    async def _set_many(self, values: Iterable[tuple[str, Buffer]]) -> None:
        await asyncio.gather(*(self.set(key, value) for key, value in values))

    async def set_if_not_exists(self, key: str, value: Buffer) -> None:
        """Put an object unless there is one; two who do so at the same moment may both succeed."""
        if not await self.exists(key):
            await self.set(key, value)

    async def create(self, key: str, content: bytes) -> bool:
        """Put an object if there is none, as far as the store knows that condition; return whether it was put."""
        created: bool = await self._line.carry(
            lambda: self._backend.create(key, content), place=self._place(key), doing="written"
        )
        count(written=len(content) if created else 0)
        return created

    async def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        await self._remove([key])

    async def delete_dir(self, prefix: str) -> None:
        """Remove all objects below a prefix, page by page."""
        folder = prefix.strip("/")
        doomed = [key async for key in self.list_prefix(f"{folder}/" if folder else "")]
        await asyncio.gather(*(self._remove(doomed[start : start + PAGE]) for start in range(0, len(doomed), PAGE)))

    async def clear(self) -> None:
        """Remove everything."""
        await self.delete_dir("")

    def list(self) -> AsyncIterator[str]:
        """Yield all keys."""
        return self.list_prefix("")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """Yield the keys that begin with a prefix."""
        after = ""
        while True:
            keys, after = await self._page(prefix, after)
            for key in keys:
                yield key
            if not after:
                return

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """Yield what lies directly below a prefix."""

        async def names() -> Sequence[str]:
            return [name async for name in self._store.list_dir(prefix)]

        try:
            found = await self._line.carry(names, place=self._place(prefix), doing="listed")
        except FileNotFoundError:
            return
        for name in found:
            yield name

    async def _page(self, prefix: str, after: str) -> tuple[Sequence[str], str]:
        try:
            return await self._line.carry(
                lambda: self._backend.page(prefix, after), place=self._place(prefix), doing="listed"
            )
        except FileNotFoundError:
            return [], ""

    async def _remove(self, keys: Sequence[str]) -> None:
        try:
            await self._line.carry(lambda: self._backend.remove(keys), place=self._place(keys[0]), doing="removed")
        except FileNotFoundError:
            return

    def _place(self, key: str) -> str:
        return f"{self._url}/{key}".rstrip("/")
