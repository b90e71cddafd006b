"""Decompression that stops at the size that the metadata declare, whatever the compressed bytes say.

A few kilobytes of gzip, blosc or zstd may inflate to gigabytes. `check_sizes` bounds what metadata declare; here each
chunk is held to it: codecs that say beforehand how large their content is are asked, the others are stopped. Formats:
RFC 1950 and 1952 (zlib, gzip), RFC 8878 (zstd), the headers of blosc and of lz4 as numcodecs writes it.
"""

from __future__ import annotations

import asyncio
import bz2
import lzma
import zlib
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numcodecs import blosc, zstd
from zarr.abc.codec import BytesBytesCodec
from zarr.codecs import ShardingCodec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import zarr
    from zarr.abc.codec import Codec
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer

_ZSTD = b"\x28\xb5\x2f\xfd"
_CHECKSUM = 4
_SPARE = 2**16
"""Bytes that a codec before another one may add: headers, checksums, an index."""


class _Inflater(Protocol):
    """What `zlib`, `bz2` and `lzma` share."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, most: int, /) -> bytes: ...


def inflated(kind: str, content: Any, *, most: int) -> Any:
    """Return what compressed bytes hold.

    Parameters
    ----------
    kind
        One of `KINDS`.
    content
        The bytes, in any object that shows its own.
    most
        How many there may be. Content of zstd that does not say its size must have just so many.

    Raises
    ------
    ValueError
        There are more.
    Exception
        Whatever damaged bytes make the decoders say.
    """
    raw = memoryview(content).cast("B")
    return _KINDS[kind](raw, most)


def _blosc(raw: memoryview, most: int) -> Any:
    _check(int.from_bytes(raw[4:8], "little"), most)
    return blosc.decompress(raw)


def _lz4(raw: memoryview, most: int) -> Any:
    from numcodecs import lz4  # noqa: PLC0415 rare

    _check(int.from_bytes(raw[:4], "little"), most)
    return lz4.decompress(raw)


def _zstd(raw: memoryview, most: int) -> Any:
    said = _content_size(raw)
    if said is not None:
        _check(said, most)
    # Into a buffer: further frames behind the first one do not fit, and what has no size must fill it.
    return zstd.decompress(raw, np.empty(most if said is None else said, np.uint8))


def _content_size(raw: memoryview) -> int | None:
    """Return the size of the content of a frame of zstd, as its header says it; `None` where it does not."""
    if bytes(raw[:4]) != _ZSTD:
        raise ValueError("this is no frame of zstd")
    flags = raw[4]
    single, wide = flags >> 5 & 1, flags >> 6
    length = (1 if single else 0, 2, 4, 8)[wide]
    start = 5 + (1 - single) + (0, 1, 2, 4)[flags & 3]
    size = int.from_bytes(raw[start : start + length], "little")
    return None if length == 0 else size + (256 if length == 2 else 0)


def _stream(make: Callable[[], _Inflater]) -> Callable[[memoryview, int], bytes]:
    """Return what inflates one stream after the other, and stops one byte after there is too much."""

    def inflate(raw: memoryview, most: int) -> bytes:
        parts, total, rest = [], 0, bytes(raw)
        while rest:
            inflater = make()
            part = inflater.decompress(rest, most + 1 - total)
            total += len(part)
            _check(total, most)
            if not inflater.eof:
                raise EOFError("the compressed bytes end too early")
            parts.append(part)
            rest = inflater.unused_data
        return b"".join(parts)

    return inflate


def _check(size: int, most: int) -> None:
    if size > most:
        raise ValueError(f"it inflates to more than the {most:,} bytes that its metadata declare")


_KINDS: dict[str, Callable[[memoryview, int], Any]] = {
    "blosc": _blosc,
    "lz4": _lz4,
    "zstd": _zstd,
    "gzip": _stream(lambda: zlib.decompressobj(31)),
    "zlib": _stream(lambda: zlib.decompressobj(15)),
    "bz2": _stream(bz2.BZ2Decompressor),
    "lzma": _stream(lzma.LZMADecompressor),
}
KINDS = frozenset(_KINDS)
"""Codecs that are held to a size."""


def bounded(array: zarr.Array[Any]) -> zarr.Array[Any]:
    """Have an array that is open for reading hold its compressors to the sizes that it declares, and return it.

    Codecs that are not of `KINDS` stay as they are.
    """
    # What the array says of itself stays as it is: fingerprints are made of it.
    whole: Any = array.async_array
    pipeline = type(whole.codec_pipeline)
    if array.metadata.zarr_format == 3:
        codecs = _bounded_codecs(whole.codec_pipeline)
    else:
        size = prod(array.chunks) * array.dtype.itemsize
        codecs = [_bounded_v2(codec, size) for codec in whole.codec_pipeline]
    object.__setattr__(whole, "codec_pipeline", pipeline.from_codecs(codecs))
    return array


def _bounded_v2(codec: Any, size: int) -> Any:
    """Return the one codec of an array of Zarr 2, whose compressor, and filters that compress, are held to a size."""
    loose = 2 * size + _SPARE
    filters = codec.filters and tuple(_BoundedV2.of(one, loose) for one in codec.filters)
    compressor = codec.compressor and _BoundedV2.of(codec.compressor, loose if filters else size)
    return replace(codec, filters=filters, compressor=compressor)


@dataclass(frozen=True)
class _BoundedV2:
    """A compressor of Zarr 2 that is held to a size. It only reads."""

    kind: str
    most: int

    @classmethod
    def of(cls, codec: Any, most: int) -> Any:
        """Return a codec held to a size, or as it is where it does not compress."""
        return cls(codec.codec_id, most) if codec.codec_id in KINDS else codec

    def decode(self, content: Any) -> Any:
        """Return what compressed bytes hold."""
        return inflated(self.kind, content, most=self.most)


def _bounded_codecs(codecs: Iterable[Codec]) -> list[Any]:
    """Return codecs of Zarr 3, in the order in which they encode, those that compress held to a size."""
    found: list[Any] = []
    added: int | None = 0
    for codec in codecs:
        name = str(codec.to_dict()["name"]).removeprefix("numcodecs.")
        if isinstance(codec, ShardingCodec):
            inner, index = _bounded_codecs(codec.codecs), _bounded_codecs(codec.index_codecs)
            found.append(replace(codec, codecs=tuple(inner), index_codecs=tuple(index)))
            added = None
        elif isinstance(codec, BytesBytesCodec) and name in KINDS:
            found.append(_Bounded(codec, name, added))
            added = None
        else:
            found.append(codec)
            if isinstance(codec, BytesBytesCodec):
                added = added + _CHECKSUM if added is not None and name == "crc32c" else None
    return found


@dataclass(frozen=True)
class _Bounded(BytesBytesCodec):
    """A compressor of Zarr 3 that is held to the size of its chunk."""

    codec: BytesBytesCodec
    kind: str
    added: int | None
    """Bytes that codecs before this one add to those of the pixels; `None` where that is not known."""
    is_fixed_size = False

    def to_dict(self) -> Any:
        """Return what the codec says of itself."""
        return self.codec.to_dict()

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> _Bounded:
        """Return it as it is for an array."""
        return replace(self, codec=self.codec.evolve_from_array_spec(array_spec))

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Return what the codec says."""
        return self.codec.compute_encoded_size(input_byte_length, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        size = prod(chunk_spec.shape) * chunk_spec.dtype.to_native_dtype().itemsize
        most = 2 * size + _SPARE if self.added is None else size + self.added
        content = await asyncio.to_thread(inflated, self.kind, chunk_data.as_array_like(), most=most)
        return chunk_spec.prototype.buffer.from_bytes(content)
