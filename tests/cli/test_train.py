"""``scalesr train hyres``: from images to a network that runs, over interruptions, with words for what is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from commands import call, only_json, program, write_image

from scalesr.hyres import validation
from scalesr.hyres.generator import load_generator
from scalesr.images import open_image
from scalesr.phantoms import spectral_cube

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = ("--patch", "8", "--patches", "2", "--features", "4", "--steps", "4", "--threads", "1")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(validation, "TILES", 2)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    """Return a cube of three bands."""
    pixels = spectral_cube((6, 200, 96), seed=0).region((slice(2, 5), slice(0, 200), slice(0, 96)))
    write_image(tmp_path / "cube.zarr", pixels, "cyx", chunk=64)
    return tmp_path / "cube.zarr"


def test_a_trained_network_runs(cube: Path, tmp_path: Path) -> None:
    result = call("train", "hyres", cube, "--out", tmp_path / "net", "--instrument", "maldi", *QUICK, "--json")
    assert result.exit_code == 0, result.output
    found = only_json(result)
    assert found["steps"] == 4
    assert found["judged"] == "held-out strips"
    assert set(found["scores"]) == set(found["reference"]) == {"psnr", "ssim", "frc"}
    ran = call("run", cube, tmp_path / "out.zarr", "--model", found["weights"], "--scheduler", "serial", "--json")
    assert ran.exit_code == 0, ran.output
    out = open_image(tmp_path / "out.zarr")
    assert out.shape == (3, 800, 384)
    means = out.read((slice(0, 3), slice(0, 800), slice(0, 384))).reshape(3, 200, 4, 96, 4).mean((2, 4))
    low = open_image(cube).read((slice(0, 3), slice(0, 200), slice(0, 96)))
    np.testing.assert_allclose(means, low, rtol=1e-5, atol=1e-6)  # the network asks for conserved flux


def test_a_network_is_fitted_to_ones_own_cube(cube: Path, tmp_path: Path) -> None:
    first = only_json(call("train", "hyres", cube, "--out", tmp_path / "net", *QUICK, "--json"))
    options = ("--steps", "2", "--patch", "8", "--patches", "1", "--threads", "1")
    result = call("train", "hyres", cube, "--own", "--from", first["weights"], "--out", tmp_path / "own", *options)
    assert result.exit_code == 0, result.output
    for words in ("written", "PSNR", "cubic", "judged by", "held-out strips"):
        assert words in result.stdout
    assert load_generator(tmp_path / "own" / "weights.safetensors").conv_first.out_channels == 4


def test_validation_images_are_judged_by(cube: Path, tmp_path: Path) -> None:
    result = call("train", "hyres", cube, "--validation", cube, "--out", tmp_path / "net", *QUICK, "--json")
    assert only_json(result)["judged"] == "given images"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--minutes", "1"], 2, "--steps and --minutes"),
        (["--own"], 2, "--from"),
        (["--instrument", "telescope"], 3, "maldi"),
        (["--scale", "3"], 6, "2 or 4"),
        (["--frc", "-1"], 6, "frc"),
        (["--from", "cubic"], 5, "cubic"),
        (["--from", "default"], 2, "features"),
        (["--resume"], 7, "Leave --resume out"),
    ],
)
def test_what_is_wrong_is_said(cube: Path, tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    result = call("train", "hyres", cube, "--out", tmp_path / "net", *QUICK, *arguments)
    assert result.exit_code == code, result.output
    assert words in result.stderr
    assert "Traceback" not in result.stderr


def test_other_settings_are_not_resumed(cube: Path, tmp_path: Path) -> None:
    assert call("train", "hyres", cube, "--out", tmp_path / "net", *QUICK, "--quiet").exit_code == 0
    result = call("train", "hyres", cube, "--out", tmp_path / "net", *QUICK, "--resume", "--seed", "5")
    assert result.exit_code == 7
    assert "seed is 5 and was 0" in result.stderr
    again: Any = call("train", "hyres", cube, "--out", tmp_path / "net", *QUICK)
    assert again.exit_code == 4
    assert "--resume" in again.stderr


@pytest.mark.slow
def test_ctrl_c_saves_and_resume_finishes(cube: Path, tmp_path: Path) -> None:
    command = [
        *program(), "train", "hyres", "cube.zarr", "--out", "net", "--patch", "8", "--patches", "2", "--features", "4",
        "--steps", "200", "--threads", "1",
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    began = monotonic()
    while not (tmp_path / "net" / "curve.jsonl").exists():
        assert process.poll() is None, process.communicate()[1]
        assert monotonic() - began < 200
        sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "--resume" in said
    assert "Traceback" not in said
    done = subprocess.run([*command, "--resume", "--quiet"], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert cube.exists()
    assert (tmp_path / "net" / "weights.safetensors").exists()
