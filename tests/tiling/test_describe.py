"""A plan in words."""

from __future__ import annotations

from fractions import Fraction

import pytest

from scalesr.tiling import AxisLattice, Lattice, Plan, aligned, describe, human_bytes, plan_levels


def plan(*, ramp: int) -> Plan:
    axes = (
        AxisLattice(name="c", size=3, cell=1),
        AxisLattice(name="y", size=1000, scale=Fraction(4), cell=64, halo=16, ramp=ramp, block=4),
        AxisLattice(name="x", size=2000, scale=Fraction(4), cell=64, halo=16, ramp=ramp, block=4),
    )
    mixed = (False, True, True)
    levels = plan_levels(Lattice(axes), [(0, 0, 0), (0, 1, 1)], mixed=mixed, itemsize=2)
    return Plan(
        lattice=Lattice(axes), in_dtype="uint16", out_dtype="uint16", in_itemsize=2, out_itemsize=2,
        in_chunk=(1, 256, 256), levels=levels, mixed=mixed,
    )  # fmt: skip


def test_all_that_people_ask_is_answered() -> None:
    lines = dict(describe(plan(ramp=8)))
    assert lines["input"] == "c 3, y 1,000, x 2,000; uint16; 12 MB"
    assert lines["output"] == "c 3, y 4,000, x 8,000; uint16; 192 MB"
    assert lines["scale"] == "4 along y, 4 along x"
    assert lines["tiles"].startswith(f"{3 * 16 * 32:,}, each computed once: computed over needed is 1.00")
    assert lines["tile, y"] == "96 px: a cell of 64 px, a halo of 16 px on either side, blended over 2 x 8 px"
    assert lines["context"].startswith("the network sees 2.25 pixels")
    assert "1 x 4 x 4 tiles" in lines["blocks"]
    assert "4 for each block" in lines["tasks"]
    assert "cropped" in dict(describe(plan(ramp=0)))["tile, x"]


def test_figures_stand_in_one_column() -> None:
    text = plan(ramp=0).describe()
    names = [name for name, _ in describe(plan(ramp=0))]
    column = max(map(len, names)) + 2
    for line, name in zip(text.splitlines(), names, strict=True):
        assert line.startswith(name)
        assert line[column - 1] == " "
        assert line[column] != " "
    assert aligned([]) == ""


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1500, "1.5 kB"),
        (123456, "123 kB"),
        (8e9, "8 GB"),
        (2.5e15, "2.5 PB"),
        (3e18, "3 EB"),
    ],
)
def test_bytes_as_people_say_them(count: float, words: str) -> None:
    assert human_bytes(count) == words
