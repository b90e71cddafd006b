"""Degradations against block means, scipy, and sums over partial pixels."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.errors import InputError
from scalesr.metrics.blurs import Gaussian
from scalesr.metrics.degradation import Area, Degradation, RowSampling, degrade, margin, read_degradation
from scalesr.metrics.ground import ground_of
from scalesr.metrics.patch import Patch
from scalesr.metrics.resampling import enlarge
from scalesr.models import kernels
from scalesr.models.baselines import Interpolation
from scalesr.phantoms import degrade as block_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

RATIOS = (Fraction(1), Fraction(2), Fraction(4), Fraction(3, 2), Fraction(48, 13))
DEGRADATIONS = (Area(), RowSampling(), Gaussian(0.8), Gaussian(2.5))


def whole_image(image: NDArray[Any], degradation: Degradation, ratio: tuple[Fraction, ...]) -> NDArray[np.float64]:
    """Degrade without a margin to spare: what lies beyond the image's edges is zero."""
    pad = margin(degradation, ratio)
    padded = np.pad(image, [(0, 0), *((p, p) for p in pad)])
    spans = [(int(p / r), int((p + n) / r)) for p, n, r in zip(pad, image.shape[1:], ratio, strict=True)]
    return degrade(padded, degradation, ratio=ratio, spans=spans)


def area_of_one(line: NDArray[np.float64], low: Fraction, high: Fraction) -> float:
    """Return the mean over a stretch of a line, by the definition."""
    parts = [
        (float(max(Fraction(0), min(high, Fraction(n + 1)) - max(low, Fraction(n)))), line[n]) for n in range(len(line))
    ]
    return math.fsum(w * x for w, x in parts) / float(high - low)


def test_whole_ratios_are_the_block_means_of_the_phantoms() -> None:
    image = np.random.default_rng(0).integers(0, 60000, (2, 12, 16, 20), np.uint16)
    got = whole_image(image, Area(), (Fraction(3), Fraction(2), Fraction(4)))
    assert got.dtype == np.float64
    expected = block_means(image, factor=(1, 3, 2, 4))
    np.testing.assert_array_equal(got.astype(np.float32), expected)


@pytest.mark.parametrize("ratio", RATIOS)
def test_fractional_ratios_weigh_partial_pixels(ratio: Fraction) -> None:
    count = 3 * ratio.denominator
    line = np.random.default_rng(1).normal(100, 20, int(count * ratio))
    image = np.broadcast_to(line, (1, 2, len(line)))
    got = whole_image(image, Area(), (Fraction(1), ratio))
    expected = [area_of_one(line, m * ratio, (m + 1) * ratio) for m in range(count)]
    np.testing.assert_allclose(got[0], [expected, expected], rtol=1e-13)
    assert got.mean() == pytest.approx(line.mean(), rel=1e-13)  # no light is lost


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7])
def test_the_gaussian_is_that_of_scipy_before_the_area_mean(sigma: float) -> None:
    image = np.random.default_rng(2).normal(size=(1, 24, 36))
    blurred = scipy.ndimage.gaussian_filter(image[0], sigma, mode="constant", truncate=4.0)
    ratio = (Fraction(2), Fraction(3))
    expected = blurred.reshape(12, 2, 12, 3).mean((1, 3))
    np.testing.assert_allclose(whole_image(image, Gaussian(sigma), ratio)[0], expected, rtol=1e-12, atol=1e-14)
    along = scipy.ndimage.gaussian_filter1d(image[0], sigma, axis=1, mode="constant").reshape(12, 2, 12, 3).mean((1, 3))
    np.testing.assert_allclose(whole_image(image, Gaussian(sigma, (1,)), ratio)[0], along, rtol=1e-12, atol=1e-14)


def test_rows_take_the_nearest_plane_and_leave_the_others() -> None:
    ratio = Fraction(48, 13)
    image = np.random.default_rng(3).normal(size=(1, 96, 5, 4))
    got = whole_image(image, RowSampling(), (ratio, Fraction(1), Fraction(1)))
    expected = image[:, [math.floor(k * ratio + Fraction(1, 2)) for k in range(26)]]
    np.testing.assert_array_equal(got, expected)


@settings(deadline=None, max_examples=25)
@given(
    ratio=st.tuples(st.sampled_from(RATIOS), st.sampled_from(RATIOS)),
    degradation=st.sampled_from(DEGRADATIONS),
    seed=st.integers(0, 99),
)
def test_a_region_is_the_region_of_the_whole(ratio: tuple[Fraction, ...], degradation: Degradation, seed: int) -> None:
    random = np.random.default_rng(seed)
    image = random.integers(0, 255, (2, 96, 96), np.uint8)
    whole = whole_image(image, degradation, ratio)
    lead = margin(degradation, ratio)
    counts = [int(n / r) for n, r in zip(image.shape[1:], ratio, strict=True)]
    firsts = [int(p / r) for p, r in zip(lead, ratio, strict=True)]
    spans = [(int(random.integers(f, c - f)), c - f) for f, c in zip(firsts, counts, strict=True) if f < c - f]
    if len(spans) == 2:
        part = degrade(image, degradation, ratio=ratio, spans=spans)
        np.testing.assert_array_equal(part, whole[(slice(None), *(slice(*span) for span in spans))])


def patch_of(output: NDArray[Any], measured: NDArray[Any], ratio: Fraction, **more: Any) -> Patch:
    facts: dict[str, Any] = {
        "output": output,
        "measured": measured,
        "reference": None,
        "mask": None,
        "start": (0, 0),
        "cell": output.shape[1:],
        "shape": output.shape[1:],
        "ratio": (ratio, ratio),
    }
    return Patch(**{**facts, **more})


def test_what_is_missing_takes_the_measured_pixels_over_it_along() -> None:
    output, measured = np.ones((2, 12, 12), np.float32), np.ones((2, 6, 6), np.float32)
    output[0, 5, 5] = np.nan
    measured[1, 0, 0] = np.inf
    mask = np.ones((12, 12), bool)
    mask[10:, 10:] = False
    ground = ground_of(patch_of(output, measured, Fraction(2), mask=mask), Area())
    assert ground.counts is not None
    assert ground.missing.tolist() == [2, 2]
    assert not ground.counts[0, 2, 2]
    assert not ground.counts[1, 0, 0]
    assert not ground.counts[:, 5, 5].any()
    assert np.isfinite(ground.output).all()
    assert np.isfinite(ground.measured).all()


def test_a_missing_reference_pixel_makes_no_difference() -> None:
    output = np.ones((1, 4, 4), np.float32)
    reference = np.full_like(output, np.nan)
    ground = ground_of(patch_of(output, output[:, ::2, ::2], Fraction(2), reference=reference), Area())
    assert ground.counts is None
    assert ground.pixels == ground.size == 4


def test_ground_that_is_cut_by_the_end_is_not_answered_for() -> None:
    output, measured = np.ones((1, 7, 7)), np.ones((1, 5, 5))  # 5 * 3/2 = 7.5
    ground = ground_of(patch_of(output, measured, Fraction(3, 2)), Area())
    assert ground.spans == ((0, 4), (0, 4))
    assert ground.pixels == 25


@pytest.mark.parametrize("text", ["", "boxes", "gaussian", "gaussian:", "gaussian:-1", "gaussian:nan", "area:2"])
def test_bad_degradations_are_refused_with_the_choices(text: str) -> None:
    with pytest.raises(InputError, match="area, rows, gaussian:SIGMA"):
        read_degradation(text)


def test_degradations_are_read() -> None:
    read = [read_degradation(text) for text in ("area", "rows", "gaussian:1.5")]
    assert read == [Area(), RowSampling(), Gaussian(1.5)]
    assert all(each.text for each in read)
    assert [read_degradation(str(each)) for each in read] == read


@pytest.mark.parametrize("ratio", [Fraction(2), Fraction(4), Fraction(3, 2), Fraction(48, 13)])
def test_enlarging_is_the_cubic_baseline(ratio: Fraction) -> None:
    import torch  # noqa: PLC0415 only here

    image = np.random.default_rng(4).normal(size=(26, 39)).astype(np.float32)
    if ratio.denominator == 2:
        image = image[:, :38]
    scale = (ratio, ratio)
    model = Interpolation("cubic", axes="yx", scale=scale)
    expected = model(torch.from_numpy(image)[None, None], torch.zeros((1, 2)))[0, 0].numpy()
    np.testing.assert_allclose(enlarge(image, scale), expected, rtol=1e-5, atol=1e-5)
    assert kernels.receptive("cubic", ratio) <= 2
