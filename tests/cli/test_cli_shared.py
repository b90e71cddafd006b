"""`scalesr run --share`, and what `scalesr status` tells of those who share a run."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import numpy as np
from commands import call, only_json, speckle, write_image
from small_plates import write_plate

from scalesr.images import Files, open_image

if TYPE_CHECKING:
    from pathlib import Path

TOLD = ["--model", "linear", "--scale", "2", "--cell", "16", "--block", "1", "--scheduler", "serial"]


def test_a_shared_run_is_told_as_any_other(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(60, 50))
    alone = call("run", image.url, tmp_path / "alone.zarr", *TOLD)
    first = call("run", image.url, tmp_path / "out.zarr", *TOLD, "--share")
    assert (alone.exit_code, first.exit_code) == (0, 0)
    assert "16 of 16 blocks" in first.stdout
    again = only_json(call("run", image.url, tmp_path / "out.zarr", *TOLD, "--share", "--json"))
    assert (again["blocks_computed"], again["exit_code"]) == (0, 0)
    there, here = (np.asarray(open_image(tmp_path / name).array(0)[...]) for name in ("out.zarr", "alone.zarr"))
    np.testing.assert_array_equal(there, here)
    dry = call("run", image.url, tmp_path / "out.zarr", *TOLD, "--share", "--dry-run")
    assert dry.exit_code == 0


def test_what_others_work_at_is_not_replaced(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(20, 20))
    result = call("run", image.url, tmp_path / "out.zarr", "--share", "--overwrite")
    assert result.exit_code == 2
    assert "--overwrite removes it" in " ".join(result.stderr.split())
    assert not (tmp_path / "out.zarr").exists()


def test_plates_are_not_shared(tmp_path: Path) -> None:
    write_plate(tmp_path / "plate.zarr")
    result = call(
        "run", tmp_path / "plate.zarr", tmp_path / "out.zarr", "--share", "--model", "nearest", "--scale", "2"
    )
    assert result.exit_code == 6
    assert "Leave out --share" in " ".join(result.stderr.split())
    assert not (tmp_path / "out.zarr").exists()


def test_the_status_names_who_is_at_work_and_who_is_silent(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(60, 50))
    assert call("run", image.url, tmp_path / "out.zarr", *TOLD).exit_code == 0
    ledger = Files(str(tmp_path / "out.zarr" / "scalesr"))
    for block in (2, 3, 5):
        ledger.delete(f"blocks/000000/{block}.json")
    root = tmp_path / "out.zarr" / "zarr.json"
    root.write_text('{"zarr_format": 3, "node_type": "group", "attributes": {"scalesr": {"state": "running"}}}')
    for token, host, state in (("a", "node1", "at work"), ("b", "node2", "at work"), ("c", "node3", "ended")):
        note = {"state": state, "beat": 3, "lease": 60.0, "host": host, "pid": 7}
        ledger.put(f"claims/holders/{token * 16}.json", json.dumps(note).encode())
    # Block 3 was taken over; block 9 is done; what is no claim is passed over.
    for key, token in (("2.0", "a"), ("3.0", "b"), ("3.1", "a"), ("5.0", "b"), ("9.0", "b"), ("x", "b")):
        ledger.put(f"claims/blocks/000000/{key}", token.encode() * 16)
    ledger.put("claims/holders/nobody.json", b"\xff")
    before = root.stat().st_mtime - 300
    os.utime(tmp_path / "out.zarr" / "scalesr" / "claims" / "holders" / f"{'b' * 16}.json", (before, before))
    shown = call("status", tmp_path / "out.zarr").stdout
    assert "node1 (process 7): 2 blocks" in shown
    assert "node2 (process 7): 1 block; others take over what they hold" in shown
    assert "node3" not in shown
    assert "wait; others may join" in shown
    told = only_json(call("status", tmp_path / "out.zarr", "--json"))
    assert [(one["host"], one["blocks"], one["stale"]) for one in told["holders"]] == [
        ("node1", [2, 3], False),
        ("node2", [5], True),
    ]
