"""The share of energy beyond the measurement's Nyquist frequency, on images whose spectra are known."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
from metrics.arrays import figure, frame_of, measure_arrays

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, TileMap, make_metrics
from scalesr.metrics.beyond import Energies, make_beyond_nyquist, tile_of
from scalesr.metrics.resampling import enlarge
from scalesr.metrics.walk import context_of, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = Settings(tile=32)


def waves(shape: tuple[int, int], *frequencies: tuple[float, float, float]) -> NDArray[np.float64]:
    """Return the sum of cosines of amplitude, cycles per pixel along y and along x."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.asarray(sum(a * np.cos(2 * np.pi * (fy * y + fx * x) + 0.3) for a, fy, fx in frequencies))


def binned(image: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    bands, rows, columns = image.shape
    return np.asarray(image.reshape(bands, rows // factor, factor, columns // factor, factor).mean((2, 4)))


def test_energies_of_waves_are_divided_as_their_amplitudes_squared() -> None:
    image = 100 + waves((128, 128), (3, 0.06, 0.05), (1, 0.25, 0.02), (2, 0.03, 0.3))[None]
    measured, settings = binned(image, 4), Settings(tile=64)
    measures = measure_arrays(image, "beyond_nyquist", reference=image, measured=measured, settings=settings)
    assert [m.kind for m in measures] == ["output", "baseline: cubic", "reference"]
    # The measurement's Nyquist frequency is 1/8 along each axis.
    assert figure(measures, "beyond_nyquist").value == pytest.approx((1 + 4) / (9 + 1 + 4), rel=1e-3)
    assert figure(measures, "beyond_nyquist", "reference").value == figure(measures, "beyond_nyquist").value
    assert all((m.n, m.left_out) == (4, {}) for m in measures)


def test_the_box_is_beyond_along_any_axis_and_its_border_is_within() -> None:
    # Bins 3 and 6 away from the border of the box, further than the window spreads them.
    inside = waves((64, 64), (1, 5 / 64, 5 / 64))[None]
    outside = waves((64, 64), (1, 5 / 64, 11 / 64))[None]
    for image, share in ((inside, 0.0), (outside, 1.0)):
        measures = measure_arrays(image, "beyond_nyquist", measured=binned(image, 4), settings=Settings(tile=64))
        assert figure(measures, "beyond_nyquist").value == pytest.approx(share, abs=1e-3)
    energies = Energies((64, 64), (Fraction(4), Fraction(1)))
    at_nyquist, above = (waves((64, 64), (1, k / 64, 0.3)) for k in (8, 9))
    shares = [energies._energies(image) for image in (at_nyquist, above)]
    # The window spreads a wave over three bins: 1/6, 2/3 and 1/6 of its energy.
    assert shares[0][1] / shares[0][0] == pytest.approx(1 / 6, rel=1e-2)
    assert shares[1][1] / shares[1][0] == pytest.approx(5 / 6, rel=1e-2)


def test_the_share_is_that_of_the_full_transform() -> None:
    tile = np.random.default_rng(0).normal(size=(1, 24, 20))
    window = np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in (24, 20)))
    centred = (tile[0] - (tile[0] * window).sum() / window.sum()) * window
    power = np.abs(np.fft.fft2(centred)) ** 2
    fy, fx = np.fft.fftfreq(24), np.fft.fftfreq(20)
    beyond = (np.abs(fy)[:, None] > 0.25 + 1e-9) | (np.abs(fx)[None] > 0.25 + 1e-9)
    measures = measure_arrays(tile, "beyond_nyquist", measured=binned(tile, 2))
    assert figure(measures, "beyond_nyquist").value == pytest.approx(power[beyond].sum() / power.sum(), rel=1e-10)


def test_interpolation_adds_next_to_nothing_and_noise_adds_its_part() -> None:
    generator = np.random.default_rng(1)
    measured = generator.normal(100, 10, (1, 64, 64))
    output = enlarge(measured[0], (Fraction(4), Fraction(4)))[None]
    plain = measure_arrays(output, "beyond_nyquist", measured=measured)
    cubic = figure(plain, "beyond_nyquist", "baseline: cubic").value
    assert cubic is not None
    assert cubic < 0.2
    assert figure(plain, "beyond_nyquist").value == pytest.approx(cubic, rel=1e-6)
    noise = generator.normal(size=output.shape)
    pure = measure_arrays(noise, "beyond_nyquist", measured=measured)
    assert figure(pure, "beyond_nyquist").value == pytest.approx(1 - 1 / 16, abs=0.01)
    assert figure(pure, "beyond_nyquist", "baseline: cubic").value == pytest.approx(cubic, rel=1e-12)


def test_volumes_by_fractions_along_one_axis() -> None:
    output = np.random.default_rng(2).normal(size=(1, 96, 32, 32))
    measured = np.random.default_rng(3).normal(size=(1, 26, 32, 32))
    measures = measure_arrays(output, "beyond_nyquist", measured=measured, cell=(96, 32, 32))
    assert "48 x 32 x 32" in measures[0].note
    assert measures[0].value == pytest.approx(1 - 13 / 48, abs=0.02)


def test_tiles_that_miss_pixels_are_flat_or_cut_are_counted_for_each_band() -> None:
    generator = np.random.default_rng(4)
    output = generator.normal(size=(2, 96, 104)).astype(np.float32)
    measured = binned(output.astype(np.float64), 4)
    output[0, 3, 3] = np.nan
    measured[0, 20, 20] = np.inf
    output[1, 32:64, 32:64] = 5
    reference = generator.normal(size=output.shape)
    reference[1, 0, 40] = np.nan
    frame = frame_of(output, reference=reference, measured=measured, cell=(64, 64), settings=SMALL)
    measures = measure_arrays(
        output, "beyond_nyquist", reference=reference, measured=measured, cell=(64, 64), settings=SMALL
    )
    assert [m.band for m in measures] == [None] * 3 + ["0"] * 3 + ["1"] * 3
    assert measures[0].n == 18 - 4
    assert measures[0].left_out == {"tiles with missing pixels": 3, "tiles with nothing to resolve": 1, "cut tiles": 6}
    assert figure(measures, "beyond_nyquist", band="1").left_out == {
        "tiles with missing pixels": 1,
        "tiles with nothing to resolve": 1,
        "cut tiles": 3,
    }
    (metric,) = make_metrics(["beyond_nyquist"], frame, SMALL)
    assert isinstance(metric, TileMap)
    state = State()
    for patch in patches(frame, output, reference=reference, measured=measured, context=(0, 0)):
        metric.statistic.update(state, patch)
    drawn = metric.tiles(state, frame)
    assert drawn.shape == (2, 3, 4)
    assert drawn.dtype == np.float32
    assert np.isnan(drawn).sum() == 10
    assert np.isnan(drawn[0, 0, 0])
    assert np.isnan(drawn[1, 1, 1])


@pytest.mark.parametrize("order", [1, 2])
def test_cells_merge_in_any_order_to_the_same_bits(order: int) -> None:
    output = np.random.default_rng(5).normal(size=(2, 128, 128)).astype(np.float32)
    measured = output[:, ::2, ::2].copy()
    frame = frame_of(output, measured=measured, cell=(32, 64), settings=SMALL)
    (metric,) = make_metrics(["beyond_nyquist"], frame, SMALL)
    statistic = metric.statistic
    pieces = list(patches(frame, output, measured=measured, context=context_of([statistic], frame)))
    straight = State()
    for patch in pieces:
        straight = statistic.update(straight, patch)
    parts = [statistic.update(State(), patch) for patch in pieces]
    random.Random(order).shuffle(parts)
    merged = State()
    for part in parts:
        merged.merge(part)
    assert merged.to_json() == straight.to_json()
    assert metric.finalize(State.from_json(merged.to_json()), frame) == metric.finalize(straight, frame)


def test_tiles_are_whole_measured_pixels() -> None:
    for shape, factor, cell, expected in (
        ((1024, 1024), 4, None, (256, 256)),
        ((1024, 1024), 13, (507, 507), (169, 169)),
        ((510, 510), 6, (510, 510), (510, 510)),
        ((100, 104), 4, (512, 512), (100, 104)),
    ):
        rows, columns = (n // factor * factor for n in shape)
        output = np.zeros((1, rows, columns), np.uint8)
        frame = frame_of(output, measured=output[:, ::factor, ::factor], cell=cell)
        tile = tile_of(frame, Settings())
        assert tile == expected
        assert all(edge % factor == 0 for edge in tile)


def test_nothing_to_measure_is_said() -> None:
    flat = np.ones((1, 32, 32))
    measures = measure_arrays(flat, "beyond_nyquist", measured=flat[:, ::2, ::2])
    assert all(m.value is None and "no whole tile" in m.note for m in measures)
    noise = np.random.default_rng(0).normal(size=(1, 32, 32))
    measures = measure_arrays(noise, "beyond_nyquist", measured=flat[:, ::2, ::2])
    assert figure(measures, "beyond_nyquist").value is not None
    assert figure(measures, "beyond_nyquist", "baseline: cubic").value is None
    assert "nothing but a mean" in figure(measures, "beyond_nyquist", "baseline: cubic").note
    frame = frame_of(noise, measured=flat[:, ::2, ::2])
    assert all(m.value is None for m in make_beyond_nyquist(frame, Settings()).finalize(State(), frame))


def test_what_cannot_be_measured_is_refused() -> None:
    image = np.ones((1, 64, 64))
    for words, measured, settings in (
        ("none was given", None, Settings()),
        ("same pixels", image, Settings()),
        ("more pixels", np.ones((1, 128, 128)), Settings()),
        ("multiple of 4", image[:, ::4, ::4], Settings(tile=30)),
        ("too small", image[:, ::4, ::4], Settings(tile=4)),
    ):
        with pytest.raises(InputError, match=words):
            measure_arrays(image, "beyond_nyquist", measured=measured, cell=(64, 64), settings=settings)
