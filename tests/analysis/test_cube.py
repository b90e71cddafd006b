"""Cubes: axes in any order, cells that storage does not show in, and images that are no cubes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from analysis.samples import stored
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.analysis import cube as cubes
from scalesr.analysis.cube import Cube, ratio_of
from scalesr.errors import InputError
from scalesr.images import Axis, Channel, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image


def written(target: Path, names: str, pixels: NDArray[np.float64], *, channels: tuple[Channel, ...] = ()) -> Image:
    axes = {"t": Axis("t", "time"), "c": Axis("c", "channel"), "w": Axis("w", "other")}
    space = {name: Axis(name, "space", "micrometer") for name in "zyx"}
    layout = pyramid_layout(
        axes=tuple((axes | space)[name] for name in names),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=(1.0,) * pixels.ndim,
        translation=(0.0,) * pixels.ndim,
        smallest=max(pixels.shape),
        channels=channels,
    )
    writer = create_image(target, layout)
    writer.write(0, tuple(slice(0, n) for n in pixels.shape), pixels)
    writer.publish()
    return open_image(target)


@pytest.mark.parametrize(
    ("names", "shape"),
    [("yx", (9, 8)), ("cyx", (5, 9, 8)), ("tczyx", (1, 5, 1, 9, 8)), ("wyx", (5, 9, 8)), ("czyx", (1, 1, 9, 8))],
)
def test_bands_come_first_whatever_the_axes_are(tmp_path: Path, names: str, shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).random(shape)
    cube = Cube.open(written(tmp_path / "image", names, pixels))
    assert cube.shape == (9, 8)
    found = cube.read((2, 7), (1, 8))
    np.testing.assert_array_equal(found, pixels.reshape(-1, 9, 8)[:, 2:7, 1:8])
    assert found.flags.c_contiguous
    if cube.bands > 1:
        np.testing.assert_array_equal(cube.read((2, 7), (1, 8), bands=(1, 3)), found[1:3])


@pytest.mark.parametrize(("names", "shape"), [("zyx", (2, 9, 8)), ("tyx", (3, 9, 8)), ("cwyx", (2, 2, 9, 8))])
def test_what_is_no_plane_with_bands_is_refused(tmp_path: Path, names: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="no plane with bands"):
        Cube.open(written(tmp_path / "image", names, np.zeros(shape)))


def test_bands_are_known_by_number_and_by_name(tmp_path: Path) -> None:
    channels = (Channel(label="iron"), Channel(label="zinc"))
    cube = Cube.open(written(tmp_path / "image", "cyx", np.zeros((2, 9, 8)), channels=channels))
    assert cube.band_number("zinc") == cube.band_number(1) == 1
    for wrong in ("tin", 2, -1):
        with pytest.raises(InputError, match="none"):
            cube.band_number(wrong)


@settings(max_examples=25)
@given(
    st.integers(1, 60),
    st.integers(1, 60),
    st.sampled_from([4, 16]),
    st.sampled_from([1, 3000, 2**20]),
    st.tuples(st.integers(1, 60), st.integers(1, 60)),
)
def test_every_pixel_is_in_one_cell_and_storage_does_not_show(
    tmp_path_factory: pytest.TempPathFactory, n: int, m: int, edge: int, memory: int, chunks: tuple[int, int]
) -> None:
    pixels = np.random.default_rng(0).random((2, n, m))
    folder = tmp_path_factory.mktemp("cells")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("scalesr.metrics.walk.EDGES", {2: edge, 3: 32})
        patch.setattr(cubes, "STRETCH_BYTES", memory)
        cube = Cube.open(stored(folder / "cube", pixels, chunks=(1, min(chunks[0], n), min(chunks[1], m))))
        seen = np.zeros((n, m), np.int64)
        for rows, columns, part in cube.cells():
            seen[slice(*rows), slice(*columns)] += 1
            assert rows[0] % edge == columns[0] % edge == 0
            np.testing.assert_array_equal(part, pixels[:, slice(*rows), slice(*columns)])
            assert part.flags.c_contiguous
    assert (seen == 1).all()


def test_grids_are_compared_in_physical_units(tmp_path: Path) -> None:
    coarse = Cube.open(stored(tmp_path / "coarse", np.zeros((5, 6)), pixel=4.0, edge=(8.0, -2.0)))
    fine = stored(tmp_path / "fine", np.zeros((22, 24)), pixel=0.001, edge=(0.008, -0.002), unit="millimeter")
    assert ratio_of(coarse, Cube.open(fine)) == (4, 4)
    assert ratio_of(coarse, coarse) == (1, 1)
    with pytest.raises(InputError, match="do not cover"):
        ratio_of(coarse, Cube.open(stored(tmp_path / "long", np.zeros((24, 24)), pixel=1.0, edge=(8.0, -2.0))))
