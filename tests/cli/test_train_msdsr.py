"""``scalesr train msdsr``, ``msdsr-slices`` and ``msdsr-fast``: from images to networks that run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import torch
from commands import call, only_json, write_image

from scalesr.cli import training_files
from scalesr.images import open_image
from scalesr.msdsr.network import Denoiser, load_denoiser, save_denoiser
from scalesr.msdsr.settings import NetworkSettings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

QUICK = ("--widths", "8,16", "--patches", "2", "--steps", "2", "--threads", "1", "--device", "cpu", "--json")
CPU = ("--device", "cpu", "--scheduler", "serial", "--json")


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def waves(*shape: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    place = np.indices(shape).astype(np.float32)
    slopes = (0.4, 0.23, 0.31)[: len(shape)]
    phase = np.sum([s * p for s, p in zip(slopes, place, strict=True)], axis=0)
    return np.asarray(2000 + 1500 * np.sin(phase), np.uint16)


@pytest.fixture
def stack(tmp_path: Path) -> Path:
    write_image(tmp_path / "stack.zarr", waves(6, 24, 24), "zyx")
    return tmp_path / "stack.zarr"


def test_planes_of_tiff_files_teach_a_network_that_runs(stack: Path, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "planes.tif", waves(3, 64, 60), photometric="minisblack")
    result = call("train", "msdsr", tmp_path / "planes.tif", "--out", tmp_path / "net", *QUICK)
    assert result.exit_code == 0, result.output
    found = only_json(result)
    assert found["steps"] == 2
    assert found["judged"] == "training pixels"
    assert set(found["scores"]) == {"loss", "psnr"}
    assert load_denoiser(found["weights"]).settings.conditioning == "guide"
    options = ("--model", found["weights"], "--scale", "4,1,1", "--set", "steps=2")
    ran = call("run", stack, tmp_path / "out.zarr", *options, *CPU)
    assert ran.exit_code == 0, ran.output
    assert open_image(tmp_path / "out.zarr").shape == (24, 24, 24)


def test_settings_of_the_released_code_can_be_changed_one_by_one(tmp_path: Path) -> None:
    write_image(tmp_path / "rgb.zarr", waves(3, 200, 60), "cyx")
    result = call("train", "msdsr", tmp_path / "rgb.zarr", "--out", tmp_path / "net", "--released", *QUICK)
    assert result.exit_code == 0, result.output
    assert only_json(result)["judged"] == "held-out strips"
    kept = load_denoiser(only_json(result)["weights"]).settings
    assert (kept.channels, kept.conditioning, kept.prediction, kept.widths) == (3, "rows", "epsilon", (8, 16))


def test_training_goes_on_from_a_network_that_keeps_its_sizes(tmp_path: Path) -> None:
    settings = NetworkSettings(widths=(8, 16), attention=(False, False), tile=16, conditioning="mask")
    save_denoiser(Denoiser(settings), tmp_path / "old.safetensors", title="untrained")
    write_image(tmp_path / "planes.zarr", waves(2, 64, 60), "zyx")
    begin = ("train", "msdsr", tmp_path / "planes.zarr", "--weights", tmp_path / "old.safetensors")
    length = ("--patches", "2", "--steps", "2", "--threads", "1", "--device", "cpu")
    result = call(*begin, "--out", tmp_path / "net", *length, "--flat", "drawn", "--widths", "8,16", "--json")
    assert result.exit_code == 0, result.output
    assert load_denoiser(only_json(result)["weights"]).settings == settings
    for wrong in (("--widths", "8,8"), ("--channels", "3"), ("--conditioning", "guide"), ("--released",)):
        refused = call(*begin, "--out", tmp_path / "other", *length, *wrong)
        assert refused.exit_code == 2
        assert "The network of --weights has conditioning mask, channels 1, widths 8,16" in refused.stderr
        assert " ".join(wrong) in refused.stderr
    absent = call("train", "msdsr", tmp_path / "planes.zarr", "--weights", "absent", "--out", tmp_path / "n", *length)
    assert absent.exit_code == 5


@pytest.mark.parametrize("kind", ["e2e", "care"])
def test_networks_of_one_pass_run(kind: str, stack: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "planes.zarr", waves(2, 64, 60), "zyx")
    psf = ("--psf", "gaussian:1", "--counts", "100", "--spacing", "4") if kind == "care" else ()
    result = call(
        "train", "msdsr-slices", tmp_path / "planes.zarr", "--kind", kind, *psf, "--out", tmp_path / "net", *QUICK
    )
    assert result.exit_code == 0, result.output
    ran = call("run", stack, tmp_path / "out.zarr", "--model", only_json(result)["weights"], "--scale", "4,1,1", *CPU)
    assert ran.exit_code == 0, ran.output
    out = open_image(tmp_path / "out.zarr").read((slice(0, 24),) * 3)
    assert np.array_equal(out[::4], waves(6, 24, 24)) == (kind == "e2e")


def test_a_fast_network_is_made_of_ones_own_stack(stack: Path, tmp_path: Path) -> None:
    settings = NetworkSettings(widths=(8, 16), attention=(False, False), tile=16)
    save_denoiser(Denoiser(settings), tmp_path / "teacher.safetensors", title="untrained")
    options = (
        *("--teacher", tmp_path / "teacher.safetensors", "--scale", "2", "--out", tmp_path / "fast"),
        *("--features", "4", "--blocks", "1", "--patch", "16", "--patches", "2", "--steps", "2", "--threads", "1"),
        *("--device", "cpu", "--json"),
    )
    result = call("train", "msdsr-fast", stack, *options)
    assert result.exit_code == 0, result.output
    assert set(only_json(result)["scores"]) == {"fidelity"}
    assert len(list((tmp_path / "fast" / "teacher").glob("*.ome.zarr"))) == 1
    # What the teacher made is used again.
    again = call("train", "msdsr-fast", stack, *options, "--resume")
    assert again.exit_code == 0, again.output
    ran = call("run", stack, tmp_path / "out.zarr", "--model", only_json(result)["weights"], *CPU)
    assert ran.exit_code == 0, ran.output
    out = open_image(tmp_path / "out.zarr").read((slice(0, 12), slice(0, 24), slice(0, 24)))
    assert np.array_equal(out[::2], waves(6, 24, 24))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["msdsr", "--minutes", "1"], 2, "--steps and --minutes"),
        (["msdsr", "--widths", "many"], 2, "--widths"),
        (["msdsr-slices", "--kind", "e2e", "--noise", "0.1"], 6, "e2e"),
    ],
)
def test_mistakes_are_explained(arguments: list[str], code: int, words: str, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "planes.tif", waves(64, 60))
    command, *rest = arguments
    quick = ("--steps", "2", "--threads", "1", "--device", "cpu")
    result = call("train", command, tmp_path / "planes.tif", "--out", tmp_path / "net", *quick, *rest)
    assert result.exit_code == code
    assert words in result.stderr


def test_large_and_broken_tiff_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tifffile.imwrite(tmp_path / "large.tif", waves(64, 60))
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    monkeypatch.setattr(training_files, "LARGEST", 1000)
    for name, words in (("large", "scalesr import"), ("broken", "cannot be read"), ("absent", "cannot be read")):
        result = call("train", "msdsr", tmp_path / f"{name}.tif", "--out", tmp_path / "net", *QUICK[:-1])
        assert result.exit_code == 3
        assert words in result.stderr


def test_colours_are_planes(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "rgb.tif", waves(40, 50, 3).astype(np.uint8), photometric="rgb")
    assert training_files.open_planes([str(tmp_path / "rgb.tif")])[0].shape == (3, 40, 50)
