"""Images and plates as xarray sees them: places in physical units, and no pixel read before it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_plates import write_plate

import scalesr
from scalesr.demo.storing import store
from scalesr.errors import InputError
from scalesr.images import Axis, SpectralAxis, write_spectral

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("opening") / "volume.ome.zarr"
    values = np.arange(6 * 300 * 310, dtype=np.uint32).reshape(6, 300, 310)
    store(values, place, pixel=0.25, first=Axis("z", "space", "micrometer"), depth=2.0)
    return place


def test_places_are_centres_in_units(volume: Path) -> None:
    found = scalesr.open_xarray(volume)
    assert found["image"].dims == ("z", "y", "x")
    assert found["x"].attrs["units"] == "micrometer"
    np.testing.assert_allclose(found["x"][:3], [0.125, 0.375, 0.625])
    np.testing.assert_allclose(found["z"][:3], [0, 2, 4])
    part = found["image"].sel(x=slice(1, 2), z=4)
    assert part.sizes == {"y": 300, "x": 4}
    assert part.values[0, 0] == 2 * 300 * 310 + 4


def test_xarray_opens_it_itself(volume: Path) -> None:
    found = xr.open_dataset(volume, engine="scalesr")
    assert found["image"].shape == (6, 300, 310)
    assert xr.open_dataset(volume)["image"].encoding["source"] == str(volume)
    tree = xr.open_datatree(volume, engine="scalesr")
    assert list(tree.children) == [f"scale{n}" for n in range(len(scalesr.open_image(volume).levels))]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_index_reads_what_numpy_gives(volume: Path, data: st.DataObject) -> None:
    values = np.arange(6 * 300 * 310, dtype=np.uint32).reshape(6, 300, 310)
    key: list[Any] = []
    for size in values.shape:
        start, stop = data.draw(st.integers(-size, size)), data.draw(st.integers(-size, size))
        # xarray itself fails where a slice that goes down holds nothing.
        down = len(range(*slice(start, stop, -1).indices(size))) > 0
        step = data.draw(st.sampled_from([None, 1, 3, *((-1, -2) if down else ())]))
        key.append(data.draw(st.one_of(st.integers(-size, size - 1), st.just(slice(start, stop, step)))))
    found = xr.open_dataset(volume, engine="scalesr")["image"][tuple(key)]
    np.testing.assert_array_equal(found.values, values[tuple(key)])


def test_pyramids_are_trees(volume: Path) -> None:
    tree = scalesr.open_datatree(volume)
    coarse = tree["scale1"]["image"]
    assert float(coarse.x[1] - coarse.x[0]) == 0.5
    assert tree.attrs["name"] == "volume"
    assert coarse.chunks is not None


def test_bands_are_told_by_what_they_are(tmp_path: Path) -> None:
    place = tmp_path / "cube.ome.zarr"
    store(np.zeros((3, 8, 9), np.float32), place, pixel=1.0, first=Axis("c", "channel"))
    write_spectral(place, SpectralAxis(values=np.array([400.0, 500.0, 610.0]), quantity="wavelength", unit="nanometer"))
    found = scalesr.open_xarray(place)
    assert found["wavelength"].attrs["units"] == "nanometer"
    near = found.set_xindex("wavelength").sel(wavelength=600, method="nearest")
    assert int(near["c"]) == 2


def test_plates_are_trees_of_fields(tmp_path: Path) -> None:
    place = tmp_path / "plate.ome.zarr"
    plate = write_plate(place)
    tree = scalesr.open_datatree(place, fields=["A/*"])
    chosen = plate.select("A/*")
    assert [node.path.lstrip("/") for node in tree.subtree if "image" in node.data_vars] == list(chosen)
    with pytest.raises(InputError, match="is a plate") as error:
        scalesr.open_xarray(place)
    assert "open_datatree" in str(error.value)


def test_a_level_that_is_not_there(volume: Path) -> None:
    with pytest.raises(InputError, match="no level 9"):
        scalesr.open_xarray(volume, level=9)
