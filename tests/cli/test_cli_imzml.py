"""`scalesr import` of mass spectrometry images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from commands import call, only_json
from imzml_files import Pair

from scalesr.images import open_image
from scalesr.images.spectral import read_spectral

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    spectra = [((x, y), [100.0, 200.0, 300.0], [x, y, x * y]) for x in (1, 2, 3) for y in (1, 2)]
    return Pair(spectra=spectra).write(tmp_path / "run.imzML")


def test_numbers_and_a_window(tmp_path: Path, run: Path) -> None:
    result = call("import", run, tmp_path / "o.zarr", "--peaks", "300.02, 100", "--ppm", "100", "--json")
    assert result.exit_code == 0, result.output
    assert only_json(result)["axes"]
    image = open_image(tmp_path / "o.zarr")
    np.testing.assert_array_equal(
        image.read(tuple(slice(0, n) for n in image.shape)), [[[1, 2, 3], [2, 4, 6]], [[1, 2, 3], [1, 2, 3]]]
    )
    axis = read_spectral(image)
    assert axis is not None
    assert axis.values.tolist() == [300.02, 100]
    assert axis.attributes["ppm"] == 100


def test_a_file_of_peaks_and_none(tmp_path: Path, run: Path) -> None:
    (tmp_path / "peaks.csv").write_text("name,mz\nfirst,200\n")
    assert call("import", run, tmp_path / "o.zarr", "--peaks", tmp_path / "peaks.csv").exit_code == 0
    assert open_image(tmp_path / "o.zarr").channels[0].label == "m/z 200.0000"
    assert call("import", run, tmp_path / "p.zarr").exit_code == 0
    assert open_image(tmp_path / "p.zarr").shape == (3, 2, 3)


def test_what_cannot_be_is_said(tmp_path: Path, run: Path) -> None:
    result = call("import", run, tmp_path / "o.zarr", "--peaks", "100,two")
    assert result.exit_code == 3
    assert "list of peaks 100,two cannot be read" in result.stderr.replace("\n", " ")
    np.save(tmp_path / "a.npy", np.zeros((4, 4)))
    result = call("import", tmp_path / "a.npy", tmp_path / "o.zarr", "--axes", "yx", "--ppm", "3")
    assert result.exit_code == 3
    assert "is not imzML" in result.stderr
    help_text = call("import", "--help").stdout
    assert "FILE|NUMBERS" in help_text
    assert "200 highest" in help_text
