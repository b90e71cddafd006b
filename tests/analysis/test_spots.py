"""Spots and ratios of objects against plain definitions of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from analysis.object_samples import blobs, patches, stored, volume
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure, morphology, segmentation

from scalesr.analysis.objects import count_spots, translocation
from scalesr.analysis.objects.rings import grown_labels, outline
from scalesr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

label: Any = measure.label  # scikit-image has no types
h_maxima: Any = morphology.h_maxima
expand_labels: Any = segmentation.expand_labels


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), tolerance=st.integers(0, 30), edge=st.integers(6, 30))
def test_spots_are_h_maxima_of_each_object_alone(seed: int, tolerance: int, edge: int) -> None:
    labels = patches((30, 26), seed)
    image = (blobs((30, 26), seed + 1, sigma=0.8) * 100).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr("scalesr.analysis.objects.gathering.TILE", {2: edge})
        patch.setattr("scalesr.analysis.objects.gathering.MOST", 9)
        names, field = stored(Path(folder) / "labels", labels), stored(Path(folder) / "image", image)
        table = count_spots(names, field, tolerance=tolerance, threshold=50)
    for k, name in enumerate(table.labels):
        inside = labels == name
        assert table["spots"][k] == prominent(image, inside, tolerance), name
        above, number = ndimage.label(inside & (image > 50), np.ones((3, 3)))
        assert table["particles"][k] == number
        assert table["particle_area_sum"][k] == np.count_nonzero(above)
        np.testing.assert_allclose(
            table["particle_area_mean"][k], np.count_nonzero(above) / number if number else np.nan
        )


def prominent(image: NDArray[np.uint8], inside: NDArray[np.bool_], tolerance: int) -> int:
    """Return the maxima whose part above (their height - tolerance - 1) holds no higher place, one for each part."""
    count = 0
    heights = np.unique(image[inside])
    for height in heights[::-1].tolist():
        if height - int(heights[0]) <= tolerance:
            continue
        parts = label(inside & (image.astype(int) >= height - tolerance))
        for part in range(1, parts.max() + 1):
            count += int(image[parts == part].max()) == height
    return count


def test_spots_of_a_whole_field_are_the_h_maxima_of_scikit_image(tmp_path: Path) -> None:
    # So many steps that no two maxima are of one height: those are one to us, and several to scikit-image.
    image = (blobs((40, 50), 3, sigma=1.0) * 1e6).astype(np.int32)
    names = stored(tmp_path / "labels", np.ones(image.shape, np.uint8))
    table = count_spots(names, stored(tmp_path / "image", image), tolerance=49_999)
    assert table["spots"][0] == label(h_maxima(image, 50_000)).max()


def test_spots_that_are_too_near_become_one_by_smoothing(tmp_path: Path) -> None:
    image = np.zeros((20, 30), np.float32)
    image[10, 8] = image[10, 10] = image[10, 22] = 100
    names, field = stored(tmp_path / "labels", np.ones(image.shape, np.uint8)), stored(tmp_path / "image", image)
    assert count_spots(names, field, tolerance=1)["spots"][0] == 3
    assert count_spots(names, field, tolerance=1, sigma=1.5)["spots"][0] == 2
    assert count_spots(names, field, tolerance=200)["spots"][0] == 0
    assert count_spots(names, field, threshold=50, smallest=2)["particles"][0] == 0


def test_objects_with_unknown_pixels_have_no_spots(tmp_path: Path) -> None:
    labels = np.repeat([[1, 2]], 4, axis=0).astype(np.uint8)
    image = np.ones((4, 2), np.float32)
    image[2, 1] = np.nan
    table = count_spots(stored(tmp_path / "labels", labels), stored(tmp_path / "image", image), threshold=0.5)
    np.testing.assert_array_equal(table["particles"], [1, np.nan])
    assert "1 objects with pixels that are not finite" in table.notes[0]
    with pytest.raises(InputError, match="tolerance"):
        count_spots(stored(tmp_path / "labels", labels), stored(tmp_path / "image", image))


@settings(max_examples=10, deadline=None)
@given(shape=st.tuples(st.integers(2, 30), st.integers(2, 30)), seed=st.integers(0, 99), far=st.integers(1, 9))
def test_labels_grow_to_the_nearest(shape: tuple[int, int], seed: int, far: int) -> None:
    labels = patches(shape, seed).astype(np.int64)
    grown = grown_labels(labels, distance=far)
    np.testing.assert_array_equal(grown > 0, expand_labels(labels, far) > 0)
    distances = {name: ndimage.distance_transform_edt(labels != name) for name in np.unique(labels[labels > 0])}
    for place in np.argwhere((grown > 0) & (labels == 0)):
        ways = {name: distance[tuple(place)] for name, distance in distances.items()}
        nearest = min(ways.values())
        assert grown[tuple(place)] == min(name for name, way in ways.items() if way == nearest)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 99), block=st.tuples(st.integers(2, 15), st.integers(2, 15)), ring=st.integers(1, 6))
def test_translocation_is_the_same_for_any_blocks_and_by_hand(seed: int, block: tuple[int, int], ring: int) -> None:
    shape = (28, 31)
    labels, image = patches(shape, seed), blobs(shape, seed)
    with tempfile.TemporaryDirectory() as folder:
        names, field = stored(Path(folder) / "labels", labels), stored(Path(folder) / "image", image)
        whole, cut = (translocation(names, field, ring=ring, block=edge, offset=0.1) for edge in (64, block))
    for name in whole.columns:
        np.testing.assert_array_equal(whole[name], cut[name], err_msg=name)
    cells, rim = grown_labels(labels.astype(np.int64), distance=ring), outline(labels.astype(np.int64))
    for k, name in enumerate(whole.labels):
        nucleus, cell = labels == name, cells == name
        cytoplasm = cell & (~nucleus | rim)
        means = [image[part].astype(np.float64).mean() - 0.1 if part.any() else np.nan
                 for part in (nucleus, cell, cytoplasm)]  # fmt: skip
        found = [whole[f"ratio_{ratio}"][k] for ratio in ("nucleus_cell", "cytoplasm_cell", "nucleus_cytoplasm")]
        np.testing.assert_allclose(found, [means[0] / means[1], means[2] / means[1], means[0] / means[2]], rtol=1e-9)


def test_a_protein_that_moves_into_the_nucleus_shows(tmp_path: Path) -> None:
    y, x = np.mgrid[:60, :60]
    away = np.hypot(y - 30, x - 30)
    nucleus = (away < 10).astype(np.uint8)
    image = np.where(away < 10, 300.0, 100.0).astype(np.float32)
    names, field = stored(tmp_path / "labels", nucleus), stored(tmp_path / "image", image)
    row = translocation(names, field, ring=8).rows()[0]
    assert row["nucleus_mean"] == 300
    assert row["ratio_nucleus_cell"] > 1 > row["ratio_cytoplasm_cell"]
    assert row["ratio_nucleus_cytoplasm"] == pytest.approx(row["nucleus_mean"] / row["cytoplasm_mean"])
    cells = stored(tmp_path / "cells", np.where(away < 20, 1, 0).astype(np.uint8))
    assert translocation(names, field, cells=cells)["cell_area"][0] == np.count_nonzero(away < 20)
    # Cells that have no nucleus are counted.
    two = stored(tmp_path / "two", np.where(away < 20, 1, 2).astype(np.uint8))
    assert translocation(names, field, cells=two).left_out == {"cells without a nucleus": 1}


def test_translocation_refuses_bad_input_and_takes_volumes(tmp_path: Path) -> None:
    labels, image = patches((5, 12, 13), 1), blobs((5, 12, 13), 1)
    names, field = volume(tmp_path / "labels", labels), volume(tmp_path / "image", image)
    tables: list[Any] = [translocation(names, field, ring=2, block=block) for block in (64, (2, 5, 6))]
    for name in tables[0].columns:
        np.testing.assert_array_equal(tables[0][name], tables[1][name])
    with pytest.raises(InputError, match="grow"):
        translocation(names, field, ring=0.5)
    with pytest.raises(InputError, match="no object"):
        translocation(volume(tmp_path / "empty", np.zeros_like(labels)), field)
