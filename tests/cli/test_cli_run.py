"""`scalesr run`: what it writes, says and answers."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import call, only_json, program, speckle, write_image

from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

CUBIC = ("--model", "cubic", "--scale", "2", "--scheduler", "serial")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small image of two channels, 70 x 90 px."""
    write_image(tmp_path / "in.zarr", speckle(2, 70, 90), "cyx")
    return tmp_path / "in.zarr"


def test_a_run_writes_an_image_and_says_so(image: Path, tmp_path: Path) -> None:
    result = call("run", image, tmp_path / "out.zarr", *CUBIC)
    assert result.exit_code == 0, result.output
    assert open_image(tmp_path / "out.zarr").shape == (2, 140, 180)
    assert str(tmp_path / "out.zarr") in result.stdout
    assert "c 2, y 140, x 180; uint16" in result.stdout
    assert result.stderr == ""  # no progress bar where there is no terminal


def test_quiet_says_nothing(image: Path, tmp_path: Path) -> None:
    result = call("run", image, tmp_path / "out.zarr", *CUBIC, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_json_is_one_document(image: Path, tmp_path: Path) -> None:
    result = call("run", image, tmp_path / "out.zarr", *CUBIC, "--json")
    document = only_json(result)
    assert result.exit_code == document["exit_code"] == 0
    assert document["output"] == str(tmp_path / "out.zarr")
    assert document["shape"] == [2, 140, 180]
    assert document["blocks_computed"] == document["blocks"] > 0
    assert document["plan"]["precision"] == "fp32"


def test_options_reach_the_plan(image: Path, tmp_path: Path) -> None:
    result = call(
        "run", image, tmp_path / "out.zarr", "--model", "linear", "--scale", "3/2,2", "--model-axes", "yx", "--cell",
        "16,32", "--halo", "8", "--blend", "4", "--block", "2", "--shard", "1", "--batch", "3", "--out-dtype",
        "float32", "--normalise", "0,4095", "--scheduler", "serial", "--json",
    )  # fmt: skip
    document = only_json(result)
    _, y, x = document["plan"]["lattice"]
    assert (y["cell"], x["cell"], y["halo"], y["ramp"], y["block"]) == (16, 32, 8, 4, 2)
    assert (y["scale"], x["scale"]) == ("3/2", "2")
    assert document["plan"]["batch"] == 3
    assert document["plan"]["levels"][0]["shard"] == [1, 24, 64]
    assert document["dtype"] == "float32"
    assert document["normalisation"]["gain"] == [4095.0]


def test_volumes_are_mixed_when_asked(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(6, 20, 24), "zyx")
    result = call(
        "run", tmp_path / "in.zarr", tmp_path / "out.zarr", "--model", "cubic", "--model-axes", "zyx", "--scale",
        "4,1,1", "--scheduler", "serial", "--json",
    )  # fmt: skip
    assert only_json(result)["shape"] == [24, 20, 24]


def test_a_dry_run_shows_the_plan_and_writes_nothing(image: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    result = call("run", image, tmp_path / "deep" / "out.zarr", *CUBIC, "--dry-run")
    assert result.exit_code == 0
    assert "each computed once: computed over needed is 1.00" in result.stdout
    assert "nothing was written" in result.stderr
    document = only_json(call("run", image, tmp_path / "out.zarr", *CUBIC, "--dry-run", "--json"))
    assert document["dry_run"] is True
    assert sorted(tmp_path.rglob("*")) == before


def test_a_dry_run_refuses_what_a_run_refuses(image: Path, tmp_path: Path) -> None:
    (tmp_path / "out.zarr").mkdir()
    (tmp_path / "out.zarr" / "thesis.txt").write_text("years of work")
    assert call("run", image, tmp_path / "out.zarr", *CUBIC, "--dry-run").exit_code == 4
    assert call("run", image, tmp_path / "new.zarr", *CUBIC, "--dry-run", "--memory", "20MB").exit_code == 6


def test_the_log_has_a_line_for_each_event(image: Path, tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    call("run", image, tmp_path / "out.zarr", *CUBIC, "--log", log)
    call("run", image, tmp_path / "out.zarr", *CUBIC, "--log", log)  # which fails: the output exists
    events = [json.loads(line) for line in log.read_text().splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "RunStarted"
    assert {"BlockDone", "RunFinished"} < set(names)
    assert names[-1] == "RunStopped"
    assert "already exists" in events[-1]["error"]
    assert all(event["time"].endswith("+00:00") for event in events)


def test_resume_of_a_finished_run_does_nothing_again(image: Path, tmp_path: Path) -> None:
    call("run", image, tmp_path / "out.zarr", *CUBIC)
    again = only_json(call("run", image, tmp_path / "out.zarr", *CUBIC, "--resume", "--json"))
    assert again["blocks_computed"] == 0
    replaced = only_json(call("run", image, tmp_path / "out.zarr", *CUBIC, "--overwrite", "--json"))
    assert replaced["blocks_computed"] == replaced["blocks"]


def test_filled_chunks_have_an_exit_code_of_their_own(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(64, 64))
    shard = tmp_path / "in.zarr" / "0" / "c" / "1" / "0"
    content = bytearray(shard.read_bytes())
    content[: len(content) // 2] = bytes(len(content) // 2)
    shard.write_bytes(content)
    stopped = call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *CUBIC)
    assert stopped.exit_code == 8
    assert "c/1/0" in stopped.stderr
    assert "--on-bad-block fill" in stopped.stderr
    filled = call("run", tmp_path / "in.zarr", tmp_path / "filled.zarr", *CUBIC, "--on-bad-block", "fill")
    assert filled.exit_code == 9
    assert "were filled" in filled.stderr
    document = only_json(
        call("run", tmp_path / "in.zarr", tmp_path / "as-json.zarr", *CUBIC, "--on-bad-block", "fill", "--json")
    )
    assert document["exit_code"] == 9
    assert len(document["bad_chunks"]) == 1


def test_nan_stops_unless_told_otherwise(tmp_path: Path) -> None:
    pixels = speckle(40, 40).astype(np.float32)
    pixels[3, 5] = np.nan
    write_image(tmp_path / "in.zarr", pixels)
    stopped = call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *CUBIC)
    assert stopped.exit_code == 3
    assert "--on-nan fill" in stopped.stderr
    assert call("run", tmp_path / "in.zarr", tmp_path / "out2.zarr", *CUBIC, "--on-nan", "fill").exit_code == 0


@pytest.mark.slow
def test_a_real_process_is_quiet_when_piped(image: Path, tmp_path: Path) -> None:
    command = [*program(), "run", str(image), str(tmp_path / "out.zarr"), *CUBIC]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("written")
    assert "\x1b" not in done.stdout


def test_figures_on_the_way_are_told(image: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "truth.zarr", speckle(2, 70, 90), "cyx")
    same = ("--model", "identity", "--scale", "1", "--scheduler", "serial", "--reference", tmp_path / "truth.zarr")
    result = call("run", image, tmp_path / "a.zarr", *same, "--metrics", "mae,consistency")
    assert result.exit_code == 0, result.output
    assert "mae" in result.stdout
    assert "consistency" in result.stdout
    document = only_json(call("run", image, tmp_path / "b.zarr", *same, "--json"))
    measured = {figure["metric"] for figure in document["measurement"]["figures"]}
    assert measured == {"psnr", "ssim", "mae", "pearson"}
    wrong = call("run", image, tmp_path / "c.zarr", *same, "--metrics", "snr")
    assert wrong.exit_code == 2
    assert "Did you mean psnr?" in wrong.stderr
