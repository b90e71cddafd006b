"""Figures of objects are scikit-image's, for any blocks to the last bit."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from analysis.object_samples import blobs, patches, stored, volume
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage import measure

from scalesr.analysis.objects import features_of_crops, measure_objects, statistics
from scalesr.analysis.objects.sums import mean_and_deviation, parts_of, squares_of, total
from scalesr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.tables import ObjectTable

regionprops_table: Any = measure.regionprops_table  # scikit-image has no types
PLANAR = (
    "label",
    "area",
    "centroid",
    "bbox",
    "extent",
    "equivalent_diameter_area",
    "axis_major_length",
    "axis_minor_length",
    "eccentricity",
    "perimeter",
    "perimeter_crofton",
    "euler_number",
)
SOLID = ("label", "area", "centroid", "bbox", "extent", "equivalent_diameter_area", "axis_major_length")
INTENSITY = ("intensity_mean", "intensity_std", "intensity_min", "intensity_max")


def agrees(table: ObjectTable, labels: NDArray[Any], image: NDArray[Any], properties: tuple[str, ...]) -> None:
    expected = regionprops_table(labels, np.moveaxis(image.astype(np.float64), 0, -1), properties=properties)
    for name, values in expected.items():
        # The smaller axis of a line is a difference that cancels there.
        loose = 1e-6 if "minor" in name or "ecc" in name else 1e-9
        np.testing.assert_allclose(table[name], values, rtol=1e-9, atol=loose, err_msg=name)


@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.integers(3, 40), st.integers(3, 40)),
    block=st.tuples(st.integers(1, 17), st.integers(3, 17)),
    seed=st.integers(0, 99),
    dtype=st.sampled_from(["uint8", "uint16", "int32", "float32", "float64"]),
)
def test_figures_are_those_of_scikit_image_for_any_blocks(
    shape: tuple[int, int], block: tuple[int, int], seed: int, dtype: str
) -> None:
    rng = np.random.default_rng(seed)
    labels = patches(shape, seed)
    labels[0, 0] = 11
    image = (rng.random((2, *shape)) * 250 - (100 if dtype[0] in "if" else 0)).astype(dtype)
    with tempfile.TemporaryDirectory() as folder:
        names, field = stored(Path(folder) / "labels", labels), stored(Path(folder) / "image", image)
        whole, cut = (measure_objects(names, field, block=edge) for edge in (64, block))
        assert list(whole.columns) == list(cut.columns)
        for name in whole.columns:
            np.testing.assert_array_equal(whole[name], cut[name], err_msg=name)
        agrees(whole, labels, image, PLANAR + INTENSITY)
        expected = regionprops_table(labels, properties=("orientation",))["orientation"]
        long = whole["axis_major_length"] - whole["axis_minor_length"] > 1e-6
        turned = np.abs(whole["orientation"] - expected)[long]
        np.testing.assert_allclose(np.minimum(turned, np.pi - turned), 0, atol=1e-9)
        edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        np.testing.assert_array_equal(whole["touches_edge"], np.isin(whole.labels, edge))


def test_volumes_have_the_figures_of_scikit_image(tmp_path: Path) -> None:
    labels, image = patches((9, 14, 17), 5), blobs((9, 14, 17), 6)
    names, field = volume(tmp_path / "labels", labels), volume(tmp_path / "image", image)
    tables = [measure_objects(names, field, block=block) for block in (64, (2, 5, 7))]
    for name in tables[0].columns:
        np.testing.assert_array_equal(tables[0][name], tables[1][name], err_msg=name)
    agrees(tables[0], labels, image[None], SOLID + INTENSITY)


@given(hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(-(2.0**400), 2.0**400)))
def test_sums_of_numbers_and_squares_are_exact(values: NDArray[np.float64]) -> None:
    parts = parts_of(values)
    unit = min(0, *parts)
    assert Fraction(sum(total(parts, unit=unit))) * Fraction(2) ** unit == sum(map(Fraction, values.tolist()))
    squares = squares_of(values[np.abs(values) > 2.0**-400])
    unit = min(0, *squares)
    exact = sum(Fraction(v) ** 2 for v in values.tolist() if abs(v) > 2.0**-400)
    assert Fraction(sum(total(squares, unit=unit))) * Fraction(2) ** unit == exact


def test_a_deviation_does_not_cancel(tmp_path: Path) -> None:
    labels = np.ones((6, 6), np.uint8)
    image = 1e9 + np.random.default_rng(0).random((6, 6))
    table = measure_objects(stored(tmp_path / "labels", labels), stored(tmp_path / "image", image))
    assert table["intensity_std-0"][0] == pytest.approx(np.std(image - 1e9), rel=1e-6)
    nothing = np.zeros(1, np.int64)
    assert all(np.isnan(v[0]) for v in mean_and_deviation(nothing, {0: nothing}, {0: nothing}))


def test_large_objects_far_from_the_origin_do_not_overflow() -> None:
    from scalesr.analysis.objects.shapes import geometry, shape_features  # noqa: PLC0415
    from scalesr.analysis.objects.tally import Grouping, Tally  # noqa: PLC0415

    tally, edge = Tally(), 2**20
    places = np.indices((64, 64)).reshape(2, -1)
    for k in range(2**6):
        tally.add(geometry(Grouping(np.ones(64 * 64, np.int64)), (places[0], places[1]), (edge, edge * 40 + 64 * k)))
    found = shape_features(tally.result(), shape=(edge * 100, edge * 100))
    assert found["axis_minor_length"][0] == pytest.approx(4 * np.sqrt((64**2 - 1) / 12), rel=1e-12)
    assert found["axis_major_length"][0] == pytest.approx(4 * np.sqrt((4096**2 - 1) / 12), rel=1e-12)


def test_pixels_that_are_not_finite_are_left_out_and_counted(tmp_path: Path) -> None:
    labels = np.array([[1, 1, 2, 2, 3]], np.uint8).repeat(2, axis=0)
    image = np.array([[1.0, 3.0, np.nan, np.inf, 5.0], [1.0, np.nan, np.nan, -np.inf, 5.0]])
    table = measure_objects(stored(tmp_path / "labels", labels), stored(tmp_path / "image", image), block=2)
    np.testing.assert_array_equal(table["not_finite-0"], [1, 4, 0])
    np.testing.assert_array_equal(table["intensity_mean-0"], [5 / 3, np.nan, 5])
    np.testing.assert_array_equal(table["intensity_max-0"], [3, np.nan, 5])
    np.testing.assert_array_equal(table["area"], [4, 4, 2])


def test_channels_are_chosen_and_taken_some_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, image = patches((12, 15), 1), np.random.default_rng(1).integers(0, 99, (5, 12, 15)).astype(np.uint8)
    names, field = stored(tmp_path / "labels", labels), stored(tmp_path / "image", image)
    whole = measure_objects(names, field)
    monkeypatch.setattr(statistics, "CHANNELS", 2)
    some = measure_objects(names, field)
    assert list(whole.columns) == list(some.columns)
    for name in whole.columns:
        np.testing.assert_array_equal(whole[name], some[name])
    one = measure_objects(names, field, channels=["3"])
    assert [name for name in one.columns if name.startswith("intensity_mean")] == ["intensity_mean-3"]
    assert not any(name.startswith("intensity") for name in measure_objects(names).columns)


def test_what_is_not_additive_comes_from_crops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = patches((40, 50), 2)
    monkeypatch.setattr("scalesr.analysis.objects.gathering.TILE", {2: 25})
    names = stored(tmp_path / "labels", labels)
    features = ("solidity", "area_filled", "feret_diameter_max")
    table = features_of_crops(names, features=features)
    for name, values in regionprops_table(labels, properties=features).items():
        np.testing.assert_allclose(table[name], values, err_msg=name)
    with pytest.raises(InputError, match="no feature"):
        features_of_crops(names, features=["bbox"])
    monkeypatch.setattr("scalesr.analysis.objects.gathering.TILE", {2: 3})
    lost = features_of_crops(names, features=features)
    assert "longer" in lost.notes[0]
    assert np.isnan(lost["solidity"]).any()


def test_bad_input_is_refused(tmp_path: Path) -> None:
    labels, image = patches((12, 15), 1), blobs((12, 15), 1)
    names = stored(tmp_path / "labels", labels)
    with pytest.raises(InputError, match="one of integers"):
        measure_objects(stored(tmp_path / "floats", image))
    with pytest.raises(InputError, match="no object"):
        measure_objects(stored(tmp_path / "empty", np.zeros_like(labels)))
    with pytest.raises(InputError, match="from -1"):
        measure_objects(stored(tmp_path / "negative", np.full((4, 4), -1, np.int16)))
    with pytest.raises(InputError, match="pixels along"):
        measure_objects(names, stored(tmp_path / "small", image[:-1]))
    with pytest.raises(InputError, match="with pixels of 2"):
        measure_objects(names, stored(tmp_path / "coarse", image, pixel=2.0))
    with pytest.raises(InputError, match="begins at"):
        measure_objects(names, stored(tmp_path / "moved", image, edge=(1.0, 0.0)))
    with pytest.raises(InputError, match="asked for"):
        measure_objects(names, stored(tmp_path / "image", image), channels=["dna"])
    same = measure_objects(names, stored(tmp_path / "nm", image, pixel=1000.0, unit="nanometer"))
    assert len(same) == len(np.unique(labels)) - 1
