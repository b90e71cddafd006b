"""Making the coarse levels of an image from the stored level below, shard by shard."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.images.downsample import downsample
from scalesr.images.layout import level_steps
from scalesr.images.reading import read_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from scalesr.images.layout import LevelLayout
    from scalesr.images.writer import ImageWriter


_PART_BYTES = 4 << 20


def build_pyramid(writer: ImageWriter, *, first: int = 1, progress: Callable[[int, int], None] | None = None) -> None:
    """Write the levels from `first` on; each is made from the stored level before it, and nothing else is read.

    Memory stays at about one shard of the coarse level and one chunk's worth of the finer one.

    Parameters
    ----------
    writer
        Its level ``first - 1`` is complete.
    first
        First level to make.
    progress
        Called with shards done and shards in all.

    Raises
    ------
    OutputError
        A level cannot be written.
    StorageError
        The level below cannot be read back.
    """
    levels = range(first, len(writer.layout.levels))
    total = sum(count_shards(writer.layout.levels[level]) for level in levels)
    done = 0
    for level in levels:
        for region in shard_regions(writer.layout.levels[level]):
            writer.write(level, region, coarse_region(writer, level, region))
            done += 1
            if progress is not None:
                progress(done, total)


def coarse_region(writer: ImageWriter, level: int, region: tuple[slice, ...]) -> NDArray[Any]:
    """Return a region of a level, computed from the stored level before it."""
    plan, fine = writer.layout.levels[level], writer.layout.levels[level - 1]
    halved = level_steps(writer.layout, level)
    out = np.empty([piece.stop - piece.start for piece in region], np.dtype(writer.layout.dtype))
    source = writer.array(level - 1)
    for part in _parts(region, _step(plan.chunks, fine.chunks, halved, itemsize=out.dtype.itemsize)):
        below = tuple(
            slice(2 * piece.start, min(2 * piece.stop, n)) if i in halved else piece
            for i, (piece, n) in enumerate(zip(part, fine.shape, strict=True))
        )
        pixels, _ = read_region(source, below, name=f"{writer.url}/{fine.path}", on_bad="raise")
        into = tuple(slice(p.start - r.start, p.stop - r.start) for p, r in zip(part, region, strict=True))
        out[into] = downsample(pixels, halved)
    return out


def shard_regions(level: LevelLayout) -> Iterator[tuple[slice, ...]]:
    """Yield the region of each shard of a level, the last axis fastest; the last ones are cut at the image's edge."""
    yield from _parts(tuple(slice(0, size) for size in level.shape), level.unit)


def count_shards(level: LevelLayout) -> int:
    """Return how many shards a level has."""
    count = 1
    for size, unit in zip(level.shape, level.unit, strict=True):
        count *= -(-size // unit)
    return count


def _step(coarse: tuple[int, ...], fine: tuple[int, ...], halved: tuple[int, ...], *, itemsize: int) -> tuple[int, ...]:
    """Return the part of a chunk that is made at once: all of it, or what one finer chunk gives where that is large."""
    large = math.prod(coarse) * 2 ** len(halved) * itemsize > _PART_BYTES
    return tuple(
        n // 2 if large and i in halved and n == m and n % 2 == 0 else n
        for i, (n, m) in enumerate(zip(coarse, fine, strict=True))
    )


def _parts(region: tuple[slice, ...], unit: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    spans = [
        [slice(start, min(start + size, piece.stop)) for start in range(piece.start, piece.stop, size)]
        for piece, size in zip(region, unit, strict=True)
    ]
    yield from itertools.product(*spans)
