"""`scalesr report`: where the page goes, and what is said where there can be none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from commands import call, only_json, speckle, write_image

from scalesr.engine import run

if TYPE_CHECKING:
    from pathlib import Path


def test_the_page_is_written_where_it_is_asked_for(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(40, 48))
    for name, model in (("out.zarr", "cubic"), ("truth.zarr", "linear")):
        run(tmp_path / "in.zarr", tmp_path / name, model=model, scale=2, scheduler="serial")
    written = call("report", tmp_path / "out.zarr")
    assert written.exit_code == 0, written.output
    inside = tmp_path / "out.zarr" / "scalesr" / "report.html"
    assert written.stdout.strip() == f"written  {inside}"
    assert "Reference" not in inside.read_text()
    beside = tmp_path / "pages" / "page.html"
    told = call("report", tmp_path / "out.zarr", "--to", beside, "--reference", tmp_path / "truth.zarr", "--json")
    assert only_json(told) == {"output": str(tmp_path / "out.zarr"), "report": str(beside), "exit_code": 0}
    assert "Error of the output" in beside.read_text()


def test_what_has_no_report_says_why(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(40, 48))
    write_image(tmp_path / "small.zarr", speckle(7, 7))
    run(tmp_path / "in.zarr", tmp_path / "out.zarr", model="cubic", scale=2, scheduler="serial")
    none = call("report", tmp_path / "in.zarr")
    assert none.exit_code == 7
    assert "holds no ledger: it is not the output of a run" in none.stderr
    absent = call("report", tmp_path / "nothing.zarr", "--json")
    assert absent.exit_code == only_json(absent)["exit_code"] == 3
    unlike = call("report", tmp_path / "out.zarr", "--reference", tmp_path / "small.zarr")
    assert unlike.exit_code == 3
    assert "small.zarr" in unlike.stderr
    (tmp_path / "file").write_text("in the way")
    refused = call("report", tmp_path / "out.zarr", "--to", tmp_path / "file" / "page.html")
    assert refused.exit_code == 4
    assert "Traceback" not in refused.output


def test_the_help_says_what_is_left_to_say() -> None:
    text = call("report", "--help").stdout
    for words in ("--to", "--reference", "scalesr/report.html inside OUT", "works offline"):
        assert words in text
