"""Sizes of cells, blocks, shards and chunks where the caller names none.

They depend on the image and the model alone, never on the machine or the number of workers: a default must not change
the bytes of a result.
"""

from __future__ import annotations

from math import lcm, prod
from operator import mul
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

TILE_EDGE = {1: 4096, 2: 256, 3: 128}
"""Edge of a tile by the number of axes that the model mixes, from the measurements in docs/design.md."""
LARGEST_TILE_EDGE = {1: 4096, 2: 512, 3: 192}
"""Edge to which a tile grows where its context would be most of it; beyond, caches make up for what is saved."""
CELL_OVER_HALO = {1: 2, 2: 20, 3: 8}
"""Cell over halo that is aimed at: 1.21 times as many pixels computed as needed in 2-D, and 1.95 times in 3-D."""
TILE_BYTES = 2**30
"""Live tensors of one tile, in float32, to which it may grow for the sake of its context."""
BLOCK_BYTES = 16 * 2**20
"""A block's output: large enough to be worth a file, small enough to hold several in a laptop's memory."""
LARGEST_BLOCK_BYTES = 256 * 2**20
"""A block's output in an image so large that it would have more than `MANY_BLOCKS` otherwise."""
MANY_BLOCKS = 2**16
"""From here on the number of files and records costs more than a larger block."""
LEAST_BLOCKS = 16
"""A small image is still cut into so many blocks, so that there is something to share out."""
BANDS_TOGETHER = 32
"""Bands of a block that are made from eigenimages at a time, and held in memory. What is done once for all of them
costs as much as some ten bands."""
CHUNK_VOXELS = 2**18
"""Voxels of one inner chunk of a shard: the unit that a viewer fetches."""


def round_up(value: int, unit: int) -> int:
    """Return the smallest multiple of `unit` that is at least `value`."""
    return -(-value // unit) * unit


def choose_unit(scale: Fraction, multiple: int) -> int:
    """Return what cells, halos and ramps must be a multiple of: the model's own unit and whole output pixels."""
    return lcm(scale.denominator, multiple)


def choose_tile(halo: int, *, axes: int, pixel_bytes: float) -> int:
    """Return the edge of a tile for a model that mixes so many axes.

    Parameters
    ----------
    halo
        Context on either side of a cell.
    axes
        Number of axes that the model mixes.
    pixel_bytes
        Bytes of live tensors for each pixel of a tile.
    """
    affordable = int((TILE_BYTES / max(pixel_bytes, 1.0)) ** (1 / axes))
    wanted = (CELL_OVER_HALO[axes] + 2) * halo
    return max(TILE_EDGE[axes], min(wanted, affordable, LARGEST_TILE_EDGE[axes]))


def choose_cell(size: int, *, unit: int, halo: int, ramp: int, tile: int) -> int:
    """Return a cell whose tile has about `tile` pixels, but at least twice its halo, so that context stays affordable.

    An image that one such tile covers has one cell. Other cells are multiples of 32 px where they have room for
    that, which divide into chunks well, and no larger than their number asks for: an image of 300 px is two cells of
    160 px rather than two of 224 px. Of those within a quarter of what is wanted, the one is taken by which the fewest
    pixels are computed, context and what hangs over the end of the image included.
    """
    wanted = max(tile - 2 * halo, 2 * halo, 2 * ramp, unit)
    if size <= wanted:
        return round_up(max(size, 2 * ramp), unit)
    grain = lcm(unit, 32)
    if grain > wanted:
        grain = unit
    least = round_up(max(2 * halo, 2 * ramp, 1), grain)
    near = round_up(max(wanted - wanted // 4, 1), grain), (wanted + wanted // 4) // grain * grain
    choices = {
        max(round_up(-(-size // -(-size // cell)), grain), least)
        for cell in (max((wanted + grain // 2) // grain * grain, least), *range(near[0], near[1] + 1, grain))
    }
    return min(choices, key=lambda cell: (-(-size // cell) * (cell + 2 * halo), abs(cell - wanted), cell))


def fitting_tile(tile: int, *, bands: int, axes: int) -> int:
    """Return the edge of a tile that holds all bands of an image, no larger than `tile` and than memory allows."""
    return min(tile, max(1, int((LARGEST_BLOCK_BYTES / (4 * bands)) ** (1 / axes))))


def choose_bands(bands: int, *, band_bytes: int) -> int:
    """Return how many bands of a block one file holds, which has some `BLOCK_BYTES`: a power of two, or all."""
    shard = 1
    while shard < bands and 2 * shard * band_bytes <= BLOCK_BYTES:
        shard *= 2
    return min(shard, bands)


def choose_block(
    cells: Sequence[int], voxels: Sequence[int], mixed: Sequence[bool], *, itemsize: int, target: int | None = None
) -> tuple[int, ...]:
    """Return how many cells a block has along each axis.

    Axes that the model mixes grow first, the shortest first, so that blocks are near to cubes and share little
    border; the others follow where the image is small.

    Parameters
    ----------
    cells
        Number of cells along each axis.
    voxels
        Output pixels of a cell along each axis.
    mixed
        Whether the model mixes pixels along the axis.
    itemsize
        Bytes of an output voxel.
    target
        Bytes of a block's output that are not exceeded, unless one cell alone does; chosen when not given.
    """
    if target is None:
        whole = itemsize * prod(map(mul, cells, voxels))
        target = min(LARGEST_BLOCK_BYTES, max(BLOCK_BYTES, whole // MANY_BLOCKS))
    block = [1] * len(cells)

    def blocks(shape: Sequence[int]) -> int:
        return prod(-(-count // k) for count, k in zip(cells, shape, strict=True))

    while True:
        order = sorted(
            (axis for axis in range(len(cells)) if block[axis] < cells[axis]),
            key=lambda axis: (not mixed[axis], block[axis] * voxels[axis], -axis),
        )
        for axis in order:
            larger = [k * 2 if i == axis else k for i, k in enumerate(block)]
            if itemsize * prod(k * v for k, v in zip(larger, voxels, strict=True)) > target:
                continue
            if blocks(larger) < min(LEAST_BLOCKS, blocks(block)):
                continue
            block = larger
            break
        else:
            return tuple(block)


def choose_chunk(shard: Sequence[int], mixed: Sequence[bool], *, voxels: int = CHUNK_VOXELS) -> tuple[int, ...]:
    """Return the inner chunk of a shard: divisors of its edges that make about `voxels` over the spatial axes."""
    spatial = max(1, sum(mixed))
    edge = round(voxels ** (1 / spatial))
    return tuple(
        _divisor(size, edge) if is_mixed else _divisor(size, 1) for size, is_mixed in zip(shard, mixed, strict=True)
    )


def _divisor(size: int, wanted: int) -> int:
    """Return the divisor of `size` that lies nearest to `wanted`, by ratio; the whole where it is smaller."""
    if size <= wanted:
        return size
    pairs = ((d, size // d) for d in range(1, int(size**0.5) + 1) if size % d == 0)
    return min((d for pair in pairs for d in pair), key=lambda d: (max(d / wanted, wanted / d), d))
