"""The whole matrix of the promise: blocks x executors x workers x killed or not, each compared file by file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from engine.conftest import voxels
from engine.test_same_bytes import content

import scalesr
from benchmarks.common import network
from scalesr.models import load, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

SCRIPT = """
import sys, scalesr
if __name__ == "__main__":
    source, target, model, mode, scheduler, workers, block = sys.argv[1:]
    scalesr.run(source, target, model=model, mode=mode, scheduler=scheduler, workers=int(workers), block=int(block),
                cell=16, halo=8, blend=4, shard=1)
"""
EXECUTORS = [("serial", 1), *[(kind, count) for kind in ("threads", "processes") for count in (1, 2, 4)]]


@pytest.fixture(scope="module")
def expected() -> dict[str, bytes]:
    """Hold the files of the first run of the module, to which all others are compared."""
    return {}


@pytest.mark.slow
@pytest.mark.parametrize("block", [1, 2, 5])
@pytest.mark.parametrize(("scheduler", "workers"), EXECUTORS)
@pytest.mark.parametrize("fate", ["undisturbed", "killed"])
def test_the_same_files(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path, expected: dict[str, bytes],
    block: int, scheduler: str, workers: int, fate: str,
) -> None:  # fmt: skip
    image = make_image(speckle)
    script = tmp_path / "run.py"
    script.write_text(SCRIPT)
    target = tmp_path / "out.zarr"

    def command(mode: str) -> list[Any]:
        return [sys.executable, script, image.url, target, edsr, mode, scheduler, str(workers), str(block)]

    if fate == "killed":
        records = target / "scalesr" / "blocks"
        halfway = (-(-10 // block)) * (-(-11 // block)) // 2
        process = subprocess.Popen(command("create"), start_new_session=True)
        while not (records.is_dir() and sum(1 for _ in records.rglob("*.json")) >= halfway):
            assert process.poll() is None, "the run ended before it could be killed"
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    subprocess.run(command("resume" if fate == "killed" else "create"), check=True)
    found = content(target)
    expected.update(expected or found)
    assert found == expected


@pytest.mark.slow
def test_the_network_of_the_benchmarks_is_exact(make_image: MakeImage, tmp_path: Path) -> None:
    """With b = 0 and the halo at the receptive field, to 1e-6 of the range away from the border."""
    weights = network(tmp_path)
    rng = np.random.default_rng(5)
    pixels = rng.random((700, 737), dtype=np.float32)
    ref = resolve(str(weights), image_channels=None, image_axes="yx")
    with torch.inference_mode():
        whole = load(ref)(torch.from_numpy(pixels)[None, None], torch.zeros((1, 2), dtype=torch.int64))
    result = scalesr.run(make_image(pixels), tmp_path / "out.zarr", model=str(weights), cell=64, normalise="none")
    field = result.plan.lattice.axes[0].halo
    inner = (slice(2 * field, -2 * field),) * 2
    difference = np.abs(voxels(result.image) - whole[0, 0].numpy())[inner]
    assert difference.max() <= 1e-6
