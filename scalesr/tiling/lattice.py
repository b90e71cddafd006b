"""The lattice of an image: a product of one lattice for each axis."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.tiling.axis import AxisLattice

Index = tuple[int, ...]
"""Position of a block or a cell: one integer for each axis."""
Offset = tuple[int, ...]
"""One 0 or 1 for each axis: how far up a neighbour lies."""


@dataclass(frozen=True)
class Lattice:
    """All cells and blocks of an image. Every tile belongs to one block, every output voxel is owned by one block.

    Blocks are numbered in C order of their index. A block adds to itself and to its *lower* neighbours only, so
    that blocks visited from the last to the first find the strips that they need already there.
    """

    axes: tuple[AxisLattice, ...]

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """Number of blocks along each axis."""
        return tuple(axis.blocks for axis in self.axes)

    @cached_property
    def blocks(self) -> int:
        """Number of blocks."""
        return prod(self.grid)

    @property
    def tiles(self) -> int:
        """Number of cells, which is the number of tiles that are computed."""
        return prod(axis.cells for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the input."""
        return tuple(axis.size for axis in self.axes)

    @property
    def out_shape(self) -> tuple[int, ...]:
        """Shape of the output."""
        return tuple(axis.out_size for axis in self.axes)

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """Shape of what the network sees, over all axes of the image."""
        return tuple(axis.tile for axis in self.axes)

    def index(self, block: int) -> Index:
        """Return the index of a block from its number."""
        index = []
        for count in reversed(self.grid):
            block, position = divmod(block, count)
            index.append(position)
        return tuple(reversed(index))

    def number(self, index: Index) -> int:
        """Return the number of a block from its index."""
        number = 0
        for position, count in zip(index, self.grid, strict=True):
            number = number * count + position
        return number

    @cached_property
    def offsets(self) -> tuple[Offset, ...]:
        """Where a block's upper neighbours lie that hand it a strip: 2^d - 1 of them over the d axes that blend."""
        steps = product(*((0, 1) if axis.strip else (0,) for axis in self.axes))
        return tuple(step for step in steps if any(step))

    def givers(self, index: Index) -> Iterator[tuple[Offset, Index]]:
        """Yield the upper neighbours that hand a strip to a block, with where they lie."""
        for offset in self.offsets:
            upper = tuple(i + o for i, o in zip(index, offset, strict=True))
            if all(i < count for i, count in zip(upper, self.grid, strict=True)):
                yield offset, upper

    def takers(self, index: Index) -> Iterator[tuple[Offset, Index]]:
        """Yield the lower neighbours that a block hands a strip to, with where it lies from them."""
        for offset in self.offsets:
            lower = tuple(i - o for i, o in zip(index, offset, strict=True))
            if min(lower) >= 0:
                yield offset, lower

    def part(self, offset: Offset) -> tuple[slice, ...]:
        """Return where, in a block's sums, the strip for the neighbour at `offset` lies; zeros give its own part."""
        return tuple(
            slice(0, axis.strip) if step else slice(axis.strip, None)
            for axis, step in zip(self.axes, offset, strict=True)
        )

    def landing(self, index: Index, offset: Offset) -> tuple[slice, ...]:
        """Return where, in the own part of block `index`, the strip of its neighbour at `offset` is added."""
        return tuple(
            slice(axis.sums(i) - 2 * axis.strip, axis.sums(i) - axis.strip) if step else slice(None)
            for axis, i, step in zip(self.axes, index, offset, strict=True)
        )

    def cells(self, index: Index) -> tuple[range, ...]:
        """Return the cells of a block: a range for each axis."""
        return tuple(axis.block_cells(i) for axis, i in zip(self.axes, index, strict=True))

    def owned(self, index: Index) -> tuple[slice, ...]:
        """Return the region of the output that a block owns."""
        return tuple(slice(*axis.owned(i)) for axis, i in zip(self.axes, index, strict=True))

    def sums(self, index: Index) -> tuple[int, ...]:
        """Return the shape of a block's sums: its own part and its strips."""
        return tuple(axis.sums(i) for axis, i in zip(self.axes, index, strict=True))
