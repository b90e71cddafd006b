"""Sums over spectra: exact, the same for any cut and any order, and honest about what they leave out."""

from __future__ import annotations

import pickle
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import InputError
from scalesr.models import spectral_sums
from scalesr.models.spectral_sums import FRACTION, RANGE, SAMPLE, SPECTRA, SpectralSums

if TYPE_CHECKING:
    from numpy.typing import NDArray


def cube(bands: int, *pixels: int, seed: int = 0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (100 + 30 * rng.standard_normal((bands, *pixels))).astype(np.float32)


def sums_of(*blocks: NDArray[Any], missing: NDArray[np.bool_] | None = None) -> SpectralSums:
    bands = len(blocks[0])
    sums = SpectralSums(offset=np.linspace(20, 60, bands), gain=np.linspace(50, 200, bands))
    for block in blocks:
        sums.add(block, missing=missing)
    return sums


def assert_same(one: SpectralSums, other: SpectralSums) -> None:
    assert (one.spectra, one.missing, one.beyond) == (other.spectra, other.missing, other.beyond)
    assert one.mean().tobytes() == other.mean().tobytes()
    assert one.covariance().tobytes() == other.covariance().tobytes()
    assert one.sample().tobytes() == other.sample().tobytes()


def test_mean_and_covariance_are_those_of_fractions_rounded_once() -> None:
    image = cube(4, 6, 5)
    sums = sums_of(image)
    normalised = (image.reshape(4, -1) - np.linspace(20, 60, 4)[:, None]) / np.linspace(50, 200, 4)[:, None]
    exact = [[Fraction(int(v), 2**FRACTION) for v in np.rint(band * 2**FRACTION)] for band in normalised]
    n = len(exact[0])
    means = [sum(band, Fraction(0)) / n for band in exact]
    assert sums.mean().tolist() == [float(mean) for mean in means]
    expected = [
        [
            float(sum(((a - p) * (b - q) for a, b in zip(one, other, strict=True)), Fraction(0)) / n)
            for other, q in zip(exact, means, strict=True)
        ]
        for one, p in zip(exact, means, strict=True)
    ]
    assert sums.covariance().tolist() == expected


@given(data=st.data(), bands=st.integers(1, 9), height=st.integers(1, 12), width=st.integers(1, 12))
@settings(max_examples=50, deadline=None)
def test_any_cut_and_any_order_of_merging_give_the_same_bits(
    data: st.DataObject, bands: int, height: int, width: int
) -> None:
    image = cube(bands, height, width, seed=data.draw(st.integers(0, 99)))
    cuts = sorted(data.draw(st.lists(st.integers(0, height), max_size=4)))
    blocks = np.split(image, cuts, axis=1)
    blocks = [blocks[n] for n in data.draw(st.permutations(range(len(blocks))))]
    split = data.draw(st.integers(0, len(blocks)))
    empty = image[:, :0]
    merged = sums_of(*blocks[:split], empty).merge(sums_of(empty, *blocks[split:]))
    assert_same(merged, sums_of(image))
    assert_same(pickle.loads(pickle.dumps(merged)), merged)


def test_more_spectra_than_one_product_takes() -> None:
    image = cube(3, SPECTRA + 100)
    assert_same(sums_of(image), sums_of(image[:, :777], image[:, 777:]))


def test_the_sample_is_of_distinct_spectra_and_alike_all_over_the_image() -> None:
    image = np.tile(cube(3, 3 * SAMPLE), 2)
    image[:, : SAMPLE // 2] = 50
    sums = sums_of(image)
    sample = sums.sample()
    assert sample.shape == (3, SAMPLE)
    assert len(np.unique(sample, axis=1).T) == SAMPLE
    # A mean of 4096 of 12288 is within 5 of its standard deviations, of which the bands have 0.6 and less.
    np.testing.assert_allclose(sample.mean(axis=1), sums_of(image[:, SAMPLE // 2 : 3 * SAMPLE]).mean(), atol=0.05)
    small = cube(3, 5, 6)
    assert sums_of(small, small).sample().shape == (3, 30)
    expected = np.sort((small.reshape(3, -1)[0] - 20) / 50)
    np.testing.assert_allclose(np.sort(sums_of(small).sample()[0]), expected, atol=2.0**-FRACTION)


def test_totals_beyond_64_bits_are_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Largest values, and a carry as early as the room of a few spectra: the sums are those of Python's integers."""
    limit = 2**RANGE
    rng = np.random.default_rng(1)
    image = rng.choice([-limit, limit, limit - 2.0**-FRACTION], size=(3, 5000))
    plain = SpectralSums(offset=np.zeros(3), gain=np.ones(3)).add(image)
    monkeypatch.setattr(spectral_sums, "_ROOM", 700)
    carried, rest = (SpectralSums(offset=np.zeros(3), gain=np.ones(3)) for _ in range(2))
    for start in range(0, 2000, 500):
        carried.add(image[:, start : start + 500])
    for start in range(2000, 5000, 500):
        rest.add(image[:, start : start + 500])
    carried.merge(rest)
    assert_same(carried, plain)
    whole = [[int(v) for v in band * 2**FRACTION] for band in image]
    n = 5000
    expected = [
        [(n * sum(a * b for a, b in zip(p, q, strict=True)) - sum(p) * sum(q)) / (n * n << 2 * FRACTION) for q in whole]
        for p in whole
    ]
    assert carried.covariance().tolist() == expected


def test_the_room_of_a_product_and_of_a_total_is_never_exceeded() -> None:
    largest = 2 ** (2 * (FRACTION + RANGE))
    assert SPECTRA * largest <= 2**53
    assert (spectral_sums._ROOM + SPECTRA + 1) * largest < 2**63


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_spectra_that_lack_a_band_are_left_out_and_counted(bad: float) -> None:
    image = cube(4, 5, 6)
    image[2, 1, 3] = bad
    image[0, 4, 4] = np.nan
    mask = np.zeros((5, 6), bool)
    mask[0] = True
    sums = sums_of(image, missing=mask)
    assert (sums.spectra, sums.missing, sums.beyond) == (30 - 8, 8, 0)
    used = np.isfinite(image).all(axis=0) & ~mask
    assert_same_figures(sums, sums_of(image[:, used]))


def assert_same_figures(one: SpectralSums, other: SpectralSums) -> None:
    assert one.mean().tobytes() == other.mean().tobytes()
    assert one.covariance().tobytes() == other.covariance().tobytes()


def test_values_beyond_the_range_leave_out_their_spectrum_and_are_counted() -> None:
    image = cube(3, 40).astype(np.float64)
    image[1, 7] = 1e300
    image[0, 9] = -1e9
    sums = sums_of(image)
    assert (sums.spectra, sums.missing, sums.beyond) == (38, 0, 2)
    assert_same_figures(sums, sums_of(np.delete(image, [7, 9], axis=1)))


def test_integers_are_summed_as_they_are() -> None:
    image = np.random.default_rng(2).integers(0, 65536, (5, 30), dtype=np.uint16)
    sums = SpectralSums(offset=np.zeros(5), gain=np.full(5, 2.0**16)).add(image)
    rounded = np.rint(image / 2**4) / 2**12
    np.testing.assert_allclose(sums.covariance(), np.cov(rounded, bias=True), atol=1e-14)


def test_what_does_not_fit_is_refused() -> None:
    sums = SpectralSums(offset=[0, 0], gain=[1, 1])
    with pytest.raises(ValueError, match="2 bands"):
        sums.add(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="mask"):
        sums.add(np.zeros((2, 4)), missing=np.zeros(3, bool))
    with pytest.raises(ValueError, match="differently"):
        sums.merge(SpectralSums(offset=[0, 0], gain=[1, 2]))
    for offset, gain in (([0.0], [0.0]), ([np.nan], [1.0]), ([0.0, 1.0], [1.0]), ([], [])):
        with pytest.raises(ValueError):
            SpectralSums(offset=offset, gain=gain)


def test_no_spectrum_at_all_is_an_error_that_says_why() -> None:
    sums = SpectralSums(offset=[0, 0], gain=[1, 1]).add(np.array([[np.nan, 1e9], [1, 1]]))
    for figures in (sums.mean, sums.covariance, sums.sample):
        with pytest.raises(InputError, match=r"1 lack a band.*1 have a value") as caught:
            figures()
        assert caught.value.remedy
