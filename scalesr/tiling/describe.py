"""What a plan will do, in words and numbers for people."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scalesr.tiling.axis import AxisLattice
    from scalesr.tiling.plan import Plan


def describe(plan: Plan) -> list[tuple[str, str]]:
    """Return what a plan will do as pairs of what and how much, in the order in which people ask.

    It costs what the plan costs, O(sum of the axes), and touches no storage.
    """
    lattice = plan.lattice
    axes = lattice.axes
    read, written = human_bytes(plan.bytes_read), human_bytes(plan.bytes_written)
    return [
        ("input", _image(axes, lattice.shape, plan.in_dtype, plan.in_itemsize)),
        ("output", _image(axes, lattice.out_shape, plan.out_dtype, plan.out_itemsize)),
        ("scale", ", ".join(_scale(axis) for axis in axes if axis.scale != 1) or "unchanged"),
        (
            "tiles",
            f"{plan.tiles:,}, each computed once: computed over needed is {plan.tiles_computed / plan.tiles:.2f}",
        ),
        *((f"tile, {axis.name}", _tile(axis)) for axis, mixed in zip(axes, plan.mixed, strict=True) if mixed),
        ("context", f"the network sees {plan.context_ratio:.2f} pixels for each one that it answers for"),
        ("blocks", f"{plan.blocks:,} of {_times(axis.block for axis in axes)} tiles; each can be resumed by itself"),
        ("tasks", f"{plan.tasks:,}, which is {plan.tasks_per_block} for each block"),
        ("files", f"shards of {_times(plan.levels[0].shard)} px, holding chunks of {_times(plan.levels[0].chunk)} px"),
        ("levels", _levels(plan)),
        ("reading", f"{read} in {plan.requests_read:,} requests"),
        ("writing", f"{written} before compression in {plan.requests_written:,} requests"),
        *([("eigenimages", _eigen(plan))] if plan.components is not None else []),
        *([("flux", "the mean over each input pixel is what was measured there")] if plan.flux == "conserved" else []),
        *([("strips", f"{human_bytes(plan.bytes_strips)} pass between blocks")] if lattice.offsets else []),
        *([("missing", _missing(plan))] if plan.missing_planes else []),
        *([("work", _work(plan))] if plan.passes else []),
        ("arithmetic", _arithmetic(plan)),
    ]


def aligned(lines: Sequence[tuple[str, str]]) -> str:
    """Return pairs as plain text, the second of each pair in one column."""
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in lines)


def human_bytes(count: float) -> str:
    """Return a number of bytes as people say it: ``1.5 GB``, decimal as storage is sold."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} PB" if count < 1000 else f"{count / 1000:.3g} EB"


def human_flops(count: float) -> str:
    """Return a number of floating-point operations: ``2.14 PFLOP``."""
    for unit in ("", "k", "M", "G", "T", "P"):
        if count < 1000:
            return f"{count:.3g} {unit}FLOP"
        count /= 1000
    return f"{count:,.3g} EFLOP" if count < 1000 else f"{count:,.0f} EFLOP"


def _missing(plan: Plan) -> str:
    shown = ", ".join(map(str, plan.missing_planes[:6])) + (" ..." if len(plan.missing_planes) > 6 else "")
    many = len(plan.missing_planes)
    return f"{many:,} plane{'s' * (many > 1)} ({shown}) that were not measured are made up by the model"


def _work(plan: Plan) -> str:
    each = 1e9 / prod(plan.lattice.out_shape)
    return (
        f"{plan.passes:,} passes of the network, {human_flops(plan.flops)}; for a gigavoxel of output "
        f"{plan.passes * each:,.0f} passes, {human_flops(plan.flops * each)}"
    )


def _times(sizes: Iterable[int]) -> str:
    return " x ".join(str(size) for size in sizes)


def _image(axes: Sequence[AxisLattice], shape: Sequence[int], dtype: str, itemsize: int) -> str:
    sizes = ", ".join(f"{axis.name} {size:,}" for axis, size in zip(axes, shape, strict=True))
    return f"{sizes}; {dtype}; {human_bytes(prod(shape) * itemsize)}"


def _scale(axis: AxisLattice) -> str:
    return f"{axis.scale} along {axis.name}" + (", between points" if axis.sampling == "point" else "")


def _tile(axis: AxisLattice) -> str:
    blend = f"blended over 2 x {axis.ramp} px" if axis.ramp else "cropped"
    return f"{axis.tile} px: a cell of {axis.cell} px, a halo of {axis.halo} px on either side, {blend}"


def _levels(plan: Plan) -> str:
    late = sum(level.made == "at end" for level in plan.levels)
    shapes = f"{len(plan.levels)}, down to {_times(plan.levels[-1].shape)} px"
    return f"{shapes}; the last {late} made at the end" if late else shapes


def _eigen(plan: Plan) -> str:
    assert plan.components is not None
    band, count = plan.components
    return f"{count:,} stand for {plan.lattice.axes[band].size:,} bands in the network; the rest is interpolated"


def _arithmetic(plan: Plan) -> str:
    tiles = ("tile" if plan.components is None else "eigenimage") + ("" if plan.batch == 1 else "s")
    threads = "thread" if plan.threads == 1 else "threads"
    return (
        f"{plan.precision}, {plan.batch} {tiles} to a batch, {plan.threads} {threads} to an inference on the CPU, "
        f"sums in {plan.sum_dtype}"
    )
