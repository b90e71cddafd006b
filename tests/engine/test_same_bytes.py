"""The promise: the same bytes whatever the blocks, the executor, the workers and the crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from engine.conftest import voxels

import scalesr
from scalesr.engine import BlockDone, Options
from scalesr.errors import InterruptedRunError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

    from scalesr.engine import Event, Result

CROPPED = {"cell": 16, "halo": 8, "blend": 0}
BLENDED = {"cell": 16, "halo": 8, "blend": 5}


def content(folder: Path) -> dict[str, bytes]:
    """Return every stored chunk and shard of every level, and the metadata; not the ledger, which holds times."""
    files = (path for path in folder.rglob("*") if path.is_file())
    names = {path.relative_to(folder).as_posix(): path for path in files}
    return {name: path.read_bytes() for name, path in sorted(names.items()) if not name.startswith("scalesr/")}


def levels(result: Result) -> list[NDArray[Any]]:
    """Return all levels of the output."""
    return [voxels(result.image, level=n) for n in range(len(result.image.levels))]


@pytest.fixture
def reference(make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path) -> Any:
    """Run one block at a time, in one thread; returns (image, run with changes, voxels)."""
    image = make_image(speckle)

    def again(name: str, **changes: Any) -> Result:
        wanted = {"model": str(edsr), "scheduler": "serial", "shard": 1, "block": 1, **changes}
        return scalesr.run(image, tmp_path / name, **wanted)

    return again


@pytest.mark.parametrize("tiles", [CROPPED, BLENDED], ids=["cropped", "blended"])
def test_any_block_size_gives_the_same_files(reference: Any, tmp_path: Path, tiles: dict[str, int]) -> None:
    reference("one.zarr", **tiles)
    for block in (2, 3, 20):
        reference(f"{block}.zarr", block=block, **tiles)
        assert content(tmp_path / f"{block}.zarr") == content(tmp_path / "one.zarr") | {
            "zarr.json": content(tmp_path / f"{block}.zarr")["zarr.json"]
        }


@pytest.mark.parametrize("tiles", [CROPPED, BLENDED], ids=["cropped", "blended"])
def test_any_number_of_threads_gives_the_same_voxels(reference: Any, tiles: dict[str, int]) -> None:
    expected = levels(reference("serial.zarr", block=2, shard=None, **tiles))
    for workers in (1, 2, 4):
        found = levels(reference(f"{workers}.zarr", block=3, shard=None, scheduler="threads", workers=workers, **tiles))
        np.testing.assert_array_equal(found[0], expected[0])


@pytest.mark.parametrize(
    "workers", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_any_number_of_processes_gives_the_same_files(reference: Any, tmp_path: Path, workers: int) -> None:
    reference("out.zarr", block=2, **BLENDED)
    expected = content(tmp_path / "out.zarr")
    reference("out.zarr", block=2, scheduler="processes", workers=workers, mode="overwrite", **BLENDED)
    assert content(tmp_path / "out.zarr") == expected


def test_any_batch_position_gives_the_same_voxels(reference: Any) -> None:
    found = [levels(reference(f"{k}.zarr", block=k, shard=None, batch=3, **BLENDED))[0] for k in (1, 2, 5)]
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


@pytest.mark.parametrize("tiles", [CROPPED, BLENDED], ids=["cropped", "blended"])
def test_a_stopped_run_goes_on_to_the_same_files(reference: Any, tmp_path: Path, tiles: dict[str, int]) -> None:
    reference("out.zarr", block=2, **tiles)
    expected = content(tmp_path / "out.zarr")

    def stop(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 9:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="9 of") as stopped:
        reference("out.zarr", block=2, mode="overwrite", callbacks=[stop], **tiles)
    assert "--resume" in stopped.value.remedy
    with pytest.raises(scalesr.ScalesrError, match="did not finish"):
        scalesr.open_image(tmp_path / "out.zarr")
    resumed = reference("out.zarr", block=2, mode="resume", **tiles)
    assert resumed.blocks == resumed.plan.blocks - 9
    assert content(tmp_path / "out.zarr") == expected


def test_lost_strips_are_computed_again(reference: Any, tmp_path: Path) -> None:
    reference("out.zarr", block=2, **BLENDED)
    expected = content(tmp_path / "out.zarr")

    def stop(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 9:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        reference("out.zarr", block=2, mode="overwrite", callbacks=[stop], **BLENDED)
    strips = [path for path in (tmp_path / "out.zarr" / "scalesr" / "strips").rglob("*") if path.is_file()]
    assert strips
    for path in strips:
        path.unlink()
    resumed = reference("out.zarr", block=2, mode="resume", **BLENDED)
    assert resumed.blocks == resumed.plan.blocks - 9
    assert content(tmp_path / "out.zarr") == expected
    assert not [path for path in (tmp_path / "out.zarr" / "scalesr" / "strips").rglob("*") if path.is_file()]


SCRIPT = """
import sys, scalesr
if __name__ == "__main__":
    scalesr.run(sys.argv[1], sys.argv[2], model=sys.argv[3], mode=sys.argv[4], scheduler=sys.argv[5], workers=2,
                cell=16, halo=8, blend=5, block=2, shard=1)
"""


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_a_killed_run_goes_on_to_the_same_files(reference: Any, tmp_path: Path, edsr: Path, scheduler: str) -> None:
    reference("expected.zarr", block=2, **BLENDED)
    script = tmp_path / "killed.py"
    script.write_text(SCRIPT)
    arguments: list[Any] = [sys.executable, script, tmp_path / "input.zarr", tmp_path / "out.zarr", edsr]
    records = tmp_path / "out.zarr" / "scalesr" / "blocks"
    process = subprocess.Popen([*arguments, "create", scheduler], start_new_session=True)
    while not (records.is_dir() and len(list(records.rglob("*.json"))) >= 8):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    left = len(list(records.rglob("*.json")))
    subprocess.run([*arguments, "resume", scheduler], check=True)
    total = len(list(records.rglob("*.json")))
    assert left < total
    expected = content(tmp_path / "expected.zarr")
    found = content(tmp_path / "out.zarr")
    assert expected.keys() == found.keys()
    assert all(found[name] == expected[name] for name in expected if name != "zarr.json")


def test_options_can_be_given_as_a_whole(reference: Any, tmp_path: Path, edsr: Path) -> None:
    options = Options(model=str(edsr), scheduler="serial", cell=16, halo=8)
    whole = scalesr.run(tmp_path / "input.zarr", tmp_path / "a.zarr", options=options, block=2)
    single = reference("b.zarr", cell=16, halo=8, block=2, shard=None)
    np.testing.assert_array_equal(levels(whole)[0], levels(single)[0])
