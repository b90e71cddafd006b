"""Rings of tiles: their sums against the full transform, their geometry, and the windows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.metrics.rings import centre, correlation_of, rings_of, spectra_of, spectrum, transform, window_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.rings import Rings

TILES = st.lists(st.integers(8, 21), min_size=2, max_size=3).map(tuple)
SIZES = st.lists(st.sampled_from([0.25, 0.5, 1.0, 1.7]), min_size=3, max_size=3).map(tuple)


def full_rings(rings: Rings) -> NDArray[np.int64]:
    """Return the ring of each pixel of the full transform, -1 beyond the last."""
    axes = [np.fft.fftfreq(n, size) for n, size in zip(rings.tile, rings.pixel_size, strict=True)]
    frequency = np.sqrt(sum(np.square(f) for f in np.meshgrid(*axes, indexing="ij")))
    number = np.floor(frequency / rings.step + 0.5 + 1e-9).astype(np.int64)
    outside = (frequency > rings.nyquist * (1 + 1e-9)) | (number >= rings.count)
    return np.where(outside, -1, number)


def full_sums(values: NDArray[np.float64], number: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    inside = number >= 0
    return np.bincount(number[inside], values[inside], minlength=count).astype(np.float64)


@settings(max_examples=40, deadline=None)
@given(tile=TILES, sizes=SIZES, seed=st.integers(0, 99))
def test_sums_are_those_of_the_full_transform(tile: tuple[int, ...], sizes: tuple[float, ...], seed: int) -> None:
    rings = rings_of(tile, sizes[: len(tile)])
    a, b = np.random.default_rng(seed).standard_normal((2, *tile))
    first, second = np.fft.fftn(a), np.fft.fftn(b)
    number = full_rings(rings)
    expected = [
        full_sums(values, number, rings.count)
        for values in ((first * second.conj()).real, np.abs(first) ** 2, np.abs(second) ** 2)
    ]
    ones = np.ones(tile)
    found = rings.correlate(transform(a.copy(), ones), transform(b.copy(), ones))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-9)
    np.testing.assert_array_equal(rings.n, full_sums(np.ones(tile), number, rings.count).astype(int))


@settings(max_examples=40, deadline=None)
@given(tile=TILES, sizes=SIZES)
def test_rings_end_at_the_lowest_nyquist_frequency_and_none_is_empty(
    tile: tuple[int, ...], sizes: tuple[float, ...]
) -> None:
    rings = rings_of(tile, sizes[: len(tile)])
    assert (rings.n > 0).all()
    assert rings.n[0] == 1
    assert rings.frequency[-1] <= rings.nyquist * (1 + 1e-9)
    assert rings.frequency[-1] + rings.step > rings.nyquist
    assert (rings.radius[rings.number >= 0] * rings.step <= rings.nyquist * (1 + 1e-9)).all()


def test_rings_of_a_square_tile_are_the_usual_ones() -> None:
    rings = rings_of((64, 64), (0.5, 0.5))
    assert rings.count == 33
    assert rings.frequency[1] == pytest.approx(1 / 32)
    assert rings.frequency[-1] == rings.nyquist == 1.0
    assert rings.n[1] == 8  # four on the axes, four on the diagonals


def test_rings_follow_frequency_where_pixels_are_not_isotropic() -> None:
    rings = rings_of((16, 64, 64), (2.0, 0.5, 0.5))
    assert rings.nyquist == 0.25
    assert rings.number[1, 0, 0] == 1  # one cycle over the same 32 units along each axis
    assert rings.number[0, 1, 0] == rings.number[0, 0, 1] == 1
    assert rings.number[0, 20, 0] == -1  # finer than z can hold


def test_windows_are_those_of_scipy() -> None:
    tukey, hann = scipy.signal.windows.tukey(33, 0.25), scipy.signal.windows.hann(33)
    np.testing.assert_allclose(window_of((33, 33), "tukey"), np.outer(tukey, tukey), atol=1e-15)
    np.testing.assert_allclose(window_of((33, 33), "hann"), np.outer(hann, hann), atol=1e-15)
    hamming = np.sqrt(scipy.signal.windows.hamming(32))
    np.testing.assert_allclose(window_of((32, 32), "hamming"), np.outer(hamming, hamming), atol=1e-15)
    assert not window_of((8, 8), "tukey").flags.writeable


@given(value=st.floats(-1e12, 1e12), dtype=st.sampled_from([np.float32, np.float64]))
def test_a_constant_tile_is_centred_to_exact_zeros(value: float, dtype: type[np.floating]) -> None:
    out = np.empty((12, 13))
    mean = centre(np.full((12, 13), value, dtype), out)
    assert not out.any()
    assert mean == pytest.approx(float(dtype(value)), rel=1e-12)


@pytest.mark.parametrize("odd", [[np.nan], [np.inf], [np.inf, -np.inf]])
def test_a_missing_pixel_shows_in_the_mean(odd: list[float]) -> None:
    pixels = np.zeros((16, 16), np.float32)
    pixels.flat[: len(odd)] = odd
    assert not math.isfinite(centre(pixels, np.empty((16, 16))))
    pixels = np.zeros((16, 16), np.float32)
    pixels[[3, 12][: len(odd)], 5] = odd
    assert not math.isfinite(centre(pixels, np.empty((16, 16))))


def test_a_spectrum_leaves_the_tile_as_it_is() -> None:
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    before = pixels.copy()
    assert spectrum(pixels, np.ones((8, 8)))[0, 0] == pytest.approx(0)
    np.testing.assert_array_equal(pixels, before)


@pytest.mark.parametrize("tile", [(64, 64), (13, 10), (9, 16, 12)])
def test_a_transform_is_the_same_in_an_array_that_was_used_and_beside_other_tiles(tile: tuple[int, ...]) -> None:
    pixels, window = np.random.default_rng(0).standard_normal((2, *tile)), window_of(tile, "hann")
    expected = np.fft.rfftn(pixels * window, axes=range(1, 1 + len(tile)))
    spectra = spectra_of(pixels.shape)
    spectra.fill(np.nan)
    assert transform(pixels.copy(), window, spectra) is spectra
    np.testing.assert_allclose(spectra, expected, rtol=1e-12, atol=1e-12)
    alone = [transform(one.copy(), window) for one in pixels]
    np.testing.assert_array_equal(spectra, alone)


def test_a_ring_without_power_does_not_correlate() -> None:
    sums = np.array([[0.0, 2.0, -3.0], [0.0, 4.0, 9.0], [1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(correlation_of(sums), [0.0, 1.0, -1.0])
