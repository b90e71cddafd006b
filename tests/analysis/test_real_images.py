"""The analyses on measured cubes: a Raman map of cartilage, and ion images of a mouse brain with pixels outside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from analysis.samples import coarse, stored

from scalesr.analysis import agreement, concordance, linescan, mean_spectra, segment
from scalesr.images import SpectralAxis, write_spectral

if TYPE_CHECKING:
    from pathlib import Path

sklearn = pytest.importorskip("sklearn")


def test_cartilage_falls_into_matrix_and_cells(data: Path, tmp_path: Path) -> None:
    with np.load(data / "hyperspectral/chondro_raman/derived_chondro_cube.npz") as file:
        pixels, wavenumber = file["cube"], file["wavenumber"]
    image = stored(tmp_path / "cube", pixels)
    write_spectral(tmp_path / "cube", SpectralAxis(values=wavenumber, quantity="wavenumber", unit="1/cm"))
    found = segment(image, tmp_path / "labels", k=3, components=5)
    assert sum(found.counts) == 25 * 35
    assert found.explained[0] > 0.5
    # The same by scikit-learn alone, with the whole cube in memory.
    spectra = pixels.reshape(len(pixels), -1).T.astype(np.float64)
    scaled = (spectra - spectra.mean(axis=0)) / spectra.std(axis=0)
    scores = pytest.importorskip("sklearn.decomposition").PCA(5, svd_solver="full").fit_transform(scaled)
    labels = pytest.importorskip("sklearn.cluster").KMeans(3, n_init=10, random_state=0).fit_predict(scores)
    theirs = stored(tmp_path / "theirs", (labels.reshape(25, 35) + 1).astype(np.uint8))
    assert agreement(found.labels, theirs).adjusted_rand > 0.98
    spectra_of = mean_spectra(image, found.labels)
    assert spectra_of.spectral is not None
    assert spectra_of.rows()[0]["position"] == wavenumber[0]
    np.testing.assert_allclose(spectra_of.mean.T @ spectra_of.n / 875, pixels.mean(axis=(1, 2)), rtol=1e-6)


def test_ion_images_go_with_themselves_and_know_their_outside(data: Path, tmp_path: Path) -> None:
    with np.load(data / "msi/plaquepicker_mouse_brain/derived_ion_images_upper.npz") as file:
        pixels = file["ion_images"][:, :264, :312]
    outside = int((~np.isfinite(pixels).all(axis=0)).sum())
    assert outside
    image = stored(tmp_path / "ions", pixels, pixel=20.0)
    found = concordance(image, image)
    np.testing.assert_allclose(np.diag(found.pearson), 1)
    np.testing.assert_allclose(np.diag(found.spearman), 1, atol=1e-9)
    assert found.left_out == {"pixels with values that are not finite": outside}
    small = concordance(image, stored(tmp_path / "small", coarse(pixels, 4), pixel=80.0))
    np.testing.assert_allclose(np.diag(small.pearson), 1)
    labels = segment(image, tmp_path / "labels", k=2, components=2, scaling="poisson")
    assert labels.left_out == {"pixels with values that are not finite": outside}
    assert int((np.asarray(labels.labels.array()[:]) == 0).sum()) == outside
    line = linescan({"ions": image}, start=(2000.0, 1000.0), stop=(3000.0, 5000.0), width=60.0)
    assert np.isfinite(line.profiles["ions"]).mean() > 0.5
