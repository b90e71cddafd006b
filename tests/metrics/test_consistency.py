"""Consistency against its closed forms, and what is left out."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from metrics.drawing import draw

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, make_metrics
from scalesr.metrics.consistency import make_consistency
from scalesr.metrics.walk import context_of, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

KINDS = ["rmse", "relative rmse", "pearson", "bias", "gain", "offset", "max difference"]


def images(
    shape: tuple[int, ...] = (1, 48, 64), factor: int = 4, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32]]:
    """Return an output, its block means, and a measurement that differs from them."""
    generator = np.random.default_rng(seed)
    output = generator.gamma(2.0, 50.0, shape).astype(np.float32)
    blocks = []
    for size in shape[1:]:
        blocks += [size // factor, factor]
    means = output.astype(np.float64).reshape(shape[0], *blocks).mean(tuple(range(2, 2 * len(shape) - 1, 2)))
    measured = (0.8 * means + 5 + generator.normal(0, 3, means.shape)).astype(np.float32)
    return output, means, measured


def test_the_figures_are_their_closed_forms() -> None:
    output, means, measured = images()
    measures = measure_arrays(output, "consistency", measured=measured, cell=(16, 16))
    assert [m.kind for m in measures] == KINDS
    truth = measured.astype(np.float64)
    error = means - truth
    slope, offset = np.polyfit(truth.ravel(), means.ravel(), 1)
    rmse = math.sqrt(np.mean(error**2))
    expected = {
        "rmse": rmse,
        "relative rmse": rmse / truth.std(),
        "pearson": np.corrcoef(means.ravel(), truth.ravel())[0, 1],
        "bias": error.mean(),
        "gain": slope,
        "offset": offset,
        "max difference": np.abs(error).max(),
    }
    for m in measures:
        assert m.value == pytest.approx(expected[m.kind], rel=1e-9)
        assert (m.n, m.left_out, m.band) == (12 * 16, {}, None)
        assert "area mean" in m.note


def test_an_output_that_gives_the_measurement_back_is_consistent() -> None:
    output, means, _ = images((1, 12, 16, 20), 2)
    measures = measure_arrays(output, "consistency", measured=means, cell=(4, 8, 8))
    assert figure(measures, "consistency").value == 0
    assert figure(measures, "consistency", "gain").value == pytest.approx(1, abs=1e-12)
    assert figure(measures, "consistency", "pearson").value == pytest.approx(1, abs=1e-12)


def test_bands_are_pooled_and_given_one_by_one() -> None:
    output, means, measured = images((3, 16, 16), 2)
    output[1] *= 8
    means[1] *= 8
    measured[1] = means[1] + 1
    measures = measure_arrays(output, "consistency", measured=measured, cell=(8, 8))
    assert [m.kind for m in measures] == [k for k in KINDS if k != "offset"] + 3 * KINDS
    error = means - measured
    assert figure(measures, "consistency").value == pytest.approx(math.sqrt(np.mean(error**2)), rel=1e-9)
    assert figure(measures, "consistency", "rmse", band="1").value == pytest.approx(
        math.sqrt(np.mean(error[1] ** 2)), rel=1e-9
    )
    inner = measured.astype(np.float64) - measured.mean((1, 2), keepdims=True, dtype=np.float64)
    relative = math.sqrt(np.mean(error**2) / np.mean(inner**2))
    assert figure(measures, "consistency", "relative rmse").value == pytest.approx(relative, rel=1e-9)


def test_what_is_missing_is_left_out_and_counted() -> None:
    output, means, measured = images((1, 16, 16), 4)
    output[0, 5, 5] = np.nan  # pixel 1, 1
    measured[0, 3, 3] = np.inf
    mask = np.ones((16, 16), bool)
    mask[0, 15] = False  # pixel 0, 3
    keep = np.ones((4, 4), bool)
    keep[[1, 3, 0], [1, 3, 3]] = False
    measures = measure_arrays(output, "consistency", measured=measured, mask=mask, cell=(8, 8))
    error = (means - measured)[0][keep]
    assert figure(measures, "consistency").value == pytest.approx(math.sqrt(np.mean(error**2)), rel=1e-6)
    assert figure(measures, "consistency", "max difference").value == pytest.approx(np.abs(error).max(), rel=1e-6)
    assert all((m.n, m.left_out) == (13, {"not finite or masked": 3}) for m in measures)


def test_a_gaussian_looks_around_and_leaves_the_border_out() -> None:
    output, _, measured = images((2, 48, 64), 2)
    settings = Settings(degradation="gaussian:1.5")
    measures = measure_arrays(output, "consistency", measured=measured, cell=(16, 16), settings=settings)
    blurred = scipy.ndimage.gaussian_filter(output.astype(np.float64), 1.5, axes=(1, 2), truncate=4.0)
    means = blurred.reshape(2, 24, 2, 32, 2).mean((2, 4))
    error = (means - measured)[:, 3:-3, 3:-3]  # a reach of 6 pixels
    assert figure(measures, "consistency").value == pytest.approx(math.sqrt(np.mean(error**2)), rel=1e-9)
    assert figure(measures, "consistency").left_out == {"border": 2 * 24 * 32 - error.size}
    frame = frame_of(output, measured=measured, cell=(16, 16), settings=settings)
    drawn = draw(make_consistency(frame, settings), frame, output, measured)
    np.testing.assert_allclose(drawn[:, 3:-3, 3:-3], error, rtol=1e-5, atol=1e-4)
    assert np.isnan(drawn).sum() == drawn.size - error.size


def test_a_blur_wider_than_a_cell_is_drawn_once_all_the_same() -> None:
    output, _, measured = images((1, 48, 64), 2)
    settings = Settings(degradation="gaussian:2.5")
    frame = frame_of(output, measured=measured, cell=(8, 8), settings=settings)
    drawn = draw(make_consistency(frame, settings), frame, output, measured)
    whole = frame_of(output, measured=measured, cell=(64, 64), settings=settings)
    np.testing.assert_allclose(drawn, draw(make_consistency(whole, settings), whole, output, measured), rtol=1e-6)
    assert np.isnan(drawn).sum() == 24 * 32 - 14 * 22


def test_rows_compare_planes() -> None:
    output = np.random.default_rng(5).normal(10, 2, (1, 24, 6, 6))
    measured = output[:, ::3] + 1
    measures = measure_arrays(
        output, "consistency", measured=measured, cell=(6, 6, 6), settings=Settings(degradation="rows")
    )
    assert figure(measures, "consistency").value == pytest.approx(1, rel=1e-12)
    assert figure(measures, "consistency", "bias").value == pytest.approx(-1, rel=1e-12)


def test_the_map_is_the_signed_difference() -> None:
    output, means, measured = images((2, 40, 56), 4)
    output[1, 9, 9] = np.nan
    frame = frame_of(output, measured=measured, cell=(16, 16))
    drawn = draw(make_consistency(frame, Settings()), frame, output, measured)
    assert drawn.dtype == np.float32
    assert np.isnan(drawn[1, 2, 2])
    assert np.isnan(drawn).sum() == 1
    kept = ~np.isnan(drawn)
    np.testing.assert_allclose(drawn[kept], (means - measured)[kept], rtol=1e-5, atol=1e-4)


@hypothesis_settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 99),
    degradation=st.sampled_from(["area", "rows", "gaussian:0.7", "disc:2+washout:0.1"]),
    data=st.data(),
)
def test_cells_merge_in_any_order_to_the_same_bits(seed: int, degradation: str, data: st.DataObject) -> None:
    output, _, measured = images((2, 24, 32), 2, seed)
    output[0, seed % 24, seed % 32] = np.nan
    settings = Settings(degradation=degradation)
    frame = frame_of(output, measured=measured, cell=(8, 8), settings=settings)
    (metric,) = make_metrics(["consistency"], frame, settings)
    statistic = metric.statistic
    context = context_of([statistic], frame)

    def states() -> list[State]:
        return [
            statistic.update(State(), patch.within(statistic.context))
            for patch in patches(frame, output, measured=measured, context=context)
        ]

    straight = State()
    for patch in patches(frame, output, measured=measured, context=context):
        straight = statistic.update(straight, patch)
    parts = states()
    random.Random(data.draw(st.integers(0, 9))).shuffle(parts)
    merged = parts[0]
    for part in parts[1:]:
        merged.merge(part)
    assert merged.to_json() == straight.to_json()
    assert State.from_json(merged.to_json()).to_json() == merged.to_json()
    assert metric.finalize(merged, frame) == metric.finalize(straight, frame)


@pytest.mark.parametrize("name", ["consistency", "rse", "rsp", "beyond_nyquist", "seam"])
def test_figures_of_trust_do_not_depend_on_how_an_image_lies_in_memory(name: str) -> None:
    output, _, measured = images((2, 96, 128), 2)
    settings = Settings(degradation="gaussian:1", seam_period=(16, 16), tile=32)
    plain = measure_arrays(output, name, measured=measured, cell=(64, 64), settings=settings)
    turned, other = (np.asfortranarray(image) for image in (output, measured.astype(np.float64)))
    assert measure_arrays(turned, name, measured=other, cell=(64, 64), settings=settings) == plain


@pytest.mark.parametrize("value", [0.0, 7.0])
def test_constant_measurements_have_no_correlation(value: float) -> None:
    output = np.random.default_rng(0).normal(size=(1, 8, 8))
    measures = measure_arrays(output, "consistency", measured=np.full((1, 4, 4), value))
    assert figure(measures, "consistency").value is not None
    for kind in ("relative rmse", "pearson", "gain", "offset"):
        found = figure(measures, "consistency", kind)
        assert found.value is None
        assert "constant" in found.note


def test_nothing_to_compare_gives_no_figures_and_says_why() -> None:
    output = np.full((1, 8, 8), np.nan, np.float32)
    measures = measure_arrays(output, "consistency", measured=np.ones((1, 4, 4), np.float32))
    assert [m.kind for m in measures] == KINDS
    assert all(m.value is None and m.n == 0 and "no measured pixel" in m.note for m in measures)
    assert measures[0].left_out == {"not finite or masked": 16}
    frame = frame_of(output, measured=output)
    empty = make_consistency(frame, Settings()).finalize(State(), frame)
    assert all(m.value is None and m.left_out == {} for m in empty)


def test_what_cannot_be_compared_is_refused() -> None:
    output: NDArray[Any] = np.ones((1, 8, 8), np.float32)
    with pytest.raises(InputError, match="none was given"):
        measure_arrays(output, "consistency")
    with pytest.raises(InputError, match="more pixels than the output"):
        measure_arrays(output[:, ::2, ::2], "consistency", measured=output)
    frame = frame_of(output, measured=output[:, ::2, ::2])
    with pytest.raises(InputError, match="Choose from: area"):
        make_consistency(frame, Settings(degradation="boxes"))
    with pytest.raises(InputError, match="too far for an image"):
        make_consistency(frame, Settings(degradation="gaussian:1e9"))
