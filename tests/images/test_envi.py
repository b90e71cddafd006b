from __future__ import annotations

import math
import tracemalloc
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import InputError
from scalesr.images import import_image
from scalesr.images.importing.envi import EnviSource
from scalesr.images.importing.run import open_source
from scalesr.images.spectral import read_spectral

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import DataObject
    from numpy.typing import NDArray

    from scalesr.images import Image

CODES = {"u1": 1, "i2": 2, "i4": 3, "f4": 4, "f8": 5, "u2": 12, "u4": 13, "i8": 14, "u8": 15}
ORDERS = {"bsq": "cyx", "bil": "ycx", "bip": "yxc"}


def everything(image: Image) -> NDArray[Any]:
    return image.read(tuple(slice(0, n) for n in image.shape))


def cube(*shape: int, dtype: str = "u2") -> NDArray[Any]:
    """Return bands, lines and samples without any symmetry; every byte of a number counts."""
    code = np.dtype(dtype)
    numbers = np.random.default_rng(0).integers(0, 256, (*shape, code.itemsize), dtype=np.uint8)
    pixels = numbers.view(code)[..., 0]
    return np.nan_to_num(pixels) if code.kind == "f" else pixels


def write_cube(
    path: Path,
    pixels: NDArray[Any],
    *,
    interleave: str = "bsq",
    order: Literal["<", ">"] = "<",
    offset: int = 0,
    more: str = "",
) -> Path:
    """Write an array of bands, lines and samples as ENVI, with more lines for the header."""
    turned = pixels.transpose(["cyx".index(letter) for letter in ORDERS[interleave]])
    path.write_bytes(b"\xff" * offset + turned.astype(turned.dtype.newbyteorder(order)).tobytes())
    bands, lines, samples = pixels.shape
    path.with_suffix(".hdr").write_text(
        f"ENVI\nsamples = {samples}\nlines   = {lines}\nbands   = {bands}\nheader offset = {offset}\n"
        f"file type = ENVI Standard\ndata type = {CODES[pixels.dtype.str[1:]]}\ninterleave = {interleave}\n"
        f"byte order = {int(order == '>')}\n{more}",
        encoding="utf-8",
    )
    return path


@given(data=st.data())
@settings(max_examples=60)
def test_any_cube_reads_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, data: DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 7)))
    pixels = cube(*shape, dtype=data.draw(st.sampled_from(sorted(CODES))))
    interleave = data.draw(st.sampled_from(sorted(ORDERS)))
    path = write_cube(
        tmp_path_factory.getbasetemp() / "any.raw",
        pixels,
        interleave=interleave,
        order=data.draw(st.sampled_from("<>")),
        offset=data.draw(st.sampled_from((0, 1, 100))),
    )
    source = open_source(path)
    assert isinstance(source, EnviSource)
    assert "".join(source.facts.letters) == ORDERS[interleave]
    assert source.facts.dtype == pixels.dtype
    assert source.facts.dtype.isnative
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in source.facts.shape]
    region = tuple(slice(*pair) for pair in bounds)
    turned = pixels.transpose(["cyx".index(letter) for letter in ORDERS[interleave]])
    np.testing.assert_array_equal(source.read(region), turned[region])


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("interleave", sorted(ORDERS))
def test_a_cube_becomes_an_image(tmp_path: Path, interleave: str, dtype: str) -> None:
    pixels = cube(5, 150, 130, dtype=dtype)
    path = write_cube(tmp_path / "a.img", pixels, interleave=interleave, order=">")
    image = import_image(path.with_suffix(".hdr"), tmp_path / "o.zarr", chunks=(1, 64, 64), shards=(2, 128, 64))
    assert "".join(image.axis_names) == "cyx"
    assert (image.name, image.dtype) == ("a", np.dtype(dtype))
    np.testing.assert_array_equal(everything(image), pixels)
    assert read_spectral(image) is None
    turned = import_image(path, tmp_path / "p.zarr", axes=ORDERS[interleave].replace("c", "z"))
    assert "".join(turned.axis_names) == "zyx"
    np.testing.assert_array_equal(everything(turned), pixels)


def test_the_raman_map(data: Path, tmp_path: Path) -> None:
    """A measured map of cartilage, 300 wavenumbers, through all three interleaves."""
    with np.load(data / "hyperspectral/chondro_raman/derived_chondro_cube.npz") as file:
        names = {name: file[name] for name in file.files}
    pixels = next(array for array in names.values() if array.ndim == 3)
    places = next(array for array in names.values() if array.ndim == 1 and array.size == len(pixels))
    listed = ",\n".join(f"{place:.9g}" for place in places)
    for interleave in ORDERS:
        path = write_cube(
            tmp_path / f"{interleave}.dat",
            pixels,
            interleave=interleave,
            more=f"wavelength units = Wavenumber\nwavelength = {{\n{listed}}}\n",
        )
        image = import_image(path, tmp_path / f"{interleave}.zarr", chunks=(30, 25, 35), shards=(300, 25, 35))
        np.testing.assert_array_equal(everything(image), pixels)
        axis = read_spectral(image)
        assert axis is not None
        assert [channel.label for channel in image.channels] == [f"{place:.6g} cm-1" for place in axis.values]
        assert (axis.quantity, axis.unit) == ("wavenumber", "1/cm")
        np.testing.assert_allclose(axis.values, places, rtol=1e-8)


HEADER = """description = {
  Reflectance of a leaf, samples = 7,
  data type = 99 }
; lines = 12, said a comment
Wavelength  Units = Nanometers
WAVELENGTH = { 400.5,
; a comment in between
 550.25,
 1000 }
fwhm = {1.5, 2, 2.5}
band names = {blue, green,
 infrared}
bbl = {1, 0, 1}
data ignore value = -9999
reflectance scale factor = 10000.0
default bands = {3, 2, 1}
map info = {UTM, 1.000, 1.000, 274785.0, 4423765.0, 30.0, 15.0, 13, North, WGS-84, units=Meters}
"""


def test_what_a_header_says(tmp_path: Path) -> None:
    pixels = cube(3, 6, 7, dtype="i2")
    pixels[1, 2, 3] = -9999
    image = import_image(write_cube(tmp_path / "a.bil", pixels, interleave="bil", more=HEADER), tmp_path / "o.zarr")
    np.testing.assert_array_equal(everything(image), pixels)
    assert image.pixel_sizes == (1, 15, 30)
    assert [axis.unit for axis in image.axes] == [None, "meter", "meter"]
    assert [channel.label for channel in image.channels] == ["400.5 nm", "550.25 nm", "1000 nm"]
    axis = read_spectral(image)
    assert axis is not None
    assert (axis.quantity, axis.unit, axis.values.tolist()) == ("wavelength", "nanometer", [400.5, 550.25, 1000])
    assert axis.attributes == {
        "band_names": ["blue", "green", "infrared"],
        "fwhm": [1.5, 2, 2.5],
        "data_ignore_value": -9999,
        "reflectance_scale_factor": 10000,
        "bad_bands": [1],
    }


@pytest.mark.parametrize(
    ("text", "quantity", "unit"),
    [
        ("Nanometers", "wavelength", "nanometer"),
        ("nm", "wavelength", "nanometer"),
        ("Micrometers", "wavelength", "micrometer"),
        ("um", "wavelength", "micrometer"),
        ("\u00b5m", "wavelength", "micrometer"),
        ("Microns", "wavelength", "micrometer"),
        ("Angstroms", "wavelength", "angstrom"),
        ("Wavenumber", "wavenumber", "1/cm"),
        ("cm-1", "wavenumber", "1/cm"),
        ("Unknown", "wavelength", None),
        (None, "wavelength", None),
        ("Index", None, None),
        ("GHz", None, None),
    ],
)
def test_units_of_wavelengths(tmp_path: Path, text: str | None, quantity: str | None, unit: str | None) -> None:
    more = "wavelength = {1.5, 2.5,}\ndata ignore value = NaN\n" + (f"wavelength units = {text}\n" if text else "")
    axis = open_source(write_cube(tmp_path / "a.raw", cube(2, 3, 4), more=more)).facts.spectral
    assert (None if axis is None else axis.quantity) == quantity
    if axis is not None:
        assert axis.unit == unit
        assert axis.attributes == {"data_ignore_value": "nan"}  # JSON has no NaN


@pytest.mark.parametrize(
    ("more", "sizes", "units"),
    [
        ("pixel size = {2.5, 5}", {"x": 2.5, "y": 5}, "meter"),
        ("pixel size = {2.5, 5, units=Micrometers}", {"x": 2.5, "y": 5}, "micrometer"),
        ("map info = {UTM, 1, 1, 0, 0, 3, 4, 13, North}", {"x": 3, "y": 4}, "meter"),
        ("map info = {Arbitrary, 1, 1, 0, 0, 3, 4, units=mm}", {"x": 3, "y": 4}, "millimeter"),
        ("map info = {Arbitrary, 1, 1, 0, 0, 1, 1, 0, North}", {}, None),
        ("map info = {Geographic Lat/Lon, 1, 1, 0, 0, 0.001, 0.001, WGS-84}", {}, None),
        ("map info = {Geographic Lat/Lon, 1, 1, 0, 0, 0.001, 0.001, WGS-84, units=Degrees}", {}, None),
        ("map info = {UTM, 1, 1, 0, 0, 0, 0}", {}, None),
        ("map info = {UTM}", {}, None),
    ],
)
def test_pixel_sizes(tmp_path: Path, more: str, sizes: dict[str, float], units: str | None) -> None:
    facts = open_source(write_cube(tmp_path / "a.raw", cube(2, 3, 4), more=more)).facts
    assert facts.sizes == sizes
    assert facts.units == (dict.fromkeys(sizes, units) if sizes else {})


def test_names_of_bands(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.raw", cube(2, 3, 4), more="band names = {red, near infrared}")
    assert [channel.label for channel in open_source(path).facts.channels] == ["red", "near infrared"]
    write_cube(path, cube(2, 3, 4), more="band names = {red, 650 nm, near infrared}")
    assert open_source(path).facts.channels == ()
    listed = ", ".join(map(str, range(1, 1002)))
    write_cube(path, cube(1001, 1, 1), more=f"wavelength = {{{listed}}}")
    facts = open_source(path).facts
    assert facts.channels == ()
    assert facts.spectral is not None
    assert facts.spectral.values.size == 1001


@pytest.mark.parametrize(
    ("raw", "header"),
    [
        ("a.raw", "a.hdr"),
        ("a.raw", "a.raw.hdr"),
        ("a", "a.hdr"),
        ("a.CUBE", "a.HDR"),
        ("a.b.dat", "a.b.hdr"),
        ("a.odd", "a.odd.hdr"),
    ],
)
def test_either_of_the_two_files_may_be_named(tmp_path: Path, raw: str, header: str) -> None:
    pixels = cube(2, 3, 4)
    path = write_cube(tmp_path / "first.raw", pixels)
    path.with_suffix(".hdr").rename(tmp_path / header)
    path.rename(tmp_path / raw)
    for name in (raw, header):
        source = open_source(tmp_path / name)
        assert isinstance(source, EnviSource)
        np.testing.assert_array_equal(source.read((slice(0, 2), slice(0, 3), slice(0, 4))), pixels)


def test_files_that_have_no_partner(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.raw", cube(2, 3, 4))
    (tmp_path / "a.dat").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.hdr may belong to a\.dat, a\.raw\. Name the file of pixels"):
        open_source(tmp_path / "a.hdr")
    assert open_source(path).facts.shape == (2, 3, 4)
    path.unlink()
    (tmp_path / "a.dat").unlink()
    with pytest.raises(InputError, match=r"a header without its pixels: there is no a beside it"):
        open_source(tmp_path / "a.hdr")
    (tmp_path / "b.bip").write_bytes(bytes(24))
    with pytest.raises(InputError, match=r"no header b\.hdr or b\.bip\.hdr beside it"):
        open_source(tmp_path / "b.bip")


def test_the_size_of_the_file_is_checked(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.raw", cube(2, 3, 4), offset=10)
    content = path.read_bytes()
    assert len(content) == 58
    path.write_bytes(content[:-1])
    with pytest.raises(InputError, match=r"a\.raw is cut short: it has 57 bytes, a\.hdr says 58"):
        import_image(path, tmp_path / "o.zarr")
    path.write_bytes(content + b"ab")
    with pytest.raises(InputError, match=r"has 60 bytes, a\.hdr says 58\. .* 'header offset = 12'"):
        import_image(path, tmp_path / "o.zarr")
    assert not (tmp_path / "o.zarr").exists()


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("ENVI\n", "BYTEORDER I\n", "its first line is not 'ENVI'"),
        ("samples = 4\n", "", "'samples' is absent"),
        ("samples = 4", "samples =", "'samples' is absent"),
        ("samples = 4", "samples = many", "samples is 'many', not a whole number of at least 1"),
        ("samples = 4", "samples = 0", "samples is '0', not a whole number"),
        ("samples = 4", "samples = -4", "samples is '-4'"),
        ("samples = 4", f"samples = {'9' * 5000}", "not a whole number"),
        ("samples = 4", f"samples = {'9' * 18}", "is cut short"),
        ("header offset = 0", "header offset = x", "header offset is 'x'"),
        ("interleave = bsq", "interleave = bbq", "interleave is 'bbq', not bsq, bil or bip"),
        ("interleave = bsq\n", "", "'interleave' is absent"),
        ("data type = 12", "data type = 6", "data type 6 is complex, which is not an intensity"),
        ("data type = 12", "data type = 9", "data type 9 is complex, which is not an intensity"),
        ("data type = 12", "data type = 7", "data type is 7, not one of 1, 2"),
        ("byte order = 0", "byte order = 2", "byte order is 2, not 0 or 1"),
        ("ENVI Standard", "ENVI Spectral Library", "is an ENVI Spectral Library, not an image"),
        ("ENVI Standard", "ENVI Meta File", "is an ENVI Meta File, not an image"),
        ("bands ", "file compression = 1\nbands ", "compressed as a whole"),
        ("bands ", "major frame offsets = {0, 128}\nbands ", "major frame offsets other than 0"),
        ("bands ", "wavelength = {1, 2,\nbands ", "the list of 'wavelength' has no end"),
        ("bands ", "wavelength = {1, 2, 3}\nbands ", "wavelength lists 3 numbers for 2 bands"),
        ("bands ", "wavelength = {1, red}\nbands ", "wavelength holds 'red', which is not a number"),
        ("bands ", "wavelength = {1, nan}\nbands ", "wavelength lists numbers that are not finite"),
        ("bands ", "wavelength = {1, 2}\nfwhm = {1}\nbands ", "fwhm lists 1 numbers for 2 bands"),
        ("bands ", "wavelength = {1, 2}\nbbl = {1, 1, 0}\nbands ", "bbl lists 3 numbers for 2 bands"),
        ("bands ", "wavelength = {1, 2}\ndata ignore value = no\nbands ", "data ignore value holds 'no'"),
        ("bands ", "pixel size = {a, b}\nbands ", "pixel size holds 'a', which is not a number"),
    ],
)
def test_headers_that_are_refused(tmp_path: Path, old: str, new: str, problem: str) -> None:
    path = write_cube(tmp_path / "a.raw", cube(2, 3, 4))
    header = path.with_suffix(".hdr")
    text = header.read_text()
    assert text.count(old) == 1
    header.write_text(text.replace(old, new))
    with pytest.raises(InputError, match=problem) as caught:
        import_image(path, tmp_path / "o.zarr")
    assert "a.hdr" in str(caught.value)
    assert not (tmp_path / "o.zarr").exists()


WORDS = (
    "ENVI",
    "samples",
    "bands",
    "wavelength",
    "map info",
    "bbl",
    "=",
    "{",
    "}",
    ",",
    ";",
    "\n",
    "1",
    "-9",
    "nan",
    " ",
)


@given(data=st.data())
@settings(max_examples=150)
def test_any_text_is_a_header_or_is_refused(tmp_path_factory: pytest.TempPathFactory, data: DataObject) -> None:
    path = write_cube(tmp_path_factory.getbasetemp() / "text.raw", cube(2, 3, 4))
    header = path.with_suffix(".hdr")
    lines = header.read_text().splitlines(keepends=True)
    place = data.draw(st.integers(0, len(lines)))
    words = data.draw(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=12))
    header.write_bytes("".join([*lines[:place], *words, *lines[place:]]).encode("utf-8", errors="replace"))
    try:
        found = str(sorted(open_source(path).facts.shape))
    except InputError as error:
        found = str(error)
    assert found == "[2, 3, 4]" or "text." in found


def test_fields_that_may_be_absent(tmp_path: Path) -> None:
    path = write_cube(tmp_path / "a.raw", cube(2, 3, 4))
    header = path.with_suffix(".hdr")
    kept = [line for line in header.read_text().splitlines() if not line.startswith(("byte", "header", "file"))]
    header.write_bytes("\r\n".join(kept).replace("samples", "SAMPLES").replace("bsq", "BSQ").encode("latin-1"))
    np.testing.assert_array_equal(everything(import_image(path, tmp_path / "o.zarr")), cube(2, 3, 4))


@pytest.mark.parametrize("interleave", sorted(ORDERS))
def test_shards_fit_the_interleave(tmp_path: Path, interleave: str) -> None:
    """A shard costs little more of the file than its own pixels, and stays at some 16 MiB however many the bands."""
    path = write_cube(tmp_path / "a.raw", np.zeros((160, 260, 300), np.uint16), interleave=interleave)
    image = import_image(path, tmp_path / "o.zarr")
    shards = image.levels[0].shards
    assert shards is not None
    assert 2 * math.prod(shards) <= 17 << 20
    assert shards[0] == (160 if interleave == "bip" else 1)
    if interleave == "bil":
        assert shards[2] >= 300


@pytest.mark.parametrize("interleave", sorted(ORDERS))
def test_a_region_takes_no_more_memory_than_it_has(tmp_path: Path, interleave: str) -> None:
    path = write_cube(tmp_path / "a.raw", np.ones((200, 400, 300), np.uint16), interleave=interleave)
    source = open_source(path)
    region = {"c": slice(7, 9), "y": slice(0, 400), "x": slice(10, 290)}
    tracemalloc.start()
    try:
        pixels = source.read(tuple(region[letter] for letter in source.facts.letters))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert pixels.all()
    assert peak < pixels.nbytes + (10 << 20)  # the cube has 48 MB
