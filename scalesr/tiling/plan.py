"""The plan of a run: everything that decides the bytes of its result, and what they will cost."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from functools import cached_property
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import PlanError
from scalesr.tiling.axis import AxisLattice
from scalesr.tiling.choose import BANDS_TOGETHER, choose_chunk, round_up
from scalesr.tiling.describe import aligned, describe
from scalesr.tiling.lattice import Lattice

if TYPE_CHECKING:
    from collections.abc import Sequence

LEAST_SHARD_BYTES = 2**18
"""Below this a level's part of a block is not worth a file of its own: the level is made at the end of the run."""


@dataclass(frozen=True, kw_only=True)
class LevelPlan:
    """One level of the output's pyramid."""

    shape: tuple[int, ...]
    """Voxels of the whole level."""
    shard: tuple[int, ...]
    """Voxels of one file: what one task writes."""
    chunk: tuple[int, ...]
    """Voxels of one inner chunk: what one reader fetches."""
    halved: tuple[int, ...]
    """How often each axis was halved since level 0."""
    made: Literal["in pass", "at end"]
    """Whether each block writes its own part, or the level is made from the one below when all blocks are done."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Immutable, serialises to JSON without loss, and costs O(sum of the axes): a petabyte plans in milliseconds.

    Two runs with the same plan, model and input give the same bytes on one class of device, whatever the number of
    workers, the executor, the order and the crashes.
    """

    lattice: Lattice
    in_dtype: str
    """NumPy name of the input's data type."""
    out_dtype: str
    """NumPy name of the output's data type."""
    in_itemsize: int
    out_itemsize: int
    in_chunk: tuple[int, ...]
    """What one request to the input's storage delivers, in voxels."""
    levels: tuple[LevelPlan, ...]
    """The output's pyramid, finest first."""
    batch: int = 1
    """Tiles of one call of the model; the last batch of a block is padded to it."""
    precision: str = "fp32"
    """Number format of the network's arithmetic."""
    threads: int = 1
    """Threads inside one operation on the CPU: their number changes the last bit, so it is part of the plan."""
    fraction_bits: int = 24
    """Sums are made in integers of 2^-fraction_bits on the normalised scale: 24 bits in int32, 40 in int64."""
    mixed: tuple[bool, ...]
    """Which axes the model mixes."""
    flux: Literal["free", "conserved"] = "free"
    """Whether the mean of the output over each input pixel is brought to what was measured there."""

    deviation: Literal["none", "kept"] = "none"
    """Whether the standard deviations that the model returns are summed, and written as an image of their own."""
    verbatim: Literal["none", "planes"] = "none"
    """``planes``: those of the input, along the first axis that the model mixes, are found unchanged in the output."""
    missing_planes: tuple[int, ...] = ()
    """Planes of the input, along that axis, that were not measured: the model makes them up."""
    tile_passes: int = 0
    """Passes of a network that one tile takes, where the model counts them."""
    tile_flops: float = 0.0
    """Floating-point operations of one tile, where the model counts them."""
    components: tuple[int, int] | None = None
    """Axis of the bands, and how many eigenimages stand for them in the sums; ``None`` where each band is itself."""

    @cached_property
    def summed(self) -> Lattice:
        """The lattice of the sums: that of the output, unless eigenimages stand for its bands."""
        if self.components is None:
            return self.lattice
        band, count = self.components
        axes = list(self.lattice.axes)
        axes[band] = replace(axes[band], scale=Fraction(count, axes[band].size))
        return Lattice(tuple(axes))

    @cached_property
    def bands_together(self) -> int:
        """Bands of a block that are made from eigenimages, and held in memory, at the same time: whole shards."""
        assert self.components is not None
        band, _ = self.components
        axis, shard = self.lattice.axes[band], self.levels[0].shard[band]
        return min(axis.size, max(shard, BANDS_TOGETHER // shard * shard))

    @property
    def kinds(self) -> int:
        """Kinds of sums: one of values and, where they are kept, one of their standard deviations."""
        return 2 if self.deviation == "kept" else 1

    @property
    def sum_dtype(self) -> str:
        """Data type of the sums."""
        return "int32" if self.fraction_bits <= 24 else "int64"

    @property
    def sum_itemsize(self) -> int:
        """Bytes of one sum."""
        return 4 if self.fraction_bits <= 24 else 8

    @property
    def tiles(self) -> int:
        """Tiles that are computed, which is the number that is needed: each one once."""
        return self.lattice.tiles

    @cached_property
    def tiles_computed(self) -> int:
        """Tiles that the blocks compute, added up over the blocks."""
        axes = self.lattice.axes
        return prod(sum(len(axis.block_cells(block)) for block in range(axis.blocks)) for axis in axes)

    @property
    def blocks(self) -> int:
        """Blocks, which are the units of scheduling, of writing and of resuming."""
        return self.lattice.blocks

    @cached_property
    def tiles_padded(self) -> int:
        """Tiles that go through the network: with those that fill the last batch of each block up."""
        # Along an axis all blocks but the last have the same number of cells.
        sizes = []
        for axis in self.lattice.axes:
            last = len(axis.block_cells(axis.blocks - 1))
            sizes.append([(axis.block, axis.blocks - 1), (last, 1)])
        return sum(
            prod(many for _, many in pick) * round_up(prod(cells for cells, _ in pick), self.batch)
            for pick in product(*sizes)
        )

    @property
    def passes(self) -> int:
        """Passes of the network that the whole run takes, each of one image of a batch; 0 where it is not known."""
        return self.tiles_padded * self.tile_passes

    @property
    def flops(self) -> float:
        """Floating-point operations that the network takes for the whole run; 0 where it is not known."""
        return self.tiles_padded * self.tile_flops

    @property
    def sampling(self) -> tuple[Literal["area", "point"], ...]:
        """What a pixel stands for along each axis of the image."""
        return tuple(axis.sampling for axis in self.lattice.axes)

    @cached_property
    def strips(self) -> int:
        """Strips that blocks hand to their lower neighbours, over the whole image."""
        grid, axes = self.lattice.grid, self.lattice.axes
        with_any = prod(2 * count - 1 if axis.strip else count for count, axis in zip(grid, axes, strict=True))
        return with_any - self.blocks

    @property
    def tasks_per_block(self) -> int:
        """Tasks of a scheduler for each block: read, infer, stitch, and strip where tiles are blended."""
        return 4 if self.lattice.offsets else 3

    @property
    def tasks(self) -> int:
        """Tasks of a scheduler for the whole run."""
        return self.blocks * self.tasks_per_block

    @property
    def context_ratio(self) -> float:
        """Pixels that the network sees for each input pixel that it answers for: the price of the halo."""
        return prod(axis.tile / axis.cell for axis in self.lattice.axes)

    @cached_property
    def bytes_read(self) -> int:
        """Bytes of all reads, before compression, contexts of blocks counted each time."""
        sums = (sum(stop - start for start, stop in map(a.read, range(a.blocks))) for a in self.lattice.axes)
        again = prod(self.lattice.shape) if self.reads_again else 0
        return (prod(sums) + again) * self.in_itemsize

    @property
    def reads_again(self) -> bool:
        """Whether a block's own pixels are read once more when its voxels are made."""
        return self.flux == "conserved" or self.verbatim == "planes" or self.components is not None

    @cached_property
    def requests_read(self) -> int:
        """Requests to the input's storage: chunks touched by each block, added up."""
        ways = [AxisLattice.read, AxisLattice.own] if self.reads_again else [AxisLattice.read]
        return sum(
            prod(
                sum(
                    (stop - 1) // chunk - start // chunk + 1
                    for start, stop in (way(axis, b) for b in range(axis.blocks))
                )
                for axis, chunk in zip(self.lattice.axes, self.in_chunk, strict=True)
            )
            for way in ways
        )

    @property
    def bytes_written(self) -> int:
        """Bytes of all levels before compression; standard deviations are float32."""
        itemsize = self.out_itemsize + (4 if self.deviation == "kept" else 0)
        return sum(prod(level.shape) for level in self.levels) * itemsize

    @property
    def requests_written(self) -> int:
        """Shards of all levels, one record for each block, and one object with the strips that it hands over."""
        shards = sum(prod(-(-n // s) for n, s in zip(level.shape, level.shard, strict=True)) for level in self.levels)
        # Blocks at the lower end of every axis that is blended have nobody to hand a strip to.
        axes, grid = self.lattice.axes, self.lattice.grid
        without_strips = prod(1 if axis.strip else count for axis, count in zip(axes, grid, strict=True))
        return shards * self.kinds + self.blocks + (self.blocks - without_strips)

    @cached_property
    def bytes_strips(self) -> int:
        """Bytes of all strips, which are written once and read once, beside input and output."""
        own = [axis.cells * axis.out_cell for axis in self.summed.axes]
        given = [axis.strip * (axis.blocks - 1) for axis in self.summed.axes]
        return (prod(o + g for o, g in zip(own, given, strict=True)) - prod(own)) * self.sum_itemsize * self.kinds

    @cached_property
    def largest(self) -> tuple[int, ...]:
        """Index of a block that is as large as any: one that the image's end does not cut, where there is one."""
        return (0,) * len(self.lattice.axes)

    def to_json(self) -> dict[str, Any]:
        """Return the plan as what JSON can hold; fractions are texts like ``48/13``."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["lattice"] = [asdict(axis) | {"scale": str(axis.scale)} for axis in self.lattice.axes]
        values["levels"] = [asdict(level) for level in self.levels]
        plain: dict[str, Any] = json.loads(json.dumps(values))
        return plain

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """Return the plan that `to_json` described."""
        axes = tuple(AxisLattice(**axis | {"scale": Fraction(axis["scale"])}) for axis in values["lattice"])
        levels = tuple(LevelPlan(**_tuples(level)) for level in values["levels"])
        return cls(**_tuples(values) | {"lattice": Lattice(axes), "levels": levels})

    def describe(self) -> str:
        """Return what the plan will do as lines of plain text for people, the figures in one column."""
        return aligned(describe(self))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the JSON form: equal for equal plans only."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def plan_levels(
    lattice: Lattice,
    halvings: Sequence[Sequence[int]],
    *,
    mixed: Sequence[bool],
    itemsize: int,
    shard_cells: Sequence[int] | None = None,
    bands: tuple[int, int] | None = None,
) -> tuple[LevelPlan, ...]:
    """Return the levels of the output.

    Parameters
    ----------
    lattice
        The lattice, whose blocks own whole shards.
    halvings
        For each level, the finest first, how often each axis was halved since level 0.
    mixed
        Which axes the model mixes; they are cut into chunks, the others have chunks of one.
    itemsize
        Bytes of an output voxel.
    shard_cells
        Cells of one shard along each axis; a block when not given.
    bands
        An axis that is one cell, and how many of its pixels a shard holds, where a cell is too much for one file.

    Raises
    ------
    PlanError
        A block does not hold a whole number of shards, so that two blocks would write to one file.
    """
    cells = tuple(shard_cells or (axis.block for axis in lattice.axes))
    for axis, k in zip(lattice.axes, cells, strict=True):
        if k < 1 or axis.block % k:
            raise PlanError(
                f"A block of {axis.block} cells on axis {axis.name!r} does not hold a whole number of shards "
                f"of {k} cells.",
                remedy="Make --block a multiple of --shard.",
            )
    base = tuple(axis.out_cell * k for axis, k in zip(lattice.axes, cells, strict=True))
    if bands is not None:
        base = tuple(bands[1] if a == bands[0] else size for a, size in enumerate(base))
    levels: list[LevelPlan] = []
    for halved in halvings:
        whole = all(size % 2**times == 0 for size, times in zip(base, halved, strict=True))
        shard = tuple(size >> times for size, times in zip(base, halved, strict=True))
        in_pass = not levels or (levels[-1].made == "in pass" and whole and prod(shard) * itemsize >= LEAST_SHARD_BYTES)
        if not in_pass:
            shard = levels[-1].shard
        levels.append(
            LevelPlan(
                shape=tuple(-(-axis.out_size // 2**times) for axis, times in zip(lattice.axes, halved, strict=True)),
                shard=shard,
                chunk=choose_chunk(shard, mixed),
                halved=tuple(halved),
                made="in pass" if in_pass else "at end",
            )
        )
    return tuple(levels)
