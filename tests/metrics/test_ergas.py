from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from metrics.arrays import figure, frame_of, measure_arrays
from torchmetrics.functional.image import error_relative_global_dimensionless_synthesis

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, make_metrics
from scalesr.metrics.moments import Moments

if TYPE_CHECKING:
    from numpy.typing import NDArray


def pair(dtype: str = "uint16", shape: tuple[int, ...] = (5, 64, 48), seed: int = 0) -> tuple[NDArray[Any], ...]:
    rng = np.random.default_rng(seed)
    reference = rng.uniform(20, 200, shape)
    return (reference + rng.normal(0, 5, shape)).astype(dtype), reference.astype(dtype)


def theirs(output: NDArray[Any], reference: NDArray[Any], ratio: float) -> float:
    x, y = (torch.from_numpy(image.astype(np.float64))[None] for image in (output, reference))
    return float(error_relative_global_dimensionless_synthesis(x, y, ratio=ratio))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("ratio", [1.0, 2.5, 4.0])
def test_as_torchmetrics(dtype: str, ratio: float) -> None:
    output, reference = pair(dtype)
    found = measure_arrays(output, "ergas", reference=reference, cell=(32, 32), settings=Settings(ergas_ratio=ratio))
    assert found[0].value == pytest.approx(theirs(output, reference, ratio), rel=1e-12)
    assert (found[0].kind, found[0].n, dict(found[0].left_out)) == ("all bands", output.size, {})
    assert found[0].note == f"h/l = 1/{ratio:g}, as given"
    band = figure(found, "ergas", "band", band="2")
    assert band.value == pytest.approx(theirs(output[2:3], reference[2:3], ratio), rel=1e-12)
    assert band.n == output[2].size


def test_the_ratio_is_that_of_output_and_measurement_along_one_axis() -> None:
    output, reference = pair()
    measured = reference[:, ::4, ::4]
    found = measure_arrays(output, "ergas", reference=reference, measured=measured)
    assert found[0].value == pytest.approx(theirs(output, reference, 4), rel=1e-12)
    assert found[0].note == "h/l = 1/4, the output's pixels over the measurement's"
    given = measure_arrays(output, "ergas", reference=reference, measured=measured, settings=Settings(ergas_ratio=2.0))
    assert given[0].value == pytest.approx(theirs(output, reference, 2), rel=1e-12)


def test_axes_that_were_not_refined_do_not_count() -> None:
    output, reference = pair("uint16", (2, 6, 24, 24))
    found = measure_arrays(output, "ergas", reference=reference, measured=reference[:, :, ::3, ::3])
    assert found[0].note.startswith("h/l = 1/3,")
    found = measure_arrays(output, "ergas", reference=reference, measured=reference[:, ::2])
    assert found[0].note.startswith("h/l = 1/2,")
    same = measure_arrays(output, "ergas", reference=reference, measured=reference)
    assert same[0].note.startswith("h/l = 1/1,")


def test_a_closed_form() -> None:
    reference = np.stack([np.full((8, 8), 10, np.uint8), np.full((8, 8), 50, np.uint8)])
    output = reference + np.array([1, 10], np.uint8)[:, None, None]
    found = measure_arrays(output, "ergas", reference=reference, settings=Settings(ergas_ratio=2.0))
    assert found[0].value == pytest.approx(100 / 2 * math.sqrt((0.1**2 + 0.2**2) / 2))
    alone = measure_arrays(output[:1], "ergas", reference=reference[:1], settings=Settings(ergas_ratio=2.0))
    assert [m.value for m in alone] == [pytest.approx(5.0)]


def test_bands_without_a_mean_are_counted() -> None:
    output, reference = (image.astype(np.float32) for image in pair())
    reference[1] = 0
    output[3] = np.nan
    assert not math.isfinite(theirs(output[:3], reference[:3], 4))
    found = measure_arrays(output, "ergas", reference=reference, settings=Settings(ergas_ratio=4.0))
    rest = [0, 2, 4]
    assert found[0].value == pytest.approx(theirs(output[rest], reference[rest], 4), rel=1e-9)
    assert found[0].n == output[rest].size
    assert found[0].left_out == {
        "not finite or masked": output[3].size,
        "bands with a mean of zero": 1,
        "bands without a pixel": 1,
    }
    empty, missing = (figure(found, "ergas", "band", band=name) for name in ("1", "3"))
    assert (empty.value, empty.note.split(";")[0]) == (None, "the mean of the reference is zero")
    assert (missing.value, missing.note.split(";")[0]) == (None, "no pixel to compare")


def test_nothing_left_gives_no_figure() -> None:
    output, reference = pair()
    frame = frame_of(output, reference=reference)
    (metric,) = make_metrics(["ergas"], frame, Settings(ergas_ratio=4.0))
    whole = metric.finalize(State(), frame)[0]
    assert (whole.value, whole.n) == (None, 0)
    assert whole.note.startswith("no band with pixels")


def test_what_cannot_be_measured_is_refused() -> None:
    output, reference = pair()
    with pytest.raises(InputError, match="--reference"):
        measure_arrays(output, "ergas")
    with pytest.raises(InputError, match="--ergas-ratio"):
        measure_arrays(output, "ergas", reference=reference)
    with pytest.raises(InputError, match="4, 2"):
        measure_arrays(output, "ergas", reference=reference, measured=reference[:, ::4, ::2])
    with pytest.raises(InputError, match="positive"):
        measure_arrays(output, "ergas", reference=reference, settings=Settings(ergas_ratio=0.0))


def test_the_moments_are_those_of_the_other_metrics() -> None:
    output, reference = pair()
    frame = frame_of(output, reference=reference, measured=reference[:, ::2, ::2])
    assert frame.ratio == (Fraction(2), Fraction(2))
    ergas, pearson = make_metrics(["ergas", "pearson"], frame, Settings())
    assert ergas.statistic == pearson.statistic == Moments(2)
