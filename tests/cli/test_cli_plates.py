"""Plates on the command line: `run`, `plan` and `info`."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import call, only_json, program
from small_plates import write_plate

from scalesr.images import open_plate

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.images import Plate

CUBIC = ("--model", "cubic", "--scale", "2", "--scheduler", "serial")


@pytest.fixture
def plate(tmp_path: Path) -> Plate:
    return write_plate(tmp_path / "in.zarr")


def test_a_plate_is_run_and_told(plate: Plate, tmp_path: Path) -> None:
    result = call("run", plate.url, tmp_path / "out.zarr", *CUBIC, "--log", tmp_path / "log.jsonl")
    assert result.exit_code == 0, result.output
    for words in (str(tmp_path / "out.zarr"), "5 done", "fields a minute", "range of uint16"):
        assert words in result.stdout
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [event["outcome"]["field"] for event in events if event["event"] == "FieldEnded"] == list(plate.fields)
    assert events[-1]["event"] == "RunFinished"
    again = call("run", plate.url, tmp_path / "out.zarr", *CUBIC, "--resume")
    assert "0 done, 5 were there" in again.stdout
    assert call("run", plate.url, tmp_path / "out.zarr", *CUBIC).exit_code == 4
    assert call("run", plate.url, tmp_path / "out.zarr", *CUBIC, "--quiet", "--overwrite").output == ""


def test_fields_that_fail_are_named_and_the_exit_code_says_so(plate: Plate, tmp_path: Path) -> None:
    (tmp_path / "in.zarr/A/2/0/zarr.json").unlink()
    result = call("run", plate.url, tmp_path / "out.zarr", *CUBIC)
    assert result.exit_code == 10
    assert "4 done, 1 failed" in result.stdout
    for words in ("1 field failed; the others are done", "A/2/0: ", "--resume"):
        assert words in result.stderr
    document = only_json(call("run", plate.url, tmp_path / "out.zarr", *CUBIC, "--resume", "--json"))
    assert document["fields"] == {"there": 4, "failed": 1}
    assert document["exit_code"] == 10
    failed = [outcome for outcome in document["outcomes"] if outcome["state"] == "failed"]
    assert failed[0]["field"] == "A/2/0"
    assert failed[0]["remedy"]


def test_fields_are_chosen(plate: Plate, tmp_path: Path) -> None:
    document = only_json(call("run", plate.url, tmp_path / "out.zarr", *CUBIC, "--fields", "A2, C/*", "--json"))
    assert [outcome["field"] for outcome in document["outcomes"]] == ["A/2/0", "C/12/0", "C/12/1"]
    assert open_plate(tmp_path / "out.zarr").fields == ("A/2/0", "C/12/0", "C/12/1")
    wrong = call("run", plate.url, tmp_path / "two.zarr", *CUBIC, "--fields", "Q/*")
    assert wrong.exit_code == 3
    assert "No field of the plate" in wrong.stderr
    image = call("run", f"{plate.url}/A/1/0", tmp_path / "two.zarr", *CUBIC, "--fields", "A/1")
    assert image.exit_code == 2
    assert "has no fields to choose from" in image.stderr


def test_a_dry_run_and_a_plan_write_nothing(plate: Plate, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    result = call("run", plate.url, tmp_path / "out.zarr", *CUBIC, "--dry-run")
    assert "5 fields, 1 at a time" in result.stdout
    assert "nothing was written" in result.stderr
    planned = call("plan", plate.url, *CUBIC, "--fields", "A/*")
    assert planned.exit_code == 0
    for words in ("3 wells, 5 fields, 1 to 2 in a well", "3 fields", "For each field, such as A/1/0", "What memory"):
        assert words in planned.stdout
    document = only_json(call("plan", plate.url, *CUBIC, "--json"))
    assert document["fields"] == list(plate.fields)
    assert document["blocks"] == 5 * document["field"]["blocks"]
    assert call("run", plate.url, plate.url, *CUBIC, "--dry-run").exit_code == 4
    assert call("plan", "--shape", "64,64", *CUBIC, "--fields", "A/1").exit_code == 2
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_a_plate_says_what_it_is_and_how_far(plate: Plate, tmp_path: Path) -> None:
    (tmp_path / "in.zarr/C/12/1/zarr.json").unlink()
    call("run", plate.url, tmp_path / "out.zarr", *CUBIC)
    text = call("info", tmp_path / "out.zarr").stdout
    for words in ("OME-Zarr 0.5 plate", "3, in 2 rows and 3 columns", "5 fields, 1 to 2 in a well", "y 48, x 40"):
        assert words in text
    assert "4 of 5 fields" in text
    document = only_json(call("info", tmp_path / "out.zarr", "--json"))
    assert (document["state"], document["fields_done"], document["fields"]) == ("unfinished", 4, 5)
    assert document["first_field"]["shape"] == [2, 48, 40]
    (tmp_path / "in.zarr/C/12/zarr.json").unlink()
    assert "unusable  1 well that the plate lists: C/12" in call("info", plate.url).stdout


def test_info_of_a_real_plate(data: Path) -> None:
    text = call("info", data / "omezarr/ome_zarr_examples/valid/plate-01.zarr").stdout
    for words in ("my_wonderful_plate", "OME-Zarr 0.4 plate", "4 fields, 1 in each well", "The first field, A/1/0"):
        assert words in text
    assert "Made by scalesr" not in text


def test_info_of_a_plate_does_not_load_torch(plate: Plate) -> None:
    code = (
        "import sys\nfrom scalesr.cli import app\n"
        f"try:\n    app(['info', {plate.url!r}])\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'torch', 'dask'} & set(sys.modules)))"
    )
    subprocess.run([program()[0], "-c", code], check=True, capture_output=True)


def test_two_plates_are_compared_field_by_field(plate: Plate, tmp_path: Path) -> None:
    call("run", plate.url, tmp_path / "out.zarr", "--model", "identity", "--scheduler", "serial")
    found = open_plate(tmp_path / "out.zarr")
    for path in plate.fields:
        one, two = (np.asarray(some.open_field(path).array(0)[...]) for some in (plate, found))
        assert np.array_equal(one, two)
    document = only_json(call("measure", found.url, "--reference", plate.url, "--metrics", "mae", "--json"))
    assert {figure["where"] for figure in document["figures"] if figure["where"]} == set(plate.fields)
