"""Fourier ring correlation of one image: split counts and diagonal neighbours, with the trap of enlarged noise."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from metrics.textures import enlarged, noise, texture

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, make_metrics
from scalesr.metrics.controls import (
    NOT_CUBIC,
    NOT_NOISE,
    generator,
    interpolated_measurement,
    interpolated_noise,
    not_better,
    withheld,
)
from scalesr.metrics.resampling import enlarge
from scalesr.metrics.walk import patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = Settings(tile=32)
SINGLE = ["frc_single", "frc_split", "decorrelation"]


def counts_of(truth: NDArray[np.float64], *, mean: float, seed: int) -> NDArray[np.uint16]:
    return np.random.default_rng(seed).poisson(mean * np.maximum(1 + 0.3 * truth, 0)).astype(np.uint16)


def as_counts(image: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.rint(np.clip(image, 0, None)).astype(np.uint16)


@pytest.mark.parametrize(("mean", "window"), [(20, "tukey"), (20, "hann"), (200, "hann")])
def test_split_counts_find_a_known_cut_off(mean: float, window: Any) -> None:
    counts = counts_of(texture((512, 512), period=6, seed=0), mean=mean, seed=1)
    measures = measure_arrays(counts, "frc_split", settings=Settings(window=window))
    assert measures[0].value == pytest.approx(3.0, rel=0.05)
    assert measures[0].n == 4
    assert "halves of the counts" in measures[0].note
    assert "no measurement given" in measures[0].note
    control = figure(measures, "frc_split", "control: noise")
    assert control.value is None or control.value > 20


def test_diagonal_neighbours_find_a_cut_off_that_they_were_calibrated_for() -> None:
    truth = texture((512, 512), period=6, seed=0)
    measures = measure_arrays(truth + 0.5 * noise(truth.shape, seed=1), "frc_single")
    assert measures[0].value == pytest.approx(3.0, rel=0.15)
    assert "calibrated" in measures[0].note
    control = figure(measures, "frc_single", "control: noise")
    assert control.value is None
    assert control.note.startswith("no correlation")


@pytest.mark.parametrize("name", SINGLE)
def test_enlarged_noise_is_not_resolved(name: str) -> None:
    measured = np.random.default_rng(0).poisson(100, (1, 128, 128)).astype(np.uint16)
    measures = measure_arrays(as_counts(enlarged(measured.astype(float), 4)), name, measured=measured)
    resolved = [m for m in measures if m.kind == "resolution" or "tiles" in m.kind]
    assert len(resolved) == 4
    assert all(m.value is None and m.note.startswith(NOT_NOISE) for m in resolved)


@pytest.mark.parametrize("name", SINGLE)
def test_enlarged_structure_is_not_said_to_go_beyond_the_measurement(name: str) -> None:
    measured = counts_of(texture((128, 128), period=2.2, seed=0), mean=500, seed=1)
    measures = measure_arrays(as_counts(enlarged(measured.astype(float), 4)), name, measured=measured)
    headline, nyquist = measures[0], 2 * 4 * 0.5
    kinds = [m.kind for m in measures[:3]]
    assert kinds == ["resolution", "control: noise", "baseline: cubic"]
    if headline.value is None or headline.value < nyquist:
        assert NOT_NOISE in headline.note or NOT_CUBIC in headline.note


@pytest.mark.parametrize("name", SINGLE)
def test_plain_noise_is_not_resolved(name: str) -> None:
    counts = np.random.default_rng(3).poisson(50, (1, 512, 512)).astype(np.uint16)
    value = measure_arrays(counts, name)[0].value
    assert value is None or value > 20


def test_a_figure_is_withheld_within_five_percent_of_noise() -> None:
    assert withheld(4.0, 4.1).startswith(NOT_NOISE)
    assert "image 4, noise 4.1" in withheld(4.0, 4.1)
    assert "noise at or below Nyquist" in withheld(4.0, 0.0)
    assert withheld(4.0, 4.3) == withheld(4.0, np.inf) == withheld(np.inf, np.inf) == withheld(0.0, 1.0) == ""
    assert withheld(0.0, 0.0).startswith(NOT_NOISE)
    assert not_better(4.0, 4.1) == NOT_CUBIC
    assert not_better(4.0, 4.3) == not_better(np.inf, 1.0) == ""


def test_a_band_of_noise_is_withheld_and_the_others_are_not() -> None:
    measured = np.stack([noise((64, 64), seed=0), texture((64, 64), period=4, seed=1)[0]])
    output = enlarged(measured, 4)
    output[1] = texture((256, 256), period=4, seed=2)[0]
    measures = measure_arrays(output, "decorrelation", measured=measured)
    bands = [figure(measures, "decorrelation", "band", band=name) for name in "01"]
    assert bands[0].value is None
    assert bands[0].note.startswith(NOT_NOISE)
    assert bands[1].value == pytest.approx(2.0, rel=0.05)
    assert measures[0].note.startswith("1 of 2 bands not better than noise")
    assert figure(measures, "decorrelation", "median of tiles").n == 1


@hypothesis_settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(4)), name=st.sampled_from(SINGLE))
def test_merging_in_any_order_gives_the_same_bits(order: list[int], name: str) -> None:
    counts = counts_of(texture((128, 128), period=5, seed=0), mean=30, seed=1)
    frame = frame_of(counts, cell=(64, 64), settings=SMALL)
    (metric,) = make_metrics([name], frame, SMALL)
    states = [metric.statistic.update(State(), patch) for patch in patches(frame, counts, context=(0, 0))]

    def merged(some: list[State]) -> dict[str, Any]:
        total = State()
        for state in some:
            total.merge(State.from_json(state.to_json()))
        return total.to_json()

    assert merged([states[i] for i in order]) == merged(states)


def test_random_numbers_belong_to_the_place_of_a_tile() -> None:
    counts = counts_of(texture((128, 128), period=5, seed=0), mean=30, seed=1)
    rows = []
    for cell in ((32, 32), (64, 128)):
        frame = frame_of(counts, cell=cell, settings=SMALL)
        (metric,) = make_metrics(["frc_split"], frame, SMALL)
        state = State()
        for patch in patches(frame, counts, context=(0, 0)):
            metric.statistic.update(state, patch)
        rows.append({key: row.tobytes() for key, row in state.rows("periods").items()})
    assert rows[0] == rows[1]
    (patch,) = patches(frame_of(counts, cell=(128, 128)), counts, context=(0, 0))
    uses = [(1, 0, (0, 0)), (2, 0, (0, 0)), (1, 1, (0, 0)), (1, 0, (0, 1))]
    draws = {generator(purpose, patch, band, index).integers(2**60) for purpose, band, index in uses}
    assert len(draws) == 4


@pytest.mark.parametrize("ratio", [Fraction(4), Fraction(3, 2), Fraction(1)])
def test_the_baseline_is_the_interpolation_of_the_whole_measurement(ratio: Fraction) -> None:
    measured = noise((1, 96, 96), seed=0)
    size = int(96 * ratio)
    output = np.zeros((1, size, size))
    frame = frame_of(output, measured=measured, cell=(size // 2, size // 2))
    pieces = list(patches(frame, output, measured=measured, context=(0, 0)))
    region = (slice(12, size // 2 - 12),) * 2
    found = interpolated_measurement(pieces[3], 0, region)
    whole = enlarge(measured[0], (ratio, ratio))[size // 2 + 12 : size - 12, size // 2 + 12 : size - 12]
    assert found is not None
    np.testing.assert_allclose(found, whole, atol=1e-12)
    drawn = interpolated_noise(lambda shape: np.ones(shape), pieces[1], region)
    np.testing.assert_allclose(drawn, np.ones((size // 2 - 24,) * 2), atol=1e-12)


def test_what_is_left_out_is_counted() -> None:
    counts = counts_of(texture((64, 100), period=5, seed=0), mean=30, seed=1).astype(np.int32)
    counts[0, :32, :32] = 0
    counts[0, 40, 40] = -1
    mask = np.ones((64, 100), np.bool_)
    mask[0, 70] = False
    headline = measure_arrays(counts, "frc_split", mask=mask, settings=SMALL)[0]
    assert headline.n == 3
    assert headline.left_out == {"tiles with nothing to resolve": 2, "tiles with missing pixels": 1, "cut tiles": 2}


def test_missing_pixels_of_the_measurement_count_as_well() -> None:
    measured = noise((1, 32, 32), seed=0)
    measured[0, 2, 3] = np.nan
    headline = measure_arrays(noise((1, 64, 64), seed=1), "frc_single", measured=measured, settings=SMALL)[0]
    assert headline.left_out == {"tiles with missing pixels": 1}
    assert headline.n == 3


@pytest.mark.parametrize("name", SINGLE)
def test_an_empty_state_gives_figures_without_a_value(name: str) -> None:
    image = np.zeros((1, 64, 64), np.uint16)
    measures = measure_arrays(image, name, settings=SMALL)
    assert all(m.value is None and m.n == 0 and "no tiles" in m.note for m in measures)
    assert measures[0].left_out == {"tiles with nothing to resolve": 4}


@pytest.mark.parametrize("name", ["frc_split", "frc_single"])
def test_the_curve_can_be_had(name: str) -> None:
    counts = counts_of(texture((64, 64), period=5, seed=0), mean=300, seed=1)
    frame = frame_of(counts)
    metric: Any = make_metrics([name], frame, Settings())[0]
    (patch,) = patches(frame, counts, context=(0, 0))
    curve = metric.curve(metric.statistic.update(State(), patch), frame)
    assert curve.correlation.shape == curve.n.shape == curve.threshold.shape == (1, len(curve.frequency))
    assert curve.correlation[0, 2:5].mean() > 0.9


def test_what_cannot_be_measured_is_refused() -> None:
    refused: list[tuple[NDArray[Any], str]] = [
        (np.zeros((1, 64, 64)), "frc_split"),
        (np.zeros((1, 32, 32, 32)), "frc_single"),
        (np.zeros((1, 32, 32, 32)), "decorrelation"),
        (np.zeros((1, 12, 64)), "frc_single"),
    ]
    for image, name in refused:
        with pytest.raises(InputError) as error:
            measure_arrays(image, name)
        assert error.value.remedy


def test_volumes_of_counts_are_split_as_well() -> None:
    counts = counts_of(texture((64, 64, 64), period=8, seed=0), mean=0.5, seed=1)
    found = measure_arrays(counts, "frc_split", settings=Settings(window="hann"))[0]
    assert found.value == pytest.approx(4.0, rel=0.15)
