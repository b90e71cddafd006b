"""Segmentation: tissues come back, components are those of scikit-learn, and nothing depends on how an image is cut."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from analysis.samples import phantom, stored
from hypothesis import given
from hypothesis import strategies as st

from scalesr.analysis import agreement, assign, segment
from scalesr.analysis import cube as cubes
from scalesr.analysis.clusters import SAMPLE
from scalesr.analysis.components import Components, Scaling
from scalesr.analysis.sampling import Sample
from scalesr.analysis.walk import Walk
from scalesr.errors import InputError, OutputError, PlanError
from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

decomposition = pytest.importorskip("sklearn.decomposition")


def noisy(edge: int = 128, *, bands: int = 24, counts: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    pixels, labels = phantom(edge, bands=bands)
    rng = np.random.default_rng(0)
    return rng.poisson(counts * pixels).astype(np.uint16), labels.astype(np.uint8)


@pytest.mark.parametrize("scaling", ["standard", "poisson", "none"])
def test_components_are_those_of_scikit_learn(tmp_path: Path, scaling: Scaling) -> None:
    pixels, _ = noisy(64)
    walk = Walk.open(stored(tmp_path / "cube", pixels), mask=None, storage_options=None)
    found = Components.fit(walk, components=4, scaling=scaling)
    spectra = pixels.reshape(len(pixels), -1).T.astype(np.float64)
    gain = {
        "standard": spectra.std(axis=0),
        "poisson": np.sqrt(spectra.mean(axis=0)),
        "none": np.ones(len(pixels)),
    }[scaling]
    gain *= (spectra.std(axis=0) / gain).max()
    np.testing.assert_allclose(found.gain, gain, rtol=1e-9)
    scaled = (spectra - spectra.mean(axis=0)) / gain
    pca = decomposition.PCA(4, svd_solver="full").fit(scaled)
    np.testing.assert_allclose(found.explained, pca.explained_variance_ratio_, atol=1e-5)
    alike = np.abs((found.vectors * pca.components_.T).sum(axis=0))
    np.testing.assert_allclose(alike, 1, atol=1e-4)
    scores = found.project(pixels.reshape(len(pixels), -1))
    np.testing.assert_allclose(np.abs(scores), np.abs(pca.transform(scaled).T), atol=0.05)


@given(st.integers(1, 40), st.integers(0, 2**31), st.randoms(use_true_random=False))
def test_a_sample_depends_on_places_alone(most: int, seed: int, random: Any) -> None:
    cells = [((y, y + 8), (x, x + 8)) for y in range(0, 24, 8) for x in range(0, 16, 8)]
    found = []
    for turn in range(2):
        sample = Sample(most=most, seed=seed)
        if turn:
            random.shuffle(cells)
        for rows, columns in cells:
            y, x = np.mgrid[slice(*rows), slice(*columns)]
            sample.add(rows, columns, (y + x) % 3 != 0, np.stack([y, x])[:, (y + x) % 3 != 0].astype(np.float64))
        found.append(sample)
    np.testing.assert_array_equal(found[0].places, found[1].places)
    np.testing.assert_array_equal(found[0].values, found[0].places)
    assert len(found[0].places) == min(most, 24 * 16 * 2 // 3)
    assert ((found[0].places.sum(axis=1) % 3) != 0).all()


def test_tissues_come_back(tmp_path: Path) -> None:
    pixels, truth = noisy()
    found = segment(stored(tmp_path / "cube", pixels), str(tmp_path / "labels"), k=4, components=6)
    same = agreement(found.labels, stored(tmp_path / "truth", truth))
    assert same.adjusted_rand > 0.6
    assert found.counts == tuple(np.bincount(np.asarray(found.labels.array()[:]).ravel(), minlength=5)[1:])
    assert sum(found.counts) == truth.size
    assert list(found.explained) == sorted(found.explained, reverse=True)
    assert len(found.rows()) == 4
    assert found.labels.axis_names == ("y", "x")
    assert found.labels.levels[0].translation == open_image(tmp_path / "cube").levels[0].translation[1:]
    assert len(found.labels.levels) == 1


def test_chunks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, _ = noisy(150, bands=6)
    monkeypatch.setattr("scalesr.metrics.walk.EDGES", {2: 64, 3: 32})
    one = segment(stored(tmp_path / "a", pixels, chunks=(6, 50, 64)), str(tmp_path / "one"), k=3, components=3)
    monkeypatch.setattr(cubes, "STRETCH_BYTES", 1)
    two = segment(stored(tmp_path / "b", pixels, chunks=(1, 150, 33)), str(tmp_path / "two"), k=3, components=3)
    np.testing.assert_array_equal(one.clusters.centres, two.clusters.centres)
    np.testing.assert_array_equal(one.labels.array()[:], two.labels.array()[:])


def test_pixels_that_do_not_count_have_no_label(tmp_path: Path) -> None:
    pixels, _ = noisy(64, bands=6)
    floats = pixels.astype(np.float32)
    floats[2, 10, 10] = np.inf
    floats[3, 20, 20] = 1e9
    there = np.ones((64, 64), np.bool_)
    there[:, 60:] = False
    mask = np.ones((64, 64), np.uint8)
    mask[:5] = 0
    found = segment(
        stored(tmp_path / "cube", floats, mask=there),
        str(tmp_path / "labels"),
        k=2,
        components=2,
        mask=stored(tmp_path / "mask", mask),
        scaling="poisson",
    )
    labels = np.asarray(found.labels.array()[:])
    none = ~there | (mask == 0)
    none[10, 10] = True
    np.testing.assert_array_equal(labels == 0, none)
    assert found.left_out["pixels outside the mask"] == int((~there | (mask == 0)).sum())
    assert found.left_out["pixels with values that are not finite"] == 1
    assert labels[20, 20] != 0


def test_clusters_label_other_images(tmp_path: Path) -> None:
    pixels, _ = noisy(96, counts=20.0)
    found = segment(stored(tmp_path / "cube", pixels), str(tmp_path / "own"), k=4, components=6)
    again = assign(stored(tmp_path / "same", pixels), tmp_path / "again", clusters=found.clusters)
    np.testing.assert_array_equal(found.labels.array()[:], again.labels.array()[:])
    assert again.counts == found.counts
    other = np.random.default_rng(1).poisson(20.0 * phantom(96)[0]).astype(np.uint16)
    there = assign(stored(tmp_path / "other", other), tmp_path / "there", clusters=found.clusters)
    assert agreement(found.labels, there.labels).accuracy > 0.95
    with pytest.raises(InputError, match="found in 24"):
        assign(stored(tmp_path / "few", other[:5]), tmp_path / "few labels", clusters=found.clusters)


def test_other_seeds_find_the_same_clusters_where_they_are_clear(tmp_path: Path) -> None:
    pixels, _ = noisy(96, counts=20.0)
    image = stored(tmp_path / "cube", pixels)
    found = [segment(image, str(tmp_path / f"{seed}"), k=3, components=4, seed=seed) for seed in (0, 1)]
    assert agreement(found[0].labels, found[1].labels).adjusted_rand > 0.95


def test_what_cannot_be_clustered_is_refused(tmp_path: Path) -> None:
    image = stored(tmp_path / "cube", noisy(64, bands=6)[0])
    with pytest.raises(InputError, match="1 clusters"):
        segment(image, str(tmp_path / "labels"), k=1)
    with pytest.raises(InputError, match="are equal"):
        segment(stored(tmp_path / "flat", np.ones((3, 32, 32))), str(tmp_path / "labels"), k=2)
    # Nothing is left behind that would be in the way.
    assert not (tmp_path / "labels").exists()
    below = stored(tmp_path / "below", -noisy(64, bands=6)[0].astype(np.float32))
    with pytest.raises(InputError, match="negative mean"):
        segment(below, str(tmp_path / "l2"), k=2, scaling="poisson")
    segment(image, str(tmp_path / "done"), k=2, components=2)
    with pytest.raises(OutputError, match="already exists"):
        segment(image, str(tmp_path / "done"), k=2)
    segment(image, str(tmp_path / "done"), k=3, components=2, mode="overwrite")


@pytest.mark.skipif(find_spec("umap") is not None, reason="umap-learn is installed")
def test_umap_says_what_it_needs(tmp_path: Path) -> None:
    image = stored(tmp_path / "cube", noisy(64, bands=6)[0])
    with pytest.raises(PlanError, match=r"scalesr\[umap\]"):
        segment(image, str(tmp_path / "labels"), k=2, method="umap+kmeans")
    assert not (tmp_path / "labels").exists()


@pytest.mark.slow  # it compiles itself for two minutes
@pytest.mark.skipif(find_spec("umap") is None, reason="needs umap-learn")
@pytest.mark.filterwarnings("ignore")
def test_umap_finds_the_tissues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, truth = noisy(96, counts=5.0)
    monkeypatch.setitem(SAMPLE, "umap+kmeans", 1000)
    image = stored(tmp_path / "cube", pixels)
    found = segment(image, str(tmp_path / "labels"), k=4, method="umap+kmeans", components=6)
    assert found.clusters.centres.shape == (4, 2)
    assert agreement(found.labels, stored(tmp_path / "truth", truth)).adjusted_rand > 0.5


def test_labels_are_drawn(tmp_path: Path) -> None:
    axes = pytest.importorskip("matplotlib.figure").Figure().add_subplot()
    image = stored(tmp_path / "cube", noisy(64, bands=6)[0])
    found = segment(image, str(tmp_path / "labels"), k=2, components=2)
    found.plot(axes)
    assert axes.images[0].get_array().shape == (64, 64)
