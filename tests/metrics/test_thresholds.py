"""Thresholds and crossings in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import InputError
from scalesr.metrics.thresholds import (
    AT_NYQUIST,
    NO_CORRELATION,
    crossing,
    period_of,
    quantile,
    read_threshold,
    threshold_of,
    told,
)

N = np.array([8, 100, 10**8])


def test_thresholds_are_those_of_the_literature() -> None:
    np.testing.assert_array_equal(threshold_of("1/7", N), [1 / 7] * 3)
    np.testing.assert_array_equal(threshold_of("0.5", N), [0.5] * 3)
    root = np.sqrt(N)
    np.testing.assert_allclose(threshold_of("half-bit", N), (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root), 1e-4)
    np.testing.assert_allclose(threshold_of("one-bit", N), (0.5 + 2.4142 / root) / (1.5 + 1.4142 / root), 1e-4)
    np.testing.assert_allclose(threshold_of("three-sigma", N), 3 / (root + 2), 1e-12)


def test_many_pixels_bring_information_thresholds_to_their_signal_to_noise_ratio() -> None:
    snr = (math.sqrt(2) - 1) / 2
    assert threshold_of("half-bit", 10**12)[()] == pytest.approx(snr / (snr + 1), rel=1e-4)
    assert threshold_of("one-bit", 10**12)[()] == pytest.approx(1 / 3, rel=1e-4)


@given(place=st.floats(1.01, 9.0))
def test_the_crossing_of_a_straight_line_is_exact(place: float) -> None:
    rings = np.arange(11, dtype=np.float64)
    frequency = rings * 0.1
    correlation = 0.5 + (place - rings) * 0.04
    assert crossing(frequency, correlation, np.full(11, 0.5))[()] == pytest.approx(place * 0.1)


def test_the_first_of_several_crossings_counts() -> None:
    curve = np.array([1, 1, 0.8, 0.0, 0.9, 0.9])
    assert crossing(np.arange(6.0), curve, np.full(6, 0.4))[()] == pytest.approx(2.5)


def test_what_does_not_cross_has_no_number() -> None:
    curves = np.array([[1.0, 1, 1, 1], [1, 0.1, 0.9, 0.9], [0, 0.6, 0.4, 0.4]])
    periods = period_of(crossing(np.arange(4.0), curves, np.full(4, 0.5)))
    np.testing.assert_allclose(periods, [AT_NYQUIST, NO_CORRELATION, 1 / 1.5])
    assert told(periods[0]) == (None, "at or below Nyquist")
    assert told(periods[1]) == (None, "no correlation")
    assert told(2.5) == (2.5, "")


def test_the_mean_of_the_image_is_passed_over() -> None:
    assert crossing(np.arange(3.0), np.array([-1.0, 1, 0]), np.full(3, 0.5))[()] == pytest.approx(1.5)


def test_quantiles_do_not_mix_numbers_with_what_is_none() -> None:
    periods = np.array([3.0, AT_NYQUIST, 5.0, NO_CORRELATION])
    assert quantile(periods, 0.0) == AT_NYQUIST
    assert quantile(periods, 0.1) == 3.0  # between what is none and a number: the coarser
    assert quantile(periods, 0.5) == 4.0
    assert quantile(periods, 0.9) == NO_CORRELATION
    assert quantile(np.array([7.0]), 0.5) == 7.0


@given(st.lists(st.floats(0.5, 99), min_size=1, max_size=9), st.floats(0, 1))
def test_quantiles_of_numbers_are_those_of_numpy(periods: list[float], share: float) -> None:
    assert quantile(np.array(periods), share) == pytest.approx(float(np.quantile(periods, share)))


def test_any_ratio_of_signal_to_noise() -> None:
    np.testing.assert_allclose(threshold_of("snr:0.5", N), threshold_of("one-bit", N), rtol=1e-15)
    assert threshold_of("snr:3", 10**12)[()] == pytest.approx(0.75, rel=1e-4)


@pytest.mark.parametrize("text", ["0.2", "snr:", "snr:0", "snr:inf", "snr:loud", "two-bit"])
def test_an_unknown_threshold_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="no threshold"):
        read_threshold(text)
