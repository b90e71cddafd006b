"""The output's pyramid: each file has one writer on every level."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import halvings, lattices

from scalesr.errors import PlanError
from scalesr.tiling import AxisLattice, Lattice, plan_levels

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.tiling import Index, LevelPlan


def shards_of(level: LevelPlan, region: tuple[range, ...]) -> Iterator[Index]:
    """Yield the shards of a level that a region touches."""
    return product(
        *(
            range(r.start // n, (r.stop - 1) // n + 1) if r else range(0)
            for r, n in zip(region, level.shard, strict=True)
        )
    )


def halved(owned: slice, times: int, size: int) -> range:
    """Return the part of a halved axis whose voxels are made of what a block owns."""
    return range(owned.start >> times, min(-(-owned.stop // 2**times), size))


@settings(max_examples=150)
@given(data=st.data(), lattice=lattices())
def test_every_shard_of_an_in_pass_level_is_written_by_one_block(data: st.DataObject, lattice: Lattice) -> None:
    ndim = len(lattice.axes)
    cells = tuple(
        data.draw(st.sampled_from([k for k in range(1, axis.block + 1) if axis.block % k == 0]))
        for axis in lattice.axes
    )
    levels = plan_levels(
        lattice,
        data.draw(halvings(ndim)),
        mixed=(True,) * ndim,
        # Large voxels, so that more than one level of these small images is worth a file.
        itemsize=data.draw(st.sampled_from((1, 2**12, 2**18))),
        shard_cells=cells,
    )
    assert levels[0].made == "in pass"
    assert levels[0].shape == lattice.out_shape
    assert levels[0].shard == tuple(axis.out_cell * k for axis, k in zip(lattice.axes, cells, strict=True))
    for level in levels:
        assert all(s % c == 0 for s, c in zip(level.shard, level.chunk, strict=True))
        shards = Counter(product(*(range(-(-n // s)) for n, s in zip(level.shape, level.shard, strict=True))))
        if level.made == "at end":
            continue
        writers: Counter[Index] = Counter()
        voxels = 0
        for number in range(lattice.blocks):
            owned = lattice.owned(lattice.index(number))
            # A block begins on a shard, and so all its borders to other blocks lie on shards.
            starts = [i * axis.out_block for i, axis in zip(lattice.index(number), lattice.axes, strict=True)]
            assert not any(
                start % (s << times) for start, s, times in zip(starts, level.shard, level.halved, strict=True)
            )
            region = tuple(halved(*each) for each in zip(owned, level.halved, level.shape, strict=True))
            voxels += prod(map(len, region))
            writers.update(shards_of(level, region))
        assert writers == shards
        assert voxels == prod(level.shape)


@given(data=st.data(), lattice=lattices(), itemsize=st.sampled_from((1, 2, 2**14)))
def test_levels_shrink_and_once_at_the_end_stay_there(data: st.DataObject, lattice: Lattice, itemsize: int) -> None:
    wanted = data.draw(halvings(len(lattice.axes)))
    levels = plan_levels(lattice, wanted, mixed=(True,) * len(lattice.axes), itemsize=itemsize)
    assert tuple(level.halved for level in levels) == wanted
    for level in levels:
        assert level.shape == tuple(-(-n // 2**t) for n, t in zip(lattice.out_shape, level.halved, strict=True))
        assert min(level.shape) >= 1
    made = [level.made for level in levels]
    assert made == sorted(made, key=("in pass", "at end").index)


def test_levels_of_a_volume() -> None:
    axes = tuple(AxisLattice(name=name, size=1000, cell=64, halo=8, block=4) for name in "zyx")
    levels = plan_levels(Lattice(axes), [(n,) * 3 for n in range(5)], mixed=(True,) * 3, itemsize=2)
    assert [level.shape[0] for level in levels] == [1000, 500, 250, 125, 63]
    assert [level.shard[0] for level in levels] == [256, 128, 64, 64, 64]
    assert [level.chunk[0] for level in levels] == [64, 64, 64, 64, 64]
    assert [level.made for level in levels] == ["in pass", "in pass", "in pass", "at end", "at end"]


@pytest.mark.parametrize(("block", "shard"), [(4, 3), (2, 4), (3, 0)])
def test_blocks_that_would_share_a_file_are_refused(block: int, shard: int) -> None:
    axis = AxisLattice(name="y", size=1000, cell=64)
    lattice = Lattice((axis, replace(axis, name="x", block=block)))
    with pytest.raises(PlanError, match="axis 'x' does not hold a whole number of shards"):
        plan_levels(lattice, [(0, 0)], mixed=(True, True), itemsize=1, shard_cells=(1, shard))
