"""What metadata may ask for before anything is allocated or opened on its word."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from scalesr.errors import InputError

if TYPE_CHECKING:
    import zarr

LARGEST_CHUNK = 2**32
"""Bytes of a chunk, decoded: it is in memory as a whole as soon as one of its pixels is asked for. The largest of real
images are some hundred megabytes."""
MOST_CHUNKS = 2**22
"""Chunks of a shard: its index, 16 bytes for each, is read as a whole."""
MOST_LEVELS = 64
"""Resolutions of an image; the side of one halves at each."""
LONGEST_SIDE = 2**48
"""Pixels along an axis."""


def check_path(path: str, *, where: str) -> str:
    """Return a path that metadata name, without slashes at its ends.

    Raises
    ------
    InputError
        It is empty, or leads out of the place that names it.
    """
    parts = path.replace("\\", "/").strip("/").split("/")
    if ".." in parts or "." in parts or "::" in path or "://" in path or "\0" in path or not path.strip("/"):
        raise InputError(
            f"{where} names the path {path!r}, which does not lie within it.",
            remedy="Correct the metadata; an image holds all that belongs to it.",
        )
    return path.strip("/")


def check_sizes(array: zarr.Array[Any], *, where: str) -> None:
    """Refuse an array whose metadata alone would fill the memory of whoever reads one pixel of it.

    Raises
    ------
    InputError
        A chunk is too large, or a shard has too many, or an axis is too long.
    """
    remedy = "Store the image again with smaller chunks; if nobody made them so large, its metadata are damaged."
    itemsize = array.dtype.itemsize
    chunk = prod(map(int, array.chunks)) * itemsize
    if chunk > LARGEST_CHUNK:
        raise InputError(
            f"{where} declares chunks of {array.chunks} pixels, {chunk:,} bytes each; at most {LARGEST_CHUNK:,} can be "
            "read.",
            remedy=remedy,
        )
    if array.shards is not None:
        count = prod(-(-int(s) // max(1, int(c))) for s, c in zip(array.shards, array.chunks, strict=True))
        if count > MOST_CHUNKS:
            raise InputError(f"{where} declares {count:,} chunks in a shard; at most {MOST_CHUNKS:,}.", remedy=remedy)
    if max(array.shape, default=0) > LONGEST_SIDE:
        raise InputError(f"{where} declares an axis of {max(array.shape):,} pixels.", remedy="Correct the metadata.")
