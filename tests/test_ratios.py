"""The check of ratios: how it judges, with made-up figures; that it runs for real is a slow test."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import ratios
from benchmarks.account import Account
from benchmarks.floors import Bytes, floor, stored_bytes
from benchmarks.machine import Coding, Machine, Peak
from benchmarks.overhead import BARE, SERIAL, Comparison, over
from benchmarks.raced import seconds_of
from benchmarks.ratios import CHECKS, Check, Ground, in_turn, judged

if TYPE_CHECKING:
    from collections.abc import Iterator

NOWHERE = cast("Ground", None)
ROOT = Path(__file__).parents[1]
OVERHEAD = {"whole", "without statistics", "without statistics and pyramid", "with ssim"}
"""Ways that the page of performance names."""


def check(*rounds: list[float], most: float = 1.2, least: float = 0.0) -> Check:
    """Return a check that measures these figures, one list after the other."""
    left: Iterator[list[float]] = iter(rounds)
    return Check(name="made up", says="a over b", most=most, least=least, look="here", measure=lambda _: next(left))


def test_a_ratio_within_its_bound_is_well_at_once() -> None:
    verdict = judged(check([1.1, 5.0, 1.0]), NOWHERE)
    assert verdict.well
    assert verdict.ratio == 1.1
    assert verdict.measured == 1
    assert "look at" not in verdict.line()


def test_a_ratio_beyond_its_bound_is_measured_once_more() -> None:
    assert judged(check([1.5], [1.1]), NOWHERE).well
    verdict = judged(check([1.5], [1.6]), NOWHERE)
    assert not verdict.well
    assert verdict.measured == 2
    assert verdict.ratio == 1.6
    assert "1.600" in verdict.line()
    assert "at most 1.2" in verdict.line()
    assert "look at here" in verdict.line()


def test_exact_ratios_have_two_bounds() -> None:
    assert judged(check([1.0], most=1.0, least=1.0), NOWHERE).well
    assert not judged(check([0.99], [0.99], most=1.0, least=1.0), NOWHERE).well
    assert not judged(check([1.01], [1.01], most=1.0, least=1.0), NOWHERE).well


def test_what_is_no_number_is_not_well() -> None:
    assert not judged(check([math.nan], [math.nan]), NOWHERE).well


def test_a_check_that_measures_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="measured nothing"):
        judged(check([]), NOWHERE)


def test_the_two_take_turns_and_swap_places() -> None:
    calls: list[str] = []
    found = in_turn(lambda: calls.append("a"), lambda: calls.append("b"), turns=3)
    assert calls == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert len(found) == 3
    assert all(ratio > 0 for ratio in found)


def test_the_slower_one_is_the_numerator_in_either_order(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(ratios, "perf_counter", lambda: clock[0])

    def takes(seconds: float) -> None:
        clock[0] += seconds

    assert in_turn(lambda: takes(3.0), lambda: takes(2.0), turns=4) == [1.5] * 4


@pytest.mark.parametrize(("made_up", "status"), [(1.0, 0), (1.5, 1)])
def test_the_status_tells_and_names_what_is_beyond(
    made_up: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ratios, "CHECKS", (check([made_up], [made_up]),))
    monkeypatch.setattr(sys, "argv", ["ratios", "--check"])
    with pytest.raises(SystemExit) as ended:
        ratios.main()
    assert (ended.value.code == 0) is (status == 0)
    assert status == 0 or "made up" in str(ended.value.code)
    assert "a over b" in capsys.readouterr().out


def test_checks_have_names_of_their_own_and_say_where_to_look() -> None:
    assert len({each.name for each in CHECKS}) == len(CHECKS)
    assert all(each.look and each.says and each.least <= each.most for each in CHECKS)


def test_parts_are_counted_without_those_inside_them() -> None:
    account = Account()
    clock = [0.0]

    def spend(seconds: float) -> None:
        clock[0] += seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.account.process_time", lambda: clock[0])
        inner = account.around(lambda *_: "inner", lambda: spend(2.0))

        def outer() -> None:
            spend(1.0)
            inner()
            inner()

        account.around(lambda *_: "outer", outer)()
    assert dict(account.cpu) == {"inner": 4.0, "outer": 1.0}


def test_overhead_leaves_out_what_the_network_took_longer_than_asked() -> None:
    bare = [{"cpu": 10.0, "wall": 5.0, "network": 9.0}]
    run = [{"cpu": 11.5, "wall": 5.5, "network": 10.0}]
    assert over(run, bare, "cpu")["median"] == pytest.approx(0.05)
    assert over(run, bare, "wall")["median"] == pytest.approx(0.1)


def test_a_floor_is_arithmetic_and_coding_or_memory() -> None:
    peaks: dict[Any, Peak] = {"fp32": Peak(one=1e11, all=2e11, by="x"), "bf16": Peak(one=1e12, all=4e11, by="x")}
    machine = Machine(cores=2, peaks=peaks, memory=1e10, coding=Coding(read=1e9, write=5e8, ratio=0.5), processor="x")
    found = Bytes(read=1e9, written=1e9, useful=2e9)
    assert floor(2e12, found, machine, "fp32")["seconds"] == pytest.approx(10 + 1 + 2)
    assert floor(2e12, found, machine, "bf16")["seconds"] == pytest.approx(5 + 1 + 2)
    fast = Machine(cores=2, peaks=peaks, memory=1e8, coding=machine.coding, processor="x")
    assert floor(0.0, found, fast, "fp32")["seconds"] == pytest.approx(20)


def test_files_of_pixels_are_told_from_metadata_and_ledger(tmp_path: Path) -> None:
    for name in ("0/c/0/0", "1/c/0/0", "0/zarr.json", "scalesr/c/0", "zarr.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"12345")
    assert stored_bytes(tmp_path) == 10


def test_seconds_of_the_race_are_those_of_the_same_size_and_tool(tmp_path: Path) -> None:
    assert seconds_of("edsr-2d", size=8192, folder=tmp_path) is None
    rows = [{"tool": "monai", "seconds": 9.0}, {"tool": "scalesr", "seconds": 4.0}]
    file = tmp_path / "race-edsr-2d-8192-cpu-disk.json"
    file.write_text(json.dumps({"case": "edsr-2d", "size": 8192, "rows": rows}))
    found = seconds_of("edsr-2d", size=8192, folder=tmp_path)
    assert found is not None
    assert (found.seconds, found.file) == (4.0, file.name)
    other = seconds_of("edsr-2d", size=8192, tool="monai", folder=tmp_path)
    assert other is not None
    assert other.seconds == 9.0
    assert seconds_of("edsr-2d", size=1024, folder=tmp_path) is None
    file.write_text(json.dumps({"size": 8192, "rows": [{"tool": "scalesr", "seconds": None, "failure": "too slow"}]}))
    assert seconds_of("edsr-2d", size=8192, folder=tmp_path) is None


def test_all_ways_of_the_overhead_make_the_same_pixels_and_every_part_is_counted(tmp_path: Path) -> None:
    comparison = Comparison(tmp_path, blocks=1, seconds=0.004, threads=1)
    # That the pixels are those of the bare loop is asserted inside.
    taken = {name: comparison.once(name) for name in comparison.names}
    assert set(taken) == {BARE, SERIAL, *OVERHEAD}
    for name, each in taken.items():
        assert each["network"] >= 0.004, name
        assert each["cpu"] >= each["network"], name
    parts = {"network", "read", "cut and add tiles", "stitch", "encode and write", "pyramid", "ledger", "statistics"}
    assert parts <= set(comparison.account.cpu)
    assert comparison.account.cpu["network"] == pytest.approx(taken[SERIAL]["network"], rel=0.2)


@pytest.mark.slow
def test_the_check_runs_for_real_and_its_status_is_that_of_its_lines() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.ratios", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.startswith(("well ", "BAD "))]) == len(CHECKS), done.stderr
    assert (done.returncode == 0) is not any(line.startswith("BAD ") for line in lines)
    # What does not depend on who else is at work.
    assert not any(line.startswith(("BAD  tiles", "BAD  memory")) for line in lines), done.stdout
