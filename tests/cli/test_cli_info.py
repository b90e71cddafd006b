"""`scalesr info`, `import` and `models`."""

from __future__ import annotations

import subprocess
from importlib import import_module
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from commands import call, only_json, program, speckle, write_image

from scalesr.engine.ledger import MANIFEST, RECORDS, record_key
from scalesr.images import OWN, open_image
from scalesr.images.spectral import SpectralAxis, write_spectral
from scalesr.models import available

if TYPE_CHECKING:
    from pathlib import Path

CUBIC = ("--model", "cubic", "--scale", "2", "--scheduler", "serial")


def test_an_image_is_described(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(2, 700, 600), "cyx", chunk=256)
    text = call("info", tmp_path / "in.zarr").stdout
    for words in ("OME-Zarr 0.5", "c 2, y 700, x 600; uint16; 1.68 MB", "y 0.5 micrometer", "level 2", "1 x 256 x 256"):
        assert words in text
    document = only_json(call("info", tmp_path / "in.zarr", "--json"))
    assert document["shape"] == [2, 700, 600]
    assert [axis["kind"] for axis in document["axes"]] == ["channel", "space", "space"]
    assert len(document["levels"]) == 3
    assert "made_by" not in document


def test_the_bands_of_a_spectral_image_are_described(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(3, 70, 60), "cyx", chunk=64)
    assert "spectrum" not in call("info", tmp_path / "in.zarr").stdout
    assert "spectral" not in only_json(call("info", tmp_path / "in.zarr", "--json"))
    values = np.array([1000.0, 550.25, 400.5])
    bands = SpectralAxis(values=values, quantity="wavelength", unit="nanometer", attributes={"bad_bands": [1]})
    write_spectral(tmp_path / "in.zarr", bands)
    text = call("info", tmp_path / "in.zarr").stdout
    assert "3 bands; wavelength 400.5 to 1000 nanometer" in text
    assert only_json(call("info", tmp_path / "in.zarr", "--json"))["spectral"] == {
        "quantity": "wavelength",
        "unit": "nanometer",
        "values": [1000.0, 550.25, 400.5],
        "attributes": {"bad_bands": [1]},
    }
    write_spectral(tmp_path / "in.zarr", SpectralAxis(values=values, quantity="m/z"))
    assert "3 bands; m/z 400.5 to 1000\n" in call("info", tmp_path / "in.zarr").stdout


def test_an_output_says_what_made_it(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(50, 60))
    call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *CUBIC)
    made = only_json(call("info", tmp_path / "out.zarr", "--json"))["made_by"]
    assert made["source"] == str(tmp_path / "in.zarr")
    assert made["model"] == "builtin:cubic"
    assert made["blocks_done"] == made["blocks"]
    text = call("info", tmp_path / "out.zarr").stdout
    assert "Made by scalesr" in text
    assert "builtin:cubic" in text


def test_an_unfinished_output_says_how_far_it_is(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(64, 64), chunk=32)
    shard = tmp_path / "in.zarr" / "0" / "c" / "0" / "0"
    whole = shard.read_bytes()
    shard.write_bytes(bytes(len(whole)))
    options = (*CUBIC, "--cell", "32", "--halo", "2", "--block", "1", "--normalise", "dtype")
    assert call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *options).exit_code == 8
    result = call("info", tmp_path / "out.zarr")
    assert result.exit_code == 0
    assert "did not finish" in result.stdout
    assert "--resume" in result.stdout
    found = only_json(call("info", tmp_path / "out.zarr", "--json"))
    assert found["state"] == "unfinished"
    assert found["made_by"]["blocks_done"] < found["made_by"]["blocks"] == 4
    shard.write_bytes(whole)
    assert call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *options, "--resume").exit_code == 0


@pytest.mark.parametrize("name", ["zarr.json", "0/zarr.json"])
@pytest.mark.parametrize("left", [0, 50])
def test_a_damaged_file_is_named_and_no_unfinished_run(tmp_path: Path, name: str, left: int) -> None:
    write_image(tmp_path / "in.zarr", speckle(32, 32))
    assert call("run", tmp_path / "in.zarr", tmp_path / "out.zarr", *CUBIC, "--report", "none").exit_code == 0
    torn = tmp_path / "out.zarr" / name
    torn.write_bytes(torn.read_bytes()[:left])
    result = call("info", tmp_path / "out.zarr")
    assert result.exit_code == 3
    assert f"{torn} is damaged" in " ".join(result.stderr.split())
    assert "scalesr repair" in result.stderr
    assert "did not finish" not in result.stdout + result.stderr
    assert call("repair", tmp_path / "out.zarr").exit_code == 0
    assert call("info", tmp_path / "out.zarr").exit_code == 0


def test_the_names_of_the_ledger_are_those_of_the_engine() -> None:
    module = import_module("scalesr.cli.info")
    assert (module.LEDGER, module.MANIFEST, module.RECORDS) == (OWN, MANIFEST, RECORDS)
    assert record_key(0).startswith(f"{module.RECORDS}/")


def test_info_does_not_load_torch(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(50, 60))
    code = (
        "import sys\nfrom scalesr.cli import app\n"
        f"try:\n    app(['info', {str(tmp_path / 'in.zarr')!r}])\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'torch', 'dask'} & set(sys.modules)))"
    )
    subprocess.run([program()[0], "-c", code], check=True, capture_output=True)


def test_import_makes_an_image(tmp_path: Path) -> None:
    pixels = speckle(5, 40, 50)
    tifffile.imwrite(tmp_path / "stack.tif", pixels)
    arguments = ("import", tmp_path / "stack.tif", tmp_path / "stack.zarr", "--axes", "zyx")
    sizes = ("--pixel-size", "z=2,y=0.5,x=0.5", "--unit", "micrometer")
    result = call(*arguments, *sizes)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    image = open_image(tmp_path / "stack.zarr")
    assert image.pixel_sizes == (2.0, 0.5, 0.5)
    assert np.array_equal(np.asarray(image.array(0)[...]), pixels)
    assert call(*arguments, *sizes).exit_code == 4
    document = only_json(call(*arguments, *sizes, "--overwrite", "--json"))
    assert document["axes"][0]["unit"] == "micrometer"
    assert call(*arguments, "--pixel-size", "large", "--overwrite").exit_code == 2
    assert open_image(tmp_path / "stack.zarr").shape == (5, 40, 50)


def test_models_are_listed() -> None:
    text = call("models").stdout
    names = [model["name"] for model in only_json(call("models", "--json"))["models"]]
    assert names == [name for name, _ in available()]
    assert {"nearest", "linear", "cubic", "identity"} <= set(names)
    assert len(text.splitlines()) == len(names)
