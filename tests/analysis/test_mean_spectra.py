"""Mean spectra of regions: against numpy, the same bits for any chunks, and nothing dropped without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from analysis.samples import coarse, phantom, stored

from scalesr.analysis import cube as cubes
from scalesr.analysis import mean_spectra
from scalesr.errors import InputError
from scalesr.images import SpectralAxis, write_spectral

if TYPE_CHECKING:
    from pathlib import Path


def test_figures_are_those_of_numpy(tmp_path: Path) -> None:
    pixels, labels = phantom(96)
    pixels[3, 5, 7] = np.nan
    labels[0, :10] = 0
    mask = np.ones(labels.shape, np.uint8)
    mask[50:, 90:] = 0
    image = stored(tmp_path / "cube", pixels)
    found = mean_spectra(
        image, stored(tmp_path / "labels", labels.astype(np.uint8)), mask=stored(tmp_path / "mask", mask)
    )
    counted = (mask != 0) & np.isfinite(pixels).all(axis=0)
    for k, label in enumerate(found.labels):
        inside = pixels[:, counted & (labels == label)].astype(np.float64)
        assert found.n[k] == inside.shape[1]
        np.testing.assert_allclose(found.mean[k], inside.mean(axis=1), rtol=1e-12)
        np.testing.assert_allclose(found.deviation[k], inside.std(axis=1), rtol=1e-7)
        np.testing.assert_array_equal(found.of(label), found.mean[k])
    assert found.left_out == {
        "pixels without a label": 10,
        "pixels outside the mask": 46 * 6,
        "pixels with values that are not finite": 1,
    }
    assert sum(found.n) + sum(found.left_out.values()) == labels.size
    assert len(found.rows()) == len(found.labels) * len(pixels)
    with pytest.raises(InputError, match="no region 99"):
        found.of(99)


def test_chunks_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, labels = phantom(200, bands=6)
    named = stored(tmp_path / "labels", labels.astype(np.uint8))
    monkeypatch.setattr("scalesr.metrics.walk.EDGES", {2: 64, 3: 32})
    first = mean_spectra(stored(tmp_path / "a", pixels, chunks=(6, 32, 40)), named)
    second = mean_spectra(stored(tmp_path / "b", pixels, chunks=(1, 200, 200)), named)
    monkeypatch.setattr(cubes, "STRETCH_BYTES", 1)
    third = mean_spectra(stored(tmp_path / "c", pixels, chunks=(2, 150, 150)), named)
    for other in (second, third):
        assert first.n == other.n
        np.testing.assert_array_equal(first.mean, other.mean)
        np.testing.assert_array_equal(first.deviation, other.deviation)


def test_a_measurement_is_asked_about_the_regions_of_what_was_restored(tmp_path: Path) -> None:
    pixels, labels = phantom(128)
    named = stored(tmp_path / "labels", labels.astype(np.uint8))
    after = mean_spectra(stored(tmp_path / "fine", pixels), named)
    before = mean_spectra(stored(tmp_path / "coarse", coarse(pixels, 4), pixel=4.0), named)
    blocks = labels.reshape(32, 4, 32, 4)
    mixed = int((blocks.min(axis=(1, 3)) != blocks.max(axis=(1, 3))).sum())
    assert before.left_out == {"pixels of several labels": mixed}
    assert sum(before.n) + mixed == 32 * 32
    angles = before.angles_to(after)
    assert set(angles) == set(before.labels) & set(after.labels)
    assert max(angles.values()) < 8
    # Brightness alone is no difference.
    twice = mean_spectra(stored(tmp_path / "twice", 2 * pixels), named)
    assert max(after.angles_to(twice).values()) < 1e-6


def test_the_mask_beside_an_image_counts_unasked(tmp_path: Path) -> None:
    pixels, labels = phantom(64)
    there = np.zeros((64, 64), np.bool_)
    there[:, :40] = True
    image = stored(tmp_path / "cube", pixels, mask=there)
    found = mean_spectra(image, stored(tmp_path / "labels", labels.astype(np.uint8)))
    assert sum(found.n) == 64 * 40
    assert found.left_out == {"pixels outside the mask": 64 * 24}


def test_labels_may_not_be_hashes(tmp_path: Path) -> None:
    pixels, labels = phantom(64, bands=3)
    image, named = stored(tmp_path / "cube", pixels), stored(tmp_path / "labels", labels.astype(np.uint64))
    found = mean_spectra(image, named, mask=stored(tmp_path / "mask", (labels == 2).astype(np.int8)))
    assert found.labels == (2,)
    assert found.n == (int((labels == 2).sum()),)
    with pytest.raises(InputError, match="beyond 64-bit"):
        mean_spectra(image, stored(tmp_path / "hashes", labels.astype(np.uint64) + np.uint64(2**63)))


def test_bands_are_drawn_at_their_numbers(tmp_path: Path) -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    pixels, labels = phantom(64, bands=5)
    image = stored(tmp_path / "cube", pixels)
    write_spectral(tmp_path / "cube", SpectralAxis(values=np.array([5.0, 1, 2, 3, 4]), quantity="m/z"))
    found = mean_spectra(image, stored(tmp_path / "labels", labels.astype(np.uint8)))
    axes = figure.add_subplot()
    found.plot(axes, label=found.labels[0], name="before")
    assert axes.get_xlabel() == "m/z"
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), np.roll(found.mean[0], -1))
    assert found.rows()[0]["position"] == 5.0


def test_other_images_are_refused(tmp_path: Path) -> None:
    pixels, labels = phantom(64)
    image = stored(tmp_path / "cube", pixels)
    with pytest.raises(InputError, match="do not cover the same ground"):
        mean_spectra(image, stored(tmp_path / "short", labels[:60].astype(np.uint8)))
    with pytest.raises(InputError, match="has a label"):
        mean_spectra(image, stored(tmp_path / "none", np.zeros((64, 64), np.uint8)))
    found = mean_spectra(image, stored(tmp_path / "labels", labels.astype(np.uint8)))
    other = mean_spectra(stored(tmp_path / "few", pixels[:3]), stored(tmp_path / "l2", labels.astype(np.uint8)))
    with pytest.raises(InputError, match="24 and of 3 bands"):
        found.angles_to(other)
