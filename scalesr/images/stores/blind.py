"""A store that is only written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zarr.storage import WrapperStore

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_METADATA = frozenset({"zarr.json", ".zarray", ".zattrs", ".zgroup"})


class BlindStore(WrapperStore[Any]):
    """Says of every chunk that it is not there; metadata are read as ever.

    Zarr reads each shard before it replaces it, also where all of it is replaced: a request for each shard, and where a
    run repeats a block, all of its bytes. Whoever writes whole shards has no use for what was there.
    """

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Return metadata; `None` for chunks."""
        if key.rpartition("/")[2] not in _METADATA:
            return None
        found: Buffer | None = await self._store.get(key, prototype, byte_range)
        return found
