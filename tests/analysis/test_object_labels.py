"""Labels do not know how the image was cut, and are those of the whole image in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from analysis.object_samples import blobs, stored, volume
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import filters, measure, morphology

from scalesr.analysis.objects import label_objects
from scalesr.analysis.objects.labelling import CUT, TOO_LARGE, TOO_SMALL
from scalesr.engine import StageAdvanced, StageStarted
from scalesr.errors import InputError, OutputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.objects.labelling import Split
    from scalesr.images import Image

label: Any = measure.label  # scikit-image has no types
h_maxima: Any = morphology.h_maxima
threshold_otsu: Any = filters.threshold_otsu


def pixels(image: Image) -> NDArray[Any]:
    return np.asarray(image.array()[...])


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    block=st.tuples(st.integers(3, 17), st.integers(3, 17)),
    seed=st.integers(0, 99),
    share=st.floats(0.2, 0.8),
)
def test_connected_parts_are_those_of_scikit_image_for_any_blocks(
    shape: tuple[int, int], block: tuple[int, int], seed: int, share: float
) -> None:
    noise = blobs(shape, seed, sigma=0.8)
    level = float(np.quantile(noise, share))
    with tempfile.TemporaryDirectory() as folder:
        image = stored(Path(folder) / "image", noise)
        made = label_objects(image, Path(folder) / "out", sigma=0, threshold=level, split="none", block=block)
        expected = label(noise > level)
        np.testing.assert_array_equal(pixels(made.labels), expected)
        assert made.number == expected.max()


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(2, 36), st.integers(2, 36)),
    block=st.tuples(st.integers(3, 17), st.integers(3, 17)),
    seed=st.integers(0, 99),
    depth=st.sampled_from([0.0, 0.4, 1.0]),
)
def test_a_watershed_is_the_same_for_any_blocks(
    shape: tuple[int, int], block: tuple[int, int], seed: int, depth: float
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        image = stored(Path(folder) / "image", blobs(shape, seed, sigma=1.6))
        options: Any = {"sigma": 0.6, "threshold": 0.49, "depth": depth, "reach": 5.0}
        whole = label_objects(image, Path(folder) / "whole", block=64, **options)
        cut = label_objects(image, Path(folder) / "cut", block=block, **options)
        np.testing.assert_array_equal(pixels(whole.labels), pixels(cut.labels))
        # What is parted is a part of what is connected, and nothing is lost.
        smooth = ndimage.gaussian_filter(pixels(image).astype(np.float64), 0.6)
        np.testing.assert_array_equal(pixels(cut.labels) > 0, smooth > 0.49)
        for part in range(1, cut.number + 1):
            assert label(pixels(cut.labels) == part).max() == 1


def test_the_watershed_leaves_as_many_objects_as_an_h_maxima_transform_finds(tmp_path: Path) -> None:
    noise = blobs((70, 80), 4, sigma=3.0)
    image = stored(tmp_path / "image", noise)
    made = label_objects(image, tmp_path / "out", sigma=0, threshold=0.5, depth=1.0, reach=30, block=29)
    distance = np.rint(ndimage.distance_transform_edt(noise > 0.5) * 1024).astype(np.int64)
    # A maximum counts where it rises by more than the depth, that is by a step more of the whole numbers.
    peaks = label(h_maxima(distance, 1025))
    # Parts with a single maximum that is lower than that are objects all the same.
    alone = sum(not peaks[part == n].any() for part in [label(noise > 0.5)] for n in range(1, part.max() + 1))
    assert made.number == peaks.max() + alone


def discs(*places: tuple[float, float, float], shape: tuple[int, int] = (60, 90)) -> NDArray[np.uint16]:
    y, x = np.mgrid[: shape[0], : shape[1]]
    inside = np.any([(y - a) ** 2 + (x - b) ** 2 < r * r for a, b, r in places], axis=0)
    return np.where(inside, 900, 100).astype(np.uint16)


@pytest.mark.parametrize(("split", "number"), [("none", 2), ("distance", 3)])
def test_discs_that_touch_are_parted(tmp_path: Path, split: Split, number: int) -> None:
    image = stored(tmp_path / "image", discs((25, 25, 12), (25, 45, 12), (45, 75, 8)))
    made = label_objects(image, tmp_path / "out", sigma=1, split=split, block=32)
    found = pixels(made.labels)
    assert made.number == number
    assert 100 < made.threshold < 900
    if split == "distance":
        assert found[25, 25] != found[25, 45]
        # The border lies where the neck is.
        assert abs(int(np.flatnonzero(found[25] == found[25, 45])[0]) - 35) <= 1


def test_the_threshold_is_otsus(tmp_path: Path) -> None:
    noisy = blobs((50, 60), 3) + discs((20, 20, 9), (40, 45, 6), shape=(50, 60)).astype(np.float32) / 400
    made = label_objects(stored(tmp_path / "image", noisy), tmp_path / "out", sigma=1.5, split="none", block=17)
    smooth = ndimage.gaussian_filter(noisy.astype(np.float64), 1.5)
    assert made.threshold == pytest.approx(threshold_otsu(smooth), rel=1e-12)


@given(seed=st.integers(0, 999), edge=st.integers(24, 60), ramp=st.sampled_from([0.0, 1.0, 50.0]))
@settings(max_examples=20, deadline=None)
def test_noise_and_uneven_light_are_no_objects(seed: int, edge: int, ramp: float) -> None:
    noise = np.random.default_rng(seed).normal(100, 1, (edge, edge)) + ramp * np.linspace(0, 1, edge)
    with tempfile.TemporaryDirectory() as folder:
        image = stored(Path(folder) / "image", noise.astype(np.float32))
        with pytest.raises(InputError, match="No object stands out"):
            label_objects(image, Path(folder) / "out", sigma=1)
        assert not (Path(folder) / "out").exists()


def test_volumes_with_long_pixels_are_labelled(tmp_path: Path) -> None:
    z, y, x = np.mgrid[:8, :30, :40]
    centres = ((4, 12, 10), (4, 12, 22), (3, 22, 33))
    inside = np.any([(3 * (z - a)) ** 2 + (y - b) ** 2 + (x - c) ** 2 < 49 for a, b, c in centres], axis=0)
    image = volume(tmp_path / "image", inside.astype(np.uint8), scale=(3.0, 1.0, 1.0))
    options: Any = {"sigma": 0, "threshold": 0.5, "reach": 9}
    whole = label_objects(image, tmp_path / "whole", block=64, **options)
    cut = label_objects(image, tmp_path / "cut", block=(3, 13, 11), **options)
    assert (whole.number, cut.number) == (3, 3)
    np.testing.assert_array_equal(pixels(whole.labels), pixels(cut.labels))


def test_what_is_too_small_too_large_or_cut_has_no_label_and_is_counted(tmp_path: Path) -> None:
    image = stored(tmp_path / "image", discs((20, 20, 3), (20, 50, 12), (40, 75, 6), (59, 10, 8)))
    made = label_objects(
        image, tmp_path / "out", sigma=0, threshold=500, smallest=40, largest=300, cut="leave out", block=20
    )
    assert made.number == 1
    assert made.left_out == {TOO_SMALL: 1, TOO_LARGE: 1, CUT: 1}
    assert set(np.unique(pixels(made.labels))) == {0, 1}
    assert pixels(made.labels)[40, 75] == 1


def test_labels_below_an_image_are_listed_there(tmp_path: Path) -> None:
    image = stored(tmp_path / "image", discs((20, 20, 9)))
    for name in ("nuclei", "cells", "nuclei"):
        label_objects(image, tmp_path / "image" / "labels" / name, mode="overwrite")
    group: Any = zarr.open_group(tmp_path / "image", mode="r")
    assert group["labels"].attrs["ome"]["labels"] == ["cells", "nuclei"]
    assert group["labels/nuclei"].attrs["ome"]["image-label"] == {"source": {"image": "../../"}}


def test_what_is_done_is_told_and_finished_labels_are_kept(tmp_path: Path) -> None:
    image = stored(tmp_path / "image", discs((20, 20, 9), (40, 70, 8)))
    heard: list[Any] = []
    options: Any = {"block": 32, "callbacks": [heard.append], "mode": "resume"}
    made = label_objects(image, tmp_path / "out", **options)
    stages = [(event.name, event.total) for event in heard if isinstance(event, StageStarted)]
    names = ["looking at the brightness", "finding a threshold", "finding objects", "numbering objects"]
    assert stages == [(name, 6) for name in names]
    assert sum(isinstance(event, StageAdvanced) for event in heard) == 24
    heard.clear()
    again = label_objects(image, tmp_path / "out", **options)
    assert not heard
    assert (again.number, again.threshold, again.left_out) == (made.number, made.threshold, made.left_out)
    with pytest.raises(OutputError, match=r"sigma was 2\.0, now 1\.0"):
        label_objects(image, tmp_path / "out", sigma=1.0, **options)
    # Who is killed leaves an image that nobody takes for whole; it is begun anew.
    group: Any = zarr.open_group(tmp_path / "out", mode="r+")
    group.attrs.put({"scalesr": {"state": "running"}})
    assert label_objects(image, tmp_path / "out", **options).number == made.number
    assert heard


def test_an_image_without_objects_has_none_and_a_flat_one_no_threshold(tmp_path: Path) -> None:
    image = stored(tmp_path / "image", np.full((20, 20), 7, np.uint8))
    made = label_objects(image, tmp_path / "out", threshold=8)
    assert made.number == 0
    assert not pixels(made.labels).any()
    with pytest.raises(InputError, match="no threshold parts"):
        label_objects(image, tmp_path / "flat")
    assert not (tmp_path / "flat").exists()


def test_bad_input_is_refused(tmp_path: Path) -> None:
    image = stored(tmp_path / "image", np.full((8, 8), np.nan, np.float32))
    with pytest.raises(InputError, match="not finite"):
        label_objects(image, tmp_path / "out")
    good = stored(tmp_path / "good", discs((20, 20, 9)))
    label_objects(good, tmp_path / "out")
    with pytest.raises(OutputError, match="exists"):
        label_objects(good, tmp_path / "out")
    for wrong in ({"sigma": -1}, {"depth": float("nan")}, {"reach": 0}, {"threshold": float("inf")}, {"block": 0}):
        options: Any = wrong
        with pytest.raises(InputError):
            label_objects(good, tmp_path / "wrong", **options)
    with pytest.raises(InputError, match="channels"):
        label_objects(good, tmp_path / "wrong", channel="dna")
