from __future__ import annotations

import struct
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import psutil
import pytest
from commands import call
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import savemat

from scalesr.errors import InputError
from scalesr.images import import_image, open_image
from scalesr.images.importing.matlab import MatlabSource
from scalesr.images.importing.run import open_source
from scalesr.images.spectral import read_spectral

if TYPE_CHECKING:
    from pathlib import Path

    from hypothesis.strategies import DataObject
    from numpy.typing import NDArray

    from scalesr.images import Image

CLASSES = {
    "f8": "double", "f4": "single", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
    "u1": "uint8", "u2": "uint16", "u4": "uint32", "u8": "uint64",
}  # fmt: skip
VERSIONS = ("5", "7", "7.3")


def everything(image: Image) -> NDArray[Any]:
    return image.read(tuple(slice(0, n) for n in image.shape))


def cube(*shape: int, dtype: str = "u2") -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 120, shape).astype(dtype)


def write_mat(path: Path, version: str = "7", *, chunks: tuple[int, ...] | None = None, **variables: Any) -> Path:
    """Write variables as MATLAB does; chunks are in the order of HDF5."""
    if version != "7.3":
        savemat(path, variables, do_compression=version == "7")
        return path
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, value in variables.items():
            pixels = np.atleast_2d(value)
            kind = "logical" if pixels.dtype == bool else CLASSES.get(pixels.dtype.str[1:], "double")
            stored = pixels.astype(np.uint8) if pixels.dtype == bool else pixels
            if stored.dtype.kind == "c":  # which MATLAB stores as a pair of fields of these names
                stored = stored.view([("real", "f8"), ("imag", "f8")])
            made = file.create_dataset(name, data=stored.T, chunks=chunks if pixels.ndim == 3 else None)
            made.attrs["MATLAB_class"] = np.bytes_(kind)
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\x00\x02IM")
    return path


@given(data=st.data())
@settings(max_examples=50)
def test_any_variable_reads_as_it_was_written(tmp_path_factory: pytest.TempPathFactory, data: DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(2, 7)))
    pixels = cube(*shape, dtype=data.draw(st.sampled_from(sorted(CLASSES))))
    version = data.draw(st.sampled_from(VERSIONS))
    chunks = data.draw(st.none() | st.tuples(*[st.integers(1, n) for n in reversed(shape)]))
    path = write_mat(tmp_path_factory.getbasetemp() / "any.mat", version, chunks=chunks, cube=pixels, gain=2.0)
    source = open_source(path)
    assert isinstance(source, MatlabSource)
    try:
        assert (source.facts.shape, source.facts.dtype) == (shape, pixels.dtype)
        assert source.facts.letters == ("y", "x", "c")
        bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
        region = tuple(slice(*pair) for pair in bounds)
        np.testing.assert_array_equal(source.read(region), pixels[region])
    finally:
        source.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_cube_becomes_an_image(tmp_path: Path, version: str) -> None:
    pixels = cube(70, 50, 6, dtype="f8")
    places = np.linspace(400, 1000, 6)
    path = write_mat(tmp_path / "a.mat", version, scene=pixels, mask=pixels > 50, wavelengths_nm=places, title=[1.0])
    image = import_image(path, tmp_path / "o.zarr", pixel_size=0.5, unit="um")
    assert (image.name, image.axis_names, image.dtype) == ("a", ("c", "y", "x"), np.dtype("f8"))
    np.testing.assert_array_equal(everything(image), pixels.transpose(2, 0, 1))
    assert [channel.label for channel in image.channels][:2] == ["400 nm", "520 nm"]
    axis = read_spectral(image)
    assert axis is not None
    assert (axis.quantity, axis.unit, axis.attributes) == ("wavelength", "nanometer", {"variable": "wavelengths_nm"})
    np.testing.assert_array_equal(axis.values, places)
    mask = import_image(path, tmp_path / "m.zarr", variable="mask", axes="zyx")
    assert (mask.axis_names, mask.dtype) == (("z", "y", "x"), np.dtype("u1"))
    np.testing.assert_array_equal(everything(mask), pixels > 50)
    assert read_spectral(mask) is None


def test_whole_numbers_keep_their_class(tmp_path: Path) -> None:
    """MATLAB stores a double array of small whole numbers as bytes, which SciPy never writes."""
    pixels = cube(4, 5, 3, dtype="u1")

    def element(kind: int, content: bytes) -> bytes:
        return struct.pack("<II", kind, len(content)) + content.ljust(-(-len(content) // 8) * 8, b"\0")

    flags = element(6, struct.pack("<II", 6, 0))  # of class double
    sizes = element(5, struct.pack("<3i", *pixels.shape))
    matrix = flags + sizes + element(1, b"cube") + element(2, pixels.tobytes(order="F"))
    (tmp_path / "a.mat").write_bytes(b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM" + element(14, matrix))
    image = import_image(tmp_path / "a.mat", tmp_path / "o.zarr")
    assert image.dtype == np.float64
    np.testing.assert_array_equal(everything(image), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("version", VERSIONS)
def test_axes_tell_which_dimension_has_the_bands(tmp_path: Path, version: str) -> None:
    pixels = cube(4, 30, 4)
    path = write_mat(tmp_path / "a.mat", version, cube=pixels[:, :, :3], wavenumber=[3000.0, 2000.0, 1000.0, 900.0])
    assert open_source(path).facts.spectral is None
    image = import_image(path, tmp_path / "o.zarr", axes="cyx")
    np.testing.assert_array_equal(everything(image), pixels[:, :, :3])
    axis = read_spectral(image)
    assert axis is not None
    assert (axis.quantity, axis.unit, axis.values[0]) == ("wavenumber", "1/cm", 3000)
    assert image.channels[0].label == "3000 cm-1"


@pytest.mark.parametrize(
    ("vectors", "name", "unit"),
    [
        ({"Wavelength": [1.5, 2.5, 3.5]}, "Wavelength", None),
        ({"wavelengths_um": [[1.5], [2.5], [3.5]]}, "wavelengths_um", "micrometer"),
        ({"LAMBDA": [400.0, 500.0, 650.0]}, "LAMBDA", None),
        ({"bands": [400.0, 500.0, 650.0]}, "bands", None),
        ({"bands": [1.0, 2.0, 3.0]}, None, None),
        ({"bands": [0.0, 1.0, 2.0]}, None, None),
        ({"bands": [9.0, 8.0, 7.0], "lambda": [4.0, 5.0, 7.0]}, "lambda", None),
        ({"lambda": [4.0, 5.0, 7.0], "wavenumbers": [9.0, 8.0, 7.0]}, "wavenumbers", "1/cm"),
        ({"wavelength_b": [4.0, 5.0, 7.0], "wavelength_a": [9.0, 8.0, 7.0]}, "wavelength_a", None),
        ({"wavelength": [4.0, 5.0]}, None, None),
        ({"wavelength": [4.0, np.nan, 5.0]}, None, None),
        ({"wavelength": np.ones((3, 3))}, None, None),
        ({"wavelength": np.array([1j, 2, 3])}, None, None),
        ({"weights": [4.0, 5.0, 7.0]}, None, None),
    ],
)
def test_vectors_of_wavelengths(tmp_path: Path, vectors: dict[str, Any], name: str | None, unit: str | None) -> None:
    for version in ("7", "7.3"):
        path = write_mat(tmp_path / f"{version}.mat", version, cube=cube(4, 5, 3), **vectors)
        axis = open_source(path).facts.spectral
        assert (None if axis is None else axis.attributes["variable"]) == name
        if axis is not None and name is not None:
            assert axis.unit == unit
            np.testing.assert_array_equal(axis.values, np.ravel(vectors[name]))


@pytest.mark.parametrize("version", VERSIONS)
def test_variables_that_cannot_be_chosen(tmp_path: Path, version: str) -> None:
    both = write_mat(tmp_path / "a.mat", version, raw=cube(4, 5, 3), white=cube(4, 5, 3, dtype="f8"), flat=cube(4, 5))
    listed = r"flat \(4 x 5 uint16\), raw \(4 x 5 x 3 uint16\), white \(4 x 5 x 3 double\)"
    with pytest.raises(InputError, match=rf"a\.mat has 2 numeric variable.* holds {listed}\. Choose one with --var"):
        import_image(both, tmp_path / "o.zarr")
    with pytest.raises(InputError, match=rf"has no variable 'black'; it holds {listed}"):
        import_image(both, tmp_path / "o.zarr", variable="black")
    np.testing.assert_array_equal(
        everything(import_image(both, tmp_path / "o.zarr", variable="raw")), cube(4, 5, 3).transpose(2, 0, 1)
    )
    np.testing.assert_array_equal(everything(import_image(both, tmp_path / "p.zarr", variable="flat")), cube(4, 5))
    none = write_mat(tmp_path / "n.mat", version, flat=cube(4, 5), many=cube(2, 3, 4, 5), gone=np.zeros((0, 3)))
    with pytest.raises(InputError, match=r"has no numeric variable\(s\) of three dimensions; it holds"):
        import_image(none, tmp_path / "q.zarr")
    with pytest.raises(InputError, match="gone is no image"):
        import_image(none, tmp_path / "q.zarr", variable="gone")
    with pytest.raises(InputError, match="--axes"):
        import_image(none, tmp_path / "q.zarr", variable="many")
    image = import_image(none, tmp_path / "q.zarr", variable="many", axes="yxct")
    assert (image.axis_names, image.shape) == (("t", "c", "y", "x"), (5, 4, 2, 3))
    np.testing.assert_array_equal(everything(image), cube(2, 3, 4, 5).transpose(3, 2, 0, 1))


def test_variables_that_are_no_numbers(tmp_path: Path) -> None:
    path = write_mat(tmp_path / "a.mat", text="red", box={"cube": cube(4, 5, 3)})
    with pytest.raises(InputError, match=r"it holds box \(1 x 1 struct\), text \(1 char\)"):
        open_source(path)
    with pytest.raises(InputError, match="box is no image"):
        open_source(path, variable="box")
    with h5py.File(tmp_path / "h.mat", "w") as file:
        file.create_group("box")["cube"] = cube(4, 5, 3)
        file["names"] = np.array([b"red", b"blue"])
    with pytest.raises(InputError, match=r"has no numeric variable.* it holds names"):
        open_source(tmp_path / "h.mat")


@pytest.mark.parametrize("version", VERSIONS)
def test_complex_numbers_are_refused(tmp_path: Path, version: str) -> None:
    path = write_mat(tmp_path / "a.mat", version, cube=cube(4, 5, 3) * 1j)
    with pytest.raises(InputError, match=r"a\.mat: cube is complex, which is not an intensity"):
        import_image(path, tmp_path / "o.zarr", variable="cube")


def test_hdf5_of_other_programs(tmp_path: Path) -> None:
    """They state no class; dimensions are those that MATLAB would show."""
    pixels = cube(4, 5, 3)
    with h5py.File(tmp_path / "a.mat", "w") as file:
        file["cube"] = pixels.T.astype(">u2")
        file["waves"] = pixels * 1j
    image = import_image(tmp_path / "a.mat", tmp_path / "o.zarr")
    np.testing.assert_array_equal(everything(image), pixels.transpose(2, 0, 1))
    with pytest.raises(InputError, match="waves is complex"):
        open_source(tmp_path / "a.mat", variable="waves")


def test_a_large_array_of_an_old_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = cube(40, 50, 3, dtype="f8")
    for version in VERSIONS:
        write_mat(tmp_path / f"{version}.mat", version, cube=pixels)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=4 * pixels.nbytes - 4))
    for version in ("5", "7"):
        with pytest.raises(InputError, match=r"takes 48000 bytes .* a quarter of what is free \(47999 bytes\).*-v7\.3"):
            import_image(tmp_path / f"{version}.mat", tmp_path / "o.zarr")
    image = import_image(tmp_path / "7.3.mat", tmp_path / "o.zarr")
    np.testing.assert_array_equal(everything(image), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.95])
def test_a_file_cut_short(tmp_path: Path, version: str, share: float) -> None:
    path = write_mat(tmp_path / "a.mat", version, cube=cube(40, 50, 3))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"a\.mat"):
        import_image(path, tmp_path / "o.zarr")
    assert not (tmp_path / "o.zarr").exists()


def test_a_damaged_chunk(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.mat", "w") as file:
        made = file.create_dataset("cube", data=cube(3, 50, 40), chunks=(1, 50, 40), compression="gzip")
        place = made.id.get_chunk_info(2).byte_offset
    with (tmp_path / "a.mat").open("r+b") as raw:
        raw.seek(place)
        raw.write(bytes(40))
    with pytest.raises(InputError, match=r"a\.mat cannot be decoded at \["):
        import_image(tmp_path / "a.mat", tmp_path / "o.zarr")
    assert not (tmp_path / "o.zarr").exists()


def test_without_h5py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = (write_mat(tmp_path / f"{version}.mat", version, cube=cube(4, 5, 3)) for version in ("7.3", "7"))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"version 7\.3, which needs h5py\. .*pip install 'scalesr\[matlab\]'"):
        open_source(new)
    assert open_source(old).facts.shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("chunks", "reads", "colours"),
    [
        (None, "anywhere", "apart"),
        ((1, 10, 20), "anywhere", "apart"),
        ((1, 30, 5), "rows", "apart"),
        ((4, 10, 20), "anywhere", "together"),
    ],
)
def test_shards_follow_the_chunks(tmp_path: Path, chunks: tuple[int, ...] | None, reads: str, colours: str) -> None:
    pixels = cube(20, 30, 9)
    path = write_mat(tmp_path / "a.mat", "7.3", chunks=chunks, cube=pixels)
    facts = open_source(path).facts
    assert (facts.reads, facts.colours) == (reads, colours)
    image = import_image(path, tmp_path / "o.zarr")
    assert image.levels[0].shards is not None
    assert image.levels[0].shards[0] == (9 if colours == "together" else 1)
    np.testing.assert_array_equal(everything(image), pixels.transpose(2, 0, 1))


def test_the_option_of_the_command_line(tmp_path: Path) -> None:
    path = write_mat(tmp_path / "a.mat", raw=cube(4, 5, 3), white=cube(4, 5, 2))
    result = call("import", path, tmp_path / "o.zarr")
    assert result.exit_code == 3
    assert "--variable" in result.stderr
    assert call("import", path, tmp_path / "o.zarr", "--variable", "white").exit_code == 0
    assert open_image(tmp_path / "o.zarr").shape == (2, 4, 5)
    np.save(tmp_path / "a.npy", cube(4, 5))
    result = call("import", tmp_path / "a.npy", tmp_path / "p.zarr", "--variable", "raw")
    assert result.exit_code == 3
    assert "is not a MATLAB file" in result.stderr
