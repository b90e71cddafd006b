"""What a statistic has gathered so far: parts that merge exactly, in any order."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

from scalesr.metrics.exact import ExactSum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray


class Part(Protocol):
    """One part of a state. Merging is associative and commutative to the last bit."""

    def merge(self, other: Any) -> Self:
        """Take in what another part has gathered, and return this one."""

    def to_json(self) -> dict[str, Any]:
        """Return the part as JSON can hold it; equal parts give equal JSON."""

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Return the part that `to_json` described."""


class Count:
    """Integers that are added: pixels, bins of a histogram, things that were left out."""

    def __init__(self, values: ArrayLike = 0) -> None:
        self.values: NDArray[np.int64] = np.array(values, np.int64)

    def merge(self, other: Count) -> Self:
        """Add the counts of another."""
        self.values = self.values + other.values
        return self

    def to_json(self) -> dict[str, Any]:
        """Return the counts."""
        return {"values": self.values.tolist()}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Return the counts that `to_json` described."""
        return cls(facts["values"])


class Extremes:
    """Smallest and largest value of each place; infinities the wrong way round where nothing was seen."""

    def __init__(self, low: ArrayLike = np.inf, high: ArrayLike = -np.inf) -> None:
        # Adding zero makes one of the two zeros, of which the smaller would depend on the order.
        self.low: NDArray[np.float64] = np.asarray(np.array(low, np.float64) + 0.0)
        self.high: NDArray[np.float64] = np.asarray(np.array(high, np.float64) + 0.0)

    def merge(self, other: Extremes) -> Self:
        """Widen to what another has seen."""
        self.low, self.high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return self

    def to_json(self) -> dict[str, Any]:
        """Return both, as texts that keep every bit."""
        return {"low": _texts(self.low), "high": _texts(self.high), "shape": list(self.low.shape)}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Return the extremes that `to_json` described."""
        low, high = ([float.fromhex(text) for text in facts[end]] for end in ("low", "high"))
        return cls(np.reshape(low, facts["shape"]), np.reshape(high, facts["shape"]))


class Rows:
    """One row of figures for each tile, by the tile's place; kept apart until the end.

    Parameters
    ----------
    keep
        Keep so many rows at most, chosen by a hash of their place and so the same in any order; ``None`` keeps all.
    """

    def __init__(self, rows: Mapping[tuple[int, ...], ArrayLike] | None = None, *, keep: int | None = None) -> None:
        self.keep = keep
        self.seen = len(rows or {})
        """Rows that were ever added."""
        self._rows = {key: np.asarray(row) for key, row in (rows or {}).items()}
        self._drop()

    @property
    def rows(self) -> dict[tuple[int, ...], NDArray[Any]]:
        """The rows by place, in the order of the places."""
        return {key: self._rows[key] for key in sorted(self._rows)}

    def merge(self, other: Rows) -> Self:
        """Take in the rows of another; a place that both have is an error.

        Raises
        ------
        ValueError
            Both hold a row for the same place: a tile was counted twice.
        """
        twice = self._rows.keys() & other._rows.keys()
        if twice:
            raise ValueError(f"tile {min(twice)} was counted twice")
        self._rows.update(other._rows)
        self.seen += other.seen
        self._drop()
        return self

    def placed(self, place: tuple[int, ...]) -> Self:
        """Return the same rows with more of a place: the plane that the tiles are of."""
        made = type(self)({(*key, *place): row for key, row in self._rows.items()}, keep=self.keep)
        made.seen = self.seen
        return made

    def to_json(self) -> dict[str, Any]:
        """Return the rows; floats as texts that keep every bit."""
        rows = [[list(key), row.dtype.str, list(row.shape), row.tobytes().hex()] for key, row in self.rows.items()]
        return {"rows": rows, "keep": self.keep, "seen": self.seen}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """Return the rows that `to_json` described."""
        made = cls(keep=facts["keep"])
        for key, dtype, shape, text in facts["rows"]:
            made._rows[tuple(key)] = np.frombuffer(bytes.fromhex(text), dtype).reshape(shape)
        made.seen = facts["seen"]
        return made

    def _drop(self) -> None:
        if self.keep is not None and len(self._rows) > self.keep:
            for key in sorted(self._rows, key=_hash)[self.keep :]:
                del self._rows[key]


class State:
    """What a statistic has gathered of some cells, part by part. A new one is empty: it merges to the other.

    Parts appear as they are first added to, so that a cell in which everything was left out needs none.
    """

    def __init__(self, **parts: Part) -> None:
        self.parts: dict[str, Part] = dict(parts)

    def add(self, name: str, part: Part) -> Self:
        """Merge one part into that of the same name, and return this state."""
        if name in self.parts:
            self.parts[name].merge(part)
        else:
            self.parts[name] = part
        return self

    def merge(self, other: State) -> Self:
        """Merge all that another state of the same statistic has gathered, and return this one.

        The other state must not be used any more.
        """
        for name, part in other.parts.items():
            self.add(name, part)
        return self

    def placed(self, place: tuple[int, ...]) -> State:
        """Return a copy whose tiles say which plane they are of, so that it merges with those of other planes."""
        parts = {name: part.placed(place) if isinstance(part, Rows) else part for name, part in self.parts.items()}
        return State(**copy.deepcopy(parts))

    def sums(self, name: str, shape: tuple[int, ...] = ()) -> NDArray[np.float64]:
        """Return the sums of an `ExactSum`, zeros of `shape` where nothing was added."""
        part = self.parts.get(name)
        return part.value() if isinstance(part, ExactSum) else np.zeros(shape)

    def counts(self, name: str, shape: tuple[int, ...] = ()) -> NDArray[np.int64]:
        """Return the values of a `Count`, zeros of `shape` where nothing was counted."""
        part = self.parts.get(name)
        return part.values if isinstance(part, Count) else np.zeros(shape, np.int64)

    def extremes(self, name: str, shape: tuple[int, ...] = ()) -> Extremes:
        """Return an `Extremes`, one that has seen nothing where there is none."""
        part = self.parts.get(name)
        return part if isinstance(part, Extremes) else Extremes(np.full(shape, np.inf), np.full(shape, -np.inf))

    def rows(self, name: str) -> dict[tuple[int, ...], NDArray[Any]]:
        """Return the rows of a `Rows` in the order of their places, none where there are none."""
        part = self.parts.get(name)
        return part.rows if isinstance(part, Rows) else {}

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON can hold it, so that a ledger can keep it; equal states give equal JSON."""
        return {
            name: {"kind": type(part).__name__, **part.to_json()}
            for name, part in sorted(self.parts.items(), key=lambda item: item[0])
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> State:
        """Return the state that `to_json` described."""
        return cls(**{name: KINDS[part["kind"]].from_json(part) for name, part in facts.items()})


KINDS: dict[str, type[Part]] = {kind.__name__: kind for kind in (ExactSum, Count, Extremes, Rows)}
"""Kinds of parts, by the name under which they are stored."""


def _texts(values: NDArray[np.float64]) -> list[str]:
    return [float(value).hex() for value in values.ravel()]


def _hash(key: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """Return a number that scatters places evenly; the place itself breaks ties."""
    number = 0x9E3779B97F4A7C15
    for place in key:
        number = ((number ^ (place + 0x7F4A7C15)) * 0xBF58476D1CE4E5B9) & (2**64 - 1)
        number ^= number >> 29
    return number, key
