"""Decorrelation analysis: known cut-offs, and the sums by radius against the definition."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.fft
from metrics.arrays import figure, frame_of, measure_arrays
from metrics.textures import noise, texture

from scalesr.metrics import Settings, State, make_metrics
from scalesr.metrics.decorrelation import _curves, _peak, _radii
from scalesr.metrics.walk import patches


@pytest.mark.parametrize("period", [4, 6, 9])
@pytest.mark.parametrize("level", [0.05, 0.5])
def test_a_known_cut_off_is_found(period: int, level: float) -> None:
    truth = texture((512, 512), period=period, seed=0)
    measures = measure_arrays(truth + level * noise(truth.shape, seed=1), "decorrelation")
    assert measures[0].value == pytest.approx(0.5 * period, rel=0.05)
    assert measures[0].unit == "micrometer"
    assert measures[0].n == 4
    assert figure(measures, "decorrelation", "median of tiles").value == pytest.approx(0.5 * period, rel=0.05)
    assert figure(measures, "decorrelation", "control: noise").value is None


def test_the_figure_does_not_depend_on_gain_and_offset() -> None:
    image = texture((128, 128), period=6, seed=0) + 0.3 * noise((1, 128, 128), seed=1)
    plain, other = (measure_arrays(x, "decorrelation")[0] for x in (image, 1e-3 * image + 40))
    assert plain.value == pytest.approx(other.value)


def test_detail_beyond_the_control_is_reported_beside_it() -> None:
    output = texture((512, 512), period=4, seed=1) + 0.1 * noise((1, 512, 512), seed=2)
    measured = output.reshape(1, 128, 4, 128, 4).mean(axis=(2, 4))
    measures = measure_arrays(output, "decorrelation", measured=measured)
    assert measures[0].value == pytest.approx(2.0, rel=0.05)
    assert figure(measures, "decorrelation", "control: noise").value == pytest.approx(2.6, rel=0.05)
    assert figure(measures, "decorrelation", "baseline: cubic").value is not None


def test_the_curves_are_those_of_the_definition() -> None:
    """Sums by radius give what the transform of the whole tile gives, filtered and masked pixel by pixel."""
    image = texture((64, 80), period=5, seed=0)[0] + 0.2 * noise((64, 80), seed=1)
    frame = frame_of(image[None])
    statistic: Any = make_metrics(["decorrelation"], frame, Settings())[0].statistic
    sums = statistic.sums(image, np.random.default_rng(0))
    cut = image[:63, :79]

    def fade(n: int) -> np.ndarray[Any, Any]:
        edge = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
        return np.asarray(0.5 * (1 - np.cos(np.pi * np.minimum(edge / min(20, n // 4), 1))))

    spectrum = scipy.fft.fft2((cut - cut.mean()) * np.outer(fade(63), fade(79)))
    radius = np.hypot(np.fft.fftfreq(63)[:, None], np.fft.fftfreq(79)) / 0.5
    inside = radius < 1
    grid, width = np.linspace(0, 0.997, 50), 3.0  # no radius lies on this grid
    filtered = np.where(inside, spectrum * (1 - np.exp(-2 * width**2 * radius**2)), 0)
    phases = np.where(inside, spectrum / np.abs(spectrum), 0)
    expected = [0.0]
    for r in grid[1:]:
        part = np.where(radius < r, phases, 0)
        norm = np.sqrt((np.abs(filtered) ** 2).sum() * (np.abs(part) ** 2).sum())
        expected.append((filtered * part.conj()).real.sum() / norm)
    found = _curves(sums, _radii((64, 80), frame.pixel_size).values, grid, np.array([width]))
    np.testing.assert_allclose(found[0], expected, rtol=1e-7)


def test_a_peak_is_a_local_maximum_inside() -> None:
    grid = np.linspace(0, 1, 6)
    np.testing.assert_allclose(_peak(np.array([0, 0.2, 0.5, 0.3, 0.3, 0.3]), grid), (0.4, 0.5))
    assert _peak(np.array([0, 0.2, 0.5, 0.3, 0.6, 0.7]), grid)[0] == pytest.approx(0.4)  # the end is no peak
    assert _peak(np.arange(6) / 10, grid) == (0.0, 0.0)
    assert _peak(np.array([0.5, 0.4, 0.3, 0.2, 0.1, 0.0]), grid)[0] == 0.0
    assert _peak(np.array([0.1, 0.2, 0.2004, 0.2, 0.2002, 0.2]), grid)[0] == 0.0  # the same when floored


def test_noise_has_no_peak_and_is_called_doubtful() -> None:
    headline = measure_arrays(noise((1, 128, 128), seed=0), "decorrelation")[0]
    assert headline.value is None
    assert headline.note.startswith("no correlation")
    assert "doubtful" in headline.note


def test_an_anisotropic_image_is_measured_in_units() -> None:
    image = texture((256, 256), period=6, seed=0)
    squeezed = image.reshape(1, 128, 2, 256).mean(axis=2) + 0.1 * noise((1, 128, 256), seed=1)
    frame = frame_of(squeezed)
    frame = type(frame)(**{**frame.__dict__, "pixel_size": (1.0, 0.5)})
    metric: Any = make_metrics(["decorrelation"], frame, Settings())[0]
    assert metric.statistic.tile == (128, 256)
    (patch,) = patches(frame, squeezed, context=(0, 0))
    headline = metric.finalize(metric.statistic.update(State(), patch), frame)[0]
    assert headline.value == pytest.approx(3.0, rel=0.06)
