"""Hypothesis strategies that more than one room's tests draw from."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from scalesr.tiling import AxisLattice, Lattice, Plan, choose_unit, plan_levels

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

SCALES = (Fraction(1), Fraction(2), Fraction(4), Fraction(1, 2), Fraction(3, 2), Fraction(48, 13))
"""No change, super-resolution, binning, and two anisotropies."""

EXTENTS = {1: (400,), 2: (96, 48), 3: (56, 14, 10), 4: (56, 8, 6, 4)}
"""For each number of axes, about how many output pixels each may have, so that brute force stays affordable."""
MOST_CELLS = {1: 400, 2: 20, 3: 7, 4: 4}
"""Likewise the number of cells along each axis."""

NAMES = "tczyx"


@st.composite
def axis_lattices(
    draw: DrawFn, *, name: str = "x", extent: int = 400, most_cells: int = 400, multiple: int = 1
) -> AxisLattice:
    """Draw one axis with sizes that fit each other; one-pixel and prime sizes are among them."""
    scale = draw(st.sampled_from([scale for scale in SCALES if scale.numerator <= extent]))
    unit = choose_unit(scale, multiple)
    most = max(1, int(extent / scale))
    large = st.integers(-(-most // 2), most)
    size = draw(large | large | st.sampled_from([prime for prime in (1, 2, 3, 7, 13, 31) if prime <= most]))
    least = -(-size // (most_cells * unit))
    # Mostly small cells and small blocks, so that most images have strips to hand over; sometimes one for all.
    cell = unit * draw(st.integers(least + 1, least + 4) | st.integers(least, max(least, size // unit)))
    ramp = unit * draw(st.just(cell // 2 // unit) | st.integers(0, cell // 2 // unit))
    halo = ramp + unit * draw(st.integers(0, 4))
    block = draw(st.integers(1, 2) | st.integers(1, 8))
    return AxisLattice(name=name, size=size, scale=scale, cell=cell, halo=halo, ramp=ramp, block=block)


@st.composite
def lattices(draw: DrawFn, *, dims: tuple[int, ...] = (1, 2, 3, 4)) -> Lattice:
    """Draw a lattice of one to four axes, small enough to try every voxel."""
    ndim = draw(st.sampled_from(dims))
    extents = draw(st.permutations(EXTENTS[ndim]))
    names = NAMES[-ndim:]
    return Lattice(
        tuple(
            draw(axis_lattices(name=name, extent=extent, most_cells=MOST_CELLS[ndim]))
            for name, extent in zip(names, extents, strict=True)
        )
    )


@st.composite
def halvings(draw: DrawFn, ndim: int) -> tuple[tuple[int, ...], ...]:
    """Draw how often each axis is halved on each level of a pyramid: 0 on the first, then never less."""
    levels = [(0,) * ndim]
    for _ in range(draw(st.integers(0, 5))):
        step = draw(st.tuples(*[st.integers(0, 1)] * ndim))
        levels.append(tuple(times + more for times, more in zip(levels[-1], step, strict=True)))
    return tuple(levels)


@st.composite
def plans(draw: DrawFn) -> Plan:
    """Draw a plan with all that a plan can say."""
    lattice = draw(lattices())
    ndim = len(lattice.axes)
    mixed = draw(st.tuples(*[st.booleans()] * ndim))
    in_dtype, in_itemsize = draw(st.sampled_from((("uint8", 1), ("uint16", 2), ("float32", 4), ("float64", 8))))
    out_dtype, out_itemsize = draw(st.sampled_from((("uint8", 1), ("uint16", 2), ("float32", 4))))
    return Plan(
        lattice=lattice,
        in_dtype=in_dtype,
        out_dtype=out_dtype,
        in_itemsize=in_itemsize,
        out_itemsize=out_itemsize,
        in_chunk=draw(st.tuples(*[st.integers(1, 64)] * ndim)),
        levels=plan_levels(lattice, draw(halvings(ndim)), mixed=mixed, itemsize=out_itemsize),
        batch=draw(st.integers(1, 64)),
        precision=draw(st.sampled_from(("fp32", "bf16", "fp16"))),
        threads=draw(st.integers(1, 8)),
        fraction_bits=draw(st.sampled_from((24, 40))),
        mixed=mixed,
    )
