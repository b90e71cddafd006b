"""`scalesr measure`: what it measures, says, writes and answers."""

from __future__ import annotations

import csv
import re
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import call, only_json, speckle, write_image
from images.test_plates import make_plate
from metrics.test_measurement import FRAME, PEARSON, PSNR, made

from scalesr.metrics import MAKERS, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.metrics import Measurement

WELLS = {"A/1": ("0", "1"), "B/2": ("0",)}
FIELDS = ("A/1/0", "A/1/1", "B/2/0")


def measure_help() -> str:
    text: str = call("measure", "--help").stdout
    return text


class Recorder:
    """Stands for `scalesr.measure`: remembers how it was called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.result = made()

    def __call__(self, output: str, **options: Any) -> Measurement:
        self.calls.append((output, options))
        return self.result


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """An engine that measures nothing."""
    recorder = Recorder()
    monkeypatch.setattr("scalesr.engine.measure", recorder)
    return recorder


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image of 64 x 96 px that differs a little from `truth`."""
    write_image(tmp_path / "out.zarr", speckle(64, 96) + np.uint16(3))
    write_image(tmp_path / "truth.zarr", speckle(64, 96))
    return tmp_path / "out.zarr"


def plate_of(folder: Path, *, add: int = 0) -> Path:
    """A plate of three small fields."""
    make_plate(folder, WELLS)
    for number, field in enumerate(FIELDS):
        write_image(folder / field, speckle(40, 50) + np.uint16(number + add))
    return folder


def test_options_reach_the_engine(engine: Recorder, image: Path) -> None:
    result = call(
        "measure", image, "--reference", "r.zarr", "--input", "i.zarr", "--mask", "m.zarr", "--metrics",
        "psnr, MS-SSIM,psnr", "--data-range", "4095", "--ergas-ratio", "4", "--axes", "yx", "--by", "z", "--tile",
        "128", "--threshold", "half-bit", "--window", "hann", "--features", "own.safetensors", "--patch", "32",
        "--degradation", "gaussian:2", "--seam-period", "512,256", "--seam-offset", "0,8", "--maps", "maps",
        "--scheduler", "serial", "--workers", "3", "--memory", "2GB", "--on-bad-block", "fill", "--position",
        "ignore", "--quiet",
    )  # fmt: skip
    assert (result.exit_code, result.output) == (0, "")
    ((output, options),) = engine.calls
    assert output == str(image)
    assert options == {
        "reference": "r.zarr",
        "measured": "i.zarr",
        "mask": "m.zarr",
        "metrics": ["psnr", "ms_ssim"],
        "settings": Settings(
            data_range=4095.0,
            ergas_ratio=4.0,
            tile=128,
            threshold="half-bit",
            window="hann",
            features="own.safetensors",
            patch=32,
            degradation="gaussian:2",
            seam_period=(512, 256),
            seam_offset=(0, 8),
        ),
        "axes": "yx",
        "by": "z",
        "maps": "maps",
        "position": "ignore",
        "scheduler": "serial",
        "workers": 3,
        "memory": 2_000_000_000,
        "on_bad_block": "fill",
        "callbacks": [],
    }


def test_every_setting_can_be_said() -> None:
    known = {option.removeprefix("--").replace("-", "_") for option in re.findall(r"--[a-z-]+", measure_help())}
    assert {field.name for field in fields(Settings)} <= known


def test_what_is_not_said_is_left_to_the_engine(engine: Recorder, image: Path) -> None:
    assert call("measure", image, "--json").exit_code == 0
    ((_, options),) = engine.calls
    assert options["settings"] == Settings()
    assert options["metrics"] is options["axes"] is options["maps"] is options["memory"] is None
    assert "reference" not in options


def test_the_table_begins_with_the_headlines(engine: Recorder, image: Path) -> None:
    engine.result = replace(made(), reference="/data/truth.zarr", notes=("Shifted by 1 px.",), maps={"frc": "/m.zarr"})
    result = call("measure", image)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[1].split() == ["compared", "with", "/data/truth.zarr"]
    assert "64 x 96 px of 0.5 x 0.25 micrometer; 3 bands; uint16" in lines[2]
    order = [line.split()[1] for line in lines if line.startswith("│")]
    assert order == ["psnr", "pearson", "frc", "psnr"]
    assert "[29.00, 33.50, infinite] dB" in result.stdout
    for words in ("(1) <i>one</i>", "Note: Shifted by 1 px.", "map of frc  /m.zarr"):
        assert words in lines
    assert "--bands" in result.stderr
    each = call("measure", image, "--bands").stdout
    assert "band [red]<b>" in each
    assert "--bands" not in call("measure", image, "--bands").stderr


def test_json_is_one_document(engine: Recorder, image: Path) -> None:
    document = only_json(call("measure", image, "--json"))
    assert document == {**made().to_json(), "exit_code": 0}


def test_filled_chunks_have_an_exit_code_of_their_own(engine: Recorder, image: Path) -> None:
    engine.result = replace(made(), bad_chunks=("0/c/1/0",))
    assert call("measure", image).exit_code == 9
    assert only_json(call("measure", image, "--json"))["exit_code"] == 9
    assert call("measure", image, "--quiet").exit_code == 9


def test_tables_are_written_and_not_lost(engine: Recorder, image: Path, tmp_path: Path) -> None:
    files = ("--csv", tmp_path / "f.csv", "--parquet", tmp_path / "f.parquet")
    result = call("measure", image, *files)
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "f.csv") in result.stdout
    with (tmp_path / "f.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == pq.read_table(tmp_path / "f.parquet").num_rows == 6
    for some in (files[:2], files[2:]):
        again = call("measure", image, *some)
        assert again.exit_code == 4
        assert "already exists" in again.stderr
        assert "--overwrite" in again.stderr
    assert len(engine.calls) == 1
    assert call("measure", image, *files, "--overwrite").exit_code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--metrics", "psnr,sssim"), "There is no metric 'sssim'. Did you mean ssim?"),
        (("--metrics", ","), "--metrics names none"),
        (("--data-range", "0"), "--data-range 0 is not positive"),
        (("--data-range", "inf"), "--data-range inf is not positive"),
        (("--ergas-ratio", "-4"), "--ergas-ratio -4 is not positive"),
        (("--seam-period", "large"), "--seam-period 'large' is not a size"),
        (("--memory", "much"), "--memory 'much' is not an amount of memory"),
        (("--threshold", "0.2"), "--threshold"),
    ],
)
def test_mistyped_options(engine: Recorder, image: Path, options: tuple[str, ...], words: str) -> None:
    result = call("measure", image, *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not engine.calls


def test_without_an_image_there_is_nothing_to_measure() -> None:
    assert "Usage" in call("measure").output
    result = call("measure", "--metrics", "psnr")
    assert result.exit_code == 2
    assert "Give OUT, or --list" in result.stderr
    assert call("measure", "nothing.zarr").exit_code == 3


def test_all_metrics_are_listed() -> None:
    lines = call("measure", "--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(MAKERS)
    document = only_json(call("measure", "--list", "--json"))
    assert [metric["name"] for metric in document["metrics"]] == list(MAKERS)
    assert all(metric["description"].endswith(".") for metric in document["metrics"])


def test_fields_are_paired_by_their_paths(engine: Recorder, tmp_path: Path) -> None:
    out, truth = (make_plate(tmp_path / name, WELLS) for name in ("out", "truth"))
    write_image(tmp_path / "mask.zarr", speckle(8, 8))
    engine.result = replace(made(*PSNR, PEARSON), frame=FRAME)
    result = call(
        "measure", out, "--reference", truth, "--mask", tmp_path / "mask.zarr", "--maps", tmp_path / "maps", "--json"
    )
    assert result.exit_code == 0, result.output
    assert [output for output, _ in engine.calls] == [str(out / field) for field in FIELDS]
    assert [options["reference"] for _, options in engine.calls] == [str(truth / field) for field in FIELDS]
    assert [options["maps"] for _, options in engine.calls] == [str(tmp_path / "maps" / field) for field in FIELDS]
    assert {options["mask"] for _, options in engine.calls} == {str(tmp_path / "mask.zarr")}
    document = only_json(result)
    assert (document["output"], document["reference"]) == (str(out), str(truth))
    assert [figure["where"] for figure in document["figures"]] == [field for field in FIELDS for _ in range(5)]
    text = call("measure", out, "--reference", truth)
    assert "min, median, max of 3 fields" in text.stdout
    assert "--places" in text.stderr
    assert "A/1/1" in call("measure", out, "--reference", truth, "--places").stdout


def test_a_field_without_a_partner_is_named(engine: Recorder, tmp_path: Path) -> None:
    out = make_plate(tmp_path / "out", WELLS)
    less = make_plate(tmp_path / "less", {"A/1": ("0",)})
    result = call("measure", out, "--input", less)
    assert result.exit_code == 3
    assert f"{less} has no field A/1/1 and 1 other fields, which {out} has" in result.stderr
    assert "--input" in result.stderr
    write_image(tmp_path / "image.zarr", speckle(8, 8))
    result = call("measure", out, "--reference", tmp_path / "image.zarr")
    assert result.exit_code == 3
    assert f"{out} is a plate, and {tmp_path / 'image.zarr'} is not" in result.stderr
    assert not engine.calls


def test_an_image_is_measured(image: Path, tmp_path: Path) -> None:
    result = call(
        "measure", image, "--reference", tmp_path / "truth.zarr", "--metrics", "mae,psnr", "--scheduler", "serial",
        "--json",
    )  # fmt: skip
    document = only_json(result)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    first = {figure["metric"]: figure for figure in reversed(document["figures"])}
    assert first["mae"]["value"] == 3.0
    assert first["psnr"]["value"] == pytest.approx(20 * np.log10(65535 / 3))
    assert first["mae"]["n"] == 64 * 96


def test_planes_have_figures_too(tmp_path: Path) -> None:
    pixels = speckle(3, 40, 50)
    write_image(tmp_path / "truth.zarr", pixels, "zyx")
    write_image(tmp_path / "out.zarr", pixels + np.arange(3, dtype=np.uint16)[:, None, None], "zyx")
    options = ("--metrics", "mae", "--axes", "yx", "--by", "z", "--scheduler", "serial")
    command = ("measure", tmp_path / "out.zarr", "--reference", tmp_path / "truth.zarr", *options)
    document = only_json(call(*command, "--json"))
    found = {figure["where"]: figure["value"] for figure in reversed(document["figures"])}
    assert found == {"": 1.0, "z=0": 0.0, "z=1": 1.0, "z=2": 2.0}
    assert "[0, 1, 2]" in call(*command).stdout


def test_a_plate_is_measured_field_by_field(tmp_path: Path) -> None:
    out, truth = plate_of(tmp_path / "out", add=2), plate_of(tmp_path / "truth")
    result = call(
        "measure", out, "--reference", truth, "--metrics", "mae", "--scheduler", "serial", "--csv", tmp_path / "f.csv"
    )
    assert result.exit_code == 0, result.output
    with (tmp_path / "f.csv").open(newline="") as file:
        figures = {line["where"]: float(line["value"]) for line in csv.DictReader(file)}
    assert figures == dict.fromkeys(FIELDS, 2.0)


def test_a_real_plate_is_equal_to_itself(data: Path) -> None:
    plate = data / "omezarr/zarr_java_testdata/ome/v0.4_hcs"
    result = call("measure", plate, "--reference", plate, "--metrics", "mae", "--scheduler", "serial", "--json")
    assert result.exit_code == 0, result.output
    figures = only_json(result)["figures"]
    assert {figure["where"] for figure in figures} == {"A/1/0"}
    assert {figure["value"] for figure in figures} == {0.0}
