"""Geometry on integers: where tiles, blocks and strips lie, and what a run will cost. No dask, no torch, no zarr."""

from scalesr.tiling.axis import AxisLattice
from scalesr.tiling.choose import choose_block, choose_cell, choose_tile, choose_unit, round_up
from scalesr.tiling.describe import aligned, describe, human_bytes, human_flops
from scalesr.tiling.lattice import Index, Lattice, Offset
from scalesr.tiling.plan import LevelPlan, Plan, plan_levels
from scalesr.tiling.reflect import reflect, reflected_span
from scalesr.tiling.window import UNIT, cell_window, ramp

__all__ = [
    "UNIT",
    "AxisLattice",
    "Index",
    "Lattice",
    "LevelPlan",
    "Offset",
    "Plan",
    "aligned",
    "cell_window",
    "choose_block",
    "choose_cell",
    "choose_tile",
    "choose_unit",
    "describe",
    "human_bytes",
    "human_flops",
    "plan_levels",
    "ramp",
    "reflect",
    "reflected_span",
    "round_up",
]
