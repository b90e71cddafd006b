"""The SQUIRREL-style error against a fit that searches, and on outputs whose blur is known."""

from __future__ import annotations

import math
import random
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.ndimage
import scipy.optimize
from metrics.arrays import figure, frame_of, measure_arrays
from metrics.drawing import draw

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, make_metrics
from scalesr.metrics.squirrel import NARROWEST, WIDEST, WIDTHS, blurs_of, make_rse, make_rsp
from scalesr.metrics.walk import context_of, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray


def sample(shape: tuple[int, int] = (160, 192), seed: int = 0) -> NDArray[np.float64]:
    """Return spots of two pixels and blobs on a background."""
    generator = np.random.default_rng(seed)
    points = (generator.random(shape) < 0.01) * generator.gamma(3, 2000, shape)
    return np.asarray(scipy.ndimage.gaussian_filter(points, 1) + scipy.ndimage.gaussian_filter(points, 5) + 10)


def observe(image: NDArray[np.float64], sigma: float, factor: int) -> NDArray[np.float64]:
    """Return a blurred image in blocks."""
    blurred = scipy.ndimage.gaussian_filter(image, sigma, truncate=4.0) if sigma else image
    rows, columns = image.shape
    return np.asarray(blurred.reshape(rows // factor, factor, columns // factor, factor).mean((1, 3)))


@pytest.mark.parametrize("sigma", [0.0, 0.9, 1.7, 3.1, 4.4])
def test_the_blur_and_the_scale_of_the_measurement_are_found(sigma: float) -> None:
    truth = sample()
    measured = 0.5 * observe(truth, sigma, 4) + 20
    measures = measure_arrays(truth[None], "rse", "rsp", measured=measured[None], cell=(64, 64))
    assert [(m.metric, m.kind) for m in measures] == [
        ("rse", "rse"),
        ("rse", "sigma"),
        ("rse", "alpha"),
        ("rse", "beta"),
        ("rsp", "rsp"),
    ]
    found = {m.kind: m.value for m in measures}
    assert all("SQUIRREL-style" in m.note for m in measures if m.kind == m.metric)
    assert found["sigma"] == pytest.approx(sigma, rel=0.03, abs=0.01)
    assert found["alpha"] == pytest.approx(0.5, rel=0.01)
    assert found["beta"] == pytest.approx(20, abs=1)
    # What is left is the difference between a Gaussian and a mix of two beside it.
    assert found["rse"] is not None
    assert found["rse"] < 0.015 * measured.std()
    assert found["rsp"] == pytest.approx(1, abs=1e-3)
    assert measures[0].n + measures[0].left_out.get("border", 0) == measured.size


def test_the_figures_are_those_of_regressions_on_the_list() -> None:
    generator = np.random.default_rng(1)
    truth = sample()
    measured = observe(truth, 2.0, 4) + generator.normal(0, 5, (40, 48))
    frame = frame_of(truth[None], measured=measured[None], cell=(64, 64))
    blurs = blurs_of(frame)
    assert (blurs[0].sigma, len(blurs)) == (0, WIDTHS)
    assert blurs[1].sigma == pytest.approx(NARROWEST)
    assert blurs[-1].sigma <= 4 * WIDEST
    measures = measure_arrays(truth[None], "rse", "rsp", measured=measured[None], cell=(64, 64))
    border = 7  # of 4 pixels: the widest blur reaches 26 or 27
    inner = measured[border:-border, border:-border].ravel()
    assert measures[0].n == inner.size

    def blurred(sigma: float) -> NDArray[np.float64]:
        return observe(truth, sigma, 4)[border:-border, border:-border].ravel()

    def fit(*columns: NDArray[np.float64]) -> tuple[float, NDArray[Any]]:
        design = np.stack([*columns, np.ones_like(inner)], axis=1)
        weights, *_ = np.linalg.lstsq(design, inner, rcond=None)
        return math.sqrt(np.mean((design @ weights - inner) ** 2)), weights

    pairs = list(pairwise([blur.sigma for blur in blurs]))
    fits = [(*fit(blurred(low), blurred(high)), low, high) for low, high in pairs]
    rse, (a, b, beta), low, high = min((f for f in fits if f[1][0] * f[1][1] > 0), key=lambda f: f[0])
    assert figure(measures, "rse").value == pytest.approx(rse, rel=1e-6)
    assert figure(measures, "rse", "alpha").value == pytest.approx(a + b, rel=1e-6)
    assert figure(measures, "rse", "beta").value == pytest.approx(beta, rel=1e-6)
    assert figure(measures, "rse", "sigma").value == pytest.approx(math.sqrt((a * low**2 + b * high**2) / (a + b)))
    mix = a * blurred(low) + b * blurred(high)
    assert figure(measures, "rsp").value == pytest.approx(np.corrcoef(mix, inner)[0, 1], rel=1e-9)
    # A search as in the original finds about the same width and error.
    searched = scipy.optimize.minimize_scalar(lambda s: fit(blurred(s))[0], bounds=(0.5, 6), method="bounded")
    assert figure(measures, "rse", "sigma").value == pytest.approx(searched.x, rel=0.03)
    assert rse == pytest.approx(searched.fun, rel=0.02)


def test_an_invented_structure_shows_in_figure_and_map() -> None:
    truth = sample()
    measured = observe(truth, 1.5, 4)
    invented = truth.copy()
    invented[70:90, 70:90] += 300
    frame = frame_of(truth[None], measured=measured[None], cell=(64, 64))
    honest, false = (
        measure_arrays(image[None], "rse", "rsp", measured=measured[None], cell=(64, 64)) for image in (truth, invented)
    )
    assert (figure(false, "rse").value or 0) > 3 * (figure(honest, "rse").value or 0)
    assert (figure(false, "rsp").value or 0) < (figure(honest, "rsp").value or 0)
    drawn = draw(make_rse(frame, Settings()), frame, invented[None], measured[None])[0]
    inner = drawn[~np.isnan(drawn)]
    assert math.sqrt(np.mean(inner.astype(np.float64) ** 2)) == pytest.approx(figure(false, "rse").value, rel=1e-5)
    assert inner.size == figure(false, "rse").n
    peak = np.unravel_index(np.nanargmax(drawn), drawn.shape)
    assert all(16 <= place < 24 for place in peak)


def test_bands_have_a_fit_each() -> None:
    output = np.stack([sample(), sample(seed=1), np.ones((160, 192))])
    measured = np.stack([observe(output[0], 1.0, 4), 3 * observe(output[1], 3.0, 4), observe(output[2], 0, 4)])
    measured[2] += np.random.default_rng(0).normal(size=measured[2].shape)
    measures = measure_arrays(output, "rse", "rsp", measured=measured, cell=(64, 64))
    assert figure(measures, "rse", "sigma", band="0").value == pytest.approx(1, rel=0.05)
    assert figure(measures, "rse", "sigma", band="1").value == pytest.approx(3, rel=0.05)
    assert figure(measures, "rse", "alpha", band="1").value == pytest.approx(3, rel=0.03)
    assert figure(measures, "rse", "sigma", band="2").value is None
    assert "constant" in figure(measures, "rse", "sigma", band="2").note
    assert "1 of 3 bands" in figure(measures, "rse").note
    each = [figure(measures, "rsp", "rsp", band=band).value for band in "01"]
    assert figure(measures, "rsp").kind == "mean of bands"
    assert figure(measures, "rsp").value == pytest.approx(sum(v for v in each if v is not None) / 2, rel=1e-12)


def test_an_output_upside_down_has_a_negative_correlation() -> None:
    truth = sample()
    measures = measure_arrays(-truth[None], "rsp", measured=observe(truth, 1, 4)[None])
    assert figure(measures, "rsp").value == pytest.approx(-1, abs=1e-2)
    assert "dark where" in figure(measures, "rsp").note


def test_cells_merge_in_any_order_to_the_same_bits_and_missing_pixels_are_counted() -> None:
    truth = sample()[None]
    truth[0, 80, 80] = np.nan
    measured = np.nan_to_num(observe(np.nan_to_num(truth[0]), 1, 4))[None]
    frame = frame_of(truth, measured=measured, cell=(32, 32))
    rse, rsp = make_metrics(["rse", "rsp"], frame, Settings())
    assert rse.statistic == rsp.statistic
    statistic = rse.statistic
    context = context_of([statistic], frame)

    def states(order: int) -> State:
        every: list[Any] = [
            statistic.update(State(), patch.within(statistic.context))
            for patch in patches(frame, truth, measured=measured, context=context)
        ]
        random.Random(order).shuffle(every)
        merged = State()
        for each in every:
            merged.merge(each)
        return merged

    first, second = states(0), states(1)
    assert first.to_json() == second.to_json()
    assert rse.finalize(first, frame) == rse.finalize(State.from_json(second.to_json()), frame)
    left = rse.finalize(first, frame)[0].left_out
    reach = (statistic.context[0] // 2 // 4 * 2) * 4
    assert 0 < left["not finite or masked"] <= (reach // 4 + 2) ** 2
    assert rse.finalize(first, frame)[0].n + sum(left.values()) == measured.size


def test_volumes_are_blurred_along_the_coarse_axes_only() -> None:
    output = np.random.default_rng(0).normal(size=(1, 6, 64, 64))
    measured = output.reshape(1, 6, 32, 2, 32, 2).mean((3, 5))
    frame = frame_of(output, measured=measured, cell=(6, 32, 32))
    assert {blur.along for blur in blurs_of(frame)} == {(1, 2)}
    measures = measure_arrays(output, "rse", "rsp", measured=measured, cell=(6, 32, 32))
    assert figure(measures, "rse").value == pytest.approx(0, abs=1e-7)
    assert figure(measures, "rse", "sigma").value == 0
    assert figure(measures, "rsp").value == pytest.approx(1, abs=1e-12)


def test_images_that_are_too_small_for_a_blur_have_none() -> None:
    output = np.random.default_rng(0).normal(size=(1, 8, 8))
    measured = output.reshape(1, 4, 2, 4, 2).mean((2, 4))
    frame = frame_of(output, measured=measured)
    assert [blur.sigma for blur in blurs_of(frame)] == [0]
    assert figure(measure_arrays(output, "rse", measured=measured), "rse").n == 16
    assert "no measured pixel" in make_rsp(frame, Settings()).finalize(State(), frame)[0].note
    assert all(m.value is None for m in make_rse(frame, Settings()).finalize(State(), frame))


def test_it_needs_a_measurement() -> None:
    with pytest.raises(InputError, match="none was given"):
        measure_arrays(np.ones((1, 8, 8)), "rse")
    with pytest.raises(InputError, match="'rsp'"):
        measure_arrays(np.ones((1, 8, 8)), "rsp")
