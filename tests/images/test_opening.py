from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from typing import TYPE_CHECKING, Any

import fsspec
import numpy as np
import pytest
import zarr

from scalesr.errors import InputError
from scalesr.images import Image, open_image

if TYPE_CHECKING:
    from pathlib import Path

FIJI = "omezarr/fiji_java_testdata"
TWINS = ["2d_testing/2d", "3d_testing/xyt/3d", "3d_testing/xyc/3d", "3d_testing/xyz/3d", "4d_testing/xyzt/4d",
         "4d_testing/xyct/4d"]  # fmt: skip


def make(
    folder: Path,
    *,
    axes: Any = ("y", "x"),
    shape: tuple[int, ...] = (4, 6),
    dtype: str = "uint8",
    transformations: Any = None,
    ome: dict[str, Any] | None = None,
    version: str = "0.5",
) -> Path:
    """An image of one level, with whatever is wrong with it."""
    group = zarr.create_group(str(folder), zarr_format=3 if version == "0.5" else 2)
    if version == "0.5":
        group.create_array("0", shape=shape, dtype=dtype, chunks=tuple(max(n, 1) for n in shape))
    else:
        group.create_array("0", shape=shape, dtype=dtype, chunks=shape)
    dataset: dict[str, Any] = {"path": "0"}
    if transformations is not None:
        dataset["coordinateTransformations"] = transformations
    named = [{"name": axis} if isinstance(axis, str) else axis for axis in axes] if axes is not None else None
    multiscale: dict[str, Any] = {"datasets": [dataset], **(ome or {})}
    if named is not None:
        multiscale["axes"] = named
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale]}
    else:
        group.attrs["multiscales"] = [{"version": "0.4", **multiscale}]
    return folder


def everything(image: Image, level: int = 0) -> np.ndarray[Any, Any]:
    return image.read(tuple(slice(0, n) for n in image.levels[level].shape), level=level)


@pytest.mark.parametrize("name", TWINS)
def test_both_versions_of_an_image_are_equal(data: Path, name: str) -> None:
    old = open_image(data / FIJI / f"{name}_dataset_v4.ome.zarr")
    new = open_image(data / FIJI / f"{name}_dataset_v5.ome.zarr")
    assert (old.version, new.version) == ("0.4", "0.5")
    assert (old.axes, old.shape, old.dtype, old.name) == (new.axes, new.shape, new.dtype, new.name)
    assert [(a.scale, a.translation) for a in old.levels] == [(b.scale, b.translation) for b in new.levels]
    assert old.axis_names == tuple(name.split("/")[1][::-1] if "/x" in name else "yx")
    for level in range(len(old.levels)):
        np.testing.assert_array_equal(everything(old, level), everything(new, level))


def test_the_large_pyramid(data: Path) -> None:
    for version in "45":
        image = open_image(data / FIJI / f"pyramid_testing/pyramid_v{version}.zarr")
        assert [level.shape[0] for level in image.levels] == [500, 250, 250]
        assert image.nbytes == 500_000_000
        assert image.read((slice(3, 5), slice(990, 1000), slice(0, 1))).shape == (2, 10, 1)


def test_real_microscopy_with_channels_and_sizes(data: Path) -> None:
    image = open_image(data / "omezarr/nextflow_plk1/xy_8bit__nuclei_PLK1_control.ome.zarr")
    assert "".join(image.axis_names) == "tczyx"
    assert [axis.unit for axis in image.axes] == ["second", None, None, "micrometer", "micrometer"]
    assert image.pixel_sizes[-1] == 0.166053183181403
    assert (image.channels[0].label, image.channels[0].end, image.channels[0].color) == ("Channel 0", 251.0, "808080")
    assert image.name == "xy_8bit__nuclei_PLK1_control.tif"


def test_zarr_java(data: Path) -> None:
    old, new = (open_image(data / f"omezarr/zarr_java_testdata/ome/v0.{n}") for n in "45")
    assert old.axes == new.axes
    assert new.pixel_sizes == (1.0, 1.0, 0.5, 0.5, 0.5)
    assert [channel.label for channel in new.channels] == ["DAPI", "GFP"]
    assert np.isfinite(everything(new)).all()
    labels = open_image(data / "omezarr/zarr_java_testdata/ome/v0.5/labels/nuclei")
    assert labels.dtype == np.uint32


@pytest.mark.parametrize("name", ["valid/image-01", "valid/image-02", "valid/image-03", "valid/image-04",
                                  "warning/image-01", "valid/plate-01.zarr/B/2/0"])  # fmt: skip
def test_valid_and_doubtful_examples_open(data: Path, name: str) -> None:
    path = data / "omezarr/ome_zarr_examples" / (name if ".zarr" in name else f"{name}.zarr")
    assert everything(open_image(path)).size


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("invalid/image-01.zarr", "without OME-Zarr image metadata"),
        ("invalid/image-02.zarr", "without OME-Zarr image metadata"),
        ("invalid/image-03.zarr", "names the array '0', which is not there"),
        ("invalid/image-04.zarr", r"1 has 2 dimensions \(32, 32\), but the image names 3 axes \(z, y, x\)"),
        ("valid/plate-01.zarr", "a plate of 4 wells: A/1, A/2, B/1, B/2. Open one field, such as .*A/1/0"),
        ("valid/plate-01.zarr/A/1", "a well of 1 fields: 0"),
        ("valid/image-02.zarr/labels", "is a group of label images"),
        ("../zarr_java_testdata/sharding_index_location/start", "plain Zarr array .* scalesr import --axes"),
        ("../zarr_java_testdata/ome/v0.5/0", "plain Zarr array"),
        ("valid", "is not Zarr.*It contains image-01.zarr"),
        ("../../SOURCES.md", "is a file, not OME-Zarr. Convert it first: scalesr import"),
        ("../not/there.zarr", "does not exist; the nearest folder that does is .*omezarr"),
    ],
)
def test_what_cannot_be_opened_says_why(data: Path, name: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        open_image((data / "omezarr/ome_zarr_examples" / name).resolve())


def test_container_of_several_images(data: Path) -> None:
    path = data / FIJI / "bioformats2raw_testing/bf2raw_dataset_v5.ome.zarr"
    assert open_image(path).name == "image 0"
    assert open_image(path, series=1).name == "image 1"
    assert open_image(path / "1").name == "image 1"
    with pytest.raises(InputError, match=r"holds 2 image\(s\): 0, 1; there is no 2.*--series 0 to 1"):
        open_image(path, series=2)
    with pytest.raises(InputError, match="one image, not a container"):
        open_image(path / "1", series=1)


def test_series_listed_by_the_container(tmp_path: Path) -> None:
    root = zarr.create_group(str(tmp_path / "c"), zarr_format=3)
    root.attrs["ome"] = {"version": "0.5", "bioformats2raw.layout": 3}
    with pytest.raises(InputError, match="holds 0"):
        open_image(tmp_path / "c")
    root.create_group("OME").attrs["ome"] = {"version": "0.5", "series": ["b", "a"]}
    make(tmp_path / "c/a", ome={"name": "A"})
    make(tmp_path / "c/b", ome={"name": "B"})
    assert open_image(tmp_path / "c").name == "B"
    assert open_image(tmp_path / "c", series=1).name == "A"


def test_any_address(data: Path, tmp_path: Path) -> None:
    folder = data / FIJI / "3d_testing/xyz/3d_dataset_v5.ome.zarr"
    expected = everything(open_image(folder))
    archive = tmp_path / "image.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted(folder.rglob("*")):
            file.write(path, path.relative_to(folder))
    memory = fsspec.filesystem("memory")
    memory.put(str(folder), f"{tmp_path}/m.zarr", recursive=True)
    for url in (f"file://{folder}", archive, f"zip::{archive}", f"zip::file://{archive}", f"memory://{tmp_path}/m.zarr",
                f"simplecache::memory://{tmp_path}/m.zarr"):  # fmt: skip
        image = pickle.loads(pickle.dumps(open_image(url)))
        np.testing.assert_array_equal(everything(image), expected)


def test_a_part_of_a_chain(data: Path, tmp_path: Path) -> None:
    folder = data / FIJI / "bioformats2raw_testing/bf2raw_dataset_v5.ome.zarr"
    archive = shutil.make_archive(str(tmp_path / "c"), "zip", folder)
    assert open_image(f"zip::{archive}").name == "image 0"
    assert open_image(f"zip://1::{archive}").name == "image 1"
    assert open_image(f"zip::{archive}", series=1).url == f"zip://1::{archive}"


def test_nothing_at_an_address() -> None:
    with pytest.raises(InputError, match="not Zarr, or does not exist"):
        open_image("memory://nothing/here.zarr")
    with pytest.raises(InputError, match="Protocol not known"):
        open_image("nowhere://x")


def test_transformations_of_both_levels_combine(tmp_path: Path) -> None:
    own = [{"type": "scale", "scale": [2, 3]}, {"type": "translation", "translation": [10, 20]}]
    common = [{"type": "scale", "scale": [0.5, 10]}, {"type": "translation", "translation": [1, 1]}]
    level = open_image(make(tmp_path / "i", transformations=own, ome={"coordinateTransformations": common})).levels[0]
    assert level.scale == (1, 30)
    assert level.translation == (6, 201)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_lenient_where_nothing_can_go_wrong(tmp_path: Path, version: str) -> None:
    folder = make(tmp_path / "i", axes=("mz", "y", "x"), shape=(3, 4, 5), version=version)
    image = open_image(folder)
    assert [(axis.name, axis.kind, axis.unit) for axis in image.axes] == [
        ("mz", "other", None), ("y", "space", None), ("x", "space", None)
    ]  # fmt: skip
    assert image.pixel_sizes == (1, 1, 1)
    assert image.channels == ()
    units = [{"name": "y", "type": "space", "unit": "\u00b5m"}, {"name": "x", "type": "space", "unit": "pixel"}]
    odd = {"omero": {"channels": [{"label": 3, "window": {"start": "a"}}, None]}}
    image = open_image(make(tmp_path / "j", axes=units, version=version, ome=odd))
    assert [axis.unit for axis in image.axes] == ["micrometer", None]


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"axes": None}, "names no axes"),
        ({"axes": ()}, "names no axes"),
        ({"axes": ("y", "y")}, "more than one axis named y"),
        ({"axes": ("z", "y", "x")}, "has 2 dimensions .* names 3 axes"),
        ({"axes": ({"type": "space"}, "x")}, "axis 0 has no name"),
        ({"axes": ("x",), "shape": (3,)}, "has 1 axes"),
        ({"shape": (0, 5)}, "axis y has size zero"),
        ({"dtype": "complex64"}, "complex64, which is not an intensity"),
        ({"dtype": "bool"}, "bool, which is not an intensity"),
        ({"transformations": [{"type": "scale", "scale": [0, 1]}]}, "is not positive"),
        ({"transformations": [{"type": "scale", "scale": [-1, 1]}]}, "is not positive"),
        ({"transformations": [{"type": "scale", "scale": [float("nan"), 1]}]}, "one number for each of 2 axes"),
        ({"transformations": [{"type": "scale", "scale": [1]}]}, "one number for each of 2 axes"),
        ({"transformations": [{"type": "scale", "scale": ["1", "1"]}]}, "one number for each of 2 axes"),
        ({"transformations": [{"type": "scale", "path": "x"}]}, "one number for each of 2 axes"),
        ({"transformations": [{"type": "affine"}]}, "transformation of type 'affine'"),
        ({"ome": {"datasets": []}}, "lists no datasets"),
        ({"ome": {"datasets": [{}]}}, "a dataset has no path"),
        ({"ome": {"version": "0.6"}, "version": "0.4"}, "is OME-Zarr 0.6"),
    ],
)
def test_metadata_that_would_change_the_science(tmp_path: Path, facts: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        open_image(make(tmp_path / "i", **facts))


def test_axes_of_old_versions(tmp_path: Path) -> None:
    folder = make(tmp_path / "i", version="0.4")
    attributes = json.loads((folder / ".zattrs").read_text())
    attributes["multiscales"][0]["axes"] = ["y", "x"]
    (folder / ".zattrs").write_text(json.dumps(attributes))
    with pytest.raises(InputError, match=r"OME-Zarr 0\.3"):
        open_image(folder)


def test_damaged_metadata(tmp_path: Path) -> None:
    folder = make(tmp_path / "i")
    (folder / "0/zarr.json").write_text("{")
    with pytest.raises(InputError, match=r"i/0/zarr\.json is damaged"):
        open_image(folder)
    (folder / "zarr.json").write_text("{")
    with pytest.raises(InputError, match=r"i/zarr\.json is damaged"):
        open_image(folder)


def test_unfinished_output(tmp_path: Path) -> None:
    zarr.create_group(str(tmp_path / "o"), zarr_format=3, attributes={"scalesr": {"state": "running"}})
    with pytest.raises(InputError, match=r"did not finish.*--resume"):
        open_image(tmp_path / "o")


def test_fingerprint(tmp_path: Path) -> None:
    def fingerprint(name: str, **facts: Any) -> str:
        return open_image(make(tmp_path / name, **facts)).fingerprint()

    same = fingerprint("a")
    assert fingerprint("b") == same
    assert fingerprint("c", ome={"name": "other"}) == same
    others = [
        fingerprint("d", shape=(4, 7)),
        fingerprint("e", dtype="uint16"),
        fingerprint("f", axes=("z", "x")),
        fingerprint("g", transformations=[{"type": "scale", "scale": [1, 2]}]),
    ]
    assert len({same, *others}) == 5


def test_an_image_travels_without_its_handles(data: Path) -> None:
    image = open_image(data / FIJI / "2d_testing/2d_dataset_v5.ome.zarr")
    everything(image)
    text = pickle.dumps(image)
    assert len(text) < 3000
    again = pickle.loads(text)
    assert again == image
    np.testing.assert_array_equal(everything(again), everything(image))
