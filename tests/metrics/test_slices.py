from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from metrics.test_frechet import states
from scipy import ndimage

from scalesr.errors import InputError
from scalesr.metrics import Measure, Settings, State, make_metrics
from scalesr.metrics.cutting import equalised

if TYPE_CHECKING:
    from numpy.typing import NDArray

CHOICE = Settings(patch=20)


def volume(*, size: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).random((1, size, size, size)), (0, 1.5, 1.5, 1.5))
    bytes_: NDArray[np.uint8] = (255 * (field - field.min()) / np.ptp(field)).astype(np.uint8)
    return bytes_


def planes(measures: list[Measure], distance: str = "Frechet") -> list[float]:
    found = [
        figure(measures, measures[0].metric, f"{distance} distance, {plane}, small").value
        for plane in ("xy", "xz", "yz")
    ]
    assert None not in found
    return [float(value) for value in found if value is not None]


def literal(channel: NDArray[np.float64], bits: float) -> NDArray[np.float64]:
    """Equalise as the released code is described, on the values as they are."""
    counts, ends = np.histogram(channel.ravel(), int(np.floor(2**bits)))
    counts[0] = 0
    summed = counts.cumsum()
    levels = np.interp(channel.ravel(), ends[:-1], (len(counts) - 1) * summed / summed[-1])
    shown: NDArray[np.float64] = levels.astype(np.uint8).reshape(channel.shape) / 255
    return shown


def test_the_same_volume_is_as_its_own_slices() -> None:
    one = volume()
    found = measure_arrays(one, "slice_fid", reference=one, settings=CHOICE)
    xy, xz, yz = planes(found)
    assert xy == 0
    assert max(xz, yz) < 0.05
    assert found[0].kind == "Frechet distance, mean of planes, small"
    assert found[0].value == pytest.approx((xy + xz + yz) / 3)
    assert len(found) == 1 + 3 * 3


@pytest.mark.parametrize("metric", ["slice_fid", "slice_fid_released"])
@pytest.mark.parametrize("distance", ["Frechet", "kernel"])
def test_blur_along_z_shows_in_the_planes_that_have_it(metric: str, distance: str) -> None:
    reference = volume()
    blurred = ndimage.gaussian_filter(reference, (0, 3, 0, 0))
    sharp = planes(measure_arrays(reference, metric, reference=reference, settings=CHOICE), distance)
    found = planes(measure_arrays(blurred, metric, reference=reference, settings=CHOICE), distance)
    assert found[1] > sharp[1]
    assert found[2] > sharp[2]
    rise = [after - before for after, before in zip(found, sharp, strict=True)]
    assert min(rise[1:]) > 2 * abs(rise[0])


def test_only_the_strict_mode_sees_brightness() -> None:
    reference = volume()
    darker = (reference // 2).astype(np.uint8)
    strict = [measure_arrays(v, "slice_fid", reference=reference, settings=CHOICE)[0] for v in (reference, darker)]
    released = [
        measure_arrays(v, "slice_fid_released", reference=reference, settings=CHOICE)[0]
        for v in (reference * np.float32(0.5) + 3, reference.astype(np.float32))
    ]
    assert strict[0].value is not None
    assert strict[1].value is not None
    assert strict[1].value > 10 * strict[0].value
    assert released[0].value == pytest.approx(released[1].value, rel=1e-3)
    assert "blind to brightness" in released[0].note
    assert "blind" not in strict[0].note


def test_patches_of_the_released_mode_differ_in_size() -> None:
    one = volume()
    found = measure_arrays(one, "slice_fid_released", reference=one, settings=CHOICE)
    xy = figure(found, "slice_fid_released", "Frechet distance, xy, small")
    assert "540 patches of the output, 240 of the reference" in xy.note
    assert xy.n == 240
    assert xy.left_out == {"cut patches, reference xy": 300}
    assert xy.value is not None
    assert xy.value > 0


def test_floats_need_no_data_range_where_they_are_equalised() -> None:
    one = volume(size=40).astype(np.float32)
    assert measure_arrays(one, "slice_fid_released", reference=one, settings=CHOICE)[0].value is not None
    with pytest.raises(InputError, match="can be any"):
        measure_arrays(one, "slice_fid", reference=one, settings=CHOICE)


def test_a_plane_that_is_too_thin_has_no_figure() -> None:
    thin = volume(size=60)[:, :12]
    found = measure_arrays(thin, "slice_fid", reference=thin, settings=CHOICE)
    xz = figure(found, "slice_fid", "Frechet distance, xz, small")
    assert (xz.value, xz.n) == (None, 0)
    assert xz.left_out == {"cut patches, output xz": 60 * 3}
    assert figure(found, "slice_fid", "Frechet distance, xy, small").value == 0
    assert found[0].value is None
    assert found[0].note.startswith("not defined")


def test_pixels_that_are_no_cubes_are_said() -> None:
    one = volume(size=40)
    frame = replace(frame_of(one, reference=one), pixel_size=(2.0, 0.5, 0.5))
    metric = make_metrics(["slice_fid"], frame, CHOICE)[0]
    state = State()
    for found in metric.finalize(state, frame):
        assert found.value is None
        assert found.kind.startswith("standard error") or "not cubes" in found.note


def test_a_flat_image_is_refused() -> None:
    flat = volume(size=40)[:, 0]
    with pytest.raises(InputError, match="need a volume"):
        measure_arrays(flat, "slice_fid", reference=flat, settings=CHOICE)
    with pytest.raises(InputError, match="no reference"):
        measure_arrays(volume(size=40), "slice_fid")


def test_features_that_depend_on_the_size_are_refused_where_sizes_differ() -> None:
    one = volume(size=40)
    frame = frame_of(one, reference=one)
    choice = Settings(patch=10, features="metrics.nets:flat")
    assert make_metrics(["slice_fid"], frame, choice)
    with pytest.raises(InputError, match="do not depend on the size"):
        make_metrics(["slice_fid_released"], frame, choice)


@settings(max_examples=3)
@given(order=st.permutations(range(8)))
def test_the_bits_do_not_depend_on_the_order(order: list[int]) -> None:
    one, two = volume(size=40), volume(size=40, seed=1)
    frame = frame_of(one, reference=two, cell=(24, 24, 24))
    metric = make_metrics(["slice_fid_released"], frame, CHOICE)[0]
    straight, shuffled = State(), State()
    for state in states(metric.statistic, one, two, cell=(24, 24, 24)):  # type: ignore[arg-type]
        straight.merge(state)
    parts = states(metric.statistic, one, two, cell=(24, 24, 24))  # type: ignore[arg-type]
    for place in order:
        shuffled.merge(parts[place])
    assert metric.finalize(shuffled, frame) == metric.finalize(straight, frame)


@given(seed=st.integers(0, 2**32 - 1), channels=st.sampled_from([1, 3]), high=st.integers(1, 255))
def test_equalising_is_as_described(seed: int, channels: int, high: int) -> None:
    patch = np.random.default_rng(seed).integers(0, high + 1, (channels, 9, 11)).astype(np.uint8)
    patch[:, 0, :2] = 0, high
    bits = (8.0,) if channels == 1 else (7.5, 8.0, 8.0)
    expected = np.stack([literal(channel.astype(np.float64), bit) for channel, bit in zip(patch, bits, strict=True)])
    found = equalised(patch)
    # A level that is whole but for rounding may be truncated to the one below.
    assert np.abs(found - expected).max() < 1.01 / 255
    assert (np.abs(found - expected) > 1e-6).mean() < 0.05


def test_equalising_knows_no_brightness() -> None:
    patch = np.random.default_rng(0).random((1, 20, 20)).astype(np.float32)
    assert np.abs(equalised(patch) - equalised(patch * 100 - 7)).max() < 1.01 / 255
    assert equalised(np.full((1, 4, 4), 7, np.uint16)) == pytest.approx(np.ones((1, 4, 4)))
    assert equalised(np.full((3, 4, 4), 7, np.uint16))[:, 0, 0] == pytest.approx([180 / 255, 1, 1])
    tiny = 1e16 + 2 * (np.arange(16.0).reshape(1, 4, 4) > 7)
    assert set(np.unique(equalised(tiny))) == {0.0, 1.0}
