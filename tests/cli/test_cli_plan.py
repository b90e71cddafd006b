"""`scalesr plan`: what a run would do, for images that exist and for those that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands import call, only_json, speckle, write_image

from scalesr.engine import Options, empty_subject, prepare

if TYPE_CHECKING:
    from pathlib import Path

CUBIC = ("--model", "cubic", "--scale", "4")
PETABYTE = ("--shape", "32768,131072,131072", "--axes", "zyx", "--dtype", "uint16")


def test_a_petabyte_is_planned() -> None:
    result = call("plan", *PETABYTE, *CUBIC)
    assert result.exit_code == 0
    for words in ("1.13 PB", "each computed once", "blocks in flight", "requests"):
        assert words in result.stdout


def test_the_document_is_the_plan_of_the_engine() -> None:
    document = only_json(call("plan", *PETABYTE, *CUBIC, "--blend", "8", "--json"))
    subject = empty_subject((32768, 131072, 131072), "zyx", "uint16")
    prepared = prepare(subject, Options(model="cubic", scale="4", blend=8))
    assert document["plan"] == prepared.plan.to_json()
    assert document["tiles_computed_over_needed"] == 1
    assert document["memory"]["host_bytes"] == prepared.demand.host_bytes
    assert document["bytes_read"] == prepared.plan.bytes_read > 32768 * 131072 * 131072 * 2
    assert document["fits"] is True


def test_an_image_is_planned_without_being_touched(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(2, 50, 60), "cyx")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    document = only_json(call("plan", tmp_path / "in.zarr", *CUBIC, "--json"))
    assert document["output"]["shape"] == [2, 200, 240]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_limit_that_was_asked_for_is_an_error_a_plan_is_shown_all_the_same() -> None:
    result = call("plan", "--shape", "4096,4096", *CUBIC, "--memory", "50MB")
    assert result.exit_code == 6
    assert "What memory it needs" in result.stdout
    assert "50 MB are allowed" in result.stderr
    as_json = call("plan", "--shape", "4096,4096", *CUBIC, "--memory", "50MB", "--json")
    assert as_json.exit_code == 6
    document = only_json(as_json)
    assert document["fits"] is False
    assert "--memory" in document["remedy"]
    assert call("plan", "--shape", "4096,4096", *CUBIC, "--memory", "1TB").exit_code == 0


def test_axes_default_to_the_last_of_tczyx() -> None:
    axes = only_json(call("plan", "--shape", "4,64,64", *CUBIC, "--json"))["plan"]["lattice"]
    assert [axis["name"] for axis in axes] == ["z", "y", "x"]
    axes = only_json(call("plan", "--shape", "5,3,4,64,64", *CUBIC, "--json"))["plan"]["lattice"]
    assert [axis["name"] for axis in axes] == ["t", "c", "z", "y", "x"]
