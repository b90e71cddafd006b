from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from metrics.arrays import frame_of, measure_arrays
from metrics.test_frechet import SMALL, pictures, states, tiles
from torchmetrics.image.kid import poly_mmd

from scalesr.errors import InputError
from scalesr.metrics import Settings, State, feature_sums, kernel
from scalesr.metrics.kernel import SUBSETS, _mixed, kernel_distance, make_kid
from scalesr.models import factory


def test_it_agrees_with_torchmetrics() -> None:
    output, reference = pictures(3, 160, 160)
    choice = Settings(features="metrics.nets:pooled", patch=16)
    found = measure_arrays(output, "kid", reference=reference, settings=choice)
    network = factory.build(choice.features, {})
    assert isinstance(network, torch.nn.Module)
    with torch.inference_mode():
        expected = float(poly_mmd(network(tiles(reference, 16)).double(), network(tiles(output, 16)).double()))
    assert found[0].value == pytest.approx(expected, rel=1e-6)
    assert [measure.n for measure in found] == [100, 100]
    assert found[0].kind.startswith("kernel distance, metrics.nets:pooled ")
    assert found[1].kind == f"standard error of {found[0].kind}"


@given(
    sizes=st.tuples(st.integers(2, 40), st.integers(2, 40)), block=st.integers(1, 50), seed=st.integers(0, 2**32 - 1)
)
def test_it_is_the_sum_over_pairs(sizes: tuple[int, int], block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = (rng.normal(size=(size, 5)) for size in sizes)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel, "_BLOCK", block)
        found = kernel_distance(one, two)
    cubes = [(a @ b.T / 5 + 1) ** 3 for a, b in ((one, one), (two, two), (one, two))]
    within = [(cube.sum() - np.trace(cube)) / (len(cube) * (len(cube) - 1)) for cube in cubes[:2]]
    assert found == pytest.approx(within[0] + within[1] - 2 * cubes[2].mean(), rel=1e-9, abs=1e-9)


def test_equal_distributions_have_none_within_the_error() -> None:
    rng = np.random.default_rng(0)
    found = np.array([kernel_distance(rng.normal(size=(50, 4)), rng.normal(size=(60, 4))) for _ in range(200)])
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(200)
    assert found.min() < 0


def test_the_standard_error_is_about_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    values, errors = [], []
    for seed in range(12):
        output, reference = pictures(1, 128, 128, seed=seed)
        found = measure_arrays(output, "kid", reference=reference, settings=SMALL)
        assert found[0].value is not None
        assert found[1].value is not None
        values.append(found[0].value)
        errors.append(found[1].value)
    assert 0.3 < np.mean(errors) / np.std(values) < 3
    monkeypatch.setattr(kernel, "SUBSETS", 2 * SUBSETS)
    again = measure_arrays(output, "kid", reference=reference, settings=SMALL)
    assert again[0].value == values[-1]
    assert again[1].value != errors[-1]


def test_the_order_of_the_parts_is_fixed_and_has_no_rule() -> None:
    order = _mixed(np.arange(1000.0)[:, None])[:, 0]
    assert np.array_equal(np.sort(order), np.arange(1000))
    assert np.array_equal(order[:3], _mixed(np.arange(1000.0)[:, None])[:3, 0])
    assert abs(np.corrcoef(order, np.arange(1000))[0, 1]) < 0.1


@settings(max_examples=10)
@given(order=st.permutations(range(9)))
def test_the_sample_does_not_depend_on_the_order(order: list[int]) -> None:
    output, reference = pictures(1, 96, 96)
    frame = frame_of(output, reference=reference, cell=(32, 32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feature_sums, "KEEP", 25)
        metric = make_kid(frame, SMALL)
        straight, shuffled = State(), State()
        for state in states(metric.statistic, output, reference, cell=(32, 32)):
            straight.merge(state)
        parts = states(metric.statistic, output, reference, cell=(32, 32))
        for place in order:
            shuffled.merge(parts[place])
        found = metric.finalize(shuffled, frame)
        assert found == metric.finalize(straight, frame)
    assert found[0].n == 25
    assert found[0].left_out == {"not drawn, output": 11, "not drawn, reference": 11}


def test_too_few_patches_are_said() -> None:
    output, reference = pictures(1, 32, 48)
    found = measure_arrays(output, "kid", reference=reference, settings=SMALL)
    assert found[0].value is not None
    assert found[1].value is None
    assert "not defined for fewer than 20 patches" in found[1].note
    none = measure_arrays(output, "kid", reference=reference, settings=Settings(patch=64))
    assert none[0].value is None
    assert none[0].note.startswith("fewer than two patches")
    assert none[0].left_out == {"cut patches, output": 1, "cut patches, reference": 1}


def test_both_distances_share_one_statistic() -> None:
    output, reference = pictures(1, 32, 32)
    frame = frame_of(output, reference=reference)
    assert make_kid(frame, SMALL).statistic == feature_sums.FeatureSums.of(
        frame, SMALL, make_kid(frame, SMALL).statistic.cuts, look="plain"
    )
    both = measure_arrays(output, "fid", "kid", reference=reference, settings=SMALL)
    assert [measure.metric for measure in both] == ["fid", "kid", "kid"]


def test_no_reference_is_refused() -> None:
    with pytest.raises(InputError, match="no reference"):
        measure_arrays(pictures(1, 32, 32)[0], "kid")
