from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import InputError, OutputError
from scalesr.images import Image, downsample, import_image, open_image
from scalesr.images.importing.rows import read_rows

if TYPE_CHECKING:
    from pathlib import Path


def everything(image: Image) -> np.ndarray[Any, Any]:
    return image.read(tuple(slice(0, n) for n in image.shape))


def picture(*shape: int, dtype: str = "uint16") -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 250, shape).astype(dtype)


@pytest.mark.parametrize(
    ("name", "axes", "sizes"),
    [
        ("volumes/neubias_3d/xyzc_16bit__dna_conf_wf.tif", "czyx", (1, 0.4994126016284111, 1 / 1.953591, 1 / 1.953591)),
        ("volumes/neubias_3d/xyz_calibrated_16bit__golgi_bfa.tif", "zyx", (0.3876, 1 / 2.845474, 1 / 2.845474)),
        ("hcs/neubias_2d/xyc_16bit__hela-cells.tif", "cyx", (1, 0.0514931, 0.0514931)),
        ("histology/openslide_cmu1_small_region/cmu_small_region.svs", "cyx", (1, 0.499, 0.499)),
        ("hcs/cellprofiler_multichannel/Channel 1-01-A-01-00.tif", "yx", (1, 1)),
    ],
)
def test_real_files(data: Path, tmp_path: Path, name: str, axes: str, sizes: tuple[float, ...]) -> None:
    image = import_image(data / name, tmp_path / "o.zarr")
    assert "".join(image.axis_names) == axes
    assert image.pixel_sizes == pytest.approx(sizes, rel=1e-5)
    if sizes[-1] != 1:
        assert image.axes[-1].unit == "micrometer"
    with tifffile.TiffFile(data / name) as file:
        expected = file.series[0].asarray()
        found = file.series[0].axes.replace("S", "C").lower()
    expected = expected.transpose([found.index(axis) for axis in axes])
    np.testing.assert_array_equal(everything(image), expected)
    assert image.metadata["scalesr"] == {"state": "done"}


def test_ome_tiff_channels(data: Path, tmp_path: Path) -> None:
    image = import_image(data / "msi/imc_testdata/20210305_NE_mockData1_s0_a1_ac.ome.tiff", tmp_path / "o.zarr")
    assert [channel.label for channel in image.channels][:2] == ["107Ag", "Cytoker_651((3356))Pr141"]
    assert all(channel.end is not None and channel.end > 1 for channel in image.channels)


def test_other_series_of_a_slide(data: Path, tmp_path: Path) -> None:
    path = data / "histology/openslide_cmu1_small_region/cmu_small_region.svs"
    assert import_image(path, tmp_path / "o.zarr", series=2).shape == (3, 463, 387)
    with pytest.raises(InputError, match=r"has 4 series; there is no 4.*--series 0 to 3"):
        import_image(path, tmp_path / "p.zarr", series=4)


@pytest.mark.parametrize("name", ["volumes/plantseg_confocal/rgb_3D.tif", "volumes/stardist_3d/img3d.tif"])
def test_ambiguous_axes_are_asked_for(data: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"does not say what .* Name all . with --axes"):
        import_image(data / name, tmp_path / "o.zarr")
    assert not (tmp_path / "o.zarr").exists()
    axes = "zcyx" if "rgb" in name else "zyx"
    image = import_image(data / name, tmp_path / "o.zarr", axes=axes)
    expected = tifffile.imread(data / name)
    np.testing.assert_array_equal(everything(image), expected.transpose(1, 0, 2, 3) if "rgb" in name else expected)


@pytest.mark.parametrize("axes", ["zy", "zyyx", "zyy", "z1x"])
def test_wrong_letters(data: Path, tmp_path: Path, axes: str) -> None:
    with pytest.raises(InputError, match=f"--axes '{axes}' does not name the 3 dimensions"):
        import_image(data / "volumes/stardist_3d/img3d.tif", tmp_path / "o.zarr", axes=axes)


def test_numbered_files(data: Path, tmp_path: Path) -> None:
    folder = data / "volumes/neubias_celegans_em"
    image = import_image(folder, tmp_path / "z.zarr")
    assert image.axis_names == ("z", "y", "x")
    np.testing.assert_array_equal(everything(image), tifffile.imread(sorted(folder.glob("*.tif"))))
    image = import_image(f"{data}/hcs/neubias_mitocheck_movie/*.tif", tmp_path / "t.zarr")
    assert (image.axis_names, image.shape) == (("t", "y", "x"), (30, 190, 211))
    with pytest.raises(InputError, match="size 4, 3 are"):
        import_image(data / "hcs/cellprofiler_plate_AS_09047", tmp_path / "p.zarr")
    image = import_image(data / "hcs/cellprofiler_plate_AS_09047", tmp_path / "p.zarr", axes="tcyx")
    assert image.shape == (4, 3, 512, 512)


def test_numbered_files_with_faults(tmp_path: Path) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    for z in (0, 1, 3):
        tifffile.imwrite(folder / f"a_z{z}.tif", picture(8, 8))
    with pytest.raises(InputError, match=r"number\(s\) 2 are missing between 0 and 3"):
        import_image(folder, tmp_path / "o.zarr")
    tifffile.imwrite(folder / "a_z2.tif", picture(8, 9))
    with pytest.raises(InputError, match=r"a_z2.tif is \(8, 9\) uint16, but .*a_z0.tif is \(8, 8\)"):
        import_image(folder, tmp_path / "o.zarr")
    tifffile.imwrite(folder / "a_z2.tif", picture(8, 8))
    assert import_image(folder, tmp_path / "o.zarr").shape == (4, 8, 8)
    tifffile.imwrite(folder / "b_z2.tif", picture(8, 8))
    with pytest.raises(InputError, match="differ in more than numbers"):
        import_image(folder, tmp_path / "p.zarr")
    with pytest.raises(InputError, match="matches no TIFF files"):
        import_image(tmp_path / "nothing*.tif", tmp_path / "p.zarr")


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (64, 64)])
@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_dialects(tmp_path: Path, compression: str | None, tile: tuple[int, int] | None, byteorder: Any) -> None:
    pixels = picture(3, 200, 170)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        byteorder=byteorder,
        compression=compression,
        tile=tile,
        rowsperstrip=None if tile else 16,
        metadata={"axes": "ZYX"},
        photometric="minisblack",
        resolution=(50000, 25000),
        resolutionunit="CENTIMETER",
    )
    done: list[tuple[int, int]] = []
    image = import_image(
        tmp_path / "a.tif",
        tmp_path / "o.zarr",
        chunks=(1, 32, 32),
        shards=(2, 64, 64),
        progress=lambda now, total: done.append((now, total)),
    )
    np.testing.assert_array_equal(everything(image), pixels)
    assert done[-1][0] == done[-1][1] == len(done)
    assert image.pixel_sizes == pytest.approx((1, 0.4, 0.2))


def test_pyramid_is_that_of_the_whole(tmp_path: Path) -> None:
    pixels = picture(700, 611)
    np.save(tmp_path / "a.npy", pixels)
    image = import_image(tmp_path / "a.npy", tmp_path / "o.zarr", chunks=(64, 64), shards=(128, 256), pixel_size=2.5)
    assert [level.shape for level in image.levels] == [(700, 611), (350, 306), (175, 153)]
    assert image.pixel_sizes == (2.5, 2.5)
    np.testing.assert_array_equal(image.array(2)[:], downsample(downsample(pixels, [0, 1]), [0, 1]))


def test_ome_tiff_with_all_its_facts(tmp_path: Path) -> None:
    pixels = picture(2, 3, 4, 40, 50)
    tifffile.imwrite(
        tmp_path / "a.ome.tif",
        pixels,
        photometric="minisblack",
        metadata={
            "axes": "TCZYX",
            "PhysicalSizeX": 100,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.1,
            "PhysicalSizeYUnit": "\u00b5m",
            "PhysicalSizeZ": 0.5,
            "TimeIncrement": 3,
            "TimeIncrementUnit": "min",
            "Channel": {"Name": ["a", "b", "c"], "Color": [-16776961, 16711935, 65535]},
        },
    )
    image = import_image(tmp_path / "a.ome.tif", tmp_path / "o.zarr")
    assert "".join(image.axis_names) == "tczyx"
    assert image.pixel_sizes == (3, 1, 0.5, 0.1, 100)
    assert [axis.unit for axis in image.axes] == ["minute", None, "micrometer", "micrometer", "nanometer"]
    assert [(c.label, c.color) for c in image.channels] == [("a", "FF0000"), ("b", "00FF00"), ("c", "0000FF")]
    np.testing.assert_array_equal(everything(image), pixels)
    image = import_image(
        tmp_path / "a.ome.tif", tmp_path / "p.zarr", pixel_size={"z": 2, "y": 1, "x": 1}, unit="nm", version="0.4"
    )
    assert image.pixel_sizes[2:] == (2, 1, 1)
    assert image.axes[4].unit == "nanometer"
    assert image.version == "0.4"


@pytest.mark.parametrize("share", [0.001, 0.3, 0.7, 0.99])
@pytest.mark.parametrize("kind", ["strips", "tiles", "imagej", "pages"])
def test_a_file_cut_short(tmp_path: Path, share: float, kind: str) -> None:
    pixels = picture(6, 128, 128)
    path = tmp_path / "a.tif"
    if kind == "imagej":
        tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZYX"})
    elif kind == "pages":
        with tifffile.TiffWriter(path) as writer:
            for plane in pixels:
                writer.write(plane, contiguous=False, metadata=None)
    else:
        tifffile.imwrite(path, pixels, tile=(64, 64) if kind == "tiles" else None, compression="zlib",
                         metadata={"axes": "ZYX"}, photometric="minisblack")  # fmt: skip
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"a\.tif") as caught:
        import_image(path, tmp_path / "o.zarr", axes="zyx" if kind != "pages" else None)
    assert "--axes" not in str(caught.value)
    assert not (tmp_path / "o.zarr").exists()


def test_a_damaged_tile(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(512, 512), tile=(64, 64), compression="zlib")
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.tif cannot be decoded at"):
        import_image(path, tmp_path / "o.zarr")
    assert not (tmp_path / "o.zarr").exists()


def test_numpy_files(tmp_path: Path) -> None:
    pixels = picture(3, 30, 40, dtype="float32")
    np.save(tmp_path / "a.npy", np.asfortranarray(pixels))
    with pytest.raises(InputError, match="--axes zyx"):
        import_image(tmp_path / "a.npy", tmp_path / "o.zarr")
    np.testing.assert_array_equal(
        everything(import_image(tmp_path / "a.npy", tmp_path / "o.zarr", axes="yxc")), pixels.transpose(2, 0, 1)
    )
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:900])
    with pytest.raises(InputError, match="not a readable NumPy file"):
        import_image(tmp_path / "b.npy", tmp_path / "p.zarr")
    np.save(tmp_path / "c.npy", np.ones((4, 4), complex))
    with pytest.raises(InputError, match="complex128, which is not an intensity"):
        import_image(tmp_path / "c.npy", tmp_path / "p.zarr")


@given(data=st.data())
def test_rows_of_a_file(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6)))
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in shape]
    region = tuple(slice(*pair) for pair in bounds)
    pixels = np.arange(np.prod(shape), dtype=">i4").reshape(shape)
    path = tmp_path_factory.getbasetemp() / "rows.bin"
    path.write_bytes(b"head" + pixels.tobytes())
    found = read_rows(path, region, shape=shape, dtype=pixels.dtype, offset=4)
    np.testing.assert_array_equal(found, pixels[region])
    path.write_bytes(b"head" + pixels.tobytes()[:-1])
    with pytest.raises(InputError, match="cut short"):
        read_rows(path, tuple(slice(0, n) for n in shape), shape=shape, dtype=pixels.dtype, offset=4)


def test_plain_zarr_arrays(data: Path, tmp_path: Path) -> None:
    path = data / "omezarr/zarr_java_testdata/sharding_index_location/start"
    with pytest.raises(InputError, match="--axes"):
        import_image(path, tmp_path / "o.zarr")
    image = import_image(path, tmp_path / "o.zarr", axes="zyx")
    np.testing.assert_array_equal(everything(image), np.arange(4096).reshape(16, 16, 16))
    named = zarr.create_array(str(tmp_path / "n"), shape=(3, 8, 9), dtype="u1", dimension_names=["mz", "y", "x"])
    named[:] = 7
    assert import_image(tmp_path / "n", tmp_path / "p.zarr").axis_names == ("mz", "y", "x")


def test_refusals(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", picture(9, 9))
    import_image(tmp_path / "a.npy", tmp_path / "o.zarr")
    with pytest.raises(OutputError, match="already exists"):
        import_image(tmp_path / "a.npy", tmp_path / "o.zarr")
    assert open_image(tmp_path / "o.zarr").shape == (9, 9)
    import_image(tmp_path / "a.npy", tmp_path / "o.zarr", mode="overwrite")
    for source, problem in ((tmp_path / "none/b.tif", "does not exist; the nearest"), (tmp_path, "neither")):
        with pytest.raises(InputError, match=problem):
            import_image(source, tmp_path / "p.zarr")
    (tmp_path / "text.tif").write_text("no picture")
    with pytest.raises(InputError, match="not a readable TIFF"):
        import_image(tmp_path / "text.tif", tmp_path / "p.zarr")
    for size, problem in (({"q": 1.0}, "given for q"), (-1.0, "not positive")):
        with pytest.raises(InputError, match=problem):
            import_image(tmp_path / "a.npy", tmp_path / "p.zarr", pixel_size=size)


def test_an_interrupt_leaves_nothing(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", picture(300, 300))

    def interrupt(now: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_image(tmp_path / "a.npy", tmp_path / "o.zarr", progress=interrupt)
    assert not (tmp_path / "o.zarr").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory from /proc")
@pytest.mark.parametrize("kind", ["tiles", "strips", "contiguous", "volume"])
def test_memory_stays_bounded(tmp_path: Path, kind: str) -> None:
    """300 MB of 16-bit pixels import with less than 100 MB beyond what importing the package takes."""
    path = tmp_path / "big.tif"
    rng = np.random.default_rng(0)
    side = 12288
    band = rng.integers(0, 4000, (512, side)).astype(np.uint16)
    if kind == "volume":
        planes = (np.roll(band[:, :1024].reshape(512, 1024), z, axis=0) for z in range(300))
        tifffile.imwrite(path, planes, shape=(300, 512, 1024), dtype="uint16", bigtiff=True, metadata={"axes": "ZYX"},
                         compression="zlib", compressionargs={"level": 1}, photometric="minisblack")  # fmt: skip
    elif kind == "tiles":
        tiles = (np.ascontiguousarray(band[:, x : x + 512]) for _ in range(24) for x in range(0, side, 512))
        tifffile.imwrite(path, tiles, shape=(side, side), dtype="uint16", tile=(512, 512), bigtiff=True,
                         compression="zlib", compressionargs={"level": 1})  # fmt: skip
    else:
        whole = np.tile(band, (24, 1))
        packed: dict[str, Any] = (
            {} if kind == "contiguous" else {"compression": "zlib", "compressionargs": {"level": 1}}
        )
        tifffile.imwrite(path, whole, bigtiff=True, rowsperstrip=64, **packed)
    code = """
        import sys
        from pathlib import Path
        from scalesr.images import import_image
        import numpy as np, tifffile
        tifffile.imwrite(sys.argv[1] + "/small.tif", np.zeros((600, 600), "u2"), compression="zlib")
        import_image(sys.argv[1] + "/small.tif", sys.argv[1] + "/small.zarr")
        def peak():  # of this program; getrusage would also count the one that started it
            lines = Path("/proc/self/status").read_text().splitlines()
            return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        before = peak()
        import_image(sys.argv[1] + "/big.tif", sys.argv[1] + "/big.zarr")
        print(peak() - before)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    assert int(found.stdout) < 100 * 1024, f"{found.stdout.strip()} KiB"
    image = open_image(tmp_path / "big.zarr")
    assert image.nbytes > 300_000_000
    region = (
        (slice(100, 101), slice(7, 90), slice(900, 1000)) if kind == "volume" else (slice(6000, 6007), slice(9, 99))
    )
    with tifffile.TiffFile(path) as file:
        expected = zarr.open_array(file.series[0].aszarr(), mode="r")[region]
    np.testing.assert_array_equal(image.read(region), expected)
