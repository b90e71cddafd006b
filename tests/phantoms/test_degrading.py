"""Block means are exact, the noise is Poisson's, and arrays and phantoms are treated alike."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from scalesr.errors import InputError
from scalesr.phantoms import cells, degrade, spectral_cube
from scalesr.phantoms.laws import normal, poisson


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 13), min_size=1, max_size=3),
    data=st.data(),
)
def test_block_means_are_those_of_numpy(shape: list[int], data: st.DataObject) -> None:
    factor = [data.draw(st.integers(1, n)) for n in shape]
    image = np.random.default_rng(0).random(shape, dtype=np.float32)
    got = degrade(image, factor=factor)
    assert got.shape == tuple(n // f for n, f in zip(shape, factor, strict=True))
    for index in np.ndindex(got.shape):
        block = tuple(slice(i * f, (i + 1) * f) for i, f in zip(index, factor, strict=True))
        assert got[index] == pytest.approx(image[block].mean(dtype=np.float64), rel=1e-6)


def test_factors_of_one_change_nothing() -> None:
    image = np.random.default_rng(0).random((5, 6), dtype=np.float32)
    np.testing.assert_array_equal(degrade(image, factor=(1, 1)), image)


def test_a_degraded_phantom_is_the_degraded_image() -> None:
    phantom = spectral_cube((12, 80, 90), seed=1)
    whole = degrade(phantom.region((slice(None),) * 3), factor=(3, 4, 4), photons=0.3, seed=7)
    lazy = degrade(phantom, factor=(3, 4, 4), photons=0.3, seed=7)
    assert lazy.shape == whole.shape == (4, 20, 22)
    assert lazy.axes == "cyx"
    np.testing.assert_array_equal(lazy.region((slice(None),) * 3), whole)


def test_degrading_twice_is_degrading_once() -> None:
    phantom = cells((64, 64), seed=2)
    twice = degrade(degrade(phantom, factor=(2, 2)), factor=(2, 2)).region((slice(None),) * 2)
    once = degrade(phantom, factor=(4, 4)).region((slice(None),) * 2)
    np.testing.assert_allclose(twice, once, rtol=1e-6)


@pytest.mark.parametrize("expected", [0.0, 0.01, 0.7, 4.0, 24.9, 25.0, 30.0, 400.0, 1e6])
def test_counts_follow_the_law_of_poisson(expected: float) -> None:
    chance = (np.arange(4001) + 0.5) / 4001
    counts = poisson(np.full(4001, expected), chance)
    exact = stats.poisson.ppf(chance, expected)
    assert np.abs(counts - exact).max() <= (0 if expected < 25.0 else 1 + 5e-4 * np.sqrt(expected))


def test_deviations_follow_the_normal_law() -> None:
    chance = (np.arange(4001) + 0.5) / 4001
    assert np.abs(normal(chance) - stats.norm.ppf(chance)).max() < 5e-4
    assert np.isfinite(normal(np.array([0.0, 1 - 2.0**-53]))).all()


@pytest.mark.parametrize("level", [0.02, 1.0, 20.0])
def test_mean_and_variance_of_the_noise(level: float) -> None:
    image = np.full((300, 300), level, np.float32)
    noisy = degrade(image, factor=(1, 1), photons=10.0, seed=3).astype(np.float64)
    assert noisy.mean() == pytest.approx(level, abs=5 * np.sqrt(level / 10.0) / 300)
    assert noisy.var() == pytest.approx(level / 10.0, rel=0.1)
    beside = np.corrcoef(noisy[:, 1:].ravel(), noisy[:, :-1].ravel())[0, 1]
    assert abs(beside) < 0.02


def test_noise_is_whole_photons_and_negative_light_is_dark() -> None:
    image = np.array([[-1.0, 0.0, 3.0]], np.float32)
    noisy = degrade(image, factor=(1, 1), photons=4.0)
    np.testing.assert_array_equal(noisy[0, :2], 0.0)
    assert float(noisy[0, 2]) * 4.0 == round(float(noisy[0, 2]) * 4.0)


@pytest.mark.parametrize("factor", [(2,), (0, 2), (2, 9), (2, 2, 2)])
def test_factors_that_do_not_fit_are_refused(factor: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="do not fit an image of shape"):
        degrade(np.zeros((8, 8), np.float32), factor=factor)


@pytest.mark.parametrize("photons", [0.0, -1.0, float("nan")])
def test_no_photons_are_refused(photons: float) -> None:
    with pytest.raises(InputError, match="photons was asked for"):
        degrade(np.zeros((8, 8), np.float32), factor=(1, 1), photons=photons)
