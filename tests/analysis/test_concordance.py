"""Correlation with another modality: against scipy, on any pair of grids, from metadata alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from analysis.samples import coarse, phantom, stored
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr

from scalesr.analysis import Concordance, concordance
from scalesr.analysis import cube as cubes
from scalesr.analysis.areas import Areas
from scalesr.analysis.cube import Cube
from scalesr.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def test_figures_are_those_of_scipy(tmp_path: Path) -> None:
    pixels, _ = phantom(96, bands=5)
    rng = np.random.default_rng(0)
    other = np.stack([np.sqrt(pixels[1]) + 0.3 * rng.random(pixels.shape[1:]), -pixels[3], 0 * pixels[0]])
    found = concordance(stored(tmp_path / "a", pixels), stored(tmp_path / "b", other.astype(np.float32)))
    assert found.n == 96 * 96
    assert np.isnan(found.pearson[:, 2]).all()
    assert np.isnan(found.spearman[:, 2]).all()
    for a in range(5):
        for b in range(2):
            one, two = pixels[a].ravel().astype(np.float64), other[b].ravel().astype(np.float32)
            assert found.pearson[a, b] == pytest.approx(pearsonr(one, two).statistic, abs=1e-9)
            assert found.spearman[a, b] == pytest.approx(spearmanr(one, two).statistic, abs=2e-3)
    assert found.pearson[3, 1] == pytest.approx(-1)
    assert len(found.rows()) == 15


def test_ranks_see_a_small_signal_on_a_large_ground(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    signal = rng.random((80, 80))
    one, two = (10_000 + signal).astype(np.float32), np.exp(8 * signal)
    found = concordance(stored(tmp_path / "a", one), stored(tmp_path / "b", two))
    assert found.spearman[0, 0] == pytest.approx(spearmanr(one.ravel(), two.ravel()).statistic, abs=1e-4)
    assert found.pearson[0, 0] < 0.9


def test_the_coarser_grid_is_compared_on_whichever_image_it_is(tmp_path: Path) -> None:
    pixels, _ = phantom(120, bands=3)
    fine, small = stored(tmp_path / "fine", pixels), coarse(pixels, 5)
    other = stored(tmp_path / "coarse", small[:2] + np.float32(1), pixel=5.0)
    found = concordance(fine, other)
    assert found.n == 24 * 24
    assert found.pixel_size == (5.0, 5.0)
    np.testing.assert_allclose(np.diag(found.pearson), 1)
    np.testing.assert_allclose(np.diag(found.spearman), 1, atol=1e-3)
    turned = concordance(other, fine)
    np.testing.assert_array_equal(turned.pearson, found.pearson.T)
    np.testing.assert_array_equal(turned.spearman, found.spearman.T)


@settings(max_examples=40)
@given(
    st.integers(8, 40),
    st.floats(1.0, 4.0),
    st.floats(-3.0, 3.0),
    st.floats(0.1, 3.0),
)
def test_means_over_ground_hold_the_ground(
    tmp_path_factory: pytest.TempPathFactory, n: int, pixel: float, edge: float, small: float
) -> None:
    folder = tmp_path_factory.mktemp("areas")
    count = int(30 / small)
    grid = Cube.open(stored(folder / "coarse", np.zeros((n, n)), pixel=pixel, edge=(edge, edge)))
    centre = (np.arange(count) + 0.5) * small
    ramp = np.add.outer(centre, 2 * centre)
    areas = Areas(coarse=grid, fine=Cube.open(stored(folder / "fine", ramp, pixel=small)))
    rows = areas.covered(0)
    edges = edge + pixel * np.arange(n + 1)
    # A pixel counts that sticks out by less than rounding; how much that is is not this test's matter.
    out = np.maximum(-edges[:-1], edges[1:] - count * small) / pixel
    assume(not ((out > 0) & (out < 1e-4)).any())
    inside = out <= 0
    assert rows[1] - rows[0] == inside.sum()
    if rows[1] > rows[0]:
        # The mean of a linear image over ground whose edges are pixel edges is that of its centre; elsewhere pixels are
        # constant, and the error is at most a pixel's own slope.
        found = areas.read(rows, rows)[0]
        middle = (edges[:-1] + pixel / 2)[rows[0] : rows[1]]
        np.testing.assert_allclose(found, np.add.outer(middle, 2 * middle), atol=1.6 * small)
        constant = Areas(coarse=grid, fine=Cube.open(stored(folder / "one", np.full((count, count), 7.0), pixel=small)))
        np.testing.assert_allclose(constant.read(rows, rows), 7, rtol=1e-12)


def test_fractions_of_pixels_count_by_area(tmp_path: Path) -> None:
    fine = np.random.default_rng(0).random((12, 12))
    areas = Areas(
        coarse=Cube.open(stored(tmp_path / "c", np.zeros((8, 8)), pixel=1.5)),
        fine=Cube.open(stored(tmp_path / "f", fine)),
    )
    halves = np.repeat(np.repeat(fine, 2, axis=0), 2, axis=1)
    np.testing.assert_allclose(areas.read((0, 8), (0, 8))[0], coarse(halves, 3), rtol=1e-6)


def test_chunks_groups_and_stretches_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels, _ = phantom(128, bands=4)
    monkeypatch.setattr("scalesr.metrics.walk.EDGES", {2: 64, 3: 32})

    def found(name: str, chunks: tuple[int, ...]) -> Concordance:
        grey = stored(tmp_path / f"{name} grey", pixels.sum(axis=0), chunks=chunks[1:])
        return concordance(stored(tmp_path / name, coarse(pixels, 2), pixel=2.0, chunks=chunks), grey)

    one = found("one", (4, 64, 64))
    monkeypatch.setattr(cubes, "STRETCH_BYTES", 1)
    # The module has the name of its function.
    monkeypatch.setitem(concordance.__globals__, "GROUP_BYTES", 1)
    two = found("two", (1, 13, 20))
    np.testing.assert_array_equal(one.pearson, two.pearson)
    np.testing.assert_array_equal(one.spearman, two.spearman)


def test_what_is_not_measured_is_left_out_and_counted(tmp_path: Path) -> None:
    pixels, _ = phantom(64, bands=2)
    there = np.ones((64, 64), np.bool_)
    there[0, 0] = False
    other = coarse(pixels, 4)[0]
    other[5, 5] = np.nan
    mask = np.ones((16, 16), np.uint8)
    mask[15] = 0
    moved = stored(tmp_path / "other", np.pad(other, 1), pixel=4.0, edge=(-4.0, -4.0))
    marked = stored(tmp_path / "mask", np.pad(mask, 1), pixel=4.0, edge=(-4.0, -4.0))
    found = concordance(stored(tmp_path / "fine", pixels, mask=there), moved, mask=marked, bands=[1])
    assert found.left_out == {
        "pixels outside what both images cover": 18 * 18 - 256,
        "pixels outside the mask": 17,
        "pixels with values that are not finite": 1,
    }
    assert found.n == 256 - 18
    assert found.bands == ("1",)


def test_images_apart_are_refused(tmp_path: Path) -> None:
    one = stored(tmp_path / "a", np.ones((20, 20)))
    with pytest.raises(InputError, match="lies within"):
        concordance(one, stored(tmp_path / "b", np.ones((20, 20)), edge=(50.0, 0.0)))
    with pytest.raises(InputError, match="no pixel that counts"):
        concordance(one, stored(tmp_path / "c", np.full((20, 20), np.nan)))
