"""The physics of an instrument against closed forms, scipy, finite differences, and its own settings."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.arrays import figure, measure_arrays

from scalesr.errors import InputError
from scalesr.hyres import PRESETS, Diffraction, Disc, Gaussian, Instrument, read_instrument
from scalesr.metrics import Settings
from scalesr.metrics.blur import Chain
from scalesr.metrics.blurs import Washout
from scalesr.metrics.degradation import Area, read_degradation
from scalesr.phantoms import degrade, spectral_cube

if TYPE_CHECKING:
    from numpy.typing import NDArray

BANDS = 3
SPOTS = st.one_of(
    st.none(),
    st.floats(0, 3).map(Gaussian),
    st.floats(0, 6).map(Disc),
    st.tuples(*[st.floats(400, 900)] * BANDS).map(lambda waves: Diffraction(0.3, 600.0, waves)),
)


def positive(high: float) -> st.SearchStrategy[float | None]:
    return st.none() | st.floats(1e-3, high)


INSTRUMENTS = st.builds(
    Instrument,
    factor=st.integers(1, 5),
    spot=SPOTS,
    washout=st.floats(0, 1.5),
    counts=positive(1e4),
    gain=st.floats(0, 0.5),
    read_noise=st.floats(0, 0.1),
    dead=st.floats(0, 0.5),
    full_scale=positive(10.0),
)
MANY_KINDS = (
    Instrument(factor=4),
    Instrument(factor=3, spot=Gaussian(1.2)),
    Instrument(factor=4, spot=Disc(4.0), washout=1.0),
    Instrument(factor=2, washout=0.8),
    Instrument(factor=2, spot=Diffraction(0.3, 500.0, (450.0, 550.0, 800.0)), washout=0.4),
)


def truth_of(height: int = 40, width: int = 52, *, seed: int = 0, bands: int = BANDS) -> NDArray[np.float64]:
    return np.random.default_rng(seed).gamma(1.0, 0.3, (bands, height, width))


@pytest.mark.parametrize("spot", [None, Gaussian(1.0), Disc(3.0)])
def test_a_ramp_is_measured_at_the_centres_of_its_pixels(spot: Gaussian | Disc | None) -> None:
    ramp = np.broadcast_to(np.arange(64.0), (1, 32, 64))
    got = Instrument(factor=4, spot=spot).expected(ramp)
    assert got.shape == (1, 8, 16)
    inner = slice(2, -2)  # at the edge a mirrored ramp is none
    np.testing.assert_allclose(got[0, :, inner], np.tile(4 * np.arange(16) + 1.5, (8, 1))[:, inner], rtol=1e-12)


def test_washout_lags_behind_the_scan() -> None:
    ramp = np.broadcast_to(np.arange(96.0), (1, 4, 96))
    got = Instrument(factor=2, washout=1.5).expected(ramp)[0, :, 16:]
    kept = math.exp(-1 / 1.5)
    lag = kept / (1 - kept)  # mean of a geometric tail
    np.testing.assert_allclose(got, np.tile(2 * np.arange(16, 48) + 0.5 - lag, (2, 1)), rtol=1e-4)


@pytest.mark.parametrize("instrument", MANY_KINDS)
def test_no_light_is_lost_away_from_the_edge(instrument: Instrument) -> None:
    truth = np.zeros((3, 120, 120))
    truth[:, 56:64, 50:61] = truth_of(8, 11)
    got = instrument.expected(truth).sum((1, 2)) * instrument.factor**2
    np.testing.assert_allclose(got, truth.sum((1, 2)), rtol=1e-12)
    flat = instrument.expected(np.full((3, 24, 25), 0.7))
    np.testing.assert_allclose(flat, 0.7, rtol=1e-12)  # and where it is mirrored, none is lost from what is even


def test_the_edge_is_mirrored_as_by_scipy() -> None:
    truth = truth_of(24, 33)
    blurred = scipy.ndimage.gaussian_filter(truth, 1.5, axes=(1, 2), mode="mirror", truncate=4.0)
    expected = blurred.reshape(3, 8, 3, 11, 3).mean((2, 4))
    np.testing.assert_allclose(Instrument(factor=3, spot=Gaussian(1.5)).expected(truth), expected, rtol=1e-12)


def test_a_truth_smaller_than_the_blur_is_mirrored_again_and_again() -> None:
    truth = truth_of(4, 5)
    wide = Instrument(factor=4, spot=Gaussian(9.0), washout=4.0)
    padded = np.pad(truth, [(0, 0), (60, 60), (120, 120)], mode="reflect")
    whole = wide.expected(padded)[:, 15:16, 30:31]
    np.testing.assert_allclose(wide.expected(truth), whole, rtol=1e-12)
    one = truth_of(1, 1)
    np.testing.assert_allclose(replace(wide, factor=1).expected(one), one, rtol=1e-12)


def test_what_fills_no_pixel_is_context() -> None:
    truth = truth_of(41, 43)
    binned = Instrument(factor=4)
    np.testing.assert_array_equal(binned.expected(truth), binned.expected(truth[:, :40, :40]))
    np.testing.assert_array_equal(binned.expected(truth).astype(np.float32), degrade(truth, factor=(1, 4, 4)))
    blurred = Instrument(factor=4, spot=Gaussian(1.0))
    got, cut = blurred.expected(truth), blurred.expected(truth[:, :40, :40])
    np.testing.assert_array_equal(got[:, :-1, :-1], cut[:, :-1, :-1])
    assert (got[:, -1, -1] != cut[:, -1, -1]).all()


@settings(deadline=None, max_examples=40)
@given(instrument=INSTRUMENTS, height=st.integers(5, 40), width=st.integers(5, 40), seed=st.integers(0, 99))
def test_torch_is_numpy_up_to_rounding(instrument: Instrument, height: int, width: int, seed: int) -> None:
    truth = np.stack([truth_of(height, width, seed=seed + n) for n in range(2)])
    expected = np.stack([instrument.expected(each) for each in truth])
    double = instrument.expected_torch(torch.from_numpy(truth))
    assert double.dtype == torch.float64
    np.testing.assert_allclose(double.numpy(), expected, rtol=1e-12, atol=1e-15)
    single = instrument.expected_torch(torch.from_numpy(truth.astype(np.float32)))
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), expected, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("instrument", MANY_KINDS)
def test_gradients_are_finite_differences(instrument: Instrument) -> None:
    truth = torch.from_numpy(truth_of(7, 9)[None]).requires_grad_()
    assert torch.autograd.gradcheck(instrument.expected_torch, (truth,))


def test_shorter_formats_are_computed_in_float32() -> None:
    instrument = MANY_KINDS[2]
    truth = torch.from_numpy(truth_of().astype(np.float32))[None]
    plain = instrument.expected_torch(truth)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(instrument.expected_torch(truth), plain, rtol=0, atol=0)
    assert instrument.expected_torch(truth.half()).dtype == torch.float32


@pytest.mark.parametrize("instrument", MANY_KINDS)
def test_the_truth_is_consistent_with_what_is_expected_of_it(instrument: Instrument) -> None:
    factor = instrument.factor
    truth = truth_of(12 * factor, 16 * factor)
    text = str(instrument.degradation)
    assert read_degradation(text) == instrument.degradation
    measures = measure_arrays(
        truth, "consistency", measured=instrument.expected(truth), settings=Settings(degradation=text)
    )
    found = figure(measures, "consistency", "max difference")
    assert found.value == pytest.approx(0, abs=1e-12)
    assert found.n > 0


def test_the_degradation_is_the_blurs_and_the_area() -> None:
    assert Instrument(factor=4).degradation == Area()
    assert Instrument(factor=4, spot=Disc(2.0)).degradation == Disc(2.0)
    assert Instrument(factor=4, washout=2.0).degradation == Washout(2.0)
    both = Instrument(factor=4, spot=Gaussian(1.0), washout=2.0)
    assert both.degradation == Chain((Gaussian(1.0), Washout(2.0)))


@settings(deadline=None, max_examples=25)
@given(instrument=INSTRUMENTS, data=st.data())
def test_a_region_measured_alone_is_that_region_of_the_whole(instrument: Instrument, data: st.DataObject) -> None:
    factor, context = instrument.factor, instrument.context
    rows, columns = 2 * context[0] + 6, 2 * context[1] + 7
    truth = truth_of(rows * factor, columns * factor)
    whole = instrument.measure(truth, seed=5)
    top, left = (data.draw(st.integers(1, 3)) for _ in range(2))
    stop = (rows - 1, columns - 1)
    band = data.draw(st.integers(0, 1))
    part = truth[band:, top * factor : stop[0] * factor, left * factor : stop[1] * factor]
    alone = instrument.measure(part, seed=5, origin=(band, top, left))
    inner = tuple(slice(c, n - c) for c, n in zip(context, alone.dead.shape, strict=True))
    there = tuple(slice(first + c, end - c) for first, c, end in zip((top, left), context, stop, strict=True))
    np.testing.assert_array_equal(alone.values[(slice(None), *inner)], whole.values[(slice(band, None), *there)])
    np.testing.assert_array_equal(alone.dead[inner], whole.dead[there])


def test_an_instrument_measures_phantoms() -> None:
    truth = spectral_cube((24, 96, 80), counts=1.0, seed=3).region((slice(None),) * 3)
    for instrument in PRESETS.values():
        got = instrument.measure(truth, seed=0)
        assert got.values.shape == (24, 24, 20)
        assert got.values.dtype == np.float32
        assert (got.saturated, got.negative) == (0, 0)
        means = instrument.expected(truth)
        assert np.corrcoef(got.values.ravel(), means.ravel())[0, 1] > 0.9
        again = instrument.measure(truth, seed=0)
        np.testing.assert_array_equal(got.values, again.values)


@given(instrument=INSTRUMENTS)
def test_a_setting_reads_as_its_instrument(instrument: Instrument) -> None:
    assert Instrument.parse(str(instrument)) == instrument
    assert read_instrument(str(instrument)) == instrument
    assert Instrument.parse(str(instrument).replace(",", " , ").replace("=", " = ")) == instrument


def test_settings_and_presets_are_read() -> None:
    text = "factor=4,spot=gaussian:1.5,washout=0.5,counts=200,gain=0.05,dead=0.001"
    expected = Instrument(factor=4, spot=Gaussian(1.5), washout=0.5, counts=200, gain=0.05, dead=0.001)
    assert Instrument.parse(text) == expected
    assert str(expected) == text
    assert set(PRESETS) == {"binning", "maldi", "imc", "raman", "camera"}
    for name, preset in PRESETS.items():
        assert read_instrument(name) == preset == Instrument.parse(str(preset))
    half = read_instrument("imc, factor=2, counts=9")
    assert half == replace(PRESETS["imc"].at(2), counts=9.0)
    assert half.spot == Disc(2.0)
    assert half.washout == 0.5


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "There is no instrument ''"),
        ("microscope", r"There is no instrument 'microscope'.*binning, maldi, imc, raman, camera"),
        ("gain=0.1", "how many pixels become one"),
        ("factor=4.5", "no whole number for factor"),
        ("factor=4,gain=much", "'much' is no number for gain"),
        ("factor=4,colour=1", "'colour=1' is no property"),
        ("factor=4,gain", "is no number for gain"),
        ("factor=4,gain=0.1,gain=0.2", "said twice"),
        ("factor=4,spot=square:3", r"There is no blur 'square:3'.*disc:DIAMETER"),
        ("factor=4,spot=washout:3", "'washout:3' is no spot"),
        ("maldi,gain=x", "no number for gain"),
        ("maldi,", "'' is no property"),
        ("factor=0", "No instrument has factor=0"),
        ("factor=4,gain=-1", "No instrument has gain=-1.0"),
        ("factor=4,counts=0", "No instrument has counts=0.0"),
        ("factor=4,counts=nan,dead=1", "No instrument has counts=nan, dead=1.0"),
        ("factor=4,read_noise=inf", "No instrument has read_noise=inf"),
        ("factor=4,full_scale=-2", "No instrument has full_scale=-2.0"),
        ("factor=4,washout=1e9", "No instrument has washout=1000000000.0"),
        ("factor=4,spot=gaussian:1e9", "No instrument has spot=gaussian:1000000000"),
    ],
)
def test_what_is_no_instrument_is_refused(text: str, match: str) -> None:
    with pytest.raises(InputError, match=match):
        read_instrument(text)


def test_a_spot_is_round() -> None:
    with pytest.raises(InputError, match="No instrument has spot"):
        Instrument(factor=4, spot=Gaussian(1.0, along=(0,)))


@pytest.mark.parametrize("shape", [(40, 40), (0, 8, 8), (2, 3, 8), (2, 8, 3), (1, 2, 8, 8)])
def test_truths_of_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    instrument: Any = Instrument(factor=4)
    for measure in (instrument.expected, lambda truth: instrument.measure(truth, seed=0)):
        with pytest.raises(InputError, match="cannot be measured by 4 x 4 pixels"):
            measure(np.ones(shape))
    with pytest.raises(InputError, match=r"spectral images|cannot be measured"):
        instrument.expected_torch(torch.ones(shape if len(shape) == 3 else (1, *shape)))


def test_pixels_that_are_not_finite_are_refused() -> None:
    truth = truth_of()
    truth[1, 2, 3] = np.nan
    with pytest.raises(InputError, match="Band 1 of the truth has pixels that are not finite"):
        Instrument(factor=4).expected(truth)


def test_a_lens_knows_its_bands() -> None:
    lens = Instrument(factor=2, spot=Diffraction(0.3, 500.0, (400.0, 500.0)))
    with pytest.raises(InputError, match="2 wavelengths, and the truth has 3 bands"):
        lens.expected(truth_of())
    with pytest.raises(InputError, match="2 wavelengths, and the truth has 3 bands"):
        lens.expected_torch(torch.from_numpy(truth_of())[None])
    with pytest.raises(InputError, match="2 bands from 1 on"):
        lens.measure(truth_of(bands=2), seed=0, origin=(1, 0, 0))


def test_another_grid_of_the_truth_is_the_same_instrument() -> None:
    coarse = spectral_cube((2, 64, 64), counts=1.0).region((slice(None),) * 3)
    fine = np.repeat(np.repeat(coarse, 3, 1), 3, 2)
    binned = Instrument(factor=2)
    np.testing.assert_allclose(binned.at(6).expected(fine), binned.expected(coarse), rtol=1e-6)
    for instrument in (Instrument(factor=2, spot=Gaussian(2.0)), Instrument(factor=2, spot=Disc(5.0))):
        assert instrument.at(6).at(2) == instrument
        got, expected = instrument.at(6).expected(fine), instrument.expected(coarse)
        inner = (slice(None), slice(4, -4), slice(4, -4))
        np.testing.assert_allclose(got[inner], expected[inner], atol=0.02 * float(np.ptp(coarse)))
    assert Fraction(binned.at(6).factor, binned.factor) == 3
