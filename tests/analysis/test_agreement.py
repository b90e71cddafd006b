"""Agreement of segmentations: against scikit-learn, for any cut, and blind to the names of the labels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from analysis.samples import stored
from hypothesis import given
from hypothesis import strategies as st

from scalesr.analysis import Agreement, agreement
from scalesr.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

metrics = pytest.importorskip("sklearn.metrics")


def tabled(first: NDArray[np.int64], second: NDArray[np.int64]) -> Agreement:
    table = np.zeros((first.max() + 1, second.max() + 1), np.int64)
    np.add.at(table, (first, second), 1)
    rows, columns = table.any(axis=1), table.any(axis=0)
    return Agreement(
        first=tuple(np.flatnonzero(rows).tolist()),
        second=tuple(np.flatnonzero(columns).tolist()),
        table=table[rows][:, columns],
    )


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 300), st.integers(0, 2**31))
def test_figures_are_those_of_scikit_learn(a: int, b: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, a, n)
    second = np.where(rng.random(n) < 0.5, first % b, rng.integers(0, b, n))
    found = tabled(first, second)
    assert found.adjusted_rand == pytest.approx(metrics.adjusted_rand_score(first, second), abs=1e-12)
    expected = metrics.normalized_mutual_info_score(first, second)
    assert found.mutual_information == pytest.approx(expected, abs=1e-9)


@given(st.integers(2, 6), st.integers(0, 2**31))
def test_names_do_not_matter(k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first = rng.integers(0, k, 500)
    renamed = rng.permutation(k)[first]
    found = tabled(first, renamed)
    assert found.adjusted_rand == 1
    assert found.mutual_information == pytest.approx(1)
    assert found.accuracy == 1
    assert all(row["dice"] == 1 for row in found.rows())


def test_the_table_is_the_same_for_any_chunks_and_counts_what_it_leaves_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    one = rng.integers(0, 4, (150, 133)).astype(np.uint8)
    two = np.where(rng.random(one.shape) < 0.3, rng.integers(0, 5, one.shape), one).astype(np.int16)
    found = [
        agreement(
            stored(tmp_path / f"one{chunk}", one, chunks=(chunk, chunk)),
            stored(tmp_path / f"two{chunk}", two, chunks=(2 * chunk, 33)),
        )
        for chunk in (16, 70)
    ]
    expected = np.zeros((4, 5), np.int64)
    np.add.at(expected, (one.ravel(), two.ravel()), 1)
    for each in found:
        assert each.first == (1, 2, 3)
        assert each.second == (1, 2, 3, 4)
        np.testing.assert_array_equal(each.table, expected[1:, 1:])
        assert each.left_out == {"pixels without a label": one.size - each.n}


def test_a_finer_segmentation_is_asked_where_it_is_pure(tmp_path: Path) -> None:
    fine = np.ones((40, 60), np.uint8)
    fine[:, 30:] = 2
    fine[0, 0] = 2
    coarse = np.ones((10, 15), np.uint8)
    found = agreement(stored(tmp_path / "a", coarse, pixel=4.0), stored(tmp_path / "b", fine))
    # The first block is mixed by its corner, and the border at 30 halves a column of blocks.
    assert found.left_out == {"pixels of several labels": 11}
    np.testing.assert_array_equal(found.table, [[69, 70]])
    assert found.accuracy == 70 / 139


def test_what_is_no_segmentation_is_refused(tmp_path: Path) -> None:
    labels = stored(tmp_path / "labels", np.ones((20, 20), np.uint8))
    with pytest.raises(InputError, match="labels are one plane of integers"):
        agreement(labels, stored(tmp_path / "floats", np.ones((20, 20), np.float32)))
    with pytest.raises(InputError, match="no pixel that is labelled in both"):
        agreement(labels, stored(tmp_path / "none", np.zeros((20, 20), np.uint8)))
    with pytest.raises(InputError, match="do not cover the same ground"):
        agreement(labels, stored(tmp_path / "moved", np.ones((20, 20), np.uint8), edge=(0.0, 3.0)))
    with pytest.raises(InputError, match="not a whole multiple"):
        agreement(labels, stored(tmp_path / "other", np.ones((30, 30), np.uint8), pixel=2 / 3))
    cells = np.arange(80 * 80, dtype=np.int32).reshape(80, 80) + 1
    with pytest.raises(InputError, match="single objects"):
        agreement(stored(tmp_path / "cells", cells), stored(tmp_path / "again", cells))
