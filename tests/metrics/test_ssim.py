from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from scipy import ndimage
from skimage.metrics import structural_similarity

from scalesr.errors import InputError
from scalesr.metrics import PixelMap, Settings, State, make_metrics
from scalesr.metrics.gaussian import gaussian_means, weights
from scalesr.metrics.ssim import StructuralSimilarity, make_ssim
from scalesr.metrics.walk import gather, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

RANDOM = np.random.default_rng(3)


def pair(shape: tuple[int, ...], dtype: str, seed: int = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image with structure and the same with noise, shape (bands, *space)."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.random(shape), (0, *[1.5] * (len(shape) - 1)))
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    noisy = np.clip(smooth + random.normal(0, 0.05, shape), 0, 1)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    return (noisy * top).astype(dtype), (smooth * top).astype(dtype)


def similarity_map(x: NDArray[Any], y: NDArray[Any], data_range: float) -> NDArray[np.float64]:
    """Return scikit-image's map of one band, without its border."""
    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        x.astype(np.float64),
        y.astype(np.float64),
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    inner: NDArray[np.float64] = full[(slice(5, -5),) * x.ndim]
    return inner


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "cell"),
    [((1, 150, 131), (64, 64)), ((3, 70, 97), (48, 32)), ((1, 530, 525), None), ((2, 30, 41, 37), (16, 16, 32))],
)
def test_agrees_with_scikit_image(shape: tuple[int, ...], cell: tuple[int, ...] | None, dtype: str) -> None:
    x, y = pair(shape, dtype)
    data_range = float(np.iinfo(dtype).max) if x.dtype.kind == "u" else 1.0
    given_range = None if x.dtype.kind == "u" else 1.0
    got = measure_arrays(x, "ssim", reference=y, cell=cell, settings=Settings(data_range=given_range))
    expected = [similarity_map(a, b, data_range).mean() for a, b in zip(x, y, strict=True)]
    assert got[0].kind == "mean of bands"
    assert got[0].value == pytest.approx(np.mean(expected), rel=1e-9)
    assert [m.value for m in got if m.kind == "band"] == pytest.approx(expected if len(x) > 1 else [], rel=1e-9)
    assert f"data range {data_range:g}" in got[0].note
    inner = int(np.prod([n - 10 for n in shape[1:]]))
    assert got[0].n == inner * len(x)
    assert got[0].left_out == {"border": x.size - inner * len(x)}


def test_other_number_format_of_the_reference() -> None:
    x, y = pair((1, 60, 50), "uint8")
    got = measure_arrays(x, "ssim", reference=y.astype(np.float32))
    assert got[0].value == pytest.approx(similarity_map(x[0], y[0], 255).mean(), rel=1e-9)


def test_identical_is_one_to_the_last_bit() -> None:
    x, _ = pair((2, 80, 75), "float32")
    assert [m.value for m in measure_arrays(x, "ssim", reference=x, settings=Settings(data_range=1))] == [1, 1, 1]


def test_constant_images() -> None:
    x, y = np.full((1, 40, 30), 3.0), np.full((1, 40, 30), 5.0)
    got = measure_arrays(x, "ssim", reference=y, settings=Settings(data_range=10))
    constant = (0.01 * 10) ** 2
    assert got[0].value == pytest.approx((2 * 3 * 5 + constant) / (9 + 25 + constant), rel=1e-12)


@pytest.mark.parametrize("offset", [1e4, 1e7, 1e9])
def test_large_offset_keeps_the_contrast(offset: float) -> None:
    x, y = pair((1, 60, 64), "float64")
    x, y = np.round(x * 4096) / 4096, np.round(y * 4096) / 4096
    got = measure_arrays(x + offset, "ssim", reference=y + offset, settings=Settings(data_range=1))
    # The luminance is one there, and the contrast does not know of the offset.
    means = [ndimage.correlate1d(ndimage.correlate1d(a, weights(), 0), weights(), 1) for a in (x[0], y[0])]
    constant = 0.01**2
    light = (2 * means[0] * means[1] + constant) / (means[0] ** 2 + means[1] ** 2 + constant)
    expected = (similarity_map(x[0], y[0], 1) / light[5:-5, 5:-5]).mean()
    assert got[0].value == pytest.approx(expected, rel=1e-7)


def test_one_bright_pixel_does_not_spoil_the_others() -> None:
    x, y = pair((1, 60, 64), "float64")
    expected = similarity_map(x[0], y[0], 1)
    x[0, 0, 0] = 1e15
    got = measure_arrays(x, "ssim", reference=y, settings=Settings(data_range=1))
    assert got[0].value == pytest.approx((expected.sum() - expected[0, 0]) / expected.size, rel=1e-7)


def test_windows_that_touch_missing_pixels_are_left_out_and_counted() -> None:
    x, y = pair((2, 90, 100), "float32")
    mask = np.ones(x.shape[1:], np.bool_)
    mask[70:, :20] = False
    x[1, 30, 40] = np.nan
    y[1, 60, 61] = np.inf
    got = measure_arrays(x, "ssim", reference=y, mask=mask, cell=(32, 32), settings=Settings(data_range=1))
    missing = np.stack([~mask, ~mask | ~np.isfinite(x[1]) | ~np.isfinite(y[1])])
    clean = [np.where(missing, 0, image) for image in (x, y)]
    for band in range(2):
        left = ndimage.maximum_filter(missing[band], 11)[5:-5, 5:-5]
        one = figure(got, "ssim", "band", band=str(band))
        assert one.value == pytest.approx(similarity_map(clean[0][band], clean[1][band], 1)[~left].mean(), rel=1e-9)
        assert one.n == (~left).sum()
        assert one.left_out == {"window not finite or masked": left.sum(), "border": 9000 - 80 * 90}


def test_all_masked_has_no_figure() -> None:
    x, y = pair((2, 40, 40), "uint8")
    y = y.astype(np.float32)
    y[0] = np.nan
    got = measure_arrays(x, "ssim", reference=y)
    assert figure(got, "ssim", band="0").value is None
    assert "masked or not finite" in figure(got, "ssim", band="0").note
    assert got[0].value == figure(got, "ssim", band="1").value
    assert "1 of 2 bands" in got[0].note
    assert measure_arrays(x[:1], "ssim", reference=y[:1])[0].value is None


@pytest.mark.parametrize("shape", [(1, 10, 40), (1, 40, 3), (1, 9, 30, 30)])
def test_too_small_an_image_has_no_figure(shape: tuple[int, ...]) -> None:
    x, y = pair(shape, "uint8")
    (got,) = measure_arrays(x, "ssim", reference=y)
    assert (got.value, got.n, got.left_out) == (None, 0, {"border": x.size})
    assert "smaller than the window of 11 pixels" in got.note


def test_smallest_image_has_one_window() -> None:
    x, y = pair((1, 11, 11), "uint8")
    (got,) = measure_arrays(x, "ssim", reference=y)
    assert got.value == pytest.approx(similarity_map(x[0], y[0], 255).mean(), rel=1e-9)
    assert (got.n, got.left_out) == (1, {"border": 120})


def test_overflow_is_left_out_and_counted() -> None:
    x, y = pair((1, 40, 40), "float64")
    x[0, 3, 3] = 1e200
    (got,) = measure_arrays(x, "ssim", reference=y, settings=Settings(data_range=1))
    assert got.value is not None
    assert np.isfinite(got.value)
    assert got.n + sum(got.left_out.values()) == x.size
    assert got.left_out["window not finite or masked"] > 0


def test_what_cannot_be_measured_is_refused() -> None:
    x, y = pair((1, 40, 40), "float32")
    with pytest.raises(InputError, match="--data-range"):
        measure_arrays(x, "ssim", reference=y)
    with pytest.raises(InputError, match="positive"):
        measure_arrays(x, "ssim", reference=y, settings=Settings(data_range=0))
    with pytest.raises(InputError, match="--reference"):
        measure_arrays(x, "ssim", settings=Settings(data_range=1))


@given(order=st.permutations(range(12)), cut=st.integers(0, 12))
@settings(max_examples=15, deadline=None)
def test_order_of_merging_does_not_show(order: list[int], cut: int) -> None:
    x, y = pair((2, 60, 80), "float32")
    x[0, 20, 20] = np.nan
    frame = frame_of(x, reference=y, cell=(20, 20))
    statistic = StructuralSimilarity(2, 1.0)
    pieces = list(patches(frame, x, reference=y, context=statistic.context))
    whole = gather([statistic], pieces)[statistic]
    halves = [State(), State()]
    for place, number in enumerate(order):
        statistic.update(halves[place >= cut], pieces[number])
    assert halves[1].merge(halves[0]).to_json() == whole.to_json()
    assert State.from_json(whole.to_json()).to_json() == whole.to_json()


@pytest.mark.parametrize(("shape", "cell"), [((2, 70, 61), (32, 32)), ((1, 40, 33, 30), (16, 16, 16))])
def test_map_is_the_similarity_around_each_pixel(shape: tuple[int, ...], cell: tuple[int, ...]) -> None:
    x, y = pair(shape, "float32")
    x[(0, *[25] * (x.ndim - 1))] = np.nan
    frame = frame_of(x, reference=y, cell=cell)
    metric = make_ssim(frame, Settings(data_range=1))
    assert isinstance(metric, PixelMap)
    drawn = np.full(shape, np.nan, np.float32)
    for patch in patches(frame, x, reference=y, context=metric.statistic.context):
        starts = tuple(max(0, s - low) for s, low in zip(patch.start, metric.lead, strict=True))
        grown = tuple(s + n - low for s, n, low in zip(patch.start, patch.cell, starts, strict=True))
        ends = (s + n for s, n in zip(patch.start, patch.output.shape[1:], strict=True))
        region = (slice(None), *(slice(*bounds) for bounds in zip(starts, ends, strict=True)))
        led = replace(patch, output=x[region], reference=y[region], start=starts, cell=grown)
        own = (slice(None), *(slice(s, s + n) for s, n in zip(patch.start, patch.cell, strict=True)))
        part = metric.pixels(led, State(), frame)
        assert part.dtype == np.float32
        assert part.shape == (len(x), *patch.cell)
        drawn[own] = part
    for band in range(len(x)):
        missing = ~np.isfinite(x[band])
        expected = similarity_map(np.where(missing, 0, x[band]), y[band], 1)
        expected[ndimage.maximum_filter(missing, 11)[(slice(5, -5),) * missing.ndim]] = np.nan
        np.testing.assert_allclose(drawn[band][(slice(5, -5),) * missing.ndim], expected, rtol=1e-5, atol=1e-6)
        assert np.isnan(drawn[band]).sum() == missing.size - np.isfinite(expected).sum()


def test_equal_statistics_are_shared() -> None:
    x, y = pair((1, 40, 40), "uint8")
    first, second = (make_metrics(["ssim"], frame_of(x, reference=y), Settings())[0] for _ in range(2))
    assert first.statistic == second.statistic
    assert hash(first.statistic) == hash(second.statistic)


@pytest.mark.parametrize("shape", [(11, 11), (75, 40), (27, 30, 13)])
def test_means_over_windows_agree_with_scipy(shape: tuple[int, ...]) -> None:
    image = RANDOM.random((*shape, 2))
    asked = []

    def prepare(rows: slice, out: NDArray[np.float64]) -> None:
        asked.append(rows)
        out[...] = np.moveaxis(image[rows], -1, 1)

    got = np.full([2, *(n - 10 for n in shape)], np.nan)
    for rows, means in gaussian_means(prepare, channels=2, shape=shape):
        got[:, rows] = np.moveaxis(means, 1, 0)
    for channel, axes in product(range(2), [range(len(shape))]):
        expected = image[..., channel]
        for axis in axes:
            expected = ndimage.correlate1d(expected, weights(), axis)
        np.testing.assert_allclose(got[channel], expected[(slice(5, -5),) * len(shape)], rtol=1e-13)
    assert [row for rows in asked for row in range(rows.start, rows.stop)] == list(range(shape[0]))


@pytest.mark.slow
def test_number_of_threads_does_not_show() -> None:
    """BLAS reads it once, so that each number needs a process of its own."""
    code = (
        "import hashlib, numpy; from scalesr.metrics.windows import moments;"
        "r = numpy.random.default_rng(0); h = hashlib.sha256();"
        "s = [(522, 522), (60, 1100), (40, 138, 138)];"
        "[h.update(p.total_variance.tobytes()) for n in s for p in moments(r.random(n), r.random(n))];"
        "print(h.hexdigest())"
    )
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "4")
    ]
    assert found[0] == found[1]
