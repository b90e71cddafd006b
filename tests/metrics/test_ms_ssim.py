from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from scipy import ndimage
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import (
    multiscale_structural_similarity_index_measure,
    structural_similarity_index_measure,
)

from scalesr.errors import InputError
from scalesr.metrics import Settings, State
from scalesr.metrics.gaussian import weights
from scalesr.metrics.ms_ssim import BETAS, make_ms_ssim
from scalesr.metrics.walk import gather, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIRRORED = "reflected border"


def pair(shape: tuple[int, ...], dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image with structure at all scales and the same with noise, shape (bands, *space)."""
    random = np.random.default_rng(8)
    flat = (0, *[1] * (len(shape) - 1))
    image = sum(ndimage.gaussian_filter(random.random(shape), [s * f for f in flat]) * s for s in (1, 3, 9, 27))
    image = (image - image.min()) / np.ptp(image)
    other = np.clip(image + random.normal(0, 0.1, shape) + 0.05 * random.random((len(image), *flat[1:])), 0, 1)
    top = np.iinfo(dtype).max if np.dtype(dtype).kind in "iu" else 1
    return (other * top).astype(dtype), (image * top).astype(dtype)


def torchmetrics(x: NDArray[Any], y: NDArray[Any], data_range: float) -> float:
    """Return torchmetrics' figure: bands as a batch, in float64."""
    a, b = (torch.from_numpy(image.astype(np.float64))[:, None] for image in (x, y))
    return float(multiscale_structural_similarity_index_measure(a, b, data_range=data_range, normalize="relu"))


def direct(
    x: NDArray[Any], y: NDArray[Any], data_range: float, missing: NDArray[np.bool_] | None = None
) -> tuple[list[float], list[int]]:
    """Return the factors of one band over windows inside the image, over whole arrays, and how many each scale lost."""
    inner = (slice(5, -5),) * x.ndim
    missing = np.zeros(x.shape, np.bool_) if missing is None else missing
    lost = []
    x, y = x.astype(np.float64), y.astype(np.float64)
    factors: list[float] = []
    for _ in BETAS:
        _, full = structural_similarity(  # type: ignore[no-untyped-call]
            x, y, data_range=data_range, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
        )
        means = [x, y]
        for axis in range(x.ndim):
            means = [ndimage.correlate1d(mean, weights(), axis) for mean in means]
        constant = (0.01 * data_range) ** 2
        light = (2 * means[0] * means[1] + constant) / (means[0] ** 2 + means[1] ** 2 + constant)
        last = len(factors) == len(BETAS) - 1
        left = ndimage.maximum_filter(missing, 11)[inner]
        lost.append(int(left.sum()))
        factors.append((full if last else full / light)[inner][~left].mean())
        pairs = [n // 2 for n in x.shape]
        even = tuple(slice(0, 2 * n) for n in pairs)
        split = [n for pair in pairs for n in (pair, 2)]
        x, y = (image[even].reshape(split).mean(axis=tuple(range(1, len(split), 2))) for image in (x, y))
        missing = np.asarray(missing[even].reshape(split).any(axis=tuple(range(1, len(split), 2))))
    return factors, lost


def product_of(factors: list[float]) -> float:
    """Return the weighted product of the factors."""
    return float(np.prod(np.array(factors) ** np.array(BETAS)))


@pytest.mark.parametrize(
    ("shape", "cell", "dtype"),
    [
        ((1, 181, 197), (64, 64), "uint8"),
        ((1, 176, 250), (48, 80), "float32"),
        ((2, 190, 211), (50, 61), "uint16"),
        ((1, 179, 178), (89, 176), "float64"),
        ((3, 200, 180), None, "uint8"),
        ((1, 530, 180), None, "uint16"),
    ],
)
def test_agrees_with_torchmetrics(shape: tuple[int, ...], cell: tuple[int, ...] | None, dtype: str) -> None:
    x, y = pair(shape, dtype)
    data_range = float(np.iinfo(dtype).max) if x.dtype.kind == "u" else 1.0
    given_range = None if x.dtype.kind == "u" else 1.0
    got = measure_arrays(x, "ms_ssim", reference=y, cell=cell, settings=Settings(data_range=given_range))
    mirrored = figure(got, "ms_ssim", MIRRORED)
    # Its exponents are single precision.
    assert mirrored.value == pytest.approx(torchmetrics(x, y, data_range), rel=1e-7)
    assert "border mirrored" in mirrored.note
    expected = [product_of(direct(a, b, data_range)[0]) for a, b in zip(x, y, strict=True)]
    assert got[0].kind == "mean of bands"
    assert got[0].value == pytest.approx(np.mean(expected), rel=1e-9)
    assert [m.value for m in got if m.kind == "band"] == pytest.approx(expected if len(x) > 1 else [], rel=1e-9)
    inner = (shape[1] - 10) * (shape[2] - 10) * len(x)
    assert (got[0].n, got[0].left_out) == (inner, {"border": x.size - inner})


def test_volumes() -> None:
    x, y = pair((1, 176, 177, 180), "uint8")
    got = measure_arrays(x, "ms_ssim", reference=y, cell=(96, 96, 180))
    factors, _ = direct(x[0], y[0], 255)
    assert got[0].value == pytest.approx(product_of(factors), rel=1e-9)
    # torchmetrics would need hundreds of gigabytes for the whole; the scale that it takes otherwise is small.
    a, b = (torch.from_numpy(image.astype(np.float64))[None] for image in (x, y))
    for _ in range(4):
        a, b = torch.nn.functional.avg_pool3d(a, 2), torch.nn.functional.avg_pool3d(b, 2)
    last = structural_similarity_index_measure(a, b, data_range=255.0)
    assert isinstance(last, torch.Tensor)
    factors[-1] = float(last)
    assert figure(got, "ms_ssim", MIRRORED).value == pytest.approx(product_of(factors), rel=1e-9)


def test_identical_is_one() -> None:
    x, _ = pair((1, 180, 180), "uint16")
    assert [m.value for m in measure_arrays(x, "ms_ssim", reference=x)] == [1, 1]


def test_a_negative_factor_counts_as_zero_and_is_said() -> None:
    x, _ = pair((1, 180, 180), "uint8")
    got = measure_arrays(255 - x, "ms_ssim", reference=x)
    assert [m.value for m in got] == [0, 0]
    assert torchmetrics(255 - x, x, 255) == 0
    assert all("counts as zero" in m.note for m in got)


@pytest.mark.parametrize("shape", [(1, 175, 300), (2, 300, 20), (1, 5, 400), (1, 200, 180, 90)])
def test_too_small_an_image_has_no_figure(shape: tuple[int, ...]) -> None:
    x, y = pair(shape, "uint8")
    got = measure_arrays(x, "ms_ssim", reference=y)
    assert [m.value for m in got] == [None, None]
    assert "smaller than 176 pixels" in got[0].note


def test_missing_pixels_are_left_out_at_every_scale_and_counted() -> None:
    x, y = pair((2, 300, 290), "float32")
    x[1, 40, 50] = np.nan
    y[1, 41, 50] = np.inf
    got = measure_arrays(x, "ms_ssim", reference=y, cell=(64, 64), settings=Settings(data_range=1))
    assert figure(got, "ms_ssim", "band", band="0").left_out == {"border": 300 * 290 - 290 * 280}
    one = figure(got, "ms_ssim", "band", band="1")
    missing = ~np.isfinite(x[1]) | ~np.isfinite(y[1])
    factors, lost = direct(np.where(missing, 0, x[1]), np.where(missing, 0, y[1]), 1, missing)
    assert one.value == pytest.approx(product_of(factors), rel=1e-9)
    for scale, count in enumerate(lost):
        name = f", scale 1/{2**scale}" if scale else ""
        assert one.left_out[f"window not finite or masked{name}"] == count > 0


def test_all_windows_of_one_scale_missing_has_no_figure() -> None:
    x, y = pair((1, 180, 180), "float32")
    x[0, 90, 90] = np.nan
    got = measure_arrays(x, "ms_ssim", reference=y, settings=Settings(data_range=1))
    assert got[0].value is None
    assert "no window to count at one of the scales" in got[0].note
    assert got[0].n > 0


def test_what_cannot_be_measured_is_refused() -> None:
    x, y = pair((1, 180, 180), "float32")
    with pytest.raises(InputError, match="--data-range"):
        measure_arrays(x, "ms_ssim", reference=y)
    with pytest.raises(InputError, match="--reference"):
        measure_arrays(x, "ms_ssim", settings=Settings(data_range=1))


@given(order=st.permutations(range(12)), cut=st.integers(0, 12))
@settings(max_examples=8, deadline=None)
def test_order_of_merging_does_not_show(order: list[int], cut: int) -> None:
    x, y = pair((1, 190, 181), "uint8")
    frame = frame_of(x, reference=y, cell=(64, 50))
    statistic = make_ms_ssim(frame, Settings()).statistic
    pieces = list(patches(frame, x, reference=y, context=statistic.context))
    assert len(pieces) == 12
    halves = [State(), State()]
    for place, number in enumerate(order):
        statistic.update(halves[place >= cut], pieces[number])
    assert halves[1].merge(halves[0]).to_json() == gather([statistic], pieces)[statistic].to_json()
