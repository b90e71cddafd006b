"""The lattice along one axis: where cells, tiles, blocks and strips lie, in integers."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Literal

from scalesr.errors import PlanError
from scalesr.tiling.reflect import reflected_span
from scalesr.tiling.window import cell_window


@dataclass(frozen=True, kw_only=True)
class AxisLattice:
    r"""One axis of the global lattice. It starts at the image's origin, has a constant stride and knows no workers.

    ::

        output pixels, cell S, ramp half-width b, k = 3 cells to a block

        shard of block j           [ jkS ............................ (j+1)kS )
        cells of block j      [jkS-b ........ | ........ | ........ (j+1)kS-b )
        contributions     [jkS-2b ................................... (j+1)kS )
                          \______/\_________________________________________/
                           strip,     stays with block j
                           goes to block j-1
        tile of cell i    [ iS-b-halo ................ (i+1)S-b+halo )   read with reflection at the image's edge

    The last cell keeps its full weight up to the image's end, so that an image of exactly n cells needs n tiles and
    no more. Raises `PlanError` for sizes that do not fit each other.
    """

    name: str
    """Name of the axis in the image (``t``, ``c``, ``z``, ``y``, ``x``)."""
    size: int
    """Pixels of the input image along this axis."""
    scale: Fraction = Fraction(1)
    """Output pixels for each input pixel."""
    cell: int
    """Input pixels that one tile is responsible for."""
    halo: int = 0
    """Input pixels of context on either side of a cell."""
    ramp: int = 0
    """Half-width of the cross-fade between neighbours, in input pixels; 0 is plain cropping."""
    block: int = 1
    """Cells of one block along this axis."""
    sampling: Literal["area", "point"] = "area"
    """What a pixel stands for: the mean over its extent, or the value at its centre, output pixel j then lying at
    j / scale."""

    def __post_init__(self) -> None:
        if self.size < 1:
            raise PlanError(f"Axis {self.name!r} has no pixels.", remedy="Check the image's shape.")
        for what, value, least in (("scale", self.scale, Fraction(1, 10**6)), ("cell", self.cell, 1)):
            if value < least:
                raise PlanError(
                    f"{what} {value} on axis {self.name!r} is too small.", remedy=f"Give a positive {what}."
                )
        if min(self.halo, self.ramp) < 0 or self.block < 1:
            raise PlanError(
                f"halo {self.halo}, blend {self.ramp} and block {self.block} on axis {self.name!r} cannot be negative.",
                remedy="Give halo and blend of at least 0 and block of at least 1.",
            )
        for what, value in (("cell", self.cell), ("halo", self.halo), ("blend", self.ramp)):
            if (value * self.scale).denominator != 1:
                whole = self.scale.denominator
                raise PlanError(
                    f"A {what} of {value} px on axis {self.name!r} is not a whole number of output pixels "
                    f"at scale {self.scale}.",
                    remedy=f"Use a multiple of {whole}.",
                )
        if self.ramp > self.halo:
            raise PlanError(
                f"Blending over {self.ramp} px on axis {self.name!r} needs a halo of at least that; it is {self.halo}.",
                remedy="Raise --halo or lower --blend.",
            )
        if 2 * self.ramp > self.cell:
            raise PlanError(
                f"Blending over 2 x {self.ramp} px does not fit into cells of {self.cell} px on axis {self.name!r}.",
                remedy="Raise --cell or lower --blend.",
            )

    @cached_property
    def tile(self) -> int:
        """Input pixels that the network sees: a cell with its context."""
        return self.cell + 2 * self.halo

    @cached_property
    def out_size(self) -> int:
        """Output pixels: those that lie wholly inside the input's extent, at least one.

        Of points, also the one nearest to the last input pixel, which lies beyond that at some scales below 3/2.
        """
        inside = max(1, int(self.size * self.scale))
        last = int((self.size - 1) * self.scale + Fraction(1, 2))
        return inside if self.sampling == "area" else max(inside, last + 1)

    @cached_property
    def out_cell(self) -> int:
        """Output pixels of a cell."""
        return int(self.cell * self.scale)

    @cached_property
    def out_halo(self) -> int:
        """Output pixels of context on either side of a cell."""
        return int(self.halo * self.scale)

    @cached_property
    def out_ramp(self) -> int:
        """Half-width of the cross-fade in output pixels."""
        return int(self.ramp * self.scale)

    @cached_property
    def out_block(self) -> int:
        """Output pixels of a block that the image's end does not cut."""
        return self.block * self.out_cell

    @cached_property
    def strip(self) -> int:
        """Output pixels that a block computes for its lower neighbour."""
        return 2 * self.out_ramp

    @cached_property
    def cells(self) -> int:
        """Number of cells, which is the number of tiles."""
        return -(-self.out_size // self.out_cell)

    @cached_property
    def blocks(self) -> int:
        """Number of blocks."""
        return -(-self.cells // self.block)

    def tile_start(self, cell: int) -> int:
        """Return the first input pixel of a cell's tile; negative where it begins in the reflection."""
        return cell * self.cell - self.ramp - self.halo

    def block_cells(self, block: int) -> range:
        """Return the cells of a block."""
        return range(block * self.block, min((block + 1) * self.block, self.cells))

    def span(self, cells: range) -> tuple[int, int]:
        """Return the range of input pixels, reflection included, that the tiles of some cells cover."""
        return self.tile_start(cells.start), self.tile_start(cells.stop - 1) + self.tile

    def context(self, block: int) -> tuple[int, int]:
        """Return the range of input pixels, reflection included, that the tiles of a block cover."""
        return self.span(self.block_cells(block))

    def read(self, block: int) -> tuple[int, int]:
        """Return the range of pixels inside the image that a block reads."""
        return reflected_span(*self.context(block), self.size)

    def own(self, block: int) -> tuple[int, int]:
        """Return the range of input pixels that a block answers for, and nobody else."""
        cells = self.block_cells(block)
        return cells.start * self.cell, min(cells.stop * self.cell, self.size)

    def owned(self, block: int) -> tuple[int, int]:
        """Return the range of output pixels that a block writes, and nobody else."""
        return block * self.out_block, min((block + 1) * self.out_block, self.out_size)

    def sums(self, block: int) -> int:
        """Return the output pixels that a block contributes to: its strip, then its own cells."""
        return self.strip + len(self.block_cells(block)) * self.out_cell

    def window(self, cell: int) -> tuple[int, ...]:
        """Return a cell's weights over ``[-strip, out_cell)`` from its slot, in units of 1/256."""
        return cell_window(self.out_cell, self.out_ramp, first=cell == 0, last=cell == self.cells - 1)
