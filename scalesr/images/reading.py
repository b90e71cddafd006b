"""Reading a region, and finding the chunks to blame when that fails."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from zarr.core.buffer import default_buffer_prototype

from scalesr.errors import StorageError
from scalesr.images.stores import StoreError

if TYPE_CHECKING:
    import zarr
    from numpy.typing import NDArray

    from scalesr.images.shards import ShardReader

_NAMED = 8


@dataclass(frozen=True)
class BadChunk:
    """A chunk that cannot be read or decoded."""

    key: str
    """Key of the stored object: the chunk itself, or the shard that holds it."""
    index: tuple[int, ...]
    """Index of the chunk in the grid of what can be read on its own."""
    region: tuple[slice, ...]
    """Pixels of the array that it holds."""
    reason: str
    """What the store or the codec said."""

    def __str__(self) -> str:
        return f"{self.key} (chunk {self.index}: {self.reason})"


def read_region(
    array: zarr.Array[Any],
    region: tuple[slice, ...],
    *,
    shards: ShardReader | None = None,
    name: str,
    on_bad: Literal["raise", "fill"],
) -> tuple[NDArray[Any], tuple[BadChunk, ...]]:
    """Return the pixels of a region in native byte order, and the chunks that were filled because they are bad.

    `shards` is the quick way to read the array, where there is one. The common case is one read. Only when that fails
    is the region read again chunk by chunk, to say which are bad.

    Raises
    ------
    StorageError
        `on_bad` is ``raise`` and a chunk is bad.
    StoreError
        The store refuses, or does not answer; that is never filled.
    ValueError
        The region does not fit the array.
    """
    bounds = _bounds(region, array.shape)
    if shards is not None:
        pixels = np.empty([stop - start for start, stop in bounds], array.dtype)
        if _read_quickly(shards, bounds, pixels):
            return pixels, ()
    region = tuple(slice(start, stop) for start, stop in bounds)
    try:
        return _native(array[region]), ()
    except StoreError:  # whoever cannot be asked has not said that a chunk is bad
        raise
    except Exception as error:
        pixels, bad = _read_chunkwise(array, bounds)
        if not bad or on_bad == "fill":  # none is bad: the store failed once, and then gave every chunk
            return pixels, bad
        named = "; ".join(str(chunk) for chunk in bad[:_NAMED])
        more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
        raise StorageError(
            f"{name}: {len(bad)} chunk(s) cannot be read: {named}{more}.",
            remedy="Restore them from the source, or fill them with --on-bad-block fill.",
        ) from error


def decode_into(
    array: zarr.Array[Any], region: tuple[slice, ...], out: NDArray[Any], *, shards: ShardReader | None
) -> bool:
    """Decode a region straight into an array of its shape, of any strides; false where it must be read instead.

    It must be where `out` has another number format, and where a chunk is bad: reading it tells which. What `out` holds
    is then of no use.

    Raises
    ------
    ValueError
        The region does not fit the array.
    """
    bounds = _bounds(region, array.shape)
    if array.dtype != out.dtype or not out.dtype.isnative:
        return False
    if shards is not None:
        return _read_quickly(shards, bounds, out)
    try:
        array.get_basic_selection(region, out=default_buffer_prototype().nd_buffer.from_numpy_array(out))
    except StoreError:
        raise
    except Exception:  # noqa: BLE001 - see above
        return False
    return True


def _read_quickly(shards: ShardReader, bounds: list[tuple[int, int]], out: NDArray[Any]) -> bool:
    try:
        shards.read_into(bounds, out)
    except Exception:  # noqa: BLE001 - decoders raise what they like; Zarr reads it again and says what is wrong
        return False
    return True


def _read_chunkwise(array: zarr.Array[Any], bounds: list[tuple[int, int]]) -> tuple[NDArray[Any], tuple[BadChunk, ...]]:
    dtype = array.dtype.newbyteorder("=")
    pixels = np.full([stop - start for start, stop in bounds], array.fill_value or 0, dtype=dtype)
    bad = []
    grid = array.chunks
    outer = array.shards or grid
    spans = [range(start // size, -(-stop // size)) for (start, stop), size in zip(bounds, grid, strict=True)]
    for index in itertools.product(*spans):
        whole = tuple(
            slice(i * size, min((i + 1) * size, n)) for i, size, n in zip(index, grid, array.shape, strict=True)
        )
        part = tuple(
            slice(max(piece.start, start), min(piece.stop, stop))
            for piece, (start, stop) in zip(whole, bounds, strict=True)
        )
        into = tuple(slice(p.start - start, p.stop - start) for p, (start, _) in zip(part, bounds, strict=True))
        try:
            pixels[into] = _native(array[part])
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - see read_region
            coords = tuple(piece.start // size for piece, size in zip(whole, outer, strict=True))
            key = f"{array.path}/{array.metadata.encode_chunk_key(coords)}".lstrip("/")
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
            bad.append(BadChunk(key, index, whole, reason))
    return pixels, tuple(bad)


def _bounds(region: tuple[slice, ...], shape: tuple[int, ...]) -> list[tuple[int, int]]:
    if len(region) != len(shape):
        raise ValueError(f"a region of {len(region)} slices does not fit an array of {len(shape)} axes")
    bounds = []
    for piece, size in zip(region, shape, strict=True):
        start = 0 if piece.start is None else int(piece.start)
        stop = size if piece.stop is None else int(piece.stop)
        if piece.step not in (None, 1) or not 0 <= start <= stop <= size:
            raise ValueError(f"the region {region} is not within the shape {shape}")
        bounds.append((start, stop))
    return bounds


def _native(pixels: Any) -> NDArray[Any]:
    found = np.asarray(pixels)
    return np.ascontiguousarray(found, dtype=found.dtype.newbyteorder("=")).reshape(found.shape)
