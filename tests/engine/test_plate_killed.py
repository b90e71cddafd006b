"""A plate whose run is killed goes on: no field is lost, none is done twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from time import monotonic, sleep
from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import SLOW_MODEL, program
from small_plates import voxels, write_plate

from scalesr.images import field_states, open_plate

if TYPE_CHECKING:
    from pathlib import Path

WELLS = {f"{row}/{column}": ("0", "1") for row in "AB" for column in (1, 2, 3)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scheduler", "blow"),
    [("serial", signal.SIGKILL), ("threads", signal.SIGKILL), ("threads", signal.SIGINT), ("processes", signal.SIGINT)],
)
def test_a_run_that_is_killed_in_the_middle_goes_on(tmp_path: Path, scheduler: str, blow: signal.Signals) -> None:
    (tmp_path / "slow_model.py").write_text(SLOW_MODEL)
    source = write_plate(tmp_path / "in.zarr", WELLS)
    command = [
        *program(), "run", "in.zarr", "out.zarr", "--model", "slow_model:slow", "--cell", "20", "--block", "1",
        "--scheduler", scheduler, "--workers", "2", "--log", "log.jsonl",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "TILE_SECONDS": "0.2"}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    log = tmp_path / "log.jsonl"
    began = monotonic()
    while not (log.exists() and log.read_text().count('"FieldEnded"') >= 2):
        assert process.poll() is None, process.communicate()[1]
        assert monotonic() - began < 180
        sleep(0.05)
    os.killpg(process.pid, blow)
    struck = monotonic()
    _, said = process.communicate(timeout=90)
    if blow == signal.SIGINT:
        assert monotonic() - struck < 20
        assert process.returncode == 130, said
        assert "--resume" in said
        assert "Traceback" not in said
    begun = open_plate(tmp_path / "out.zarr")
    assert begun.fields == source.fields  # all of the metadata is there from the start
    done = [path for path, state in field_states(begun).items() if state == "whole"]
    assert 2 <= len(done) < len(source.fields)
    stamps = {path: (tmp_path / "out.zarr" / path / "zarr.json").stat().st_mtime_ns for path in done}
    again = subprocess.run(
        [*command, "--resume", "--json"], cwd=tmp_path, env={**environment, "TILE_SECONDS": "0"}, check=True,
        capture_output=True, text=True,
    )  # fmt: skip
    document = json.loads(again.stdout)
    assert document["fields"] == {"there": len(done), "done": len(source.fields) - len(done)}
    assert stamps == {path: (tmp_path / "out.zarr" / path / "zarr.json").stat().st_mtime_ns for path in done}
    output = open_plate(tmp_path / "out.zarr")
    assert set(field_states(output).values()) == {"whole"}
    for path in source.fields:
        assert np.array_equal(voxels(output, path), voxels(source, path))
