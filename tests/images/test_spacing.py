"""Planes at unequal distances: what is refused, and what becomes planes that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import InputError
from scalesr.images import import_image
from scalesr.images.importing.spacing import TOLERANCE, spacing

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.images.importing.spacing import MissingPlanes


def picture(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(1, 250, shape).astype("uint16")


def ome_tiff(path: Path, positions: list[float], *, channels: int = 1) -> np.ndarray[Any, Any]:
    """Write an OME-TIFF of so many planes, each with its position."""
    pixels = picture(channels, len(positions), 8, 8)
    places = [z for _ in range(channels) for z in positions]
    metadata = {"axes": "CZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(path, pixels, photometric="minisblack", metadata={**metadata, "Plane": {"PositionZ": places}})
    return pixels


@given(
    places=st.lists(st.integers(0, 40), min_size=2, max_size=30, unique=True).map(sorted),
    start=st.floats(-1e3, 1e3),
    step=st.floats(0.05, 50) | st.floats(-50, -0.05),
    seed=st.integers(0, 99),
)
def test_places_are_found_in_positions(places: list[int], start: float, step: float, seed: int) -> None:
    """Up to a common factor: planes of which every second one is missing cannot be told from planes twice as far."""
    if 1 not in np.diff(places):
        places = [*places, places[-1] + 1]
    if places[-1] - places[0] > 9 * len(places):
        return
    jitter = np.random.default_rng(seed).uniform(-0.2, 0.2, len(places)) * TOLERANCE
    jitter[[0, -1]] = 0
    found = spacing([start + step * (place + off) for place, off in zip(places, jitter, strict=True)])
    assert found is not None
    assert found.places == tuple(place - places[0] for place in places)
    assert found.step == pytest.approx(step, rel=1e-6)
    assert set(found.missing) == set(range(places[-1] - places[0] + 1)) - set(found.places)


@pytest.mark.parametrize("positions", [[0, 1, 2.5], [0, 1, 1.95, 3], [0, 1, 2, 1], [0, 0, 1], [0, 1, 500]])
def test_there_is_no_one_distance(positions: list[float]) -> None:
    assert spacing(positions) is None


def test_positions_of_an_ome_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = ome_tiff(path, [10.0, 12.0, 14.01, 16.0], channels=2)
    image = import_image(path, tmp_path / "even.zarr")
    np.testing.assert_array_equal(image.array(0)[:], pixels)
    assert image.metadata["scalesr"] == {"state": "done"}
    ome_tiff(path, [5.0, 5.0, 5.0])
    assert import_image(path, tmp_path / "same.zarr").shape == (3, 8, 8)


def test_unequal_distances_are_refused_unless_the_user_knows_better(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = ome_tiff(path, [0.0, 2.0, 3.0, 5.1])
    ways: tuple[MissingPlanes, ...] = ("refuse", "keep")
    for missing in ways:
        with pytest.raises(InputError, match=r"unequal distances, from 1 to 2.1.* --pixel-size z="):
            import_image(path, tmp_path / "o.zarr", missing_planes=missing)
    assert not (tmp_path / "o.zarr").exists()
    image = import_image(path, tmp_path / "o.zarr", pixel_size={"z": 1.7})
    np.testing.assert_array_equal(image.array(0)[:], pixels[0])
    assert image.pixel_sizes[0] == 1.7


def test_gaps_in_an_ome_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.tif"
    pixels = ome_tiff(path, [9.0, 7.0, 3.0, 1.0, -5.0], channels=2)
    with pytest.raises(InputError, match=r"3 plane\(s\) are missing .* 2, 5, 6\..*--missing-planes keep"):
        import_image(path, tmp_path / "o.zarr")
    image = import_image(path, tmp_path / "o.zarr", missing_planes="keep", chunks=(1, 2, 8, 8), shards=(1, 2, 8, 8))
    assert image.shape == (2, 8, 8, 8)
    assert image.metadata["scalesr"] == {"state": "done", "missing_planes": [2, 5, 6]}
    expected = np.zeros((2, 8, 8, 8), "uint16")
    expected[:, [0, 1, 3, 4, 7]] = pixels
    np.testing.assert_array_equal(image.array(0)[:], expected)


@pytest.mark.parametrize(("name", "axes"), [("a_z{}.tif", None), ("a_{}.tif", "zyx")])
def test_gaps_in_numbered_files(tmp_path: Path, name: str, axes: str | None) -> None:
    folder = tmp_path / "planes"
    folder.mkdir()
    planes = {number: picture(8, 8) + number for number in (3, 4, 7)}
    for number, plane in planes.items():
        tifffile.imwrite(folder / name.format(number), plane)
    with pytest.raises(InputError, match=r"number\(s\) 5, 6 are missing between 3 and 7.*--missing-planes keep"):
        import_image(folder, tmp_path / "o.zarr", axes=axes)
    image = import_image(folder, tmp_path / "o.zarr", axes=axes, missing_planes="keep")
    assert image.metadata["scalesr"]["missing_planes"] == [2, 3]
    expected = np.zeros((5, 8, 8), "uint16")
    for number, plane in planes.items():
        expected[number - 3] = plane
    np.testing.assert_array_equal(image.array(0)[:], expected)


def test_gaps_that_are_no_planes_stay_refused(tmp_path: Path) -> None:
    folder = tmp_path / "movie"
    folder.mkdir()
    for number in (0, 1, 3):
        tifffile.imwrite(folder / f"a_t{number}.tif", picture(8, 8))
    with pytest.raises(InputError, match="are missing between") as caught:
        import_image(folder, tmp_path / "o.zarr", missing_planes="keep")
    assert "--missing-planes" not in caught.value.remedy
    for number in (0, 1, 2, 3):
        tifffile.imwrite(folder / f"a_t{number}.tif", picture(8, 8))
    tifffile.imwrite(folder / "a_t9_z1.tif", picture(8, 8))
    with pytest.raises(InputError, match="differ in more than numbers"):
        import_image(folder, tmp_path / "o.zarr", missing_planes="keep")
