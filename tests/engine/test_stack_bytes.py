"""The promise for models of stacks: the same bytes of values and deviations, whatever the blocks and the crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from engine.stack_model import MODELS, SIZES, TILES
from engine.test_same_bytes import content

import scalesr
from scalesr.engine import BlockDone
from scalesr.errors import InterruptedRunError

if TYPE_CHECKING:
    from collections.abc import Callable

    from engine.conftest import MakeImage

    from scalesr.engine import Event, Result

GAPS = {"whole": (4, 5), "fraction": (0, 13, 32)}


@pytest.fixture(params=["whole", "fraction"])
def which(request: pytest.FixtureRequest) -> str:
    """Say how many rows there are to a plane."""
    return str(request.param)


@pytest.fixture
def again(make_image: MakeImage, tmp_path: Path, which: str) -> Callable[..., Result]:
    """Return a function that runs the model on a stack of noise, blended along all axes, some planes missing."""
    image = make_image(np.random.default_rng(3).integers(0, 60000, SIZES[which]).astype(np.uint16), "zyx", chunk=8)

    def run(name: str, **changes: Any) -> Result:
        wanted = {"scheduler": "serial", "shard": 1, "block": 1, "missing_planes": GAPS[which], **TILES[which]}
        return scalesr.run(image, tmp_path / name, model=MODELS[which][0], **wanted | changes)

    return run


def made(folder: Path) -> dict[str, bytes]:
    """Return all that is stored of an output and its deviations, but for the metadata that hold the output's name."""
    found = {
        name: stored for name, stored in content(folder).items() if name not in ("zarr.json", "deviation/zarr.json")
    }
    assert any(name.startswith("deviation/0/") for name in found)
    return found


def test_any_blocks_and_any_threads_give_the_same_files(again: Callable[..., Result], tmp_path: Path) -> None:
    again("one.zarr")
    for block, scheduler in ((2, "serial"), ((1, 3, 1), "threads"), (20, "threads")):
        again("out.zarr", block=block, scheduler=scheduler, workers=2, mode="overwrite")
        assert made(tmp_path / "out.zarr") == made(tmp_path / "one.zarr")


@pytest.mark.slow
def test_processes_give_the_same_files(again: Callable[..., Result], tmp_path: Path) -> None:
    again("one.zarr")
    again("out.zarr", block=2, scheduler="processes", workers=2)
    assert made(tmp_path / "out.zarr") == made(tmp_path / "one.zarr")


def test_any_batch_position_gives_the_same_files(again: Callable[..., Result], tmp_path: Path) -> None:
    again("one.zarr", batch=3)
    again("out.zarr", batch=3, block=2)
    assert made(tmp_path / "out.zarr") == made(tmp_path / "one.zarr")


@pytest.mark.parametrize("strips", ["kept", "lost"])
def test_a_stopped_run_goes_on_to_the_same_files(again: Callable[..., Result], tmp_path: Path, strips: str) -> None:
    total = again("one.zarr", block=2).plan.blocks

    def stop(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == total // 2:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        again("out.zarr", block=2, callbacks=[stop])
    for unfinished in (tmp_path / "out.zarr", tmp_path / "out.zarr" / "deviation"):
        with pytest.raises(scalesr.ScalesrError, match="did not finish"):
            scalesr.open_image(unfinished)
    if strips == "lost":
        for path in (tmp_path / "out.zarr" / "scalesr" / "strips").rglob("*"):
            if path.is_file():
                path.unlink()
    resumed = again("out.zarr", block=2, mode="resume")
    assert resumed.blocks == total - total // 2
    assert made(tmp_path / "out.zarr") == made(tmp_path / "one.zarr")
    assert resumed.deviation is not None


SCRIPT = """
import ast, sys, scalesr
if __name__ == "__main__":
    source, target, model, mode, options = sys.argv[1:]
    scalesr.run(source, target, model=model, mode=mode, **ast.literal_eval(options))
"""


@pytest.mark.slow
@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_a_killed_run_goes_on_to_the_same_files(
    again: Callable[..., Result], tmp_path: Path, which: str, scheduler: str
) -> None:
    total = again("one.zarr").plan.blocks
    script = tmp_path / "killed.py"
    script.write_text(SCRIPT)
    options = {"scheduler": scheduler, "workers": 2, "shard": 1, "block": 1, "missing_planes": GAPS[which]} | TILES[
        which
    ]
    records = tmp_path / "out.zarr" / "scalesr" / "blocks"

    def arguments(mode: str) -> list[Any]:
        model = MODELS[which][0]
        return [sys.executable, script, tmp_path / "input.zarr", tmp_path / "out.zarr", model, mode, str(options)]

    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(arguments("create"), start_new_session=True, env=environment)
    while not (records.is_dir() and len(list(records.rglob("*.json"))) >= total // 2):
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert len(list(records.rglob("*.json"))) < total
    subprocess.run(arguments("resume"), check=True, env=environment)
    assert made(tmp_path / "out.zarr") == made(tmp_path / "one.zarr")
