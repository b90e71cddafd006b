from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.arrays import figure, frame_of, measure_arrays
from scipy import linalg
from torchmetrics.image.fid import FrechetInceptionDistance

from scalesr.errors import InputError
from scalesr.metrics import Settings, State
from scalesr.metrics.feature_sums import FeatureSums, _products
from scalesr.metrics.frechet import frechet_distance, make_fid
from scalesr.metrics.walk import patches
from scalesr.models import factory

if TYPE_CHECKING:
    from numpy.typing import NDArray

SMALL = Settings(patch=16)


def pictures(*shape: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    reference = rng.integers(0, 256, shape)
    return (reference * 0.8 + rng.integers(0, 40, shape)).astype(np.uint8), reference.astype(np.uint8)


def moments(rng: np.random.Generator, size: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sample = rng.normal(size=(3 * size, size)) @ rng.normal(size=(size, size))
    return rng.normal(size=size), np.cov(sample.T)


def tiles(image: NDArray[Any], edge: int) -> torch.Tensor:
    bands, height, width = image.shape
    found = image.reshape(bands, height // edge, edge, width // edge, edge).transpose(1, 3, 0, 2, 4)
    return torch.from_numpy(found.reshape(-1, bands, edge, edge) / np.float32(255))


def states(
    statistic: FeatureSums, output: NDArray[Any], reference: NDArray[Any], *, cell: tuple[int, ...], **others: Any
) -> list[State]:
    frame = frame_of(output, reference=reference, cell=cell)
    pieces = patches(frame, output, reference=reference, context=statistic.context, **others)
    return [statistic.update(State(), piece) for piece in pieces]


def test_one_dimension_is_the_closed_form() -> None:
    found = frechet_distance(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[9.0]]))
    assert found == pytest.approx((1 - 3) ** 2 + (2 - 3) ** 2)


def test_independent_features_are_the_closed_form() -> None:
    one, two = np.array([1.0, 4.0, 0.25, 0.0]), np.array([9.0, 1.0, 0.0, 0.0])
    found = frechet_distance(np.zeros(4), np.diag(one), np.zeros(4), np.diag(two))
    assert found == pytest.approx(((np.sqrt(one) - np.sqrt(two)) ** 2).sum())


def test_points_are_as_far_as_they_are() -> None:
    nothing, point = np.zeros((3, 3)), np.array([1.0, 2.0, 2.0])
    assert frechet_distance(point, nothing, np.zeros(3), nothing) == 9
    assert frechet_distance(point, nothing, np.zeros(3), np.eye(3)) == 12


@pytest.mark.parametrize("size", [2, 17, 60])
def test_it_is_the_formula_with_a_matrix_square_root(size: int) -> None:
    rng = np.random.default_rng(size)
    (m1, c1), (m2, c2) = moments(rng, size), moments(rng, size)
    expected = ((m1 - m2) ** 2).sum() + np.trace(c1 + c2 - 2 * linalg.sqrtm(c1 @ c2).real)
    assert frechet_distance(m1, c1, m2, c2) == pytest.approx(expected, rel=1e-8)


@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(1, 8))
def test_nothing_is_as_near_as_itself(seed: int, rank: int) -> None:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(8, rank))
    mean, deficient = rng.normal(size=8), factor @ factor.T
    assert frechet_distance(mean, deficient, mean, deficient) == 0
    other = moments(rng, 8)
    there, back = frechet_distance(mean, deficient, *other), frechet_distance(*other, mean, deficient)
    assert there == pytest.approx(back)
    assert there > 0


def test_it_agrees_with_torchmetrics() -> None:
    output, reference = pictures(3, 192, 192)
    choice = Settings(features="metrics.nets:pooled", patch=16)
    found = measure_arrays(output, "fid", reference=reference, settings=choice)[0]
    network = factory.build(choice.features, {})
    assert isinstance(network, torch.nn.Module)
    other = FrechetInceptionDistance(feature=network, normalize=True)
    with torch.inference_mode():
        other.update(tiles(reference, 16), real=True)
        other.update(tiles(output, 16), real=False)
        # In float64, since torchmetrics rounds its figure to the type of the features.
        other.orig_dtype = torch.float64
        expected = float(other.compute())
    assert found.value == pytest.approx(expected, rel=1e-6)
    assert found.n == 144
    assert found.kind.startswith("Frechet distance, metrics.nets:pooled ")
    assert "too few" not in found.note
    assert "grey" not in found.note


def test_identical_images_have_no_distance() -> None:
    _, reference = pictures(2, 64, 64)
    assert measure_arrays(reference, "fid", reference=reference, settings=SMALL)[0].value == 0


@settings(max_examples=10)
@given(order=st.permutations(range(9)), split=st.integers(1, 8))
def test_the_bits_do_not_depend_on_the_order(order: list[int], split: int) -> None:
    output, reference = pictures(1, 72, 72)
    metric = make_fid(frame_of(output, reference=reference, cell=(24, 24)), SMALL)
    frame = frame_of(output, reference=reference, cell=(24, 24))
    straight = State()
    for state in states(metric.statistic, output, reference, cell=(24, 24)):
        straight.merge(state)
    parts = states(metric.statistic, output, reference, cell=(24, 24))
    one, two = State(), State()
    for place in order[:split]:
        one.merge(State.from_json(parts[place].to_json()))
    for place in order[split:]:
        two.merge(parts[place])
    merged = two.merge(one)
    assert merged.to_json() == straight.to_json()
    assert metric.finalize(merged, frame) == metric.finalize(straight, frame)


@pytest.mark.parametrize("cell", [(16, 16), (24, 40), (10, 13), (64, 48)])
def test_the_lattice_does_not_know_the_cells(cell: tuple[int, int]) -> None:
    output, reference = pictures(1, 70, 90)
    whole = measure_arrays(output, "fid", reference=reference, cell=(70, 90), settings=SMALL)[0]
    parts = measure_arrays(output, "fid", reference=reference, cell=cell, settings=SMALL)[0]
    assert whole.n == 4 * 5
    assert parts == replace(whole, value=parts.value)
    assert parts.value == pytest.approx(whole.value, rel=1e-9)


def test_patches_that_cells_hold_whole_need_no_context() -> None:
    output, reference = pictures(1, 64, 64)
    for cell, context in (((32, 32), (0, 0)), ((32, 24), (0, 15)), ((64, 64), (0, 0))):
        assert make_fid(frame_of(output, reference=reference, cell=cell), SMALL).statistic.context == context


def test_what_is_left_out_is_counted() -> None:
    output, reference = (image.astype(np.float32) for image in pictures(2, 72, 64))
    output[0, 3, 3] = np.nan
    reference[1, 40, 40] = np.inf
    mask = np.ones((72, 64), np.bool_)
    mask[20, 20] = False
    choice = replace(SMALL, data_range=255.0)
    found = measure_arrays(output, "fid", reference=reference, mask=mask, settings=choice)[0]
    assert found.n == 2 * 16 - 2 - 2
    assert found.left_out == {
        "not finite or masked, output": 4,
        "cut patches, output": 8,
        "not finite or masked, reference": 4,
        "cut patches, reference": 8,
    }
    assert found.value is not None


def test_features_that_are_not_finite_are_left_out() -> None:
    output, reference = pictures(1, 64, 64)
    output[:, ::16, ::16], reference[:, ::16, ::16] = 0, 0
    output[0, 0, 0] = output[0, 16, 48] = 255
    found = measure_arrays(
        output, "fid", reference=reference, settings=replace(SMALL, features="metrics.nets:infinite")
    )
    assert found[0].n == 14
    assert found[0].left_out == {"features not finite, output": 2}
    assert "14 patches of the output, 16 of the reference" in found[0].note
    assert found[0].value is not None


def test_intensities_beyond_the_data_range_are_clipped_and_said() -> None:
    output, reference = (image.astype(np.float32) for image in pictures(1, 64, 64))
    output[0, :2, :3] = 300
    note = measure_arrays(output, "fid", reference=reference, settings=replace(SMALL, data_range=255.0))[0].note
    assert "intensities from 0 to 255; 6 pixels beyond were clipped" in note


def test_the_scale_is_that_of_the_number_format() -> None:
    output, reference = pictures(1, 64, 64)
    of_bytes = measure_arrays(output, "fid", reference=reference, settings=SMALL)[0]
    wide, wide_reference = output.astype(np.uint16) * 257, reference.astype(np.uint16) * 257
    assert measure_arrays(wide, "fid", reference=wide_reference, settings=SMALL)[0].value == pytest.approx(
        of_bytes.value
    )
    signed = (
        (wide.astype(np.int32) - 2**15).astype(np.int16),
        (wide_reference.astype(np.int32) - 2**15).astype(np.int16),
    )
    found = measure_arrays(signed[0], "fid", reference=signed[1], settings=SMALL)[0]
    assert found.value == pytest.approx(of_bytes.value)


def test_three_bands_of_bytes_are_colours() -> None:
    output, reference = pictures(3, 64, 64)
    together = measure_arrays(output, "fid", reference=reference, settings=SMALL)[0]
    apart = measure_arrays(output.astype(np.uint16), "fid", reference=reference.astype(np.uint16), settings=SMALL)[0]
    grey_only = replace(SMALL, features="metrics.nets:grey")
    assert (together.n, apart.n) == (16, 48)
    assert measure_arrays(output, "fid", reference=reference, settings=grey_only)[0].n == 48


def test_a_volume_is_measured_in_its_planes() -> None:
    output, reference = pictures(1, 5, 32, 48)
    found = measure_arrays(output, "fid", reference=reference, settings=SMALL)[0]
    planes = measure_arrays(output[0], "fid", reference=reference[0], settings=SMALL)[0]
    assert found.n == 5 * 2 * 3
    assert found.value == pytest.approx(planes.value, rel=1e-9)


def test_too_few_patches_are_said() -> None:
    output, reference = pictures(1, 32, 32)
    few = measure_arrays(output, "fid", reference=reference, settings=SMALL)[0]
    assert few.value is not None
    assert "too few samples: 4 patches for 73 features" in few.note
    assert "not an Inception distance" in few.note
    for edge in (32, 64):
        one = measure_arrays(output, "fid", reference=reference, settings=Settings(patch=edge))[0]
        assert one.value is None
        assert "fewer than two patches" in one.note


def test_an_empty_state_is_no_error() -> None:
    output, reference = pictures(1, 32, 32)
    frame = frame_of(output, reference=reference)
    found = make_fid(frame, SMALL).finalize(State(), frame)
    assert figure(found, "fid").value is None
    assert found[0].n == 0


def test_what_cannot_be_measured_is_refused() -> None:
    output, reference = pictures(1, 32, 32)
    with pytest.raises(InputError, match="no reference"):
        measure_arrays(output, "fid")
    with pytest.raises(InputError, match="can be any"):
        measure_arrays(output.astype(np.float32), "fid", reference=reference)
    with pytest.raises(InputError, match="data range"):
        measure_arrays(output, "fid", reference=reference, settings=Settings(data_range=-1.0))


@pytest.mark.parametrize("size", [3, 128, 300])
def test_products_are_the_upper_triangle(size: int) -> None:
    features = np.random.default_rng(0).normal(size=(9, size))
    assert _products(features) == pytest.approx((features.T @ features)[np.triu_indices(size)], rel=1e-9, abs=1e-12)
