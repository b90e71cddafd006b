"""Fourier ring and shell correlation with a reference."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from metrics.textures import noise, texture

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, TileMap, make_metrics
from scalesr.metrics.walk import patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = Settings(tile=32)
HANN = Settings(window="hann")


def states_of(output: NDArray[Any], reference: NDArray[Any], *, cell: tuple[int, ...] = (64, 64)) -> list[State]:
    """Return one state for each cell."""
    frame = frame_of(output, reference=reference, cell=cell, settings=SMALL)
    statistic = make_metrics(["frc"], frame, SMALL)[0].statistic
    return [statistic.update(State(), patch) for patch in patches(frame, output, reference=reference, context=(0, 0))]


def merged(states: list[State]) -> State:
    total = State()
    for state in states:
        total.merge(State.from_json(state.to_json()))
    return total


def plain_curve(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Return the curve of one square tile, by the full transform and rounded radii."""
    n = len(a)
    window = scipy.signal.windows.tukey(n, 0.25)
    first, second = (np.fft.fft2((image - image.mean()) * np.outer(window, window)) for image in (a, b))
    k = np.fft.fftfreq(n, 1 / n)
    radius = np.hypot(k[:, None], k)
    ring = np.where(radius <= n / 2, np.rint(radius), n).astype(int).ravel()
    cross, pa, pb = (
        np.bincount(ring, values.ravel())[: n // 2 + 1]
        for values in ((first * second.conj()).real, np.abs(first) ** 2, np.abs(second) ** 2)
    )
    return np.asarray(cross / np.sqrt(pa * pb))


def test_the_curve_of_a_tile_is_that_of_the_definition() -> None:
    truth = texture((64, 64), period=5, seed=0)
    a, b = truth + 0.4 * noise(truth.shape, seed=1), truth + 0.4 * noise(truth.shape, seed=2)
    frame = frame_of(a, reference=b)
    metric: Any = make_metrics(["frc"], frame, Settings(window="tukey"))[0]
    (patch,) = patches(frame, a, reference=b, context=(0, 0))
    curve = metric.curve(metric.statistic.update(State(), patch), frame)
    np.testing.assert_allclose(curve.correlation[0][1:], plain_curve(a[0], b[0])[1:], rtol=1e-9)
    np.testing.assert_allclose(curve.frequency, np.arange(33) / 32)
    assert curve.n[0, 1] == 8
    assert (curve.threshold == 1 / 7).all()


@pytest.mark.parametrize(("window", "level"), [("hann", 0.3), ("hann", 2.0), ("tukey", 2.0)])
def test_a_known_cut_off_is_found(window: Any, level: float) -> None:
    truth = texture((512, 512), period=6, seed=0)
    a, b = truth + level * noise(truth.shape, seed=1), truth + level * noise(truth.shape, seed=2)
    found = figure(measure_arrays(a, "frc", reference=b, settings=Settings(window=window)), "frc")
    assert found.value == pytest.approx(3.0, rel=0.05)  # 6 pixels of half a micrometre
    assert found.unit == "micrometer"
    assert found.n == 4
    assert "threshold 1/7" in found.note
    assert {"tukey": "Tukey 0.25", "hann": "Hann"}[window] in found.note


def test_gain_and_offset_do_not_show_in_the_resolution_but_beside_it() -> None:
    reference = texture((64, 64), period=3, seed=0)
    measures = measure_arrays(0.1 * reference + 5, "frc", reference=reference)
    headline = measures[0]
    assert headline.value is None
    assert headline.note.startswith("at or below Nyquist")
    assert "gain or offset differ" in headline.note
    assert figure(measures, "frc", "gain").value == pytest.approx(0.1)
    assert figure(measures, "frc", "offset").value == pytest.approx(5)
    assert "blind" in figure(measures, "frc", "gain").note


def test_equal_images_have_no_remark() -> None:
    image = np.random.default_rng(0).integers(0, 4000, (1, 96, 96)).astype(np.uint16)
    measures = measure_arrays(image, "frc", reference=image)
    assert figure(measures, "frc", "gain").value == pytest.approx(1.0, rel=1e-12)
    assert figure(measures, "frc", "offset").value == pytest.approx(0.0, abs=1e-9)
    assert "gain" not in measures[0].note


def test_the_regression_is_that_of_all_pixels() -> None:
    reference = texture((64, 64), period=3, seed=0) + 7
    output = 0.8 * reference + 0.3 * noise(reference.shape, seed=1) + 2
    measures = measure_arrays(output, "frc", reference=reference)
    gain, offset = np.polyfit(reference.ravel(), output.ravel(), 1)
    assert figure(measures, "frc", "gain").value == pytest.approx(gain, rel=1e-9)
    assert figure(measures, "frc", "offset").value == pytest.approx(offset, rel=1e-9)


def test_independent_noise_does_not_correlate() -> None:
    a, b = noise((1, 256, 256), seed=0) + 100, noise((1, 256, 256), seed=1) + 100
    found = measure_arrays(a, "frc", reference=b, settings=Settings(tile=64, threshold="0.5"))[0]
    assert found.value is None
    assert found.note.startswith("no correlation")


@pytest.mark.parametrize("threshold", ["1/7", "half-bit", "one-bit", "three-sigma", "0.5"])
def test_every_threshold_gives_a_figure_and_names_itself(threshold: Any) -> None:
    truth = texture((256, 256), period=6, seed=0)
    a, b = truth + noise(truth.shape, seed=10), truth + noise(truth.shape, seed=20)
    found = measure_arrays(a, "frc", reference=b, settings=Settings(threshold=threshold))[0]
    assert found.value == pytest.approx(3.0, rel=0.2)
    assert f"threshold {threshold}" in found.note


@hypothesis_settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(6)))
def test_merging_in_any_order_gives_the_same_bits(order: list[int]) -> None:
    a = (texture((128, 150), period=4, seed=0) + 0.5 * noise((1, 128, 150), seed=1)).astype(np.float32)
    b = (texture((128, 150), period=4, seed=0) + 0.5 * noise((1, 128, 150), seed=2)).astype(np.float32)
    states = states_of(a, b)
    assert merged([states[i] for i in order]).to_json() == merged(states).to_json()


def test_cells_and_storage_do_not_change_the_tiles() -> None:
    a, b = noise((2, 128, 128), seed=0), noise((2, 128, 128), seed=1)
    some, one = merged(states_of(a, b)), merged(states_of(a, b, cell=(128, 128)))
    assert some.rows("periods").keys() == one.rows("periods").keys()
    for key, row in some.rows("periods").items():
        np.testing.assert_array_equal(row, one.rows("periods")[key])


def test_planes_merge() -> None:
    a, b = noise((1, 64, 64), seed=0), noise((1, 64, 64), seed=1)
    (state,) = states_of(a, b)
    total = State()
    for plane in range(3):
        total.merge(state.placed((plane,)))
    frame = frame_of(a, reference=b, cell=(64, 64), settings=SMALL)
    (metric,) = make_metrics(["frc"], frame, SMALL)
    assert metric.finalize(total, frame)[0].n == 12


def test_what_is_left_out_is_counted() -> None:
    a, b = noise((2, 80, 100), seed=0), noise((2, 80, 100), seed=1)
    a[0, 3, 4] = np.nan
    b[1, 40, 40] = np.inf
    a[1, :32, :32] = b[1, :32, :32] = 7.0
    mask = np.ones((80, 100), np.bool_)
    mask[10, 70] = False
    measures = measure_arrays(a, "frc", reference=b, mask=mask, settings=SMALL)
    headline = measures[0]
    assert headline.n == 12 - 2 - 1 - 2  # 2 bands of 2 x 3 whole tiles
    assert headline.left_out == {
        "tiles with missing pixels": 4,
        "tiles with nothing to resolve": 1,
        "cut tiles": 12,
    }
    band = figure(measures, "frc", "band", band="1")
    assert band.left_out == {"tiles with missing pixels": 2, "tiles with nothing to resolve": 1, "cut tiles": 6}


def test_a_tile_flat_in_one_image_alone_is_not_resolved() -> None:
    a, b = noise((1, 32, 32), seed=0), np.full((1, 32, 32), 3.0)
    measures = measure_arrays(a, "frc", reference=b, settings=SMALL)
    assert measures[0].value is None
    assert measures[0].note.startswith("no correlation")
    assert figure(measures, "frc", "gain").value is None
    assert figure(measures, "frc", "gain").note == "the reference is flat"


def test_an_empty_state_gives_figures_without_a_value() -> None:
    a = noise((2, 64, 64), seed=0)
    frame = frame_of(a, reference=a)
    (metric,) = make_metrics(["frc"], frame, Settings())
    measures = metric.finalize(State(), frame)
    assert all(m.value is None and m.n == 0 and "no tiles" in m.note for m in measures)


def test_a_missing_image_gives_figures_without_a_value() -> None:
    a = np.full((1, 64, 64), np.nan)
    measures = measure_arrays(a, "frc", reference=a)
    assert all(m.value is None and m.n == 0 and m.note for m in measures)
    assert measures[0].left_out == {"tiles with missing pixels": 1}


def test_bands_are_measured_apart_and_the_headline_is_their_median() -> None:
    truth = np.concatenate([texture((128, 128), period=p, seed=0) for p in (4, 8, 16)])
    a, b = truth + noise(truth.shape, seed=1), truth + noise(truth.shape, seed=2)
    measures = measure_arrays(a, "frc", reference=b)
    values = [figure(measures, "frc", "band", band=name).value for name in "012"]
    assert values == sorted(v for v in values if v is not None)
    assert measures[0].value == values[1]
    assert "median of the bands" in measures[0].note
    assert figure(measures, "frc", "gain", band="2").band == "2"


def test_quantiles_of_tiles_and_the_map_agree() -> None:
    truth = texture((160, 130), period=6, seed=0)
    a, b = truth + noise(truth.shape, seed=1), truth + noise(truth.shape, seed=2)
    frame = frame_of(a, reference=b, settings=SMALL)
    (made,) = make_metrics(["frc"], frame, SMALL)
    assert isinstance(made, TileMap)
    metric: Any = made
    assert metric.tile == (32, 32)
    state = State()
    for patch in patches(frame, a, reference=b, context=(0, 0)):
        metric.statistic.update(state, patch)
    drawn = metric.tiles(state, frame)
    assert drawn.shape == (1, 5, 5)
    assert drawn.dtype == np.float32
    assert np.isnan(drawn[:, :, 4]).all()  # cut by the end of the image
    values = drawn[:, :, :4]
    assert np.isfinite(values).all()
    median = figure(metric.finalize(state, frame), "frc", "median of tiles")
    assert median.value == pytest.approx(float(np.median(values)), rel=1e-6)
    assert median.n == 20


def test_the_map_shows_the_nyquist_period_where_a_tile_is_resolved_to_it() -> None:
    a = noise((1, 32, 64), seed=0)
    b = a.copy()
    b[..., 32:] = noise((1, 32, 32), seed=5)
    settings = Settings(tile=32, threshold="0.5")
    frame = frame_of(a, reference=b, settings=settings)
    metric: Any = make_metrics(["frc"], frame, settings)[0]
    (patch,) = patches(frame, a, reference=b, context=(0, 0))
    drawn = metric.tiles(metric.statistic.update(State(), patch), frame)
    assert drawn[0, 0, 0] == 1.0  # two pixels of half a micrometre
    assert np.isnan(drawn[0, 0, 1])
    measures = metric.finalize(metric.statistic.update(State(), patch), frame)
    assert "1 of 2 tiles at or below Nyquist" in figure(measures, "frc", "median of tiles").note


def test_a_small_image_is_one_tile() -> None:
    truth = texture((40, 90), period=4, seed=0)
    a, b = truth + 0.5 * noise(truth.shape, seed=1), truth + 0.5 * noise(truth.shape, seed=2)
    found = measure_arrays(a, "frc", reference=b)[0]
    assert found.n == 1
    assert "tiles of 40 x 90 px" in found.note
    assert found.value == pytest.approx(2.0, rel=0.2)


@pytest.mark.parametrize(("cell", "tile"), [(512, 256), (480, 240), (320, 160), (509, 509), (128, 128)])
def test_the_tile_divides_the_cell(cell: int, tile: int) -> None:
    a = np.zeros((1, 1200, 1200), np.uint8)
    frame = frame_of(a, reference=a, cell=(cell, cell))
    metric: Any = make_metrics(["frc"], frame, Settings())[0]
    assert metric.tile == (tile, tile)


def test_shells_of_anisotropic_volumes_are_measured_in_units() -> None:
    truth = texture((64, 64, 64), period=6, seed=0)
    a, b = truth + 5 * noise(truth.shape, seed=1), truth + 5 * noise(truth.shape, seed=2)
    found = measure_arrays(a, "fsc", reference=b, settings=HANN)[0]
    assert found.value == pytest.approx(3.0, rel=0.1)
    thick = (a[:, ::2] + a[:, 1::2]) / 2, (b[:, ::2] + b[:, 1::2]) / 2
    frame = frame_of(thick[0], reference=thick[1])
    frame = type(frame)(**{**frame.__dict__, "pixel_size": (1.0, 0.5, 0.5)})
    metric: Any = make_metrics(["fsc"], frame, HANN)[0]
    assert metric.tile == (32, 64, 64)
    (patch,) = patches(frame, thick[0], reference=thick[1], context=(0, 0, 0))
    (headline, *_) = metric.finalize(metric.statistic.update(State(), patch), frame)
    assert headline.value == pytest.approx(3.0, rel=0.1)


def test_what_cannot_be_measured_is_refused() -> None:
    plane, volume = np.zeros((1, 64, 64)), np.zeros((1, 32, 32, 32))
    refused: list[tuple[NDArray[Any], str, dict[str, Any]]] = [
        (plane, "frc", {"reference": None}),
        (plane, "fsc", {"reference": plane}),
        (volume, "frc", {"reference": volume}),
        (plane[:, :5], "frc", {"reference": plane[:, :5]}),
        (plane, "frc", {"reference": plane, "settings": Settings(tile=24), "cell": (32, 32)}),
    ]
    for image, name, options in refused:
        with pytest.raises(InputError) as error:
            measure_arrays(image, name, **options)
        assert error.value.remedy


def test_an_unsigned_image_and_a_float_one_agree() -> None:
    image = np.random.default_rng(0).integers(0, 999, (1, 64, 64)).astype(np.uint16)
    reference = np.random.default_rng(1).integers(0, 999, (1, 64, 64)).astype(np.uint16)
    outputs: list[NDArray[Any]] = [image, image.astype(np.float32)]
    references: list[NDArray[Any]] = [reference, reference.astype(np.float64)]
    found = [measure_arrays(x, "frc", reference=y)[0] for x, y in itertools.product(outputs, references)]
    assert len({(m.value, m.n) for m in found}) == 1
