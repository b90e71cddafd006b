"""What the engine writes opens elsewhere, and what others wrote goes through it."""

from __future__ import annotations

import json
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import ome_zarr.io
import ome_zarr.reader
import pytest
import zarr
from engine.conftest import voxels
from fsspec.implementations.memory import MemoryFileSystem
from jsonschema import Draft202012Validator
from ome_zarr_models.v05 import Image as ValidImage
from referencing import Registry
from referencing.jsonschema import DRAFT202012

import scalesr

if TYPE_CHECKING:
    from engine.conftest import MakeImage
    from numpy.typing import NDArray


def test_output_is_valid_and_opens_elsewhere(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (2, 9, 300, 310), dtype=np.uint16)
    scalesr.run(
        make_image(pixels, "czyx"), tmp_path / "out.zarr", model="cubic", scale=2, cell=64, halo=4, blend=4,
        scheduler="threads", workers=2,
    )  # fmt: skip
    group = zarr.open_group(tmp_path / "out.zarr", mode="r")
    valid = ValidImage.from_zarr(group)
    datasets = valid.attributes.ome.multiscales[0].datasets
    assert [len(d.coordinateTransformations) for d in datasets] == [2] * len(datasets)
    assert sorted(name for name, _ in group.members()) == [*(d.path for d in datasets), "scalesr"]
    location = ome_zarr.io.parse_url(str(tmp_path / "out.zarr"))
    assert location is not None
    nodes = list(ome_zarr.reader.Reader(location)())
    assert nodes[0].data[0].shape == (2, 9, 600, 620)
    np.testing.assert_array_equal(nodes[0].data[0][1, 4].compute(), zarr.open_array(tmp_path / "out.zarr/0")[1, 4])


def test_any_storage_will_do(speckle: NDArray[np.uint16], make_image: MakeImage) -> None:
    MemoryFileSystem.store.clear()
    image = make_image(speckle)
    options: dict[str, Any] = {"cell": 32, "halo": 4, "blend": 4, "block": 2}
    scalesr.run(image, "memory://input.zarr", model="identity", scheduler="serial", **options)
    result = scalesr.run(
        "memory://input.zarr", "memory://out.zarr", model="cubic", scale=2, scheduler="serial", **options
    )
    here = scalesr.run(
        image, Path(image.url).parent / "out.zarr", model="cubic", scale=2, scheduler="serial", **options
    )
    np.testing.assert_array_equal(voxels(result.image), voxels(here.image))
    assert not [name for name in MemoryFileSystem.store if "strips" in name]
    MemoryFileSystem.store.clear()


REAL = [
    "fiji_java_testdata/2d_testing/2d_dataset_v4.ome.zarr",
    "fiji_java_testdata/3d_testing/xyc/3d_dataset_v5.ome.zarr",
    "fiji_java_testdata/4d_testing/xyzt/4d_dataset_v4.ome.zarr",
    "nextflow_plk1/xy_8bit__nuclei_PLK1_control.ome.zarr",
    "ome_zarr_examples/valid/image-03.zarr",
    "zarr_java_testdata/ome/v0.5",
]


@pytest.mark.parametrize("name", REAL)
def test_images_of_other_software_go_through(data: Path, tmp_path: Path, name: str) -> None:
    result = scalesr.run(data / "omezarr" / name, tmp_path / "out.zarr", model="identity", cell=48, halo=2, blend=2)
    expected = voxels(scalesr.open_image(data / "omezarr" / name))
    if expected.dtype.kind == "f":
        np.testing.assert_allclose(voxels(result.image), expected, atol=1e-6 * np.abs(expected).max())
    else:
        np.testing.assert_array_equal(voxels(result.image), expected)
    source = scalesr.open_image(data / "omezarr" / name)
    assert result.image.axes == source.axes
    assert result.image.pixel_sizes == source.pixel_sizes


def test_plans_name_what_a_volume_needs(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4000, (13, 30, 31), dtype=np.uint16)
    result = scalesr.run(
        make_image(pixels, "zyx"), tmp_path / "out.zarr", model="cubic", axes="zyx", scale=("48/13", 1, 1),
        scheduler="serial", cell=13, halo=13,
    )  # fmt: skip
    assert result.image.shape == (48, 30, 31)
    assert result.image.pixel_sizes == (0.5 * 13 / 48, 0.5, 0.5)
    assert result.image.levels[0].translation[0] == pytest.approx(3.0 - 0.25 + 0.25 * 13 / 48)


def schema_validator(version: str, name: str) -> Draft202012Validator:
    """Return the validator of a published NGFF schema; ngff-zarr carries the files, references stay among them."""
    folder = Path(str(distribution("ngff-zarr").locate_file(f"ngff_zarr/spec/{version}/schemas")))
    documents = [json.loads(path.read_text()) for path in folder.glob("*.schema")]
    registry: Registry[Any] = Registry().with_resources(
        (document["$id"], DRAFT202012.create_resource(document)) for document in documents
    )
    wanted = json.loads((folder / f"{name}.schema").read_text())
    return Draft202012Validator(wanted, registry=registry)


@pytest.mark.parametrize("strictness", ["image", "strict_image"])
def test_output_follows_the_published_schema(
    make_image: MakeImage, speckle: NDArray[np.uint16], tmp_path: Path, strictness: str
) -> None:
    scalesr.run(make_image(speckle), tmp_path / "out.zarr", model="cubic", scale=2, cell=64, scheduler="serial")
    attributes = json.loads((tmp_path / "out.zarr" / "zarr.json").read_text())["attributes"]
    validator = schema_validator("0.5", strictness)
    validator.validate(attributes)
    attributes["ome"]["multiscales"][0]["axes"][0].pop("name")
    assert not validator.is_valid(attributes)
