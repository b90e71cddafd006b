"""Figures of wells, and what of an effect is retained, against closed forms and reference libraries."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from scalesr.analysis.object_classes import classify_objects
from scalesr.analysis.retained import retained
from scalesr.analysis.tables import ObjectTable
from scalesr.analysis.wells import Contrast, by_well
from scalesr.errors import InputError

metrics = pytest.importorskip("sklearn.metrics")

NUMBERS = st.lists(st.integers(-20, 20).map(float), min_size=2, max_size=30)


@given(NUMBERS, NUMBERS)
def test_the_auc_is_that_of_scikit_learn(one: list[float], two: list[float]) -> None:
    found = Contrast.of(one, two)
    assert found.auc == pytest.approx(metrics.roc_auc_score([1] * len(one) + [0] * len(two), one + two))
    assert Contrast.of(two, one).auc == pytest.approx(1 - found.auc)


def test_effects_follow_from_their_formulas() -> None:
    # Means 13 and 10, variances 1 and 4.
    one, two = [12.0, 13.0, 14.0], [8.0, 10.0, 12.0]
    found = Contrast.of(one, two)
    assert found.difference == 3
    assert found.cohen_d == pytest.approx(3 / math.sqrt((2 * 1 + 2 * 4) / 4))
    assert found.ssmd == pytest.approx(3 / math.sqrt(5))
    assert found.z_prime == pytest.approx(1 - 3 * (1 + 2) / 3)
    assert found.auc == pytest.approx((3 + 3 + 2.5) / 9)
    # Cohen's d is Student's t without the number of values.
    t = stats.ttest_ind(one, two).statistic
    assert found.cohen_d == pytest.approx(t * math.sqrt(1 / 3 + 1 / 3))


def test_effects_without_a_spread_or_values_say_so() -> None:
    same = Contrast.of([2.0, 2.0], [1.0, 1.0])
    assert (same.cohen_d, same.ssmd, same.z_prime, same.auc) == (math.inf, math.inf, 1.0, 1.0)
    none = Contrast.of([1.0, 3.0], [1.0, 3.0])
    assert (none.cohen_d, none.z_prime, none.auc) == (0.0, -math.inf, 0.5)
    few = Contrast.of([], [1.0])
    assert all(math.isnan(value) for value in (few.difference, few.cohen_d, few.ssmd, few.z_prime, few.auc))


def screen(seed: int = 0, effect: float = 2.0, objects: int = 40) -> ObjectTable:
    """Objects in eight wells, in the even ones of which a feature is higher by an effect of that size."""
    rng = np.random.default_rng(seed)
    wells = np.array([f"{row}{column}" for row in "AB" for column in (1, 2, 10, 11)])
    well = np.repeat(wells, objects)
    treated = np.repeat(np.arange(8) % 2 == 0, objects)
    return ObjectTable(
        columns={
            "label": np.arange(1, len(well) + 1),
            "ratio": rng.normal(size=len(well)) + effect * treated,
            "noise": rng.normal(size=len(well)),
            "centroid-0": rng.random(len(well)),
            "well": well,
            "condition": np.where(treated, "treated", "control"),
        }
    )


def test_wells_are_summed_up_one_by_one_and_compared_with_controls() -> None:
    table = screen()
    made = by_well(table, controls=["A2", "A11"])
    assert made.wells == ("A1", "A2", "A10", "A11", "B1", "B2", "B10", "B11")
    assert made.features == ("ratio", "noise")
    values = table["ratio"][table["well"] == "A10"]
    row = next(row for row in made.rows() if (row["well"], row["feature"]) == ("A10", "ratio"))
    assert (row["objects"], row["mean"]) == (40, pytest.approx(values.mean()))
    assert row["median"] == np.median(values)
    assert row["std"] == pytest.approx(values.std(ddof=1))
    controls = table["ratio"][np.isin(table["well"], ["A2", "A11"])]
    assert row["cohen_d"] == Contrast.of(values, controls).cohen_d
    assert made.contrasts["A2", "ratio"].n == (40, 40)
    whole = made.contrast("ratio", ["A1", "A10", "B1", "B10"], ["A2", "A11", "B2", "B11"])
    assert whole.n == (4, 4)
    assert whole.z_prime > 0
    assert whole.auc == 1


def test_wells_count_what_they_leave_out_and_refuse_unknown_names() -> None:
    table = screen()
    ratio = table["ratio"].copy()
    ratio[:41] = np.nan
    made = by_well(table.with_columns({"ratio": ratio}), features=["ratio"])
    assert made.left_out == {"objects whose figure is not finite": 41}
    assert made.counts[:2, 0].tolist() == [0, 39]
    assert math.isnan(made.means[0, 0])
    assert "cohen_d" not in made.rows()[0]
    with pytest.raises(InputError, match="H12"):
        by_well(table, controls=["H12"])
    with pytest.raises(InputError, match="no column"):
        by_well(table, features=["mass"])
    with pytest.raises(InputError, match="in both sets"):
        made.contrast("ratio", ["A1"], ["A1"])


def test_a_restoration_that_is_linear_has_that_bias_and_slope() -> None:
    true = screen()
    restored = true.with_columns({"ratio": 0.5 * true["ratio"] + 3})
    found = retained(true, restored, features=["ratio"], condition="condition", conditions=("treated", "control"))
    (figures,) = found.features
    x = true["ratio"]
    assert figures.slope == pytest.approx(0.5)
    assert figures.intercept == pytest.approx(3)
    assert figures.correlation == pytest.approx(1)
    assert figures.bias == pytest.approx((3 - 0.5 * x).mean())
    spread = 0.5 * x.std(ddof=1)
    assert figures.limits == pytest.approx((figures.bias - 1.96 * spread, figures.bias + 1.96 * spread))
    assert figures.standard_errors == pytest.approx((spread / math.sqrt(len(x)), spread * math.sqrt(3 / len(x))))
    # Cohen's d knows no gain and no offset.
    assert figures.retained_effect == pytest.approx(1)
    assert found.rows()[0]["effect true"] == pytest.approx(figures.true.cohen_d if figures.true else None)


def test_noise_of_a_restoration_costs_effect() -> None:
    true = screen(objects=400)
    noise = np.random.default_rng(9).normal(size=len(true))
    found = retained(true, true.with_columns({"ratio": true["ratio"] + noise}), condition="condition")
    ratio = found.features[0].retained_effect
    assert ratio == pytest.approx(1 / math.sqrt(2), abs=0.05)
    assert found.features[0].correlation < 1
    reference = stats.linregress(true["ratio"], true["ratio"] + noise)
    assert found.features[0].slope == pytest.approx(reference.slope)


def test_only_objects_of_both_tables_are_compared() -> None:
    true = screen()
    order = np.random.default_rng(0).permutation(len(true))[:-20]
    ratio = true["ratio"].copy()
    ratio[order[0]] = np.nan
    some = true.with_columns({"ratio": ratio})
    restored = ObjectTable(columns={name: values[order] for name, values in some.columns.items()})
    found = retained(true, restored)
    assert found.left_out == {"objects in the true table alone": 20, "objects whose figure is not finite": 1}
    assert found.features[0].bias == 0
    assert found.features[0].retained_effect is None
    constant = retained(true.with_columns({"ratio": 1.0}), true, features=["ratio"])
    assert math.isnan(constant.features[0].slope)


def test_what_cannot_be_compared_is_refused() -> None:
    true = screen()
    other = true.with_columns({"label": true.labels + 1000})
    with pytest.raises(InputError, match="same label"):
        retained(true, other)
    with pytest.raises(InputError, match="compared"):
        retained(true, true, condition="well")
    with pytest.raises(InputError, match="fewer than two objects"):
        retained(true, true.with_columns({"noise": np.nan}), features=["noise"])


def test_a_classifier_of_true_objects_is_tested_on_restored_ones() -> None:
    true = screen(effect=3.0, objects=100)
    best = classify_objects(true, true, features=["ratio"], condition="condition")
    assert best.accuracy > 0.9
    assert best.mean_auc is not None
    assert best.mean_auc > 0.95
    assert sum(best.trained.values()) + best.n == len(true)
    assert best.notes[-2:] == ("class 1 is control", "class 2 is treated")
    # It is not fitted again: a shift costs accuracy, and order by the score stays.
    shifted = classify_objects(
        true, true.with_columns({"ratio": true["ratio"] + 9}), features=["ratio"], condition="condition"
    )
    assert shifted.accuracy == pytest.approx(0.5, abs=0.1)
    every = classify_objects(true, screen(1), features=["ratio"], condition="condition", apart="none")
    assert every.n == 320


def test_classifiers_refuse_what_they_cannot_tell_apart() -> None:
    true = screen()
    with pytest.raises(InputError, match="1 condition"):
        classify_objects(true.with_columns({"condition": "one"}), true, features=["ratio"], condition="condition")
    with pytest.raises(InputError, match="0 features"):
        classify_objects(true, true, features=[], condition="condition")
