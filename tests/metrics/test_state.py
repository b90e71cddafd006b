from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalesr.metrics import Count, ExactSum, Extremes, Rows, State

if TYPE_CHECKING:
    from collections.abc import Callable

FINITE = st.floats(allow_nan=False, allow_infinity=False)
PLACES = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50)), max_size=25, unique=True)


def state_of(numbers: list[float], *, first: int = 0) -> State:
    """Return a state with all kinds of parts, as a statistic would gather it from one cell for each number."""
    state = State()
    for place, number in enumerate(numbers, start=first):
        state.add("sums", ExactSum((2,)).add([number, -number]))
        state.add("counts", Count([1, place]))
        state.add("extremes", Extremes([number], [number]))
        state.add("rows", Rows({(place,): np.array([number], np.float32)}, keep=3))
    return state


@given(numbers=st.lists(st.floats(-1e30, 1e30), max_size=12), data=st.data())
def test_states_merge_to_the_state_of_the_whole(numbers: list[float], data: st.DataObject) -> None:
    parts = [state_of([number], first=place) for place, number in enumerate(numbers)]
    merged, aside = State(), State()
    for place in data.draw(st.permutations(range(len(parts)))):
        (merged if data.draw(st.booleans()) else aside).merge(parts[place])
    assert merged.merge(aside).to_json() == state_of(numbers).to_json()


@given(numbers=st.lists(st.floats(-1e30, 1e30), max_size=12))
def test_json_keeps_every_bit(numbers: list[float]) -> None:
    state = state_of(numbers)
    back = State.from_json(json.loads(json.dumps(state.to_json())))
    assert back.to_json() == state.to_json()
    more = state_of([0.5], first=len(numbers))
    assert back.merge(more).to_json() == state.merge(state_of([0.5], first=len(numbers))).to_json()


def test_the_order_in_which_parts_appear_does_not_show() -> None:
    one = State().add("a", Count(1)).add("b", Count(2))
    other = State().add("b", Count(2)).add("a", Count(1))
    assert json.dumps(one.to_json()) == json.dumps(other.to_json())


def test_absent_parts_are_empty() -> None:
    state = State()
    assert state.sums("sums", (2, 3)).tolist() == np.zeros((2, 3)).tolist()
    assert state.counts("counts", (2,)).tolist() == [0, 0]
    assert state.counts("counts", (2,)).dtype == np.int64
    extremes = state.extremes("extremes", (2,))
    assert (extremes.low.tolist(), extremes.high.tolist()) == ([math.inf] * 2, [-math.inf] * 2)
    assert state.rows("rows") == {}
    assert State.from_json(state.to_json()).to_json() == {}


def test_parts_are_found_by_name() -> None:
    state = state_of([3.0, 1.0])
    assert state.sums("sums").tolist() == [4.0, -4.0]
    assert state.counts("counts").tolist() == [2, 1]
    extremes = state.extremes("extremes")
    assert (extremes.low.tolist(), extremes.high.tolist()) == ([1.0], [3.0])
    assert {place: row.tolist() for place, row in state.rows("rows").items()} == {(0,): [3.0], (1,): [1.0]}


@given(counts=st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=8))
def test_counts_are_added(counts: list[int]) -> None:
    merged = Count()
    for count in counts:
        merged.merge(Count(count))
    assert int(merged.values) == sum(counts)
    assert Count.from_json(merged.to_json()).to_json() == merged.to_json()


def test_counts_do_not_change_the_arrays_they_are_given() -> None:
    given_ = np.array([1, 2])
    merged = Count(given_).merge(Count([10, 10]))
    assert given_.tolist() == [1, 2]
    assert merged.values.tolist() == [11, 12]


@given(values=st.lists(FINITE, min_size=1, max_size=8))
def test_extremes_widen(values: list[float]) -> None:
    merged = Extremes()
    for value in values:
        merged.merge(Extremes(value, value))
    assert (float(merged.low), float(merged.high)) == (min(values), max(values))
    back = Extremes.from_json(json.loads(json.dumps(merged.to_json())))
    assert (back.low.tolist(), back.high.tolist()) == (merged.low.tolist(), merged.high.tolist())


def test_the_two_zeros_are_one() -> None:
    below, above = Extremes([-0.0], [-0.0]), Extremes([0.0], [0.0])
    assert below.to_json() == above.to_json()
    assert below.merge(above).to_json() == Extremes([0.0], [0.0]).merge(Extremes([-0.0], [-0.0])).to_json()


def test_extremes_that_saw_nothing_come_back() -> None:
    nothing = Extremes(np.full((2, 3), math.inf), np.full((2, 3), -math.inf))
    back = Extremes.from_json(json.loads(json.dumps(nothing.to_json())))
    assert back.low.shape == (2, 3)
    assert back.merge(Extremes(np.ones((2, 3)), np.ones((2, 3)))).high.tolist() == np.ones((2, 3)).tolist()


def one_row(place: tuple[int, ...]) -> Any:
    return np.array([sum(place), place[0] - place[-1]], np.int64)


@given(places=PLACES, keep=st.integers(1, 10), data=st.data())
def test_the_rows_that_are_kept_do_not_depend_on_the_order(
    places: list[tuple[int, ...]], keep: int, data: st.DataObject
) -> None:
    whole = Rows({place: one_row(place) for place in places}, keep=keep)
    left, right = Rows(keep=keep), Rows(keep=keep)
    for place in data.draw(st.permutations(places)):
        (left if data.draw(st.booleans()) else right).merge(Rows({place: one_row(place)}, keep=keep))
    merged = left.merge(right)
    assert merged.to_json() == whole.to_json()
    assert len(merged.rows) == min(keep, len(places))
    assert merged.seen == len(places)
    assert list(merged.rows) == sorted(merged.rows)


def test_the_rows_that_are_kept_are_spread_over_the_image() -> None:
    places = [(y, x) for y in range(64) for x in range(64)]
    kept = np.array(list(Rows({place: one_row(place) for place in places}, keep=400).rows))
    quarters = np.histogram2d(kept[:, 0], kept[:, 1], bins=4, range=[[0, 64], [0, 64]])[0]
    assert quarters.min() > 10  # 25 each on average
    assert quarters.max() < 45


@pytest.mark.parametrize("keep", [None, 5])
def test_a_tile_that_is_counted_twice_is_an_error(keep: int | None) -> None:
    rows = Rows({(1, 2): [1.0], (0, 3): [2.0]}, keep=keep)
    with pytest.raises(ValueError, match=r"\(0, 3\) was counted twice"):
        rows.merge(Rows({(0, 3): [2.0]}, keep=keep))


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.array([1.5, math.nan, -math.inf], np.float32),
        lambda: np.array(2**62 + 1, np.int64),
        lambda: np.zeros((0, 3), np.float64),
        lambda: np.array([[True, False]]),
        lambda: np.array([0.1, -0.0]),
    ],
)
def test_rows_of_any_format_come_back(make: Callable[[], Any]) -> None:
    rows = Rows({(3, 0, 1): make(), (0, 0, 2): make()}, keep=7)
    back = Rows.from_json(json.loads(json.dumps(rows.to_json())))
    assert back.to_json() == rows.to_json()
    for row in back.rows.values():
        assert row.dtype == make().dtype
        assert row.shape == make().shape
        assert row.tobytes() == make().tobytes()


def test_planes_make_the_tiles_of_a_state_distinct() -> None:
    first, second = state_of([1.0, 2.0]), state_of([4.0, 8.0])
    before = first.to_json()
    merged = first.placed((0,)).merge(second.placed((1,)))
    assert first.to_json() == before  # a copy was placed
    assert merged.sums("sums").tolist() == [15.0, -15.0]
    rows = merged.parts["rows"]
    assert isinstance(rows, Rows)
    assert rows.seen == 4
    assert set(rows.rows) < {(0, 0), (1, 0), (0, 1), (1, 1)}
    with pytest.raises(ValueError, match="counted twice"):
        state_of([1.0]).merge(state_of([1.0]))
