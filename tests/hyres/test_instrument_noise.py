"""The laws of the noise, in numpy and in torch, and what is counted of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from scalesr.hyres import Instrument

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Measure = Callable[[Instrument, NDArray[np.float32]], NDArray[np.float64]]

SIZE = 256


def by_numpy(instrument: Instrument, truth: NDArray[np.float32]) -> NDArray[np.float64]:
    return instrument.measure(truth, seed=11).values.astype(np.float64)


def by_torch(instrument: Instrument, truth: NDArray[np.float32]) -> NDArray[np.float64]:
    generator = torch.Generator().manual_seed(11)
    return instrument.measure_torch(torch.from_numpy(truth)[None], generator=generator)[0].double().numpy()


EACH_WAY = pytest.mark.parametrize("measure", [by_numpy, by_torch])


def flat(*levels: float) -> NDArray[np.float32]:
    return np.stack([np.full((SIZE, SIZE), level, np.float32) for level in levels])


def correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@EACH_WAY
def test_counts_follow_poisson(measure: Measure) -> None:
    levels, counts = (0.0, 0.03, 0.5, 2.0), 50.0
    got = measure(Instrument(factor=1, counts=counts), flat(*levels))
    np.testing.assert_allclose(got * counts, np.round(got * counts), atol=1e-4)
    for values, level in zip(got, levels, strict=True):
        assert values.mean() == pytest.approx(level, abs=5 * np.sqrt(level / counts) / SIZE + 1e-12)
        assert values.var() == pytest.approx(level / counts, rel=0.03)
    assert abs(correlation(got[1], got[2])) < 0.02  # bands are counted apart
    assert abs(correlation(got[2][1:], got[2][:-1])) < 0.02


@EACH_WAY
def test_the_gain_has_mean_one_and_is_that_of_the_pixel(measure: Measure) -> None:
    got = measure(Instrument(factor=1, gain=0.3), flat(1.0, 5.0))
    assert got.min() > 0
    assert got[0].mean() == pytest.approx(1, abs=5 * 0.3 / SIZE)
    assert got[0].std() == pytest.approx(0.3, rel=0.03)
    assert np.log(got[0]).std() == pytest.approx(np.sqrt(np.log1p(0.09)), rel=0.02)
    np.testing.assert_allclose(got[1], 5 * got[0], rtol=1e-6)  # the same in all bands


@EACH_WAY
def test_gain_comes_before_counts_and_variances_add(measure: Measure) -> None:
    got = measure(Instrument(factor=1, counts=40.0, gain=0.2, read_noise=0.1), flat(2.0))
    assert got.mean() == pytest.approx(2, abs=0.01)
    assert got.var() == pytest.approx(2.0 / 40 + (0.2 * 2) ** 2 + 0.1**2, rel=0.03)


@EACH_WAY
def test_the_noise_of_the_reading_is_normal_in_each_band(measure: Measure) -> None:
    got = measure(Instrument(factor=1, read_noise=0.25), flat(0.0, 1.0)) - np.array([0.0, 1.0])[:, None, None]
    assert abs(got.mean()) < 5 * 0.25 / SIZE
    assert got.std() == pytest.approx(0.25, rel=0.02)
    assert np.mean(np.abs(got) < 0.25) == pytest.approx(0.6827, abs=0.01)
    assert abs(correlation(got[0], got[1])) < 0.02


@EACH_WAY
def test_dead_pixels_are_zero_in_all_bands(measure: Measure) -> None:
    got = measure(Instrument(factor=2, dead=0.2, read_noise=0.1), flat(1.0, 3.0))
    dead = got[0] == 0
    assert dead.mean() == pytest.approx(0.2, abs=0.02)
    np.testing.assert_array_equal(got[1] == 0, dead)


@EACH_WAY
def test_nothing_is_above_full_scale(measure: Measure) -> None:
    got = measure(Instrument(factor=1, read_noise=0.1, full_scale=1.0), flat(1.0))
    assert got.max() == 1
    assert (got == 1).mean() == pytest.approx(0.5, abs=0.02)


def test_all_that_is_cut_off_is_counted() -> None:
    instrument = Instrument(factor=2, read_noise=0.1, full_scale=1.0, dead=0.3)
    got = instrument.measure(flat(1.0, 0.1, 9.0), seed=0)
    assert got.saturated == (got.values == 1).sum()  # dead pixels are not among them
    assert (got.values[2] == 1).sum() == (~got.dead).sum()
    np.testing.assert_array_equal(got.values[:, got.dead], 0)
    assert got.negative == 0


def test_expected_intensities_below_zero_give_no_counts_and_are_counted() -> None:
    truth = flat(1.0, -0.5)
    truth[0, :4, :4] = -1
    got = Instrument(factor=4, counts=10.0).measure(truth, seed=0)
    assert got.negative == 1 + (SIZE // 4) ** 2
    assert not got.values[1].any()
    assert got.values[0, 0, 0] == 0
    plain = Instrument(factor=4).measure(truth, seed=0)  # without counts, a negative intensity is one like another
    assert plain.negative == 0
    assert plain.values[1].max() == -0.5


def test_seeds_bands_and_kinds_of_noise_are_apart() -> None:
    instrument = Instrument(factor=1, counts=20.0, gain=0.2, dead=0.1)
    one, same, other = (instrument.measure(flat(1.0, 1.0), seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.values, same.values)
    assert abs(correlation(one.dead, other.dead)) < 0.02
    assert abs(correlation(one.values[0][~one.dead & ~other.dead], other.values[0][~one.dead & ~other.dead])) < 0.02
    gains = instrument.noise.pixels(1, np.arange(SIZE), np.arange(SIZE)).gains
    assert gains is not None
    assert abs(correlation(gains, one.dead)) < 0.02


def test_no_noise_is_no_noise() -> None:
    truth = np.random.default_rng(0).random((2, 12, 16), dtype=np.float32)
    instrument = Instrument(factor=4)
    np.testing.assert_array_equal(instrument.measure(truth, seed=0).values, instrument.expected(truth).astype("f4"))
    assert not instrument.measure(truth, seed=0).dead.any()


def test_training_pairs_repeat_with_their_generator_and_differ_within_a_batch() -> None:
    instrument = Instrument(factor=2, counts=20.0, gain=0.2, read_noise=0.1, dead=0.1)
    truth = torch.ones((2, 1, 64, 64), requires_grad=True)
    one, same = (instrument.measure_torch(truth, generator=torch.Generator().manual_seed(4)) for _ in range(2))
    assert not one.requires_grad
    assert one.shape == (2, 1, 32, 32)
    torch.testing.assert_close(one, same, rtol=0, atol=0)
    assert abs(correlation(one[0].numpy(), one[1].numpy())) < 0.1
