"""Blurs against dense kernels, moments, counted subpixels, and their own texts."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.arrays import figure, measure_arrays

from scalesr.errors import InputError
from scalesr.metrics import Settings
from scalesr.metrics.blur import Chain, area_taps
from scalesr.metrics.blurs import TAIL, WIDTH, Diffraction, Disc, Gaussian, Washout
from scalesr.metrics.degradation import Area, blurred, degrade, margin, read_blur, read_degradation, weights_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.blur import Blur

LENGTHS = st.floats(0, 6, allow_subnormal=False)
WAVES = st.lists(st.floats(300, 1500), min_size=1, max_size=4).map(tuple)
PLAIN = st.one_of(
    LENGTHS.map(Gaussian),
    st.floats(0, 4).map(Washout),
    LENGTHS.map(Disc),
    st.builds(Diffraction, st.floats(0.1, 1.4), st.floats(500, 3000), WAVES),
)


def dense(blur: Blur, band: int = 0) -> NDArray[np.float64]:
    """Return the kernel of a blur in a plane, with the blurred pixel in the middle."""
    edge = 2 * blur.reach + 1
    kernel = np.zeros((edge, edge))
    for y, x in blur.lines(2, band):
        whole = []
        for line in (y, x):
            row = np.zeros(edge)
            row[blur.reach + line.start : blur.reach + line.start + len(line.weights)] = line.weights
            whole.append(row)
        kernel += np.outer(*whole)
    return kernel


def moments(blur: Blur) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and variance of a kernel along y and x."""
    kernel = dense(blur)
    at = np.indices(kernel.shape) - blur.reach
    mean = np.array([(kernel * axis).sum() for axis in at])
    return mean, np.array([(kernel * (axis - m) ** 2).sum() for axis, m in zip(at, mean, strict=True)])


@settings(deadline=None, max_examples=60)
@given(blur=PLAIN, other=PLAIN)
def test_no_light_is_lost_and_no_weight_is_negative(blur: Blur, other: Blur) -> None:
    both = blur if None not in (blur.bands, other.bands) else Chain((blur, other))
    for each in (blur, both):
        for band in range(each.bands or 1):
            kernel = dense(each, band)
            assert kernel.sum() == pytest.approx(1, abs=1e-12)
            assert kernel.min() >= 0


@pytest.mark.parametrize(
    "blur",
    [
        Gaussian(1.3),
        Washout(0.7),
        Disc(4.0),
        Disc(3.3),
        Diffraction(0.2, 700.0, (400.0, 900.0)),
        Chain((Disc(3.0), Washout(1.0))),
        Chain((Gaussian(0.8), Disc(2.0), Washout(0.3))),
    ],
)
@pytest.mark.parametrize("ratio", [Fraction(1), Fraction(4), Fraction(3, 2)])
def test_terms_are_the_dense_kernel_before_the_area_mean(blur: Blur, ratio: Fraction) -> None:
    image = np.random.default_rng(0).random((2, 72, 72))
    wide = max(margin(blur, (ratio, ratio)))
    first, stop = int(wide / ratio), int((72 - wide) / ratio)
    got = degrade(image, blur, ratio=(ratio, ratio), spans=((first, stop),) * 2)
    for band, plane in enumerate(image):
        # scipy's origin is the middle, and its kernel is turned round: correlate with what lies before
        smooth = scipy.ndimage.correlate(plane, dense(blur, band if blur.bands else 0), mode="constant")
        expected = degrade(smooth[None], Area(), ratio=(ratio, ratio), spans=((first, stop),) * 2)
        np.testing.assert_allclose(got[band], expected[0], rtol=1e-11)


@settings(deadline=None, max_examples=25)
@given(diameter=st.floats(1.01, 9))
def test_a_disc_weighs_pixels_by_their_overlap(diameter: float) -> None:
    kernel, fine = dense(Disc(diameter)), 60
    reach = Disc(diameter).reach
    at = (np.arange((2 * reach + 1) * fine) + 0.5) / fine - reach - 0.5
    inside = (at[:, None] ** 2 + at**2 <= diameter**2 / 4).astype(float)
    shares = inside.reshape(2 * reach + 1, fine, 2 * reach + 1, fine).mean((1, 3)) / (math.pi * diameter**2 / 4)
    np.testing.assert_allclose(kernel, shares, atol=0.02 / diameter**2)
    np.testing.assert_allclose(kernel, kernel.T, rtol=0, atol=1e-14)
    np.testing.assert_array_equal(kernel, kernel[::-1])


def test_a_disc_of_a_pixel_or_less_is_no_blur() -> None:
    for diameter in (0.0, 0.5, 1.0):
        assert dense(Disc(diameter)).tolist() == [[1.0]]


def test_variances_add_up() -> None:
    parts = (Gaussian(1.5), Disc(3.0), Washout(0.8), Gaussian(0.6))
    mean, variance = moments(Chain(parts))
    np.testing.assert_allclose(mean, sum(moments(each)[0] for each in parts), atol=1e-12)
    np.testing.assert_allclose(variance, sum(moments(each)[1] for each in parts), rtol=1e-12)
    # in the continuum: sigma^2 for the Gaussian, and d^2 / 16 for the disc, with 1 / 12 for the pixel
    np.testing.assert_allclose(moments(Gaussian(1.5))[1], 1.5**2, rtol=2e-3)
    np.testing.assert_allclose(moments(Disc(9.0))[1], 9**2 / 16 + 1 / 12, rtol=1e-2)


@pytest.mark.parametrize("length", [0.2, 1.0, 3.5])
def test_a_washout_is_a_geometric_tail_behind_each_pixel(length: float) -> None:
    pulse = np.zeros((1, 1, 90))
    pulse[0, 0, 30] = 1.0
    ones = (Fraction(1), Fraction(1))
    lead = margin(Washout(length), ones)[1]
    padded = np.pad(pulse, [(0, 0), (0, 0), (lead, 0)])
    tail = degrade(padded, Washout(length), ratio=ones, spans=((0, 1), (lead, lead + 90)))[0, 0]
    kept = math.exp(-1 / length)
    assert not tail[:30].any()  # nothing comes before it was there
    reach = math.ceil(TAIL * length)
    expected = (1 - kept) * kept ** np.arange(min(reach, 60))
    np.testing.assert_allclose(tail[30 : 30 + len(expected)], expected, rtol=2e-4)
    assert not tail[31 + reach :].any()


def test_diffraction_is_a_gaussian_for_each_wavelength() -> None:
    lens = Diffraction(0.25, 500.0, (500.0, 1000.0))
    assert lens.bands == 2
    for band, width in enumerate((0.51 * 500 / 0.25 / 500, 0.51 * 1000 / 0.25 / 500)):
        assert lens.lines(2, band) == Gaussian(width / WIDTH).lines(2, 0) == Gaussian.of_width(width).lines(2, 0)
    assert lens.reach == Gaussian.of_width(4.08).reach
    assert len(weights_of(lens, (Fraction(2), Fraction(2))).terms) == 2


def test_blurs_of_a_volume_keep_to_their_axes() -> None:
    ones = (Fraction(1),) * 3
    for blur in (Disc(5.0), Washout(1.0), Chain((Disc(3.0), Washout(0.5)))):
        wide = margin(blur, ones)
        assert wide[0] == 0
        assert (wide[1] == 0) == isinstance(blur, Washout)
        assert wide[2] == blur.reach
    assert margin(Gaussian(1.0), ones) == (4, 4, 4)


@given(blur=PLAIN)
def test_a_text_reads_as_its_blur(blur: Blur) -> None:
    assert read_blur(str(blur)) == blur
    assert read_degradation(str(blur)) == blur
    assert blur.text.endswith("then area mean")


@settings(deadline=None)
@given(blurs=st.lists(PLAIN, min_size=2, max_size=3))
def test_a_text_reads_as_its_chain(blurs: list[Blur]) -> None:
    if len({blur.bands for blur in blurs} - {None}) > 1:
        with pytest.raises(InputError, match="different numbers of bands"):
            Chain(tuple(blurs))
        return
    chain = Chain(tuple(blurs))
    assert read_degradation(str(chain)) == chain == blurred(blurs)
    assert read_degradation(str(chain).replace("+", " + ")) == chain
    assert chain.reach == sum(blur.reach for blur in blurs)


def test_a_plus_may_be_that_of_an_exponent() -> None:
    assert read_degradation("gaussian:1e+1+washout:2.5e-1") == Chain((Gaussian(10.0), Washout(0.25)))


@pytest.mark.parametrize(
    "text",
    [
        "gaussian:1.5+",
        "washout:-1",
        "washout:inf",
        "disc",
        "disc:3:4",
        "area+gaussian:1",
        "gaussian:1+rows",
        "diffraction:0.5",
        "diffraction:0.5:100:",
        "diffraction:0:100:500",
        "diffraction:0.5:100:500/-1",
    ],
)
def test_what_is_no_blur_is_refused_with_the_choices(text: str) -> None:
    with pytest.raises(InputError, match="disc:DIAMETER"):
        read_degradation(text)


@pytest.mark.parametrize("make", [Gaussian, Washout, Disc])
@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan])
def test_no_blur_has_such_a_length(make: type[Gaussian | Washout | Disc], value: float) -> None:
    with pytest.raises(InputError, match="pixels is none"):
        make(value)


@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_finer_grid_leaves_the_blur_as_it_is_on_the_sample(factor: float) -> None:
    parts: tuple[Blur, ...] = (Gaussian(2.0), Disc(6.0), Washout(1.0), Diffraction(0.3, 400.0, (700.0,)))
    for blur in (*parts, Chain(parts)):
        assert blur.scaled(factor).scaled(1 / factor) == blur
    assert Gaussian(2.0).scaled(factor) == Gaussian(2.0 * factor)
    lens = Diffraction(0.3, 400.0, (700.0,))
    assert lens.scaled(factor).lines(2, 0) == Gaussian.of_width(0.51 * 700 / 0.3 / 400 * factor).lines(2, 0)


@pytest.mark.parametrize(
    "degradation", ["disc:5", "washout:1.2", "gaussian:1+washout:0.5", "diffraction:0.2:900:400/600+disc:2"]
)
@pytest.mark.parametrize("cell", [(16, 16), (64, 96)])
def test_consistency_knows_every_blur(degradation: str, cell: tuple[int, int]) -> None:
    output = np.random.default_rng(1).gamma(2.0, 50.0, (2, 64, 96)).astype(np.float32)
    blur = read_degradation(degradation)
    ratio = (Fraction(4), Fraction(4))
    pads = [(p, p) for p in margin(blur, ratio)]
    spans = tuple((p // 4, p // 4 + n // 4) for (p, _), n in zip(pads, output.shape[1:], strict=True))
    measured = degrade(np.pad(output, [(0, 0), *pads], mode="reflect"), blur, ratio=ratio, spans=spans)
    chosen = Settings(degradation=degradation)
    measures = measure_arrays(output, "consistency", measured=measured, cell=cell, settings=chosen)
    found = figure(measures, "consistency", "max difference")
    assert found.value == pytest.approx(0, abs=1e-9)
    assert set(found.left_out) == {"border"}
    assert "then area mean" in found.note


def test_consistency_refuses_other_wavelengths_than_bands() -> None:
    output = np.ones((2, 32, 32), np.float32)
    with pytest.raises(InputError, match="is for 3 bands, and the image has 2"):
        measure_arrays(
            output,
            "consistency",
            measured=output[:, ::2, ::2],
            settings=Settings(degradation="diffraction:0.5:500:400/500/600"),
        )


def test_areas_of_a_period_cover_it_once() -> None:
    for ratio in (Fraction(1), Fraction(4), Fraction(3, 2), Fraction(48, 13)):
        total = np.zeros(ratio.numerator)
        for each in area_taps(ratio):
            total[each.start : each.start + len(each.weights)] += each.weights
        np.testing.assert_allclose(total, float(1 / ratio), rtol=1e-12)
