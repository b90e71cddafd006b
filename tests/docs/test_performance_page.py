"""The tables of the performance page are those of the results, and say so where nothing was measured."""

from __future__ import annotations

import importlib.util
import json
from typing import TYPE_CHECKING, Any

import pytest
from docs.fenced import ROOT

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = {"processor": "x86_64", "cores": 2, "torch": "2.13.0", "capability": "AVX2"}


@pytest.fixture(scope="module")
def writing() -> Any:
    spec = importlib.util.spec_from_file_location("performance", ROOT / "docs" / "figures" / "performance.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_follows_the_results(writing: Any) -> None:
    text = writing.PAGE.read_text(encoding="utf-8")
    assert writing.filled(text) == text, "python docs/figures/performance.py"


def test_every_table_is_known_and_filled_once(writing: Any) -> None:
    text = writing.PAGE.read_text(encoding="utf-8")
    assert text.count("<!-- table: ") == text.count("<!-- end -->") == len(writing.PLACE.findall(text))


def test_what_nobody_measured_says_how_to(writing: Any, tmp_path: Path) -> None:
    text = writing.filled(writing.PAGE.read_text(encoding="utf-8"), tmp_path)
    for name in ("floors", "overhead", "ratios", "speed", "race", "memory", "simulation"):
        assert f"`python -m benchmarks.{name}` does" in text


def test_figures_are_those_of_the_files(writing: Any, tmp_path: Path) -> None:
    run = {
        "title": "a network",
        "shape": [64, 32],
        "fields": 1,
        "operations": {"useful": 2.5e12, "with context": 5e12},
        "bytes": {"read": 4e9, "read, compressed": 1e9, "written": 8e9, "written, compressed": 2e9},
        "floor": {"seconds": 12.5},
    }
    peaks = {"fp32": {"one": 1e11, "all": 2e11, "by": "a convolution"}}
    rates = {"cores": 2, "peaks": peaks, "memory": 1e10, "coding": {"read": 3e8, "write": 2e8}, "processor": "a chip"}
    results = {"machine": MACHINE, "rates": rates, "runs": [run, run | {"measured": {"seconds": 25.0}, "gap": 2.0}]}
    (tmp_path / "floors.json").write_text(json.dumps(results))
    lines = writing.floors(tmp_path).splitlines()
    assert lines[2] == "| a network, 64 x 32 | 2.5 | 5 | 4 (1) | 8 (2) | 12.5 | - | - |"
    assert lines[3].endswith("| 12.5 | 25 | 2 |")
    assert "a chip" in lines[-1]
    assert "| fp32, a convolution | 100 GFLOP/s | 200 GFLOP/s |" in writing.rates(tmp_path)


def test_growth_has_a_line_for_each_tool(writing: Any, tmp_path: Path) -> None:
    points = [
        {"gigabytes": 1.0, "peak": 5e8, "seconds": 10.0, "failure": None},
        {"gigabytes": 4.0, "peak": None, "seconds": None, "failure": "out of memory: more than 18 GB"},
    ]
    lines = [{"tool": "a tool", "points": points, "slope of peak": 0.5, "slope of seconds": None}]
    (tmp_path / "race-growth-cpu-disk.json").write_text(json.dumps({"machine": MACHINE, "lines": lines}))
    text = writing.growth(tmp_path)
    assert "| peak memory, and time | 1 GB | 4 GB | slope of memory | slope of time |" in text
    assert "| a tool | 0.50 GB, 10 s | out of memory | 0.5 | - |" in text


def test_results_of_the_race_stand_tool_by_tool(writing: Any, tmp_path: Path) -> None:
    assert "Not measured yet" in writing.race(tmp_path)
    (tmp_path / "race-growth-cpu-disk.json").write_text(json.dumps({"machine": MACHINE, "lines": []}))
    assert "Not measured yet" in writing.race(tmp_path)
    rows = [
        {
            "tool": "scalesr",
            "seconds": 1.25,
            "times scalesr": 1.0,
            "cpu seconds": 2.4,
            "peak": 3e8,
            "read": 1e9,
            "written": None,
            "computed over needed": 1.2,
            "difference inside": 1.2e-6,
            "seam over the whole image's": 1.0004,
            "same bits from other chunks": True,
        },
        {"tool": "another", "seconds": None, "failure": "too much memory"},
    ]
    found = {"machine": MACHINE, "case": "edsr-2d", "size": 2048, "device": "cpu", "store": "disk", "rows": rows}
    (tmp_path / "race-edsr-2d-2048-cpu-disk.json").write_text(json.dumps(found))
    text = writing.race(tmp_path)
    assert "edsr-2d, edge of 2,048 px, cpu, disk" in text
    assert "| scalesr | 1.25 | 1 | 2.4 | 300 | 1 | - | 1.2 | 1.2e-06 | 1 | same |" in text
    assert "another: too much memory.\n" in text
    assert "| another" not in text


def test_searches_stand_beside_the_authors_way(writing: Any, tmp_path: Path) -> None:
    assert "`python -m benchmarks.latent_speed --threads 2` does" in writing.latent(tmp_path)
    clocks = ("objects a second, wall", "times the released way, wall", "times the released way, cpu")
    speed = {"as released": dict.fromkeys(clocks, 1.0), "many": dict(zip(clocks, (4.5, 15.25, 16.0), strict=True))}
    likeness = [("as released", float("inf")), ("many", 141.2)]
    solutions = {name: {"psnr to those as released": like, "psnr to the truth": 28.5} for name, like in likeness}
    found = {"machine": MACHINE, "speed": speed, "solutions": solutions}
    (tmp_path / "latent-speed-2.json").write_text(json.dumps(found))
    lines = writing.latent(tmp_path).splitlines()
    assert lines[2:4] == ["| as released | 1 | 1 | 1 | the same | 28.5 |", "| many | 4.5 | 15.2 | 16 | 141 | 28.5 |"]


def test_few_steps_stand_beside_two_hundred(writing: Any, tmp_path: Path) -> None:
    assert "`python -m benchmarks.few_steps --crop 33` does" in writing.few_steps(tmp_path)
    row = {
        "voxels a second, cpu": 4992.0,
        "times 200 steps, cpu": 18.25,
        "times 200 steps, wall": 10.5,
        "SliceFID over that of 200 steps": 0.9,
        "psnr": 29.1,
    }
    (tmp_path / "few-steps.json").write_text(json.dumps({"machine": MACHINE, "methods": {"quick": row}}))
    assert writing.few_steps(tmp_path).splitlines()[2] == "| quick | 4,992 | 18.2 | 10.5 | 0.9 | 29.1 |"
