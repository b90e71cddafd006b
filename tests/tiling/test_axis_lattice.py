"""One axis of the lattice, tried pixel by pixel."""

from __future__ import annotations

import re
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from strategies import axis_lattices

from scalesr.errors import PlanError
from scalesr.tiling import UNIT, AxisLattice, reflect


@given(axis=axis_lattices())
def test_windows_of_all_cells_sum_to_one_on_every_output_pixel(axis: AxisLattice) -> None:
    total = np.zeros(axis.strip + axis.cells * axis.out_cell, np.int64)
    for cell in range(axis.cells):
        total[cell * axis.out_cell : (cell + 1) * axis.out_cell + axis.strip] += axis.window(cell)
    assert (total[axis.strip : axis.strip + axis.out_size] == UNIT).all()
    assert not total[: axis.strip].any()


@given(axis=axis_lattices())
def test_every_output_pixel_is_owned_once(axis: AxisLattice) -> None:
    owners = [range(*axis.owned(block)) for block in range(axis.blocks)]
    assert [pixel for owned in owners for pixel in owned] == list(range(axis.out_size))
    assert all(owners)  # no block is empty


@given(axis=axis_lattices())
def test_every_cell_belongs_to_one_block(axis: AxisLattice) -> None:
    computed = [cell for block in range(axis.blocks) for cell in axis.block_cells(block)]
    assert computed == list(range(axis.cells))


@given(axis=axis_lattices())
def test_no_tile_is_computed_in_vain(axis: AxisLattice) -> None:
    assert axis.cells == -(-axis.out_size // axis.out_cell)
    assert (axis.cells - 1) * axis.out_cell < axis.out_size <= axis.cells * axis.out_cell


@given(axis=axis_lattices())
def test_output_size_is_what_lies_wholly_inside_the_input(axis: AxisLattice) -> None:
    assert axis.out_size == max(1, axis.size * axis.scale.numerator // axis.scale.denominator)


@given(axis=axis_lattices())
def test_a_tile_covers_what_its_cell_contributes_to(axis: AxisLattice) -> None:
    for cell in range(axis.cells):
        start, stop = (edge * axis.scale for edge in (axis.tile_start(cell), axis.tile_start(cell) + axis.tile))
        slot = cell * axis.out_cell
        assert start.denominator == stop.denominator == 1
        assert start <= slot - axis.strip
        assert stop >= slot + axis.out_cell
        # What is left over on either side is the context that every contribution has.
        assert slot - axis.strip - start == stop - slot - axis.out_cell == axis.out_halo - axis.out_ramp


@given(axis=axis_lattices())
def test_a_block_reads_what_its_tiles_see_and_nothing_else(axis: AxisLattice) -> None:
    for block in range(axis.blocks):
        tiles = [range(axis.tile_start(cell), axis.tile_start(cell) + axis.tile) for cell in axis.block_cells(block)]
        seen = {pixel for tile in tiles for pixel in tile}
        assert axis.context(block) == axis.span(axis.block_cells(block)) == (min(seen), max(seen) + 1)
        inside = {reflect(pixel, axis.size) for pixel in seen}
        assert axis.read(block) == (min(inside), max(inside) + 1)
        assert 0 <= min(inside) <= max(inside) < axis.size


@given(axis=axis_lattices())
def test_the_lattice_does_not_depend_on_the_blocks(axis: AxisLattice) -> None:
    single = AxisLattice(
        name=axis.name, size=axis.size, scale=axis.scale, cell=axis.cell, halo=axis.halo, ramp=axis.ramp, block=1
    )
    assert single.cells == axis.cells
    assert [single.tile_start(i) for i in range(axis.cells)] == [axis.tile_start(i) for i in range(axis.cells)]
    assert [single.window(i) for i in range(axis.cells)] == [axis.window(i) for i in range(axis.cells)]


@given(axis=axis_lattices())
def test_every_input_pixel_is_read_by_some_block(axis: AxisLattice) -> None:
    """A pixel may be left out only where the output's floor leaves no output pixel to it and its tile no room."""
    reads = Counter(pixel for block in range(axis.blocks) for pixel in range(*axis.read(block)))
    answered_for = min(axis.size, -(-axis.out_size // axis.scale))
    assert set(range(answered_for)) <= set(reads)


def test_the_picture_in_the_docstring() -> None:
    axis = AxisLattice(name="x", size=100, scale=Fraction(2), cell=10, halo=6, ramp=2, block=3)
    assert (axis.tile, axis.out_size, axis.cells, axis.blocks, axis.strip) == (22, 200, 10, 4, 8)
    assert axis.owned(1) == (60, 120)
    assert axis.owned(3) == (180, 200)
    assert axis.context(1) == (30 - 2 - 6, 60 - 2 + 6)
    assert axis.context(0) == (-8, 34)
    assert axis.read(0) == (0, 34)
    assert axis.sums(1) == 8 + 60
    assert axis.sums(3) == 8 + 20


@pytest.mark.parametrize("cells", [1, 2, 3, 7])
@pytest.mark.parametrize("ramp", [0, 4])
def test_an_image_of_n_cells_takes_n_tiles(cells: int, ramp: int) -> None:
    axis = AxisLattice(name="x", size=cells * 16, cell=16, halo=8, ramp=ramp, block=2)
    assert axis.cells == cells
    assert AxisLattice(name="x", size=cells * 16 + 1, cell=16, halo=8, ramp=ramp).cells == cells + 1


def z_axis(**sizes: Any) -> AxisLattice:
    return AxisLattice(**{"name": "z", "size": 32, "cell": 16, **sizes})


BAD: list[tuple[dict[str, Any], str]] = [
    ({"size": 0}, "Axis 'z' has no pixels."),
    ({"scale": Fraction(0)}, "scale 0 on axis 'z' is too small."),
    ({"scale": Fraction(-2)}, "scale -2 on axis 'z' is too small."),
    ({"cell": 0}, "cell 0 on axis 'z' is too small."),
    ({"halo": -1}, "halo -1, blend 0 and block 1 on axis 'z' cannot be negative."),
    ({"ramp": -1}, "halo 0, blend -1 and block 1 on axis 'z' cannot be negative."),
    ({"block": 0}, "halo 0, blend 0 and block 0 on axis 'z' cannot be negative."),
    ({"scale": Fraction(48, 13), "cell": 14}, "A cell of 14 px on axis 'z' is not a whole number of output pixels"),
    ({"scale": Fraction(1, 2), "halo": 3}, "A halo of 3 px on axis 'z' is not a whole number of output pixels"),
    ({"scale": Fraction(3, 2), "halo": 4, "ramp": 1}, "A blend of 1 px on axis 'z' is not a whole number"),
    ({"halo": 2, "ramp": 3}, "Blending over 3 px on axis 'z' needs a halo of at least that; it is 2."),
    ({"halo": 6, "ramp": 5, "cell": 8}, "Blending over 2 x 5 px does not fit into cells of 8 px on axis 'z'."),
]


@pytest.mark.parametrize(("sizes", "problem"), BAD)
def test_sizes_that_do_not_fit_are_refused_by_axis(sizes: dict[str, Any], problem: str) -> None:
    with pytest.raises(PlanError, match=re.escape(problem)) as caught:
        z_axis(**sizes)
    assert caught.value.remedy


def test_the_remedy_names_the_unit() -> None:
    with pytest.raises(PlanError) as caught:
        AxisLattice(name="z", size=100, scale=Fraction(48, 13), cell=20)
    assert caught.value.remedy == "Use a multiple of 13."
