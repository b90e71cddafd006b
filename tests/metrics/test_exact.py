from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from scalesr.metrics import ExactSum, exact

FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.lists(FINITE, max_size=30)
MOST = float(np.finfo(np.float64).max)
LEAST = 5e-324


def summed(numbers: list[float], made: ExactSum | None = None) -> ExactSum:
    found = ExactSum() if made is None else made
    for number in numbers:
        found.add(number)
    return found


def rounded(numbers: list[float]) -> float:
    """Return the sum as fractions, rounded once; infinite beyond the floats."""
    total = sum(map(Fraction, numbers), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


@given(numbers=NUMBERS)
@example(numbers=[1e16, 1.0, -1e16])
@example(numbers=[LEAST, LEAST, -LEAST])
@example(numbers=[MOST, LEAST, -MOST])
@example(numbers=[MOST, MOST, -MOST])
@example(numbers=[0.1] * 10)
@example(numbers=[1.0, 2.0**-53, 2.0**-1074])  # just above the middle of two floats
@example(numbers=[1.0, 2.0**-53])  # the middle: to the even one
@example(numbers=[3 * LEAST, 2.0**-1022, -LEAST])
def test_the_sum_is_rounded_once(numbers: list[float]) -> None:
    found = summed(numbers)
    assert float(found.value()) == rounded(numbers)
    assert found.fractions() == [sum(map(Fraction, numbers), Fraction(0))]
    try:
        expected = math.fsum(numbers)
    except OverflowError:  # fsum gives up where a partial sum is beyond the floats
        return
    assert float(found.value()) == expected


@given(data=st.data(), numbers=NUMBERS)
def test_any_order_and_any_split_give_the_same(data: st.DataObject, numbers: list[float]) -> None:
    order = data.draw(st.permutations(numbers))
    cut = data.draw(st.integers(0, len(numbers)))
    merged = summed(order[:cut]).merge(summed(order[cut:]))
    other_way = summed(order[cut:]).merge(summed(order[:cut]))
    whole = summed(numbers)
    assert merged == whole == other_way
    assert merged.to_json() == whole.to_json() == other_way.to_json()


@given(numbers=NUMBERS, room=st.integers(3, 8), cut=st.integers(0, 30))
@example(numbers=[-1.0] * 20, room=3, cut=7)
@example(numbers=[-LEAST] * 20 + [MOST] * 3, room=3, cut=0)
@example(numbers=[-(2.0**60) - 2.0**28] * 9 + [2.0**40] * 9, room=4, cut=9)
def test_carries_change_nothing(numbers: list[float], room: int, cut: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "ROOM", room)
        carried = summed(numbers[:cut]).merge(summed(numbers[cut:]))
        stored = ExactSum.from_json(carried.to_json())
        again = summed(numbers, stored)
    assert carried == summed(numbers)
    assert again == summed(numbers * 2)


def test_pieces_stay_within_their_room_between_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    room = 64
    monkeypatch.setattr(exact, "ROOM", room)
    found = ExactSum((2,))
    worst = np.array([-float(2**53 - 1) * 2.0**31, float(2**53 - 1)])
    for _ in range(500):
        found.add(worst)
        assert all((np.abs(piece) <= room * 2**exact.PIECE).all() for piece in found._pieces.values())
    assert found.value().tolist() == (500 * worst).tolist()
    assert room * 2**exact.PIECE * (2**29 // room) < 2**63  # so the real room fits as well


@given(numbers=NUMBERS)
def test_json_keeps_every_bit(numbers: list[float]) -> None:
    found = summed(numbers)
    back = ExactSum.from_json(json.loads(json.dumps(found.to_json())))
    assert back == found
    assert back.to_json() == found.to_json()
    assert back.add(1.5).value() == summed([*numbers, 1.5]).value()


@given(rows=st.lists(st.tuples(FINITE, FINITE, FINITE, FINITE), min_size=1, max_size=10))
def test_each_place_of_an_array_is_a_sum_of_its_own(rows: list[tuple[float, ...]]) -> None:
    found = ExactSum((2, 2))
    for row in rows:
        found.add(np.reshape(row, (2, 2)))
    expected = [rounded(list(column)) for column in zip(*rows, strict=True)]
    assert found.value().shape == (2, 2)
    assert found.value().ravel().tolist() == expected
    assert found.fractions() == [sum(map(Fraction, column)) for column in zip(*rows, strict=True)]


def test_beyond_the_floats_the_sum_is_infinite_and_comes_back() -> None:
    found = summed([MOST, MOST])
    assert float(found.value()) == math.inf
    assert float(summed([-MOST, -MOST]).value()) == -math.inf
    assert float(found.add(-MOST).value()) == MOST


def test_subnormal_numbers_count() -> None:
    assert float(summed([LEAST] * 3).value()) == 3 * LEAST
    assert float(summed([LEAST, -LEAST]).value()) == 0
    assert float(summed([2.0**-1022, -LEAST]).value()) == 2.0**-1022 - LEAST


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_and_nothing_is_added(wrong: float) -> None:
    found = ExactSum((2,)).add([1.0, 2.0])
    with pytest.raises(ValueError, match="finite"):
        found.add([3.0, wrong])
    assert found.value().tolist() == [1.0, 2.0]


def test_shapes_must_agree() -> None:
    with pytest.raises(ValueError, match="shape"):
        ExactSum((2,)).add(1.0)
    with pytest.raises(ValueError, match="shape"):
        ExactSum((2,)).merge(ExactSum((3,)))
    assert ExactSum((2,)) != ExactSum((3,))
    assert ExactSum() != 0


def test_an_empty_sum_is_zero_and_merges_to_the_other() -> None:
    assert float(ExactSum().value()) == 0
    assert ExactSum((0,)).value().shape == (0,)
    assert ExactSum((3,)).value().tolist() == [0, 0, 0]
    assert ExactSum().merge(summed([1.0])) == summed([1.0]) == summed([1.0]).merge(ExactSum())
    assert ExactSum.from_json(ExactSum((2,)).to_json()) == ExactSum((2,))
    assert summed([1.0, -1.0]) == ExactSum() == summed([0.0, -0.0])


def test_merging_leaves_the_other_sum_as_it_was() -> None:
    other = summed([1.0, 2.0**80])
    merged = summed([3.0]).merge(other)
    merged.add(5.0)
    assert other == summed([1.0, 2.0**80])
    assert ExactSum().merge(other).add(7.0) != other == summed([1.0, 2.0**80])


def test_the_integers_of_a_gigapixel_are_exact() -> None:
    """A sum that float64 cannot hold: the last bit counts."""
    found = ExactSum()
    for _ in range(1000):
        found.add(2.0**52 + 1)
    assert found.fractions() == [1000 * (2**52 + 1)]
