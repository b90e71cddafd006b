from __future__ import annotations

import hashlib
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from imzml_files import Pair, size_terms
from pyimzml.ImzMLParser import ImzMLParser

from scalesr.errors import InputError, OutputError
from scalesr.images import Axis, Image, create_image, import_image, open_image, pyramid_layout
from scalesr.images import imzml_export as exporting
from scalesr.images.importing.companions import open_companion
from scalesr.images.imzml_export import export_imzml
from scalesr.images.spectral import SpectralAxis, read_spectral, write_spectral

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def everything(image: Image) -> np.ndarray[Any, Any]:
    return image.read(tuple(slice(0, n) for n in image.shape))


def mask_of(image: Image) -> np.ndarray[Any, Any]:
    array = open_companion(image, "mask")
    assert array is not None
    return np.asarray(array[...])


def cube(
    path: Path,
    pixels: np.ndarray[Any, Any],
    mz: Sequence[float] | None = None,
    *,
    unit: str | None = "micrometer",
    axes: str = "cyx",
) -> Image:
    space = {"z", "y", "x"}
    layout = pyramid_layout(
        axes=tuple(
            Axis(a, "space" if a in space else "time" if a == "t" else "channel", unit if a in space else None)
            for a in axes
        ),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=tuple({"y": 30.0, "x": 20.0}.get(a, 1.0) for a in axes),
        translation=(0.0,) * len(axes),
        chunks=tuple(4 if a in {"y", "x"} else 1 for a in axes),
    )
    writer = create_image(path, layout)
    writer.array(0)[...] = pixels
    writer.publish()
    if mz is not None:
        write_spectral(path, SpectralAxis(values=np.array(mz), quantity="m/z", attributes={"polarity": "negative"}))
    return open_image(path)


def pixels_of(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(0)
    return (rng.uniform(0, 900, shape) * (rng.random(shape) < 0.5)).astype(dtype)


@pytest.mark.parametrize(
    ("name", "peaks"),
    [
        ("plaquepicker_mouse_brain/derived_crop_upper_64x64", None),
        ("pyimzml_examples/Example_Processed", None),
        ("pyimzml_examples/Example_Continuous", [328.9, 151.9]),
        ("thyra_imzml_quirks/iontof_sparse", [205.0, 105.0]),
        ("thyra_imzml_quirks/unit_nanometre", None),
    ],
)
def test_real_cubes_come_back(data: Path, tmp_path: Path, name: str, peaks: list[float] | None) -> None:
    image = import_image(data / f"msi/{name}.imzML", tmp_path / "a.zarr", peaks=peaks, ppm=300)
    xml, ibd = export_imzml(image, tmp_path / "out.imzML")
    axis = read_spectral(image)
    assert axis is not None
    again = import_image(xml, tmp_path / "b.zarr", peaks=axis.values.tolist(), ppm=1)
    np.testing.assert_array_equal(everything(again), everything(image))
    np.testing.assert_array_equal(mask_of(again), mask_of(image))
    assert again.pixel_sizes == image.pixel_sizes
    assert again.axes == image.axes
    other = read_spectral(again)
    assert other is not None
    assert other.attributes.get("polarity") == axis.attributes.get("polarity")
    assert hashlib.sha1(ibd.read_bytes()).hexdigest().upper() in xml.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "b.zarr", "out.ibd", "out.imzML"]


def test_another_parser_reads_it_without_complaint(tmp_path: Path) -> None:
    pixels = pixels_of(3, 5, 6)
    image = cube(tmp_path / "a.zarr", pixels, [300.0, 100.0, 200.0])
    xml, _ = export_imzml(image, tmp_path / "out.imzML")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parser = ImzMLParser(str(xml))
    with parser:
        assert len(parser.coordinates) == 30
        assert (parser.polarity, parser.spectrum_mode) == ("negative", "centroid")
        assert (parser.imzmldict["pixel size x"], parser.imzmldict["pixel size y"]) == (20, 30)
        for number, (x, y, _) in enumerate(parser.coordinates):
            mz, values = parser.getspectrum(number)
            expected = pixels[[1, 2, 0], y - 1, x - 1]
            if expected.any():
                assert mz.tolist() == np.array([100.0, 200.0, 300.0])[expected != 0].tolist()
                np.testing.assert_array_equal(values, expected[expected != 0])
            else:
                assert (mz.tolist(), values.tolist()) == ([100.0], [0.0])


@pytest.mark.parametrize("dtype", ["uint16", "int32", "float64"])
def test_formats_that_hold_every_digit(tmp_path: Path, dtype: str) -> None:
    pixels = pixels_of(2, 5, 6, dtype=dtype)
    pixels[0, 0, 0] = 60_001 if dtype == "uint16" else 2**24 + 1
    image = cube(tmp_path / "a.zarr", pixels, [100.0, 200.0])
    xml, _ = export_imzml(image, tmp_path / "out.imzML")
    with ImzMLParser(str(xml)) as parser:
        assert parser.getspectrum(0)[1][0] == pixels[0, 0, 0]
        assert parser.intensityPrecision == ("f" if dtype == "uint16" else "d")


@pytest.mark.parametrize(
    ("unit", "sizes", "name"),
    [
        ("millimeter", (30, 20), "millimeter"),
        ("inch", (762000, 508000), "micrometer"),
        (None, (1, 1), None),
    ],
)
def test_pixel_sizes_keep_their_unit(
    tmp_path: Path, unit: str | None, sizes: tuple[float, float], name: str | None
) -> None:
    image = cube(tmp_path / "a.zarr", pixels_of(2, 5, 6), [100.0, 200.0], unit=unit)
    xml, _ = export_imzml(image, tmp_path / "out.imzML")
    again = import_image(xml, tmp_path / "b.zarr")
    assert again.pixel_sizes[1:] == pytest.approx(sizes)
    assert again.axes[-1].unit == name


def test_depth_and_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = pixels_of(3, 2, 9, 10)
    image = cube(tmp_path / "a.zarr", pixels, [100.0, 200.0, 300.0], axes="czyx")
    monkeypatch.setattr(exporting, "_TILE_BYTES", 100)
    xml, _ = export_imzml(image, tmp_path / "out.imzML")
    again = import_image(xml, tmp_path / "b.zarr", peaks=[100.0, 200.0, 300.0])
    assert again.axis_names == ("c", "z", "y", "x")
    np.testing.assert_array_equal(everything(again), pixels)


def test_masked_pixels_are_left_out(tmp_path: Path) -> None:
    image = cube(tmp_path / "a.zarr", pixels_of(2, 5, 6) + 1, [100.0, 200.0])
    mask = zarr.create_array(image.url, name="mask", shape=(5, 6), dtype="u1")
    mask[1:4, 2:] = 1
    xml, _ = export_imzml(image, tmp_path / "out.imzML")
    with ImzMLParser(str(xml)) as parser:
        assert sorted(parser.coordinates) == sorted((x, y, 1) for y in (2, 3, 4) for x in (3, 4, 5, 6))
    mask[...] = 0
    with pytest.raises(InputError, match="no pixel that its mask keeps"):
        export_imzml(image, tmp_path / "none.imzML")
    assert not list(tmp_path.glob("*none*"))


def test_files_that_are_there(tmp_path: Path) -> None:
    image = cube(tmp_path / "a.zarr", pixels_of(2, 5, 6), [100.0, 200.0])
    (tmp_path / "out.ibd").write_text("mine")
    with pytest.raises(OutputError, match=r"out\.ibd already exist"):
        export_imzml(image, tmp_path / "out.imzML")
    assert (tmp_path / "out.ibd").read_text() == "mine"
    export_imzml(image, tmp_path / "out.imzML", mode="overwrite")
    xml, _ = export_imzml(image, tmp_path / "out.imzML", mode="overwrite")
    assert import_image(xml, tmp_path / "b.zarr").shape == (2, 5, 6)
    with pytest.raises(OutputError, match=r"does not end with \.imzML"):
        export_imzml(image, tmp_path / "out.mzML")
    with pytest.raises(OutputError, match="cannot be written"):
        export_imzml(image, tmp_path / "nowhere" / "out.imzML")


def test_images_that_are_no_cubes(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no m/z beside it"):
        export_imzml(cube(tmp_path / "a.zarr", pixels_of(2, 5, 6)), tmp_path / "out.imzML")
    with pytest.raises(InputError, match=r"has the axes t, c, y, x"):
        export_imzml(cube(tmp_path / "b.zarr", pixels_of(1, 2, 5, 6), [1.0, 2.0], axes="tcyx"), tmp_path / "out.imzML")
    with pytest.raises(InputError, match="bands of the same m/z"):
        export_imzml(cube(tmp_path / "c.zarr", pixels_of(2, 5, 6), [1.0, 1.0]), tmp_path / "out.imzML")
    pixels = pixels_of(2, 5, 6)
    pixels[1, 2, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        export_imzml(cube(tmp_path / "d.zarr", pixels, [1.0, 2.0]), tmp_path / "out.imzML")
    assert not list(tmp_path.glob("*out*"))


def test_negative_values_stay(tmp_path: Path) -> None:
    pair = Pair(spectra=[((1, 1), [100.0, 200.0], [-5, 3])], settings=(size_terms(1),))
    image = import_image(pair.write(tmp_path / "in.imzML"), tmp_path / "a.zarr", peaks=[100.0, 200.0])
    xml, _ = export_imzml(image, tmp_path / "out.imzML")
    np.testing.assert_array_equal(
        everything(import_image(xml, tmp_path / "b.zarr", peaks=[100.0, 200.0])), everything(image)
    )
