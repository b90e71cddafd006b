"""What is known so far of each object: columns that merge, whatever part of the field they are of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Kind: TypeAlias = Literal["sum", "low", "high"]
"""How columns merge: added, or the smallest or largest is kept."""
_MERGE: dict[Kind, Any] = {"sum": np.add, "low": np.minimum, "high": np.maximum}
_ROWS = 2**17
"""Rows that may wait before those of one object are made one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Figures of the objects in one part of a field."""

    labels: NDArray[np.int64]
    """Labels, ascending, shape (n,)."""
    columns: Mapping[tuple[Kind, str, int], NDArray[Any]]
    """By how they merge, name, and power of two that they are in units of; each of shape (n,)."""


class Grouping:
    """The pixels of a part, sorted by label.

    Parameters
    ----------
    labels
        Labels of pixels, none of them 0, shape (n,).
    """

    def __init__(self, labels: NDArray[np.int64]) -> None:
        # Labels come in runs, of which a stable sort makes use.
        self._order = np.argsort(labels, kind="stable")
        ordered = labels[self._order]
        new = np.ones(len(labels), np.bool_)
        new[1:] = ordered[1:] != ordered[:-1]
        self._starts = np.flatnonzero(new)
        self.labels: NDArray[np.int64] = ordered[new]
        """Each label once, ascending."""
        self.counts: NDArray[np.int64] = np.diff(self._starts, append=len(labels))
        """Pixels of each."""

    def reduce(self, kind: Kind, values: NDArray[Any]) -> NDArray[Any]:
        """Return the sum, the smallest or the largest value of each label; sums are in int64."""
        ordered = values[self._order]
        if kind == "sum":
            ordered = ordered.astype(np.int64, copy=False)
        return np.asarray(_MERGE[kind].reduceat(ordered, self._starts))


@dataclass(kw_only=True)
class Tally:
    """Figures of all objects that were met. Merging is associative and commutative to the last bit."""

    _parts: list[Part] = field(default_factory=list)
    _rows: int = 0

    def add(self, part: Part) -> None:
        """Add the figures of a part of the field."""
        if len(part.labels):
            self._parts.append(part)
            self._rows += len(part.labels)
        if self._rows > max(_ROWS, 2 * len(self._parts[0].labels) if self._parts else 0):
            self._compact()

    def result(self) -> Part:
        """Return the figures of all objects. A sum to which nothing was added is 0."""
        self._compact()
        return self._parts[0] if self._parts else Part(labels=np.zeros(0, np.int64), columns={})

    def _compact(self) -> None:
        if not self._parts:
            return
        names = {key: part.columns[key].dtype for part in self._parts for key in part.columns}
        rows = Grouping(np.concatenate([part.labels for part in self._parts]))
        merged = {}
        for key, dtype in names.items():
            # What a part does not know changes nothing.
            nothing = 0 if key[0] == "sum" else _extreme(dtype, key[0])
            column = np.concatenate(
                [part.columns.get(key, np.full(len(part.labels), nothing, dtype)) for part in self._parts]
            )
            merged[key] = rows.reduce(key[0], column)
        self._parts, self._rows = [Part(labels=rows.labels, columns=merged)], len(rows.labels)


def column(part: Part, kind: Kind, name: str) -> NDArray[Any]:
    """Return one column in units of 1; zeros where nothing was added."""
    found = part.columns.get((kind, name, 0))
    return np.zeros(len(part.labels), np.int64) if found is None else found


def sums(part: Part, name: str) -> dict[int, NDArray[np.int64]]:
    """Return all parts of a sum by their power of two; of none, zeros."""
    found = {key[2]: values for key, values in part.columns.items() if key[:2] == ("sum", name)}
    return found or {0: np.zeros(len(part.labels), np.int64)}


def _extreme(dtype: np.dtype[Any], kind: Kind) -> Any:
    if dtype.kind == "f":
        return np.inf if kind == "low" else -np.inf
    limits = np.iinfo(dtype)
    return limits.max if kind == "low" else limits.min
