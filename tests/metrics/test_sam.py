from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from torchmetrics.functional.image import spectral_angle_mapper

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, make_metrics
from scalesr.metrics.walk import gather, patches

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pair(dtype: str = "uint16", shape: tuple[int, ...] = (5, 70, 50), seed: int = 0) -> tuple[NDArray[Any], ...]:
    rng = np.random.default_rng(seed)
    reference = rng.uniform(1, 200, shape)
    return (reference * rng.uniform(0.7, 1.2, shape)).astype(dtype), reference.astype(dtype)


def theirs(output: NDArray[Any], reference: NDArray[Any]) -> float:
    """Return the angle in radians; two axes of space only."""
    x, y = (torch.from_numpy(image.astype(np.float64))[None] for image in (output, reference))
    return float(spectral_angle_mapper(x, y))


def angle(spectrum: list[float], other: list[float]) -> float:
    x, y = (np.array(values, np.float64).reshape(-1, 1, 1) for values in (spectrum, other))
    found = figure(measure_arrays(x, "sam", reference=y), "sam", "radian").value
    assert found is not None
    return found


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("bands", [2, 3, 5, 40])
def test_as_torchmetrics(dtype: str, bands: int) -> None:
    output, reference = pair(dtype, (bands, 70, 50))
    found = measure_arrays(output, "sam", reference=reference, cell=(32, 32))
    expected = theirs(output, reference)
    assert [(m.kind, m.unit) for m in found] == [("mean", "degree"), ("radian", "radian")]
    assert found[0].value == pytest.approx(math.degrees(expected), rel=1e-9)
    assert found[1].value == pytest.approx(expected, rel=1e-9)
    assert found[0].n == 70 * 50
    assert not found[0].left_out


def test_volumes() -> None:
    output, reference = pair("uint16", (4, 6, 50, 30))
    found = measure_arrays(output, "sam", reference=reference, cell=(4, 32, 32))
    assert found[1].value == pytest.approx(
        theirs(output.reshape(4, 6 * 50, 30), reference.reshape(4, 6 * 50, 30)), rel=1e-9
    )


def test_a_spectrum_of_zeros_does_not_spoil_the_mean() -> None:
    output, reference = pair()
    output[:, 3, 4] = 0
    assert math.isnan(theirs(output, reference))
    found = measure_arrays(output, "sam", reference=reference)
    rest = np.ones(output.shape[1:], np.bool_)
    rest[3, 4] = False
    assert found[1].value == pytest.approx(theirs(output[:, rest][..., None], reference[:, rest][..., None]), rel=1e-9)
    assert found[0].left_out == {"zero spectra": 1}
    assert found[0].n == rest.sum()
    reference[:, 3, 4:7] = 0  # one of them in both images
    assert figure(measure_arrays(output, "sam", reference=reference), "sam").left_out == {"zero spectra": 3}


def test_a_spectrum_with_a_missing_band_is_left_out() -> None:
    output, reference = pair("float32")
    output[2, 0, 0], reference[0, 9, 9], output[:, 20, 20] = np.nan, np.inf, 0
    mask = np.ones(output.shape[1:], np.bool_)
    mask[40:] = False
    good = mask.copy()
    good[0, 0] = good[9, 9] = good[20, 20] = False
    found = measure_arrays(output, "sam", reference=reference, mask=mask, cell=(32, 32))
    assert found[1].value == pytest.approx(theirs(output[:, good][..., None], reference[:, good][..., None]), rel=1e-9)
    assert found[0].n == good.sum()
    assert found[0].left_out == {"zero spectra": 1, "not finite or masked": (~mask).sum() + 2}


@given(size=st.floats(-14, 0), turn=st.floats(0, math.tau), length=st.floats(-3, 3))
def test_angles_of_any_size(size: float, turn: float, length: float) -> None:
    """In the plane the angle is known: also where the arc cosine has no digits left."""
    wide = 10.0**size
    x = [math.cos(turn), math.sin(turn)]
    scale = 10.0**length
    # Turned by a small angle: what float64 makes of the two vectors has an angle of its own, within 3e-16.
    y = [
        scale * (math.cos(turn) * math.cos(wide) - math.sin(turn) * math.sin(wide)),
        scale * (math.sin(turn) * math.cos(wide) + math.cos(turn) * math.sin(wide)),
    ]
    assert angle(x, y) == pytest.approx(wide, rel=1e-7, abs=6e-16)


def test_special_angles() -> None:
    assert angle([1, 0], [0, 5]) == pytest.approx(math.pi / 2, rel=1e-15)
    assert angle([1, 2], [-2, -4]) == pytest.approx(math.pi, rel=1e-7)
    assert angle([1, 2, 3], [1, 2, 3]) == 0
    assert angle([1, 2, 3], [3, 6, 9]) == pytest.approx(0, abs=3e-16)
    assert angle([1e-30, 2e-30], [2e30, 1e30]) == pytest.approx(math.acos(0.8), rel=1e-14)


def test_brightness_does_not_count() -> None:
    output, reference = pair("float64")
    one = measure_arrays(output, "sam", reference=reference)[0].value
    other = measure_arrays(output * 7, "sam", reference=reference * 0.3)[0].value
    assert one == pytest.approx(other, rel=1e-12)
    assert measure_arrays(reference, "sam", reference=reference.copy())[0].value == 0


@given(order=st.permutations(range(12)), dtype=st.sampled_from(["uint16", "float32"]))
def test_the_bits_do_not_depend_on_the_order_of_merging(order: list[int], dtype: str) -> None:
    output, reference = pair(dtype, (3, 60, 45))
    output[:, 7, 7] = 0
    frame = frame_of(output, reference=reference, cell=(16, 16))
    (metric,) = make_metrics(["sam"], frame, Settings())
    pieces = list(patches(frame, output, reference=reference, context=(0, 0)))
    whole = gather([metric.statistic], pieces)[metric.statistic]
    merged = State()
    for cell in order:
        merged.merge(State.from_json(metric.statistic.update(State(), pieces[cell]).to_json()))
    assert merged.to_json() == whole.to_json()
    assert metric.finalize(merged, frame) == metric.finalize(whole, frame)


def test_the_memory_layout_does_not_show() -> None:
    output, reference = pair("float32", (7, 100, 90))
    layouts = [np.ascontiguousarray(np.moveaxis(image, 0, -1)) for image in (output, reference)]
    assert measure_arrays(np.moveaxis(layouts[0], -1, 0), "sam", reference=np.moveaxis(layouts[1], -1, 0)) == (
        measure_arrays(output, "sam", reference=reference)
    )


def test_no_spectrum_at_all() -> None:
    zeros = np.zeros((3, 8, 8), np.uint8)
    found = measure_arrays(zeros, "sam", reference=zeros)
    assert [(m.value, m.n, m.note) for m in found] == [(None, 0, "no spectrum to compare")] * 2
    assert found[0].left_out == {"zero spectra": 64}
    (metric,) = make_metrics(["sam"], frame_of(zeros, reference=zeros), Settings())
    assert [m.value for m in metric.finalize(State(), frame_of(zeros, reference=zeros))] == [None, None]


def test_what_cannot_be_measured_is_refused() -> None:
    output, reference = pair()
    with pytest.raises(InputError, match="--reference"):
        measure_arrays(output, "sam")
    with pytest.raises(InputError, match="one band"):
        measure_arrays(output[:1], "sam", reference=reference[:1])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("dtype", ["uint16", "int16", "uint8", "float32"])
def test_beside_psnr_all_figures_keep_their_bits(dtype: str, *, masked: bool) -> None:
    output, reference = pair(dtype, (20, 150, 130))
    output[:, 3, 5] = 0
    settings = Settings(data_range=255)
    mask = np.random.default_rng(1).random(output.shape[1:]) < 0.9 if masked else None
    frame = frame_of(output, reference=reference, cell=(64, 96), settings=settings)

    def states(names: list[str]) -> dict[str, list[dict[str, Any]]]:
        metrics = make_metrics(names, frame, settings)
        some = [metric.statistic for metric in metrics]
        found = gather(some, patches(frame, output, reference=reference, mask=mask, context=(0, 0)))
        return {m.name: [part.to_json() for _, part in sorted(found[m.statistic].parts.items())] for m in metrics}

    together = states(["psnr", "sam", "mae"])
    assert together == {**states(["psnr"]), **states(["sam"]), **states(["mae"])}
