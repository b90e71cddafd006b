"""Classification: areas under the curve against scikit-learn, and places that are really kept apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from analysis.samples import coarse, phantom, stored
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.analysis import Classification, classify
from scalesr.analysis import cube as cubes
from scalesr.analysis.cube import Cube
from scalesr.analysis.holdout import NEITHER, TEST, TRAIN, Holdout
from scalesr.analysis.roc import BINS, REACH, bins_of, roc_of
from scalesr.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

metrics = pytest.importorskip("sklearn.metrics")


@given(st.integers(0, 2**31), st.integers(2, 400), st.sampled_from([0.0, 1.0, 40.0]))
def test_areas_are_those_of_scikit_learn(seed: int, n: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    own = rng.random(n) < 0.4
    own[:2] = True, False
    scores = spread * rng.standard_normal(n).round(2) + own
    bins = bins_of(scores)
    curve = roc_of(3, *(np.bincount(bins[own == side], minlength=BINS) for side in (False, True)))
    assert curve.auc == pytest.approx(metrics.roc_auc_score(own, bins), abs=1e-12)
    false, true, _ = metrics.roc_curve(own, bins, drop_intermediate=False)
    np.testing.assert_allclose(curve.false_positives, false, atol=1e-12)
    np.testing.assert_allclose(curve.true_positives, true, atol=1e-12)
    assert (curve.positives, curve.negatives) == (own.sum(), (~own).sum())
    assert (np.diff(curve.thresholds) < 0).all()


def test_scores_keep_their_order_in_bins() -> None:
    scores = np.linspace(-REACH, REACH, BINS)
    np.testing.assert_array_equal(bins_of(scores), np.arange(BINS))
    np.testing.assert_array_equal(bins_of(np.array([-np.inf, np.inf])), [0, BINS - 1])
    nobody = roc_of(1, np.zeros(BINS, np.int64), np.ones(BINS, np.int64))
    assert nobody.auc is None


@settings(max_examples=30)
@given(
    n=st.integers(20, 90),
    square=st.floats(4.0, 10.0),
    gap=st.floats(0.0, 3.5),
    times=st.sampled_from([1, 2, 4]),
    edge=st.floats(-20.0, 20.0),
)
def test_training_and_testing_lie_a_gap_apart(
    tmp_path_factory: pytest.TempPathFactory, n: int, square: float, gap: float, times: int, edge: float
) -> None:
    folder = tmp_path_factory.mktemp("holdout")
    train = Cube.open(stored(folder / "train", np.zeros((n, n)), edge=(edge, 0.0)))
    test = Cube.open(stored(folder / "test", np.zeros((n // times, n // times)), pixel=times, edge=(edge, 0.0)))
    board = Holdout.of(train, test, square=square, gap=gap)
    parts = [board.part(cube, (0, cube.shape[0]), (0, cube.shape[1]), factor=1.0) for cube in (train, test)]
    places = [
        np.stack(np.nonzero(part == which), axis=1) * pixel + pixel / 2
        for part, which, pixel in zip(parts, (TRAIN, TEST), (1, times), strict=True)
    ]
    if len(places[0]) and len(places[1]):
        # Along one axis at least, the gap lies between any two.
        some = places[1][:: max(1, len(places[1]) // 50)]
        apart = np.abs(places[0][:, None] - some).max(axis=2).min()
        assert apart >= gap - 1e-9
    # Any part of a region lies where that of the whole does.
    np.testing.assert_array_equal(board.part(train, (3, 9), (5, 17), factor=1.0), parts[0][3:9, 5:17])
    assert (parts[0] == NEITHER).any() or gap < 1


def sample(tmp_path: Path, *, noise: float) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    pixels, labels = phantom(128, bands=16)
    rng = np.random.default_rng(2)
    return (pixels + noise * rng.standard_normal(pixels.shape)).astype(np.float32), labels.astype(np.uint8)


def run(
    tmp_path: Path, name: str, pixels: NDArray[np.float32], labels: NDArray[np.uint8], **more: object
) -> Classification:
    chunks = (16, 64, 64) if name == "a" else (1, 50, 128)
    image = stored(tmp_path / f"{name} cube", pixels, chunks=chunks)
    named = stored(tmp_path / f"{name} labels", labels, chunks=chunks[1:])
    return classify(image, named, image, named, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("model", ["logistic", "lda", "forest"])
def test_tissues_are_told_apart_where_nobody_trained(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(classify.__globals__, "MOST", 500)
    pixels, labels = sample(tmp_path, noise=8.0)
    found = run(tmp_path, "a", pixels, labels, model=model)
    assert found.labels == tuple(np.unique(labels).tolist())
    assert found.mean_auc is not None
    assert found.mean_auc > 0.95
    assert found.accuracy > 0.8
    assert found.holdout is not None
    assert found.n + sum(found.left_out.values()) == labels.size
    assert sum(found.trained.values()) < labels.size / 2
    assert [row["label"] for row in found.rows()] == list(found.labels)


def test_noise_tells_nothing(tmp_path: Path) -> None:
    _, labels = sample(tmp_path, noise=0.0)
    pixels = np.random.default_rng(0).standard_normal((5, *labels.shape)).astype(np.float32)
    found = run(tmp_path, "a", pixels, labels)
    for curve in found.curves.values():
        assert curve.auc is not None
        if min(curve.positives, curve.negatives) > 300:
            assert abs(curve.auc - 0.5) < 0.08


def test_a_forest_learns_neighbours_by_heart_unless_places_are_kept_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(classify.__globals__, "MOST", 1000)
    # Every pixel's spectrum is that of its neighbourhood, classes are random patches: only memory can tell them.
    rng = np.random.default_rng(0)
    patches = rng.integers(1, 3, (16, 16)).astype(np.uint8)
    labels = np.kron(patches, np.ones((8, 8), np.uint8))
    marks = np.kron(rng.standard_normal((6, 16, 16)), np.ones((8, 8)))
    pixels = (marks + 0.01 * rng.standard_normal(marks.shape)).astype(np.float32)
    honest = run(tmp_path, "a", pixels, labels, model="forest")
    assert honest.mean_auc is not None
    assert honest.mean_auc < 0.7
    careless = run(tmp_path, "b", pixels, labels, model="forest", holdout="none")
    assert careless.mean_auc is not None
    assert careless.mean_auc > 0.95
    assert careless.holdout is None


def test_chunks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = sample(tmp_path, noise=30.0)
    monkeypatch.setattr("scalesr.metrics.walk.EDGES", {2: 64, 3: 32})
    monkeypatch.setitem(classify.__globals__, "MOST", 300)
    one = run(tmp_path, "a", pixels, labels)
    monkeypatch.setattr(cubes, "STRETCH_BYTES", 1)
    two = run(tmp_path, "b", pixels, labels)
    np.testing.assert_array_equal(one.confusion, two.confusion)
    for label in one.labels:
        np.testing.assert_array_equal(one.curves[label].true_positives, two.curves[label].true_positives)
        assert one.curves[label].auc == two.curves[label].auc
        assert one.trained[label] <= 300


def test_a_coarser_image_is_tested_on_pure_pixels(tmp_path: Path) -> None:
    pixels, labels = sample(tmp_path, noise=1.0)
    fine, named = stored(tmp_path / "fine", pixels), stored(tmp_path / "labels", labels)
    small = stored(tmp_path / "coarse", coarse(pixels, 4), pixel=4.0)
    there = classify(fine, named, small, named)
    back = classify(small, named, fine, named)
    assert "pixels of several labels" in there.left_out
    for found in (there, back):
        assert found.mean_auc is not None
        assert found.mean_auc > 0.9
    # Four pixels of the coarser image lie between what was trained and what was tested, and squares are larger.
    assert there.holdout is not None
    assert (there.holdout.gap, there.holdout.edge) == (16, 48)


def test_classes_that_were_not_trained_are_counted(tmp_path: Path) -> None:
    pixels, labels = sample(tmp_path, noise=1.0)
    image = stored(tmp_path / "cube", pixels)
    few = np.where(labels == labels.max(), 0, labels).astype(np.uint8)
    found = classify(image, stored(tmp_path / "few", few), image, stored(tmp_path / "all", labels), holdout="none")
    assert found.left_out == {"pixels of classes that were not trained": int((labels == labels.max()).sum())}
    assert labels.max() not in found.labels


def test_what_cannot_be_trained_or_tested_is_refused(tmp_path: Path) -> None:
    pixels, labels = sample(tmp_path, noise=1.0)
    image, named = stored(tmp_path / "cube", pixels), stored(tmp_path / "labels", labels)
    with pytest.raises(InputError, match="1 class"):
        classify(image, stored(tmp_path / "one", np.ones_like(labels)), image, named)
    with pytest.raises(InputError, match="bands"):
        classify(image, named, stored(tmp_path / "three", pixels[:3]), named)
    with pytest.raises(InputError, match="do not divide"):
        classify(image, named, image, named, square=16.0, gap=16.0)
    with pytest.raises(InputError, match="is left to test"):
        classify(image, named, image, named, mask=stored(tmp_path / "mask", np.zeros_like(labels)))
    with pytest.raises(InputError, match="'tree'"):
        classify(image, named, image, named, model="tree")  # type: ignore[arg-type]


def test_curves_are_drawn(tmp_path: Path) -> None:
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    pixels, labels = sample(tmp_path, noise=1.0)
    found = run(tmp_path, "a", pixels, labels)
    found.plot(axes)
    assert len(axes.lines) == 2 * len(found.labels)
