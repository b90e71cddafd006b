"""The plan: what it says a run costs is what counting finds, and it costs next to nothing itself."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from itertools import product
from math import prod
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from strategies import plans

from scalesr.tiling import AxisLattice, Lattice, Plan, plan_levels

if TYPE_CHECKING:
    from scalesr.tiling import Index


def all_blocks(plan: Plan) -> list[Index]:
    return list(product(*map(range, plan.lattice.grid)))


@settings(max_examples=60)
@given(plan=plans())
def test_json_loses_nothing(plan: Plan) -> None:
    text = json.dumps(plan.to_json())
    again = Plan.from_json(json.loads(text))
    assert again == plan
    assert again.digest == plan.digest
    assert json.dumps(again.to_json()) == text


def test_json_holds_nothing_but_plain_values() -> None:
    def plain(value: object) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(v) for key, v in value.items())
        if isinstance(value, list):
            return all(map(plain, value))
        return type(value) in {str, int, bool, float, type(None)}

    values = volume().to_json()
    assert plain(values)
    assert values["lattice"][0]["scale"] == "1"


@pytest.mark.parametrize(
    "change",
    [
        {"batch": 2},
        {"precision": "bf16"},
        {"threads": 2},
        {"fraction_bits": 40},
        {"out_dtype": "float32"},
        {"in_chunk": (1, 2, 3)},
    ],
)
def test_the_digest_tells_plans_apart(change: dict[str, object]) -> None:
    plan = volume()
    assert replace(plan, **change).digest != plan.digest  # type: ignore[arg-type]


@settings(max_examples=60)
@given(plan=plans())
def test_strips_are_those_that_are_handed_over(plan: Plan) -> None:
    assert plan.strips == sum(len(list(plan.lattice.takers(index))) for index in all_blocks(plan))


@settings(max_examples=60)
@given(plan=plans())
def test_reads_are_those_of_all_blocks(plan: Plan) -> None:
    voxels = requests = 0
    for index in all_blocks(plan):
        read = [axis.read(i) for axis, i in zip(plan.lattice.axes, index, strict=True)]
        voxels += prod(stop - start for start, stop in read)
        requests += prod(
            len({pixel // chunk for pixel in range(start, stop)})
            for (start, stop), chunk in zip(read, plan.in_chunk, strict=True)
        )
    assert plan.bytes_read == voxels * plan.in_itemsize
    assert plan.requests_read == requests


@settings(max_examples=60)
@given(plan=plans())
def test_writes_are_those_of_all_levels(plan: Plan) -> None:
    assert plan.bytes_written == plan.out_itemsize * sum(prod(level.shape) for level in plan.levels)
    shards = sum(
        len(list(product(*(range(0, n, s) for n, s in zip(level.shape, level.shard, strict=True)))))
        for level in plan.levels
    )
    lattice = plan.lattice
    givers = sum(any(True for _ in lattice.takers(index)) for index in all_blocks(plan))
    assert plan.requests_written == shards + plan.blocks + givers


@settings(max_examples=60)
@given(plan=plans())
def test_strips_weigh_what_blocks_hand_over(plan: Plan) -> None:
    lattice = plan.lattice
    voxels = 0
    for index in all_blocks(plan):
        sums = lattice.sums(index)
        for offset, _ in lattice.takers(index):
            shape = [len(range(*part.indices(n))) for part, n in zip(lattice.part(offset), sums, strict=True)]
            voxels += prod(shape)
    assert plan.bytes_strips == voxels * plan.sum_itemsize


@settings(max_examples=60)
@given(plan=plans())
def test_tiles_are_counted_once(plan: Plan) -> None:
    assert (
        plan.tiles_computed
        == plan.tiles
        == sum(prod(map(len, plan.lattice.cells(index))) for index in all_blocks(plan))
    )
    assert plan.blocks == len(all_blocks(plan))
    assert plan.tasks == plan.blocks * plan.tasks_per_block
    assert plan.context_ratio >= 1


@settings(max_examples=60)
@given(plan=plans())
def test_no_block_makes_larger_sums_than_the_largest(plan: Plan) -> None:
    most = plan.lattice.sums(plan.largest)
    assert all(
        n <= largest for index in all_blocks(plan) for n, largest in zip(plan.lattice.sums(index), most, strict=True)
    )


def test_sums_are_as_wide_as_their_fraction_needs() -> None:
    narrow, wide = volume(), replace(volume(), fraction_bits=40)
    assert (narrow.sum_dtype, narrow.sum_itemsize) == ("int32", 4)
    assert (wide.sum_dtype, wide.sum_itemsize) == ("int64", 8)


def volume(shape: tuple[int, int, int] = (300, 500, 700)) -> Plan:
    lattice = Lattice(
        tuple(
            AxisLattice(name=name, size=size, cell=64, halo=16, ramp=8, block=4)
            for name, size in zip("zyx", shape, strict=True)
        )
    )
    mixed = (True, True, True)
    return Plan(
        lattice=lattice,
        in_dtype="uint16",
        out_dtype="uint16",
        in_itemsize=2,
        out_itemsize=2,
        in_chunk=(128, 128, 128),
        levels=plan_levels(lattice, [(n,) * 3 for n in range(8)], mixed=mixed, itemsize=2),
        mixed=mixed,
    )


def test_a_petabyte_is_planned_without_visiting_its_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = 0
    read = AxisLattice.read

    def counted(axis: AxisLattice, block: int) -> tuple[int, int]:
        nonlocal reads
        reads += 1
        return read(axis, block)

    monkeypatch.setattr(AxisLattice, "read", counted)
    tracemalloc.start()
    plan = volume((2**15, 2**17, 2**17))
    figures = (plan.strips, plan.bytes_read, plan.requests_read, plan.bytes_written, plan.requests_written, plan.tasks)
    again = Plan.from_json(plan.to_json())
    digest = plan.digest
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert plan.blocks == 2**7 * 2**9 * 2**9
    assert again == plan
    assert again.digest == digest
    assert plan.bytes_read >= 2**50
    assert all(figure > 0 for figure in figures)
    assert reads == 2 * (
        2**7 + 2**9 + 2**9
    )  # the sum of the axes, not their product; once for bytes, once for requests
    assert peak < 100 * 2**20
