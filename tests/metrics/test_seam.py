"""Seams of tiles that are put in by hand, by the definition and against their control."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, make_metrics
from scalesr.metrics.walk import context_of, patches
from scalesr.phantoms import cells

if TYPE_CHECKING:
    from numpy.typing import NDArray


def tiled(image: NDArray[np.float64], period: int, size: float, offset: int = 0) -> NDArray[np.float64]:
    """Return an image of shape (bands, y, x) whose square tiles have an offset each."""
    generator = np.random.default_rng(7)
    _, rows, columns = image.shape
    levels = generator.normal(0, size, (rows // period + 2, columns // period + 2))
    y, x = ((np.arange(n) + period - offset) // period for n in (rows, columns))
    return image + levels[np.ix_(y, x)]


def by_definition(image: NDArray[np.float64], period: int, offset: int, kind: str, place: int) -> float:
    """Return the ratio along the last axis of a plane, border or shifted."""
    steps = np.diff(image, axis=1)
    values = np.abs(steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2 if kind == "curvature" else steps[:, 1:-1])
    residue = (np.arange(2, image.shape[1] - 1) - offset) % period
    rest = (residue > 1) & (residue != period - 1)
    if place:
        rest &= residue != place
    return float(values[:, residue == place].mean() / values[:, rest].mean())


def test_tiles_with_an_offset_each_score_above_one_and_the_control_does_not() -> None:
    phantom = cells((384, 384), seed=1).region([slice(0, 384), slice(0, 384)])
    image = scipy.ndimage.gaussian_filter(phantom.astype(np.float64), 1)[None]
    settings = Settings(seam_period=(32, 32))
    plain = measure_arrays(image, "seam", settings=settings)
    seamed = measure_arrays(tiled(image, 32, 0.1 * image.std()), "seam", settings=settings)
    kinds = ["combined", "axis y", "axis x", "control: shifted", "curvature", "control: shifted curvature"]
    assert [m.kind for m in plain] == kinds
    for kind in kinds:
        # Along one axis there are eleven borders, and what lies under them decides.
        assert figure(plain, "seam", kind).value == pytest.approx(1, abs=0.25 if "axis" in kind else 0.06)
    assert (figure(seamed, "seam").value or 0) > 1.5
    assert (figure(seamed, "seam", "curvature").value or 0) > 1.5 * (figure(seamed, "seam").value or 0)
    for kind in ("control: shifted", "control: shifted curvature"):
        assert figure(seamed, "seam", kind).value == pytest.approx(1, abs=0.06)


def test_seamless_noise_scores_one() -> None:
    noise = np.random.default_rng(0).normal(size=(1, 512, 512))
    for m in measure_arrays(noise, "seam", settings=Settings(seam_period=(64, 64))):
        assert m.value == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("offset", [0, 5, 15])
def test_the_ratios_are_their_definition(offset: int) -> None:
    image = tiled(np.random.default_rng(1).normal(size=(1, 96, 128)), 16, 2.0, offset)
    settings = Settings(seam_period=(16, 16), seam_offset=(offset, offset))
    measures = measure_arrays(image, "seam", cell=(40, 24), settings=settings)
    for axis, plane in (("axis y", image[0].T), ("axis x", image[0])):
        expected = by_definition(plane, 16, offset, "gradient", 0)
        assert figure(measures, "seam", axis).value == pytest.approx(expected, rel=1e-12)
    for kind, what, place in (
        ("combined", "gradient", 0),
        ("control: shifted", "gradient", 8),
        ("curvature", "curvature", 0),
        ("control: shifted curvature", "curvature", 8),
    ):
        along = [by_definition(plane, 16, offset, what, place) for plane in (image[0].T, image[0])]
        found = figure(measures, "seam", kind).value
        assert found is not None
        assert min(along) < found < max(along)
    borders = [sum((p - offset) % 16 == 0 for p in range(2, size - 1)) for size in (96, 128)]
    assert figure(measures, "seam", "axis y").n == borders[0] * 128
    assert figure(measures, "seam").n == borders[0] * 128 + borders[1] * 96
    # Two steps of each line have no neighbour on one side.
    assert figure(measures, "seam", "axis y").left_out["border"] == 2 * 128


def test_a_wrong_period_sees_less() -> None:
    image = tiled(np.random.default_rng(1).normal(size=(1, 128, 128)), 16, 4.0)
    right, wrong = (
        figure(measure_arrays(image, "seam", settings=Settings(seam_period=(p, p))), "seam").value or 0
        for p in (16, 15)
    )
    assert right > 2
    assert wrong < 1.3


def test_axes_and_bands_of_other_brightness_weigh_the_same() -> None:
    generator = np.random.default_rng(2)
    image = np.stack([generator.normal(size=(24, 48, 64)) for _ in range(2)])
    image[1] *= 1000
    image = np.cumsum(image, axis=1)  # steps along z are of another size
    settings = Settings(seam_period=(24, 16, 16))
    measures = measure_arrays(image, "seam", cell=(16, 32, 32), settings=settings)
    assert figure(measures, "seam", "axis z").value is None
    assert "no such border" in figure(measures, "seam", "axis z").note
    assert figure(measures, "seam").value == pytest.approx(1, abs=0.05)
    assert [m.band for m in measures[-4:]] == ["0", "0", "1", "1"]
    assert all(m.value == pytest.approx(1, abs=0.06) for m in measures[-4:])


def test_integers_do_not_wrap_and_missing_pixels_are_left_out() -> None:
    generator = np.random.default_rng(3)
    whole = generator.integers(0, 255, (1, 64, 64), np.uint8)
    settings = Settings(seam_period=(16, 16))
    floats = whole.astype(np.float32)
    as_integers, as_floats = (measure_arrays(image, "seam", settings=settings) for image in (whole, floats))
    assert as_integers == as_floats
    holes = floats.copy()
    holes[0, 20, 20] = np.nan
    mask = np.ones((64, 64), bool)
    mask[40, 40] = False
    measures = measure_arrays(holes, "seam", mask=mask, settings=settings)
    # Each hole is in four runs of four pixels along each axis.
    assert figure(measures, "seam").left_out["not finite or masked"] == 2 * 2 * 4
    assert figure(measures, "seam", "axis y").left_out["not finite or masked"] == 2 * 4
    filled = holes.copy()
    filled[0, 20, 20], filled[0, 40, 40] = 1e6, -1e6
    mask[20, 20] = False
    again = measure_arrays(filled, "seam", mask=mask, settings=settings)
    assert [m.value for m in again] == [m.value for m in measures]


@hypothesis_settings(deadline=None, max_examples=15)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    period=st.tuples(st.integers(5, 12), st.integers(5, 12)),
    order=st.integers(0, 9),
)
def test_cells_merge_in_any_order_to_the_same_bits(shape: tuple[int, int], period: tuple[int, int], order: int) -> None:
    image = np.random.default_rng(order).normal(size=(2, *shape)).astype(np.float32)
    settings = Settings(seam_period=period, seam_offset=(order, 0))
    frame = frame_of(image, cell=(8, 8), settings=settings)
    (metric,) = make_metrics(["seam"], frame, settings)
    statistic = metric.statistic
    pieces = list(patches(frame, image, context=context_of([statistic], frame)))
    straight = State()
    for patch in pieces:
        straight = statistic.update(straight, patch)
    parts = [statistic.update(State(), patch) for patch in pieces]
    random.Random(order).shuffle(parts)
    merged = State()
    for part in parts:
        merged.merge(part)
    assert merged.to_json() == straight.to_json()
    figures = metric.finalize(merged, frame)
    assert figures == metric.finalize(straight, frame)
    steps = 2 * ((shape[0] - 1) * shape[1] + shape[0] * (shape[1] - 1))
    counts = merged.counts("n", (2, 2, 4))
    assert figures[0].left_out.get("border", 0) == steps - counts.sum()
    whole = frame_of(image, cell=(64, 64), settings=settings)
    for one, other in zip(figures, measure_arrays(image, "seam", cell=whole.cell, settings=settings), strict=True):
        assert (one.n, one.left_out) == (other.n, other.left_out)
        assert one.value == (None if other.value is None else pytest.approx(other.value, rel=1e-9))


def test_flat_images_have_no_figure() -> None:
    measures = measure_arrays(np.ones((1, 32, 32)), "seam", settings=Settings(seam_period=(8, 8)))
    assert all(m.value is None and "no steps" in m.note and m.n > 0 for m in measures)


@pytest.mark.parametrize(
    ("period", "offset", "words"),
    [
        (None, None, "--seam-period"),
        ((32,), None, "--seam-period"),
        ((32, 4), None, "--seam-period"),
        ((32, 32), (1,), "--seam-offset"),
        ((32, 32), (-1, 0), "--seam-offset"),
    ],
)
def test_borders_must_be_known(period: tuple[int, ...] | None, offset: tuple[int, ...] | None, words: str) -> None:
    settings = Settings(seam_period=period, seam_offset=offset)
    with pytest.raises(InputError, match=words):
        measure_arrays(np.ones((1, 64, 64)), "seam", settings=settings)
