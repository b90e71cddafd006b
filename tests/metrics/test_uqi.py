from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from scipy import ndimage
from torchmetrics.functional.image import universal_image_quality_index

from scalesr.errors import InputError
from scalesr.metrics import State
from scalesr.metrics.gaussian import weights
from scalesr.metrics.uqi import UniversalQuality
from scalesr.metrics.walk import gather, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pair(shape: tuple[int, ...], dtype: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return two alike images without flat ground, shape (bands, *space)."""
    random = np.random.default_rng(5)
    x = random.random(shape) * 200 + 20
    y = x * 0.8 + random.random(shape) * 30
    return x.astype(dtype), y.astype(dtype)


def index_map(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return torchmetrics' map of one band, which has no border."""
    a, b = (torch.from_numpy(image.astype(np.float64))[None, None] for image in (x, y))
    made: NDArray[np.float64] = universal_image_quality_index(a, b, reduction="none")[0, 0].numpy()
    return made


def direct(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return the index over whole arrays of any number of axes, as the paper writes it."""

    def mean(image: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis in range(image.ndim):
            image = ndimage.correlate1d(image, weights(), axis)
        return image[(slice(5, -5),) * image.ndim]

    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = mean(x), mean(y)
    covariance, variances = mean(x * y) - a * b, mean(x * x) - a * a + mean(y * y) - b * b
    made: NDArray[np.float64] = 4 * covariance * a * b / (variances * (a * a + b * b))
    return made


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize(("shape", "cell"), [((1, 120, 101), (64, 32)), ((3, 64, 70), None)])
def test_agrees_with_torchmetrics(shape: tuple[int, ...], cell: tuple[int, ...] | None, dtype: str) -> None:
    x, y = pair(shape, dtype)
    got = measure_arrays(x, "uqi", reference=y, cell=cell)
    expected = [index_map(*bands).mean() for bands in zip(x, y, strict=True)]
    a, b = (torch.from_numpy(image.astype(np.float64))[None] for image in (x, y))
    assert got[0].value == pytest.approx(float(universal_image_quality_index(a, b)), rel=1e-8)
    assert [m.value for m in got if m.kind == "band"] == pytest.approx(expected if len(x) > 1 else [], rel=1e-8)
    inner = (shape[1] - 10) * (shape[2] - 10) * len(x)
    assert (got[0].n, got[0].left_out, got[0].note) == (inner, {"border": x.size - inner}, "")


def test_volumes() -> None:
    x, y = pair((1, 30, 25, 21), "uint16")
    (got,) = measure_arrays(x, "uqi", reference=y, cell=(16, 16, 16))
    assert got.value == pytest.approx(direct(x[0], y[0]).mean(), rel=1e-9)
    assert got.n == 20 * 15 * 11


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("level", [0, 7])
def test_constant_windows_are_left_out_and_counted(level: int, dtype: str) -> None:
    x, y = pair((1, 90, 80), dtype)
    x[:, 30:70, 20:60] = y[:, 30:70, 20:60] = level
    x[:, :25, :25] = level  # flat in one image only: an index of zero, which counts
    (got,) = measure_arrays(x, "uqi", reference=y, cell=(32, 32))
    flat = np.zeros((80, 70), np.bool_)
    flat[30:60, 20:50] = True
    assert got.left_out == {"constant windows": 900, "border": 90 * 80 - 80 * 70}
    assert got.value == pytest.approx(index_map(x[0], y[0])[~flat].mean(), rel=1e-8)
    assert "have no index" in got.note


def test_constant_images_have_no_figure() -> None:
    x = np.full((2, 40, 40), 3.7)
    got = measure_arrays(x, "uqi", reference=x * 2)
    assert [m.value for m in got] == [None]
    assert got[0].left_out["constant windows"] == 2 * 30 * 30
    assert "no window that varies" in got[0].note


def test_identical_is_one() -> None:
    x, _ = pair((1, 50, 50), "float32")
    assert measure_arrays(x, "uqi", reference=x)[0].value == 1


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_large_offset_keeps_the_index(offset: float) -> None:
    x, y = pair((1, 60, 60), "uint8")
    (got,) = measure_arrays(x + offset, "uqi", reference=y + offset)
    a, b = x[0].astype(np.longdouble) + offset, y[0].astype(np.longdouble) + offset
    # Windows by the definition, in more digits than the kernel has.
    views = [np.lib.stride_tricks.sliding_window_view(image, (11, 11)) for image in (a, b)]
    w = np.outer(weights(), weights()).astype(np.longdouble)
    w /= w.sum()
    means = [np.einsum("ijkl,kl->ij", view, w) for view in views]
    spread = [view - mean[..., None, None] for view, mean in zip(views, means, strict=True)]
    covariance, first, second = (
        np.einsum("ijkl,ijkl,kl->ij", spread[m], spread[n], w) for m, n in ((0, 1), (0, 0), (1, 1))
    )
    index = 4 * covariance * means[0] * means[1] / ((first + second) * (means[0] ** 2 + means[1] ** 2))
    assert got.value == pytest.approx(float(index.mean()), rel=1e-9)


def test_missing_pixels_are_not_constant_windows() -> None:
    x, y = pair((2, 60, 60), "float32")
    x[1, :40, :40] = y[1, :40, :40] = np.nan
    got = measure_arrays(x, "uqi", reference=y, cell=(32, 32))
    one = figure(got, "uqi", band="1")
    missing = ~np.isfinite(x[1])
    left = ndimage.maximum_filter(missing, 11)[5:-5, 5:-5]
    clean = [np.where(missing, 0, image[1]) for image in (x, y)]
    assert one.value == pytest.approx(index_map(*clean)[~left].mean(), rel=1e-8)
    assert one.left_out == {"window not finite or masked": left.sum(), "border": 1100}
    assert figure(got, "uqi", band="0").n == 2500


def test_too_small_an_image_has_no_figure() -> None:
    x, y = pair((1, 8, 50), "uint8")
    (got,) = measure_arrays(x, "uqi", reference=y)
    assert (got.value, got.left_out) == (None, {"border": 400})
    assert "smaller than" in got.note


def test_needs_a_reference() -> None:
    with pytest.raises(InputError, match="--reference"):
        measure_arrays(pair((1, 20, 20), "uint8")[0], "uqi")


@given(order=st.permutations(range(6)), cut=st.integers(0, 6))
@settings(max_examples=15, deadline=None)
def test_order_of_merging_does_not_show(order: list[int], cut: int) -> None:
    x, y = pair((1, 50, 70), "uint8")
    x[0, :30, :30] = y[0, :30, :30] = 9
    frame = frame_of(x, reference=y, cell=(32, 24))
    statistic = UniversalQuality(2)
    pieces = list(patches(frame, x, reference=y, context=statistic.context))
    halves = [State(), State()]
    for place, number in enumerate(order):
        statistic.update(halves[place >= cut], pieces[number])
    assert halves[1].merge(halves[0]).to_json() == gather([statistic], pieces)[statistic].to_json()
