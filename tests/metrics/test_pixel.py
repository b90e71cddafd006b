from __future__ import annotations

import math
import os
import subprocess
import sys
from fractions import Fraction
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from scipy.stats import pearsonr
from skimage import metrics as untyped

from scalesr.errors import InputError
from scalesr.metrics import Patch, Settings, State, make_metrics
from scalesr.metrics.moments import SUMS, Differences, Moments
from scalesr.metrics.slabs import ROW, Buffer, dot, slabs, total
from scalesr.metrics.walk import gather, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics import Measure

theirs: Any = untyped
NAMES = ("mae", "rmse", "nrmse", "psnr", "pearson")
FORMATS = ("uint8", "int8", "uint16", "int16", "int32", "float32", "float64")


def pair(dtype: str = "uint16", shape: tuple[int, ...] = (3, 70, 50), seed: int = 0) -> tuple[NDArray[Any], ...]:
    rng = np.random.default_rng(seed)
    low, high = (np.iinfo(dtype).min, np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else (-3.0, 9.0)
    reference = rng.uniform(low, high, shape)
    output = np.clip(reference + rng.normal(0, (high - low) / 50, shape), low, high)
    return output.astype(dtype), reference.astype(dtype)


def everything(output: NDArray[Any], reference: NDArray[Any], **options: Any) -> list[Measure]:
    options.setdefault("settings", Settings(data_range=None if output.dtype.kind in "iu" else 12.0))
    return measure_arrays(output, *NAMES, reference=reference, **options)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", [(1, 70, 50), (3, 70, 50), (2, 9, 40, 30)])
def test_as_scikit_image_and_scipy(dtype: str, shape: tuple[int, ...]) -> None:
    output, reference = pair(dtype, shape)
    x, y = output.astype(float), reference.astype(float)
    span = 12.0 if np.dtype(dtype).kind == "f" else float(np.iinfo(dtype).max) - float(np.iinfo(dtype).min)
    found = everything(output, reference, cell=(32,) * (len(shape) - 1))

    def value(metric: str, kind: str, band: str | None = None) -> float | None:
        return next(m.value for m in found if (m.metric, m.kind, m.band) == (metric, kind, band))

    parts: list[tuple[str, str | None, Any]] = [("whole cube", None, slice(None))]
    parts += [("band", str(band), band) for band in range(shape[0]) if shape[0] > 1]
    for kind, band, part in parts:
        a, b = x[part], y[part]
        assert value("mae", kind, band) == pytest.approx(np.abs(a - b).mean(), rel=1e-12)
        assert value("rmse", kind, band) == pytest.approx(math.sqrt(theirs.mean_squared_error(b, a)), rel=1e-12)
        assert value("psnr", kind, band) == pytest.approx(theirs.peak_signal_noise_ratio(b, a, data_range=span))
        assert value("pearson", kind, band) == pytest.approx(pearsonr(a.ravel(), b.ravel()).statistic, rel=1e-12)
        for norm, name in (("range", "min-max"), ("mean", "mean"), ("euclidean", "euclidean")):
            expected = abs(theirs.normalized_root_mse(b, a, normalization=name))
            assert value("nrmse", norm, band) == pytest.approx(expected, rel=1e-9)


def test_the_order_of_the_figures() -> None:
    output, reference = pair()
    found = everything(output, reference)
    assert [(m.metric, m.kind) for m in found if m.band is None] == [
        ("mae", "whole cube"),
        ("rmse", "whole cube"),
        ("nrmse", "range"),
        ("nrmse", "mean"),
        ("nrmse", "euclidean"),
        ("psnr", "whole cube"),
        ("psnr", "mean of bands"),
        ("pearson", "mean of bands"),
        ("pearson", "whole cube"),
    ]
    assert [m.band for m in found if (m.metric, m.kind) == ("psnr", "band")] == ["0", "1", "2"]
    assert all(m.n == output.size for m in found if m.band is None)
    assert all(not m.left_out for m in found)
    alone = everything(output[:1], reference[:1])
    assert [(m.metric, m.kind) for m in alone if m.metric in {"psnr", "pearson"}] == [
        ("psnr", "whole cube"),
        ("pearson", "whole cube"),
    ]


def test_the_mean_of_bands_is_not_the_whole_cube() -> None:
    reference = np.full((2, 8, 8), 100, np.uint8)
    output = reference.copy()
    output[0] += 1
    output[1] += 10
    found = measure_arrays(output, "psnr", reference=reference)
    first, second = (20 * math.log10(255 / error) for error in (1, 10))
    assert figure(found, "psnr", "mean of bands").value == pytest.approx((first + second) / 2)
    assert figure(found, "psnr").value == pytest.approx(10 * math.log10(255**2 / 50.5))
    assert figure(found, "psnr").unit == "dB"
    assert figure(found, "psnr").note == "data range 255, that of uint8"


@pytest.mark.parametrize("mean", [1e4, -1e5, 1e6])
@pytest.mark.parametrize("cell", [(64, 64), (16, 16)])
def test_a_large_mean_costs_no_digits_of_the_correlation(mean: float, cell: tuple[int, ...]) -> None:
    rng = np.random.default_rng(1)
    common = rng.normal(size=(1, 64, 64))
    output, reference = ((common + rng.normal(size=common.shape) + mean).astype(np.float32) for _ in range(2))
    found = measure_arrays(output, "pearson", reference=reference, cell=cell)
    x, y = ([Fraction(float(v)) for v in image.ravel()] for image in (output, reference))
    n, sx, sy = len(x), sum(x), sum(y)
    over_x, over_y = n * sum(v * v for v in x) - sx * sx, n * sum(v * v for v in y) - sy * sy
    both = n * sum(v * w for v, w in zip(x, y, strict=True)) - sx * sy
    exact = math.sqrt(both**2 / (over_x * over_y))
    assert found[0].value == pytest.approx(exact, rel=1e-9)
    assert found[0].value == pytest.approx(
        pearsonr(output.ravel().astype(float), reference.ravel().astype(float)).statistic, rel=1e-6
    )


def test_identical_images_are_infinitely_good() -> None:
    output, _ = pair("float32")
    found = everything(output, output.copy())
    assert figure(found, "psnr").value == math.inf
    assert figure(found, "psnr").note == "identical; data range 12 as given"
    assert figure(found, "psnr", "mean of bands").note == "3 of 3 bands are identical; data range 12 as given"
    assert [figure(found, name).value for name in ("mae", "rmse", "nrmse")] == [0, 0, 0]
    assert figure(found, "pearson").value == 1


def test_one_identical_band_is_said_of_the_mean() -> None:
    output, reference = pair()
    output[1] = reference[1]
    found = measure_arrays(output, "psnr", reference=reference)
    mean = figure(found, "psnr", "mean of bands")
    assert (mean.value, mean.note.split(";")[0]) == (math.inf, "1 of 3 bands are identical")
    assert math.isfinite(figure(found, "psnr").value or math.inf)


def test_constant_images_have_no_correlation() -> None:
    noise = np.random.default_rng(0).normal(0.1, 1, (1, 40, 40)).astype(np.float32)
    flat = np.full_like(noise, 0.1)
    for output, reference, which in ((flat, noise, "output"), (noise, flat, "reference")):
        (found,) = measure_arrays(output, "pearson", reference=reference)
        assert (found.value, found.note) == (None, f"the {which} is constant")
    zero = np.zeros_like(noise)
    found = measure_arrays(noise, "nrmse", reference=zero)[0]
    assert (found.value, found.note) == (None, "the range of the reference is zero")
    kinds = {m.kind: m.note for m in measure_arrays(noise, "nrmse", reference=zero)}
    assert kinds["mean"] == "the mean of the reference is zero"
    assert kinds["euclidean"] == "the root mean square of the reference is zero"


def test_missing_pixels_are_left_out_and_counted() -> None:
    output, reference = pair("float32")
    mask = np.random.default_rng(2).random(output.shape[1:]) < 0.8
    holes = output.copy()
    holes[0, 3, 4], holes[1, 10, 10] = np.nan, np.inf
    other = reference.copy()
    other[1, 10, 10], other[2, 0, 0] = np.inf, -np.inf
    good = np.broadcast_to(mask, output.shape) & np.isfinite(holes) & np.isfinite(other)
    found = everything(holes, other, mask=mask, cell=(32, 32))
    x, y = holes[good].astype(float), other[good].astype(float)
    assert figure(found, "mae").value == pytest.approx(np.abs(x - y).mean(), rel=1e-12)
    assert figure(found, "rmse").value == pytest.approx(math.sqrt(np.square(x - y).mean()), rel=1e-12)
    assert figure(found, "nrmse").value == pytest.approx(
        math.sqrt(np.square(x - y).mean()) / (y.max() - y.min()), rel=1e-12
    )
    assert figure(found, "pearson", "whole cube").value == pytest.approx(pearsonr(x, y).statistic, rel=1e-12)
    for name in NAMES:
        assert figure(found, name).n == good.sum()
        assert figure(found, name).left_out == {"not finite or masked": good.size - good.sum()}
    assert figure(found, "mae", "band", band="1").n == good[1].sum()


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_masked_image_is_the_image_inside(dtype: str) -> None:
    output, reference = pair(dtype)
    mask = np.zeros(output.shape[1:], np.bool_)
    mask[:40, :20] = True
    inside = everything(output[:, :40, :20], reference[:, :40, :20])
    for one, other in zip(everything(output, reference, mask=mask), inside, strict=True):
        assert one.n == other.n
        assert one.value == pytest.approx(other.value, rel=1e-12)


def test_an_empty_band_is_counted() -> None:
    output, reference = pair("float32")
    output[1] = np.nan
    found = everything(output, reference)
    band = figure(found, "psnr", "band", band="1")
    assert (band.value, band.n) == (None, 0)
    assert band.note.startswith("no pixel to compare")
    mean = figure(found, "psnr", "mean of bands")
    assert mean.left_out == {"not finite or masked": output[1].size, "bands without a figure": 1}
    assert mean.value == pytest.approx(
        sum(figure(found, "psnr", "band", band=name).value or 0 for name in ("0", "2")) / 2
    )
    assert mean.note.startswith("no pixel to compare")
    assert figure(found, "mae").n == output[::2].size


def test_nothing_left_gives_no_figure_and_no_error() -> None:
    output, reference = pair("float32")
    for found in (
        everything(np.full_like(output, np.nan), reference),
        [m for metric in made() for m in metric.finalize(State(), frame_of(output, reference=reference))],
    ):
        assert all(m.value is None and m.n == 0 and "no pixel to compare" in m.note for m in found)


def made() -> list[Any]:
    output, reference = pair("float32")
    return make_metrics(NAMES, frame_of(output, reference=reference), Settings(data_range=1.0))


def test_what_cannot_be_measured_is_refused() -> None:
    output, reference = pair("float32")
    with pytest.raises(InputError, match="--data-range"):
        measure_arrays(output, "psnr", reference=reference)
    with pytest.raises(InputError, match="positive"):
        measure_arrays(output, "psnr", reference=reference, settings=Settings(data_range=0.0))
    for name in NAMES:
        with pytest.raises(InputError, match="--reference"):
            measure_arrays(output, name, settings=Settings(data_range=1.0))


def test_metrics_share_two_statistics() -> None:
    assert {metric.statistic for metric in made()} == {Differences(2), Moments(2)}


def test_sums_of_integers_are_exact() -> None:
    rng = np.random.default_rng(3)
    output, reference = (rng.integers(0, 2**16, (2, 300, 300)).astype(np.uint16) for _ in range(2))
    frame = frame_of(output, reference=reference)
    moments, differences = gather(
        [Moments(2), Differences(2)], patches(frame, output, reference=reference, context=(0, 0))
    ).values()
    x, y = output.astype(np.int64), reference.astype(np.int64)
    expected = [x, y, x * x, y * y, x * y, (x - y) ** 2]
    assert (moments.sums(SUMS) == np.stack([v.sum(axis=(1, 2)) for v in expected], axis=1)).all()
    expected = [np.abs(x - y), (x - y) ** 2]
    assert (differences.sums(SUMS) == np.stack([v.sum(axis=(1, 2)) for v in expected], axis=1)).all()


@given(order=st.permutations(range(12)), dtype=st.sampled_from(["uint16", "float32"]), split=st.integers(0, 12))
def test_the_bits_do_not_depend_on_the_order_of_merging(order: list[int], dtype: str, split: int) -> None:
    output, reference = pair(dtype, (2, 60, 45))
    if dtype == "float32":
        output[0, 5, 5] = np.nan
    frame = frame_of(output, reference=reference, cell=(16, 16))
    pieces = list(patches(frame, output, reference=reference, context=(0, 0)))
    assert len(pieces) == 12
    for metric in make_metrics(NAMES, frame, Settings(data_range=1.0)):
        whole = gather([metric.statistic], pieces)[metric.statistic]
        left, right = State(), State()
        for place, cell in enumerate(order):
            part = metric.statistic.update(State(), pieces[cell])
            (left if place < split else right).merge(State.from_json(part.to_json()))
        merged = right.merge(left)
        assert merged.to_json() == whole.to_json()
        assert metric.finalize(merged, frame) == metric.finalize(whole, frame)


def test_the_bits_do_not_depend_on_how_the_arrays_lie_in_memory() -> None:
    output, reference = pair("float32", (2, 100, 90))
    turned = np.asfortranarray(output), np.asfortranarray(reference)
    assert everything(*turned) == everything(output, reference)
    swapped = [image.astype(image.dtype.newbyteorder()) for image in pair("int16")]
    assert everything(swapped[0], swapped[1]) == everything(*pair("int16"))


THREADS = """
import numpy as np
from scalesr.metrics.slabs import Buffer, dot, total
shaped, rows = Buffer().shaped((65536,))
shaped[...] = np.random.default_rng(0).normal(size=65536)
print(dot(rows, rows).hex(), total(rows).hex(), float(np.dot(shaped, shaped)).hex())
"""


@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="one core has one thread")
def test_the_bits_do_not_depend_on_the_threads_of_the_library() -> None:
    sums = [
        subprocess.run(
            [sys.executable, "-c", THREADS],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for threads in ("1", "2")
    ]
    assert sums[0][:2] == sums[1][:2]


def test_a_row_is_too_short_to_be_shared_among_threads() -> None:
    assert ROW < 10_000


@given(
    space=st.lists(st.integers(1, 40), min_size=2, max_size=3),
    most=st.integers(1, 500),
)
def test_slabs_cover_every_pixel_once(space: list[int], most: int) -> None:
    seen = np.zeros(space, np.int64)
    for index in slabs(space, most=most):
        assert seen[index].ndim == 2
        assert 0 < seen[index].size <= most
        seen[index] += 1
    assert (seen == 1).all()


@given(size=st.integers(1, 3 * ROW))
def test_a_buffer_ends_in_zeros(size: int) -> None:
    buffer = Buffer(3 * ROW)
    for filling in (7.0, 1.0):  # the second after the first, whose numbers must not count any more
        shaped, rows = buffer.shaped((1, size))
        shaped[...] = filling
    assert (total(rows), dot(rows, rows)) == (size, size)


@pytest.mark.parametrize(("x", "y"), list(product([-128, 0, 127], repeat=2)))
def test_differences_of_small_signed_integers_do_not_wrap(x: int, y: int) -> None:
    patch = Patch(
        output=np.full((1, 1, 1), x, np.int8),
        reference=np.full((1, 1, 1), y, np.int8),
        measured=None,
        mask=None,
        start=(0, 0),
        cell=(1, 1),
        shape=(1, 1),
        ratio=(Fraction(1),) * 2,
    )
    sums = Differences(2).update(State(), patch).sums(SUMS)
    assert sums.tolist() == [[abs(x - y), (x - y) ** 2]]


def test_images_of_two_number_formats() -> None:
    output, reference = pair("uint8")
    wide = reference.astype(np.uint16) * 3
    found = measure_arrays(output, "mae", "pearson", reference=wide)
    x, y = output.astype(float), wide.astype(float)
    assert figure(found, "mae").value == pytest.approx(np.abs(x - y).mean(), rel=1e-12)
    assert figure(found, "pearson", "whole cube").value == pytest.approx(
        pearsonr(x.ravel(), y.ravel()).statistic, rel=1e-12
    )
