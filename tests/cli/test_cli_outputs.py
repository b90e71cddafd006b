"""`scalesr status`, `verify` and `repair`."""

from __future__ import annotations

import json
import shutil
import subprocess
from importlib import import_module
from typing import TYPE_CHECKING

import pytest
from commands import call, only_json, program, speckle, write_image
from fragile_model import Fragile
from small_plates import write_plate

from scalesr.cli.status import human_seconds
from scalesr.engine.ledger import FAILURES

if TYPE_CHECKING:
    from pathlib import Path

SERIAL = ("--scheduler", "serial")
CUBIC = ("--model", "cubic", "--scale", "2", *SERIAL, "--cell", "32", "--halo", "2", "--block", "1")


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """An output of nine blocks, 192 x 192 px."""
    write_image(tmp_path / "in.zarr", speckle(96, 96))
    assert call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *CUBIC).exit_code == 0
    return tmp_path / "out.zarr"


def test_a_whole_output_says_so(output: Path) -> None:
    verified = call("verify", output, *SERIAL)
    assert verified.exit_code == 0, verified.output
    assert "9 read again, all as they were recorded" in verified.stdout
    document = only_json(call("verify", output, *SERIAL, "--json"))
    assert (document["whole"], document["exit_code"], document["faults"]) == (True, 0, [])
    assert "nothing: it is whole" in call("repair", output, *SERIAL).stdout
    text = call("status", output).stdout
    for words in ("done", "9 of 9 done, 100 %", "last block", f"scalesr verify {output}"):
        assert words in text
    found = only_json(call("status", output, "--json"))
    assert (found["blocks"], found["done"], found["failed"], found["seconds_left"]) == (9, 9, [], None)
    assert found["stages"]["infer"] > 0


def test_damage_is_named_and_mended(output: Path) -> None:
    before = {path: path.read_bytes() for path in (output / "0").rglob("*") if path.is_file()}
    (output / "0" / "c" / "1" / "1").unlink()
    (output / "0" / "c" / "9").mkdir()
    (output / "0" / "c" / "9" / "9").write_text("stray")
    found = call("verify", output, *SERIAL)
    assert found.exit_code == 13
    for words in ("1 is not as recorded", "level 0, block 4; 0/c/1/1; not stored", "superfluous", "scalesr repair"):
        assert words in found.stdout
    assert call("verify", output, *SERIAL, "--quiet").output == ""
    mended = call("repair", output, *SERIAL)
    assert mended.exit_code == 0, mended.output
    assert "1 block computed" in mended.stdout
    assert {path: path.read_bytes() for path in (output / "0").rglob("*") if path.is_file()} == before
    (output / "0" / "c" / "1" / "1").unlink()
    document = only_json(call("repair", output, *SERIAL, "--json"))
    assert (document["blocks_computed"], document["before"]["counts"]) == (1, {"missing": 1})


def test_failed_blocks_are_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fragile = Fragile(tmp_path, monkeypatch)
    write_image(tmp_path / "in.zarr", speckle(48, 48))
    options = ("--model", fragile.model, "--cell", "16", "--halo", "4", "--block", "1", *SERIAL)
    fragile.fail(1, 1, times=99, blend=0)
    log = tmp_path / "log.jsonl"
    failed = call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *options, "--log", log)
    assert failed.exit_code == 11
    assert "block 4 (ValueError: no luck" in failed.stderr
    assert "--resume" in failed.stderr
    events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
    assert events.count("BlockRetried") == 2
    assert events.count("BlockGivenUp") == 1
    text = call("status", tmp_path / "out.zarr").stdout
    for words in ("8 of 9 done, 89 %; 1 failed", "given up after 3 tries: ValueError", "mend what the errors say"):
        assert words in text
    (note,) = only_json(call("status", tmp_path / "out.zarr", "--json"))["failed"]
    assert (note["block"], note["tries"], note["workers_lost"]) == (4, 3, 0)
    assert call("verify", tmp_path / "out.zarr", *SERIAL).exit_code == 13
    refused = call("repair", tmp_path / "out.zarr", *SERIAL)
    assert refused.exit_code == 5
    assert "--trust pickle" in refused.stderr
    fragile.fail(1, 1, times=0, blend=0)
    assert call("repair", tmp_path / "out.zarr", *SERIAL, "--trust", "pickle").exit_code == 0
    assert only_json(call("status", tmp_path / "out.zarr", "--json"))["failed"] == []


def test_the_fields_of_a_plate(tmp_path: Path) -> None:
    write_plate(tmp_path / "in.zarr")
    out = tmp_path / "out.zarr"
    call("run", tmp_path / "in.zarr", out, "--model", "cubic", "--scale", "2", *SERIAL)
    assert "5 verified, 5 whole" in call("verify", out, *SERIAL).stdout
    shutil.rmtree(out / "A/1/0/0/c")
    shutil.rmtree(out / "A/2/0")
    found = call("verify", out, *SERIAL)
    assert found.exit_code == 13
    for words in ("5 verified, 3 whole", "A/1/0  2 missing", "A/2/0  it is not there"):
        assert words in found.stdout
    assert "4 of 5 done" in call("status", out).stdout
    assert only_json(call("status", out, "--json"))["absent"] == ["A/2/0"]
    mended = call("repair", out, *SERIAL)
    assert mended.exit_code == 13
    assert "4 whole now, 1 of them repaired" in mended.stdout
    assert "A/2/0: It is not there" in mended.stderr
    assert call("verify", out, *SERIAL, "--fields", "A/1").exit_code == 0
    shutil.rmtree(out / "C/12")
    assert call("verify", out, *SERIAL).exit_code == 13
    assert "C/12" in call("status", out).stdout


@pytest.mark.parametrize("command", ["status", "verify", "repair"])
def test_what_is_no_output_is_refused(tmp_path: Path, command: str) -> None:
    write_image(tmp_path / "in.zarr", speckle(40, 40))
    result = call(command, tmp_path / "in.zarr")
    assert result.exit_code == 7
    assert "holds no ledger" in result.stderr


def test_the_names_of_the_ledger_are_those_of_the_engine() -> None:
    assert import_module("scalesr.cli.status").FAILURES == FAILURES


def test_lengths_of_time_are_short() -> None:
    assert [human_seconds(n) for n in (3.2, 119, 130, 8000, 200000)] == ["3 s", "119 s", "2.2 min", "2.2 h", "2.3 days"]


def test_status_does_not_load_torch(output: Path) -> None:
    code = (
        "import sys\nfrom scalesr.cli import app\n"
        f"try:\n    app(['status', {str(output)!r}])\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'torch', 'dask'} & set(sys.modules)))"
    )
    subprocess.run([program()[0], "-c", code], check=True, capture_output=True)
