"""Any labelled array is restored, measured and stored as an image in storage is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask
import dask.array as da
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import scalesr
from scalesr.accessor import array_of, image_of
from scalesr.demo.storing import store
from scalesr.errors import InputError, OutputError
from scalesr.images import ArrayImage, Axis, SpectralAxis, write_spectral

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.images import Image

CHANNEL = Axis("c", "channel")
BANDS = np.array([100.0, 200.25, 301.5])
MODEL: dict[str, Any] = {"model": "hyres-x2", "cell": (24, 24), "device": "cpu"}


@pytest.fixture(scope="module")
def pixels() -> np.ndarray[Any, np.dtype[np.uint16]]:
    return (np.random.default_rng(0).random((3, 61, 90)) * 1000).astype(np.uint16)


@pytest.fixture(scope="module")
def image(pixels: np.ndarray[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> Image:
    place = tmp_path_factory.mktemp("labelled") / "cube.ome.zarr"
    found = store(pixels, place, pixel=0.5, first=CHANNEL)
    write_spectral(place, SpectralAxis(values=BANDS, quantity="m/z"))
    return found


@pytest.fixture(scope="module")
def whole(image: Image) -> np.ndarray[Any, Any]:
    """All voxels that a run would write."""
    found: np.ndarray[Any, Any] = scalesr.lazy(image, **MODEL).compute()  # type: ignore[no-untyped-call]
    return found


@pytest.mark.parametrize("kind", ["numpy", "dask"])
def test_the_same_voxels_as_from_storage(image: Image, whole: np.ndarray[Any, Any], kind: str) -> None:
    array = scalesr.open_xarray(image.url)["image"]
    array = array.load() if kind == "numpy" else array.chunk({"y": 17, "x": 40})
    made = array.scalesr.super_resolve(**MODEL)
    assert made.shape == whole.shape
    np.testing.assert_array_equal(made.values, whole)


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_any_chunks_give_the_same_bits(data: st.DataObject) -> None:
    plane = (np.random.default_rng(1).random((40, 53)) * 255).astype(np.uint8)
    chunks = tuple(data.draw(st.integers(1, size)) for size in plane.shape)
    chunked = da.from_array(plane, chunks=chunks)  # type: ignore[no-untyped-call]
    array = xr.DataArray(chunked, dims=("y", "x"))
    part = tuple(
        slice(*sorted(data.draw(st.tuples(st.integers(0, 2 * n), st.integers(0, 2 * n))))) for n in plane.shape
    )
    options: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": (8, 8)}
    whole = xr.DataArray(plane, dims=("y", "x")).scalesr.super_resolve(**options).values
    np.testing.assert_array_equal(array.scalesr.super_resolve(**options)[part].values, whole[part])


def test_only_the_chunks_that_a_slice_needs_are_read() -> None:
    read: list[int] = []

    def chunk(block: Any, block_info: Any = None) -> Any:
        read.append(block_info[0]["chunk-location"][1])
        return block

    plane = da.zeros((16, 160), chunks=(16, 16), dtype=np.uint8).map_blocks(chunk, dtype=np.uint8)
    made = xr.DataArray(plane, dims=("y", "x")).scalesr.super_resolve(
        "linear", scale=2, cell=(16, 16), normalise="none"
    )
    read.clear()
    with dask.config.set(scheduler="sync"):
        made[:, 64:80].compute()
    assert set(read) <= {1, 2, 3}


def test_coordinates_are_those_of_storage(image: Image, tmp_path: Path) -> None:
    made = scalesr.open_xarray(image.url)["image"].scalesr.super_resolve(**MODEL)
    scalesr.run(image.url, tmp_path / "fine.ome.zarr", scheduler="serial", **MODEL)
    stored = scalesr.open_xarray(tmp_path / "fine.ome.zarr")["image"]
    for name in ("y", "x", "mz"):
        np.testing.assert_array_equal(made[name], stored[name])
        assert made[name].attrs == stored[name].attrs
    np.testing.assert_array_equal(made.values, stored.values)
    assert made.attrs["scalesr_model"] == "hyres-x2"


def test_a_part_lies_where_it_was(image: Image) -> None:
    array = scalesr.open_xarray(image.url)["image"].sel(x=slice(10, 20))
    made = array.scalesr.super_resolve("linear", scale=2, normalise="dtype")
    assert made.x[0] == pytest.approx(10.25 - 0.125)
    assert made.sizes["x"] == 2 * array.sizes["x"]


def test_stored_and_opened_again(image: Image, whole: np.ndarray[Any, Any], tmp_path: Path) -> None:
    made = scalesr.open_xarray(image.url)["image"].scalesr.super_resolve(**MODEL)
    told: list[tuple[int, int]] = []
    found = made.scalesr.to_ome_zarr(
        tmp_path / "made.ome.zarr",
        chunks={"y": 32, "x": 32},
        shards={"c": 1, "y": 64, "x": 64},
        progress=lambda done, of: told.append((done, of)),
    )
    assert found.levels[0].shards == (1, 64, 64)
    assert told[-1] == (3 * 2 * 3, 3 * 2 * 3)
    again = scalesr.open_xarray(found.url)
    np.testing.assert_array_equal(again["image"].values, whole)
    np.testing.assert_array_equal(again["mz"], BANDS)
    with pytest.raises(OutputError, match="already"):
        made.scalesr.to_ome_zarr(tmp_path / "made.ome.zarr")
    with pytest.raises(InputError, match="no dimension 'z'"):
        made.scalesr.to_ome_zarr(tmp_path / "other.ome.zarr", chunks={"z": 4})


def test_measured_as_from_storage(image: Image) -> None:
    array = scalesr.open_xarray(image.url)["image"]
    made = array.scalesr.super_resolve(**MODEL)
    truth = array.scalesr.super_resolve("cubic", scale=2)
    from_arrays = made.scalesr.measure(reference=truth, measured=array, metrics=["psnr", "ssim", "consistency"])
    assert {measure.metric for measure in from_arrays.measures} == {"psnr", "ssim", "consistency"}
    itself = array.scalesr.measure(reference=image, metrics=["mae"])
    assert itself.measures[0].value == 0


def test_pixels_that_lie_unevenly_are_refused() -> None:
    array = xr.DataArray(np.zeros((3, 4), np.uint8), dims=("y", "x"), coords={"x": [0.0, 1.0, 2.0, 4.0]})
    with pytest.raises(InputError, match="even steps") as error:
        image_of(array)
    assert "drop_vars('x')" in str(error.value)


def test_arrays_that_are_no_images_are_refused() -> None:
    with pytest.raises(InputError, match="bool"):
        image_of(xr.DataArray(np.zeros((2, 2), bool), dims=("y", "x")))
    with pytest.raises(InputError, match="does not fit"):
        ArrayImage.of(np.zeros((2, 2)), axes=(CHANNEL,))


@given(start=st.floats(-1e3, 1e3), step=st.floats(1e-3, 1e3), first=st.integers(0, 5), size=st.integers(1, 40))
def test_a_step_survives_slicing(start: float, step: float, first: int, size: int) -> None:
    axis = Axis("x", "space", "micrometer")
    image = ArrayImage.of(np.zeros(50, np.uint8), axes=(axis,), scale=(step,), translation=(start,))
    array = array_of(image.pixels, image.axes, image.levels[0])[first : first + size]
    again = image_of(array)
    assert again.levels[0].scale == (step,)
    assert again.levels[0].translation[0] == pytest.approx(start + first * step)
    assert again.axes == (axis,)
