"""Ctrl-C: the run stops within seconds, says how to go on, and goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from time import monotonic, sleep
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import SLOW_MODEL, program, speckle, write_image

from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["serial", "threads", "processes"])
def test_ctrl_c_stops_within_seconds_and_resume_finishes(tmp_path: Path, scheduler: str) -> None:
    (tmp_path / "slow_model.py").write_text(SLOW_MODEL)
    pixels = speckle(128, 128)
    write_image(tmp_path / "in.zarr", pixels)
    command = [
        *program(), "run", "in.zarr", "out.zarr", "--model", "slow_model:slow", "--cell", "16", "--block", "2",
        "--scheduler", scheduler, "--workers", "2", "--log", "log.jsonl",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TILE_SECONDS": "0.3"}
    # A session of its own, so that the signal reaches all processes of the run and no others, as in a terminal.
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    log = tmp_path / "log.jsonl"
    began = monotonic()
    while not (log.exists() and "BlockDone" in log.read_text()):
        assert process.poll() is None, process.communicate()[1]
        assert monotonic() - began < 120
        sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    interrupted = monotonic()
    _, said = process.communicate(timeout=60)
    assert monotonic() - interrupted < 10
    assert process.returncode == 130, said
    assert "--resume" in said
    assert "Traceback" not in said
    assert json.loads(log.read_text().splitlines()[-1])["event"] == "RunStopped"
    info = subprocess.run(
        [*program(), "info", "out.zarr", "--json"], cwd=tmp_path, check=True, capture_output=True, text=True
    )
    found = json.loads(info.stdout)
    assert found["state"] == "unfinished"
    assert 0 < found["made_by"]["blocks_done"] < found["made_by"]["blocks"] == 16
    again = subprocess.run(
        [*command, "--resume", "--json"], cwd=tmp_path, env={**environment, "TILE_SECONDS": "0"}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(again.stdout)["blocks_computed"] == 16 - found["made_by"]["blocks_done"]
    assert np.array_equal(np.asarray(open_image(tmp_path / "out.zarr").array(0)[...]), pixels)
