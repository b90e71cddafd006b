"""Cells of a screen are functions of their number, differ between conditions in what is said, and obey their optics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from scalesr.errors import InputError
from scalesr.phantoms import screen_cells
from scalesr.phantoms.screen import _BACKGROUND, _PSF, _blurred


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 5), st.integers(1, 4), st.sampled_from(["control", "treated"]), st.integers(0, 3))
def test_a_cell_is_the_same_in_any_part_of_a_screen(first: int, count: int, condition: str, seed: int) -> None:
    whole = screen_cells(9, condition=condition, seed=seed)  # type: ignore[arg-type]
    part = screen_cells(count, condition=condition, seed=seed, first=first)  # type: ignore[arg-type]
    for name in ("images", "nuclei", "ratio", "dispersal", "spots"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[first : first + count])


def test_seeds_and_conditions_share_no_cell() -> None:
    one, other, apart = (
        screen_cells(3, condition="control"),
        screen_cells(3, condition="control", seed=1),
        screen_cells(3, condition="treated"),
    )
    assert not np.array_equal(one.images, other.images)
    assert not np.array_equal(one.nuclei, apart.nuclei)


def test_conditions_are_two_deviations_apart_and_alike_in_all_else() -> None:
    control, treated = screen_cells(400, condition="control"), screen_cells(400, condition="treated")
    ratios = [np.log(each.ratio) for each in (control, treated)]
    assert np.mean(ratios[1]) - np.mean(ratios[0]) == pytest.approx(0.8, abs=0.07)
    assert np.std(ratios[0]) == pytest.approx(0.4, abs=0.04)
    assert stats.kstest(ratios[0], stats.norm(-0.4, 0.4).cdf).pvalue > 0.01
    assert treated.dispersal.mean() - control.dispersal.mean() == pytest.approx(0.4, abs=0.04)
    assert treated.spots.mean() > 1.5 * control.spots.mean()
    assert abs(np.corrcoef(ratios[0], control.dispersal)[0, 1]) < 0.12
    areas = [each.nuclei.sum(axis=(1, 2)) for each in (control, treated)]
    dna = [each.images[:, 0].mean(axis=(1, 2)) for each in (control, treated)]
    for same in (areas, dna):
        assert stats.ks_2samp(*same).pvalue > 0.01


def test_the_known_ratio_is_that_of_the_image() -> None:
    found = screen_cells(200, condition="control", photons=None)
    inside = ndimage.binary_erosion(found.nuclei, np.ones((1, 7, 7)))
    around = ndimage.binary_dilation(found.nuclei, np.ones((1, 7, 7))) & (found.nuclei == 0)
    protein = found.images[:, 1] - _BACKGROUND
    measured = [
        protein[n][inside[n]].mean() / np.median(protein[n][around[n]]) for n in range(len(found.ratio))
    ]  # spots are too few to move a median far
    assert np.corrcoef(np.log(measured), np.log(found.ratio))[0, 1] > 0.95


def test_light_is_counted_by_poisson() -> None:
    clean = screen_cells(40, condition="treated", photons=None).images
    noisy = screen_cells(40, condition="treated", photons=500.0).images
    deviations = (noisy - clean) / np.sqrt(clean / 500.0)
    assert deviations.mean() == pytest.approx(0.0, abs=0.01)
    assert deviations.std() == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(noisy * 500, np.rint(noisy * 500), atol=1e-3)


def test_the_psf_is_a_gaussian_that_keeps_the_light() -> None:
    point = np.zeros((1, 64, 64))
    point[0, 30, 33] = 1.0
    expected = ndimage.gaussian_filter(point, (0, _PSF, _PSF), radius=(0, 3, 3), mode="constant")
    np.testing.assert_allclose(_blurred(point), expected, atol=1e-12)


def test_no_cells_are_no_cells_and_wrong_wishes_are_refused() -> None:
    assert screen_cells(0, condition="control").images.shape == (0, 2, 64, 64)
    with pytest.raises(InputError, match="no condition 'drug'"):
        screen_cells(1, condition="drug")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"-1\.0 photons"):
        screen_cells(1, condition="control", photons=-1.0)
