"""Default sizes: they fit the model and the scale, and keep to their targets."""

from __future__ import annotations

from fractions import Fraction
from math import prod

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import SCALES

from scalesr.tiling import AxisLattice, choose_block, choose_cell, choose_tile, choose_unit, round_up
from scalesr.tiling.choose import (
    BLOCK_BYTES,
    CELL_OVER_HALO,
    CHUNK_VOXELS,
    LARGEST_TILE_EDGE,
    LEAST_BLOCKS,
    TILE_BYTES,
    TILE_EDGE,
    choose_chunk,
)


@given(value=st.integers(0, 10**12), unit=st.integers(1, 10**6))
def test_round_up_is_the_next_multiple(value: int, unit: int) -> None:
    rounded = round_up(value, unit)
    assert rounded % unit == 0
    assert value <= rounded < value + unit


@given(scale=st.sampled_from(SCALES), multiple=st.integers(1, 64))
def test_the_unit_suits_model_and_scale(scale: Fraction, multiple: int) -> None:
    unit = choose_unit(scale, multiple)
    assert unit % multiple == 0
    assert (unit * scale).denominator == 1
    assert not any(k % multiple == 0 and (k * scale).denominator == 1 for k in range(1, unit))


@given(
    size=st.integers(1, 2**17),
    scale=st.sampled_from(SCALES),
    multiple=st.sampled_from((1, 2, 4, 8, 16)),
    halo=st.integers(0, 40),
    ramp=st.integers(0, 40),
    tile=st.integers(1, 512),
)
@example(size=1000, scale=Fraction(48, 13), multiple=1, halo=1, ramp=0, tile=96)
@example(size=1000, scale=Fraction(1), multiple=1, halo=20, ramp=0, tile=64)
@example(size=1, scale=Fraction(1), multiple=1, halo=0, ramp=0, tile=256)
def test_a_chosen_cell_makes_a_lattice_with_tiles_of_the_wanted_size(
    size: int, scale: Fraction, multiple: int, halo: int, ramp: int, tile: int
) -> None:
    unit = choose_unit(scale, multiple)
    ramp = round_up(ramp, unit)
    halo = max(round_up(halo, unit), ramp)
    cell = choose_cell(size, unit=unit, halo=halo, ramp=ramp, tile=tile)
    AxisLattice(name="x", size=size, scale=scale, cell=cell, halo=halo, ramp=ramp)  # raises where it does not fit
    assert cell % unit == 0
    wanted = max(tile - 2 * halo, 2 * halo, unit)
    if size <= wanted:
        assert cell == round_up(max(size, 2 * ramp), unit)  # one cell, no larger than it must be
    else:
        assert cell >= 2 * halo
        assert wanted / 2 < cell < 2 * wanted
        if wanted >= 32 * unit:
            assert cell % 32 == 0


@pytest.mark.parametrize(
    ("size", "unit", "halo", "tile", "expected"),
    [
        (4096, 1, 18, 256, 256),
        (1000, 1, 18, 256, 256),
        (300, 1, 18, 256, 160),
        (200, 1, 18, 256, 200),
        (4096, 13, 13, 96, 78),
        (4096, 8, 16, 64, 32),
        (5, 2, 0, 256, 6),
    ],
)
def test_choose_cell_examples(size: int, unit: int, halo: int, tile: int, expected: int) -> None:
    assert choose_cell(size, unit=unit, halo=halo, ramp=0, tile=tile) == expected


@given(halo=st.integers(0, 300), axes=st.integers(1, 3), pixel_bytes=st.floats(0, 1e6))
def test_a_tile_grows_with_its_context_and_within_memory(halo: int, axes: int, pixel_bytes: float) -> None:
    tile = choose_tile(halo, axes=axes, pixel_bytes=pixel_bytes)
    assert TILE_EDGE[axes] <= tile <= LARGEST_TILE_EDGE[axes]
    assert tile <= choose_tile(halo + 1, axes=axes, pixel_bytes=pixel_bytes)
    if tile > TILE_EDGE[axes]:
        assert tile**axes * pixel_bytes <= TILE_BYTES
        assert tile <= (CELL_OVER_HALO[axes] + 2) * halo


@pytest.mark.parametrize(
    ("halo", "axes", "pixel_bytes", "expected"),
    [(0, 2, 1e3, 256), (20, 2, 1e3, 440), (20, 2, 1e5, 256), (64, 2, 1e3, 512), (16, 3, 100.0, 160), (24, 3, 9e2, 128)],
)
def test_choose_tile_examples(halo: int, axes: int, pixel_bytes: float, expected: int) -> None:
    assert choose_tile(halo, axes=axes, pixel_bytes=pixel_bytes) == expected


@st.composite
def _cells(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]]:
    ndim = draw(st.integers(1, 5))
    return (
        draw(st.tuples(*[st.integers(1, 3000)] * ndim)),
        draw(st.tuples(*[st.integers(1, 2048)] * ndim)),
        draw(st.tuples(*[st.booleans()] * ndim)),
    )


@given(sizes=_cells(), itemsize=st.sampled_from((1, 2, 4)), target=st.sampled_from((2**16, BLOCK_BYTES)))
def test_a_chosen_block_keeps_to_its_bytes_and_leaves_something_to_share(
    sizes: tuple[tuple[int, ...], tuple[int, ...], tuple[bool, ...]], itemsize: int, target: int
) -> None:
    cells, voxels, mixed = sizes
    block = choose_block(cells, voxels, mixed, itemsize=itemsize, target=target)
    ones = (1,) * len(cells)
    assert block == ones or itemsize * prod(k * v for k, v in zip(block, voxels, strict=True)) <= target
    blocks = prod(-(-count // k) for count, k in zip(cells, block, strict=True))
    assert blocks >= min(LEAST_BLOCKS, prod(cells))
    assert all(k == 1 or k < 2 * count for k, count in zip(block, cells, strict=True))


def test_blocks_grow_near_to_cubes_up_to_their_target() -> None:
    assert choose_block((64, 64, 64), (64, 64, 64), (True,) * 3, itemsize=2) == (2, 4, 4)
    assert choose_block((10, 64, 64), (1, 448, 448), (False, True, True), itemsize=1) == (1, 8, 8)


@given(
    shard=st.lists(st.tuples(st.integers(1, 4096), st.booleans()), min_size=1, max_size=5),
    voxels=st.sampled_from((CHUNK_VOXELS, 2**12)),
)
def test_chunks_divide_their_shard(shard: list[tuple[int, bool]], voxels: int) -> None:
    sizes, mixed = zip(*shard, strict=True)
    chunk = choose_chunk(sizes, mixed, voxels=voxels)
    assert all(size % c == 0 for size, c in zip(sizes, chunk, strict=True))
    assert all(c == 1 for c, is_mixed in zip(chunk, mixed, strict=True) if not is_mixed)


def test_choose_chunk_examples() -> None:
    assert choose_chunk((4096, 4096), (True, True)) == (512, 512)
    assert choose_chunk((8, 1792, 1792), (False, True, True)) == (1, 448, 448)
    assert choose_chunk((256, 256, 256), (True,) * 3) == (64, 64, 64)
    assert choose_chunk((10007,), (True,), voxels=512) == (10007,)  # a prime edge cannot be cut
