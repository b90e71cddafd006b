"""Blocks and strips in one to four dimensions: nothing is lost, nothing is counted twice, whatever the blocks."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from math import prod

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from strategies import lattices

from scalesr.tiling import UNIT, AxisLattice, Index, Lattice, Offset

Sums = NDArray[np.int64]


def all_blocks(lattice: Lattice) -> list[Index]:
    return list(product(*map(range, lattice.grid)))


def all_cells(lattice: Lattice) -> list[Index]:
    return list(product(*(range(axis.cells) for axis in lattice.axes)))


def contribution_shape(lattice: Lattice) -> tuple[int, ...]:
    return tuple(axis.strip + axis.out_cell for axis in lattice.axes)


def window(lattice: Lattice, cell: Index) -> Sums:
    weights: Sums = np.ones((), np.int64)
    for axis, i in zip(lattice.axes, cell, strict=True):
        weights = np.multiply.outer(weights, np.array(axis.window(i), np.int64))
    return weights


def tile_outputs(lattice: Lattice, seed: int) -> dict[Index, Sums]:
    """Return what an imaginary network, weighted and rounded, contributes from each cell."""
    rng = np.random.default_rng(seed)
    shape = contribution_shape(lattice)
    return {
        cell: rng.integers(-(2**20), 2**20, shape) * window(lattice, cell) // UNIT ** len(shape)
        for cell in all_cells(lattice)
    }


def add_cells(lattice: Lattice, outputs: dict[Index, Sums], cells: list[Index], start: Index) -> Sums:
    """Return the sum of what `cells` contribute, from the slot of cell `start` less one strip on."""
    counts = tuple(max(cell[a] for cell in cells) - start[a] + 1 for a in range(len(start)))
    sums = np.zeros(
        tuple(axis.strip + n * axis.out_cell for axis, n in zip(lattice.axes, counts, strict=True)), np.int64
    )
    for cell in cells:
        corner = tuple((i - s) * axis.out_cell for i, s, axis in zip(cell, start, lattice.axes, strict=True))
        where = tuple(slice(c, c + n) for c, n in zip(corner, contribution_shape(lattice), strict=True))
        sums[where] += outputs[cell]
    return sums


def whole_image(lattice: Lattice, outputs: dict[Index, Sums]) -> Sums:
    """Return the sum of all cells, without any block."""
    sums = add_cells(lattice, outputs, all_cells(lattice), (0,) * len(lattice.axes))
    return sums[tuple(slice(axis.strip, axis.strip + axis.out_size) for axis in lattice.axes)]


def by_blocks(lattice: Lattice, outputs: dict[Index, Sums]) -> Sums:
    """Return the same, made as the engine does: from the last block to the first, by way of strips."""
    out = np.full(lattice.out_shape, -(2**60), np.int64)
    strips: dict[tuple[Offset, Index], Sums] = {}
    for number in reversed(range(lattice.blocks)):
        index = lattice.index(number)
        cells = list(product(*lattice.cells(index)))
        sums = add_cells(lattice, outputs, cells, cells[0])
        assert sums.shape == lattice.sums(index)
        for offset, lower in lattice.takers(index):
            strips[offset, lower] = sums[lattice.part(offset)]
        own = sums[lattice.part((0,) * len(index))].copy()
        for offset, _ in lattice.givers(index):
            landing = own[lattice.landing(index, offset)]
            strip = strips.pop((offset, index))
            assert landing.shape == strip.shape
            landing += strip
        owned = lattice.owned(index)
        out[owned] = own[tuple(slice(0, where.stop - where.start) for where in owned)]
    assert not strips  # each was used, once
    return out


@settings(max_examples=60)
@given(lattice=lattices(), data=st.data(), seed=st.integers(0, 2**32 - 1))
def test_the_result_is_the_same_bits_for_any_block(lattice: Lattice, data: st.DataObject, seed: int) -> None:
    outputs = tile_outputs(lattice, seed)
    expected = whole_image(lattice, outputs)
    assert np.array_equal(by_blocks(lattice, outputs), expected)
    other = Lattice(tuple(replace(axis, block=data.draw(st.integers(1, 6))) for axis in lattice.axes))
    assert np.array_equal(by_blocks(other, outputs), expected)


def test_blocks_of_many_sizes_give_the_same_bits_in_three_dimensions() -> None:
    def lattice(block: int) -> Lattice:
        return Lattice(
            tuple(
                AxisLattice(name=name, size=size, cell=4, halo=3, ramp=2, block=block)
                for name, size in zip("zyx", (13, 17, 11), strict=True)
            )
        )

    outputs = tile_outputs(lattice(1), 0)
    expected = whole_image(lattice(1), outputs)
    for block in (1, 2, 3, 5):
        assert np.array_equal(by_blocks(lattice(block), outputs), expected)


@settings(max_examples=40)
@given(lattice=lattices())
def test_windows_sum_to_one_on_every_output_voxel(lattice: Lattice) -> None:
    windows = {cell: window(lattice, cell) for cell in all_cells(lattice)}
    assert (whole_image(lattice, windows) == UNIT ** len(lattice.axes)).all()
    assert (by_blocks(lattice, windows) == UNIT ** len(lattice.axes)).all()


@settings(max_examples=60)
@given(lattice=lattices())
def test_every_voxel_has_one_owner_and_every_cell_one_block(lattice: Lattice) -> None:
    owners = np.zeros(lattice.out_shape, np.int64)
    cells: list[Index] = []
    for index in all_blocks(lattice):
        owners[lattice.owned(index)] += 1
        cells.extend(product(*lattice.cells(index)))
    assert (owners == 1).all()
    assert sorted(cells) == all_cells(lattice)
    assert len(cells) == lattice.tiles


@settings(max_examples=60)
@given(lattice=lattices())
def test_own_part_and_strips_partition_the_sums(lattice: Lattice) -> None:
    offsets = [*lattice.offsets, (0,) * len(lattice.axes)]
    blending = sum(axis.strip > 0 for axis in lattice.axes)
    assert len(offsets) == 2**blending
    for index in all_blocks(lattice):
        parts = np.zeros(lattice.sums(index), np.int64)
        for offset in offsets:
            parts[lattice.part(offset)] += 1
        assert (parts == 1).all()


@settings(max_examples=60)
@given(lattice=lattices())
def test_a_strip_lands_on_the_voxels_it_was_computed_for(lattice: Lattice) -> None:
    def from_slot(index: Index, where: tuple[slice, ...], shape: tuple[int, ...]) -> list[tuple[int, int]]:
        """Return the global range of output pixels of a part of a block's sums, whose first pixel lies at -strip."""
        return [
            (i * axis.out_block - axis.strip + start, i * axis.out_block - axis.strip + stop)
            for i, axis, (start, stop, _) in zip(
                index, lattice.axes, (s.indices(n) for s, n in zip(where, shape, strict=True)), strict=True
            )
        ]

    for index in all_blocks(lattice):
        own = tuple(n - axis.strip for n, axis in zip(lattice.sums(index), lattice.axes, strict=True))
        for offset, upper in lattice.givers(index):
            given_at = from_slot(upper, lattice.part(offset), lattice.sums(upper))
            landing = [(s.indices(n)[:2]) for s, n in zip(lattice.landing(index, offset), own, strict=True)]
            taken_at = [
                (i * axis.out_block + start, i * axis.out_block + stop)
                for i, axis, (start, stop) in zip(index, lattice.axes, landing, strict=True)
            ]
            assert given_at == taken_at


@given(lattice=lattices())
def test_givers_and_takers_are_inverse(lattice: Lattice) -> None:
    handed = {(offset, upper, lower) for upper in all_blocks(lattice) for offset, lower in lattice.takers(upper)}
    received = {(offset, upper, lower) for lower in all_blocks(lattice) for offset, upper in lattice.givers(lower)}
    assert handed == received
    # From the last block to the first, every strip is there before it is needed.
    assert all(lattice.number(lower) < lattice.number(upper) for _, upper, lower in handed)


@given(lattice=lattices())
def test_numbers_count_the_blocks_in_c_order(lattice: Lattice) -> None:
    blocks = all_blocks(lattice)
    assert [lattice.index(number) for number in range(lattice.blocks)] == blocks
    assert [lattice.number(index) for index in blocks] == list(range(lattice.blocks))


@given(lattice=lattices())
def test_shapes_are_those_of_the_axes(lattice: Lattice) -> None:
    assert lattice.shape == tuple(axis.size for axis in lattice.axes)
    assert lattice.out_shape == tuple(axis.out_size for axis in lattice.axes)
    assert lattice.tile_shape == tuple(axis.cell + 2 * axis.halo for axis in lattice.axes)
    assert lattice.blocks == prod(lattice.grid)
    assert lattice.tiles == len(all_cells(lattice))


def test_numbers_stay_exact_beyond_what_a_float_holds() -> None:
    axes = tuple(AxisLattice(name=name, size=2**40, cell=1) for name in "zyx")
    lattice = Lattice(axes)
    index = (2**40 - 1, 12345678901, 2**40 - 7)
    assert lattice.blocks == 2**120
    assert lattice.index(lattice.number(index)) == index
