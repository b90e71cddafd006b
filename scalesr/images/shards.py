"""Sharded arrays in local files, decoded where they are asked for.

Zarr hands every chunk to the event loop of another thread, so that two cores read hardly faster than one, and whoever
computes beside it waits for that thread. What scalesr itself writes needs none of it: the file of a shard, its index,
the checksum and the decompressor of each chunk. Threads that read do not meet here. All other arrays are Zarr's.

Layout of a shard: https://zarr-specs.readthedocs.io/en/latest/v3/codecs/sharding-indexed/
"""

from __future__ import annotations

import itertools
import math
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import google_crc32c
import numpy as np

from scalesr.images.inflating import inflated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import zarr
    from numpy.typing import NDArray

Compressor = Literal["blosc", "zstd", "none"]
_ABSENT = 2**64 - 1
_CHECKSUM = 4


@dataclass(frozen=True, eq=False)
class ShardReader:
    """Reads regions of one array. It fails on what it does not expect, and Zarr then says what is wrong."""

    array: zarr.Array[Any]
    folder: Path
    """Where the array lies."""
    chunk: tuple[int, ...]
    shard: tuple[int, ...]
    compressor: Compressor
    checksum: Literal["crc32c", "none"]

    @classmethod
    def of(cls, array: zarr.Array[Any], folder: Path | None) -> ShardReader | None:
        """Return the reader of an array, or `None` where only Zarr knows how to read it."""
        if folder is None or array.metadata.zarr_format != 3 or array.shards is None or sys.byteorder != "little":
            return None
        facts: dict[str, Any] = dict(array.metadata.to_dict())
        names = [codec["name"] for codec in facts["codecs"]]
        if names != ["sharding_indexed"] or array.dtype.kind not in "uif" or not array.dtype.isnative:
            return None
        inner: dict[str, Any] = facts["codecs"][0]["configuration"]
        if [codec["name"] for codec in inner["index_codecs"]] != ["bytes", "crc32c"] or inner[
            "index_location"
        ] != "end":
            return None
        first, *rest = inner["codecs"]
        if first["name"] != "bytes" or first.get("configuration", {}).get("endian", "little") != "little":
            return None
        kinds = [codec["name"] for codec in rest]
        checksum: Literal["crc32c", "none"] = "crc32c" if kinds[-1:] == ["crc32c"] else "none"
        kinds = kinds[: len(kinds) - (checksum == "crc32c")]
        if kinds not in ([], ["blosc"], ["zstd"]):
            return None
        compressor: Compressor = "none" if not kinds else "blosc" if kinds == ["blosc"] else "zstd"
        return cls(array, folder, tuple(array.chunks), tuple(array.shards), compressor, checksum)

    def read_into(self, bounds: Sequence[tuple[int, int]], out: NDArray[Any]) -> None:
        """Write the pixels of a region, start and stop for each axis, into an array of its shape and the same format.

        Raises
        ------
        Exception
            Whatever a damaged file makes the decoders say; what `out` holds is then of no use.
        """
        spans = [range(start // size, -(-stop // size)) for (start, stop), size in zip(bounds, self.shard, strict=True)]
        for place in itertools.product(*spans):
            box = [
                (max(i * size, start), min((i + 1) * size, stop))
                for i, size, (start, stop) in zip(place, self.shard, bounds, strict=True)
            ]
            into = out[_slices(box, [start for start, _ in bounds])]
            try:
                file = (self.folder / self.array.metadata.encode_chunk_key(place)).open("rb", buffering=0)
            except FileNotFoundError:
                into[...] = self.array.fill_value
                continue
            with file:
                self._read_shard(file, [i * size for i, size in zip(place, self.shard, strict=True)], box, into)

    def _read_shard(self, file: BinaryIO, corner: Sequence[int], box: list[tuple[int, int]], out: NDArray[Any]) -> None:
        grid = tuple(s // c for s, c in zip(self.shard, self.chunk, strict=True))
        size = os.fstat(file.fileno()).st_size
        index_bytes = 16 * math.prod(grid) + _CHECKSUM
        wanted = list(self._chunks(corner, box))
        # Most of a shard comes in one request, and so does its index.
        whole = _read(file, 0, size) if 2 * len(wanted) > math.prod(grid) else None
        raw = _read(file, size - index_bytes, index_bytes) if whole is None else whole[size - index_bytes :]
        index = np.frombuffer(_checked(raw), "<u8").reshape(*grid, 2)
        for place, part in wanted:
            offset, length = map(int, index[place])
            start = [c + i * n for c, i, n in zip(corner, place, self.chunk, strict=True)]
            target = out[_slices(part, [low for low, _ in box])]
            if offset == length == _ABSENT:
                target[...] = self.array.fill_value
                continue
            body = _read(file, offset, length) if whole is None else whole[offset : offset + length]
            pixels = self._decode(_checked(body) if self.checksum == "crc32c" else body)
            np.copyto(target, pixels[_slices(part, start)])

    def _chunks(
        self, corner: Sequence[int], box: list[tuple[int, int]]
    ) -> Iterator[tuple[tuple[int, ...], list[tuple[int, int]]]]:
        """Yield the place in its shard of each chunk that a part of it touches, and which of its pixels are wanted."""
        spans = [
            range((low - c) // n, -(-(high - c) // n))
            for c, n, (low, high) in zip(corner, self.chunk, box, strict=True)
        ]
        for place in itertools.product(*spans):
            yield (
                place,
                [
                    (max(c + i * n, low), min(c + (i + 1) * n, high))
                    for c, i, n, (low, high) in zip(corner, place, self.chunk, box, strict=True)
                ],
            )

    def _decode(self, body: memoryview) -> NDArray[Any]:
        size = math.prod(self.chunk) * self.array.dtype.itemsize
        plain: Any = body if self.compressor == "none" else inflated(self.compressor, body, most=size)
        return np.frombuffer(plain, self.array.dtype).reshape(self.chunk)


def _slices(box: Sequence[tuple[int, int]], corner: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(low - c, high - c) for (low, high), c in zip(box, corner, strict=True))


def _read(file: BinaryIO, offset: int, length: int) -> memoryview:
    content = os.pread(file.fileno(), length, offset)
    if len(content) != length:
        raise EOFError(f"the file ends after {len(content)} of {length} bytes")
    return memoryview(content)


def _checked(body: memoryview) -> memoryview:
    """Return what a checksum vouches for."""
    content, said = body[:-_CHECKSUM], int.from_bytes(body[-_CHECKSUM:], "little")
    found = google_crc32c.value(content.tobytes())
    if found != said:
        raise ValueError(f"the checksum is {found:08x}, and {said:08x} is stored")
    return content
