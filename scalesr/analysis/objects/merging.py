"""Joining what was named block by block: parts that belong together, and basins that no pass sets apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

if TYPE_CHECKING:
    from numpy.typing import NDArray

_PENDING = 2**16
"""Rows that may wait before equal ones are made one."""


@dataclass(kw_only=True)
class Pieces:
    """Pieces that were named 1, 2, 3 ... in the order of discovery, and what is known of each and between them.

    Everything is a sum, a smallest or a largest value, or a set; so once the pieces of one object are joined, nothing
    remains of how the field was cut. Memory grows with the number of pieces and of neighbouring pairs of them.
    """

    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    """Pixels of each piece."""
    firsts: list[NDArray[np.int64]] = field(default_factory=list)
    """Place of its first pixel in the order of the field."""
    peaks: list[NDArray[Any]] = field(default_factory=list)
    """Its largest height."""
    cut: list[NDArray[np.bool_]] = field(default_factory=list)
    """Whether it touches the field's edge."""
    number: int = 0
    """Pieces so far."""
    _joins: list[NDArray[np.int64]] = field(default_factory=list)
    _passes: list[tuple[NDArray[np.int64], NDArray[Any]]] = field(default_factory=list)
    _waiting: int = 0

    def add(
        self, *, sizes: NDArray[np.int64], firsts: NDArray[np.int64], peaks: NDArray[Any], cut: NDArray[np.bool_]
    ) -> None:
        """Add pieces; they get the next names."""
        self.sizes.append(sizes)
        self.firsts.append(firsts)
        self.peaks.append(peaks)
        self.cut.append(cut)
        self.number += len(sizes)

    def join(self, one: NDArray[np.int64], other: NDArray[np.int64]) -> None:
        """Say that pieces are parts of one basin, pair by pair, by their names."""
        self._joins.append(np.unique(np.stack([one, other]), axis=1))

    def border(self, one: NDArray[np.int64], other: NDArray[np.int64], height: NDArray[Any]) -> None:
        """Say how high one gets between two pieces, pair by pair."""
        self._passes.append(_highest(np.stack([np.minimum(one, other), np.maximum(one, other)]), height))
        self._waiting += len(self._passes[-1][1])
        if self._waiting > max(_PENDING, 2 * len(self._passes[0][1])):
            self._compact()

    def basins(self) -> Basins:
        """Return the basins that the pieces are parts of."""
        links = np.concatenate([np.zeros((2, 0), np.int64), *self._joins], axis=1) - 1
        count, of = _components(self.number, links)
        peaks = np.concatenate(self.peaks) if self.peaks else np.zeros(0, np.int64)
        firsts = np.concatenate([np.zeros(0, np.int64), *self.firsts])
        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, of, firsts)
        peak = np.zeros(count, peaks.dtype)
        order = np.lexsort((peaks, of))
        peak[of[order]] = peaks[order]  # the last one written is the largest
        self._compact()
        pairs, heights = self._passes[0] if self._passes else (np.zeros((2, 0), np.int64), peaks[:0])
        ends = of[pairs - 1]
        apart = ends[0] != ends[1]
        ends, heights = _highest(np.sort(ends[:, apart], axis=0), heights[apart])
        size = np.zeros(count, np.int64)
        np.add.at(size, of, np.concatenate([np.zeros(0, np.int64), *self.sizes]))
        cut = np.zeros(count, np.bool_)
        np.logical_or.at(cut, of, np.concatenate([np.zeros(0, np.bool_), *self.cut]))
        return Basins(of=of, size=size, first=first, peak=peak, cut=cut, ends=ends, heights=heights)

    def _compact(self) -> None:
        if self._passes:
            pairs = np.concatenate([pair for pair, _ in self._passes], axis=1)
            self._passes = [_highest(pairs, np.concatenate([height for _, height in self._passes]))]
            self._waiting = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Basins:
    """The basins of a field: the same for any way of cutting it, but for their order."""

    of: NDArray[np.int64]
    """Basin of each piece, from 0."""
    size: NDArray[np.int64]
    """Pixels of each basin."""
    first: NDArray[np.int64]
    """Place of its first pixel."""
    peak: NDArray[Any]
    """Height of its summit."""
    cut: NDArray[np.bool_]
    """Whether it touches the field's edge."""
    ends: NDArray[np.int64]
    """Pairs of basins that are neighbours, shape (2, n)."""
    heights: NDArray[Any]
    """Highest pass of each pair."""

    def objects(self, *, depth: float) -> NDArray[np.int64]:
        """Return for each basin the basin that stands for its object.

        From the highest pass to the lowest, two objects that a pass connects become one where the lower of their
        summits rises by at most `depth` above it. This is what an h-maxima transform of height `depth` leaves apart
        (Soille, Morphological Image Analysis, 2nd ed., 6.3), and what ImageJ's Find Maxima calls its prominence.
        Passes of one height are taken by the places of the first pixels of their basins, which no cutting changes.
        """
        places = np.sort(self.first[self.ends], axis=0)
        parent, peak = list(range(len(self.size))), self.peak.tolist()

        def top(basin: int) -> int:
            while parent[basin] != basin:
                parent[basin] = parent[parent[basin]]
                basin = parent[basin]
            return basin

        for edge in np.lexsort((places[1], places[0], -self.heights)).tolist():
            a, b = (top(int(end)) for end in self.ends[:, edge])
            if a != b and min(peak[a], peak[b]) - self.heights[edge] <= depth:
                low, high = (a, b) if peak[a] < peak[b] else (b, a)
                parent[low] = high
        return np.array([top(basin) for basin in range(len(parent))], np.int64)


def _components(number: int, links: NDArray[np.int64]) -> tuple[int, NDArray[np.int64]]:
    if not number:
        return 0, np.zeros(0, np.int64)
    graph = sparse.coo_array((np.ones(links.shape[1], np.int8), tuple(links)), shape=(number, number))
    count, of = csgraph.connected_components(graph, directed=False)
    return int(count), of.astype(np.int64)


def _highest(pairs: NDArray[np.int64], heights: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    """Return each pair once, with the largest of its heights."""
    order = np.lexsort((-heights, pairs[1], pairs[0]))
    pairs, heights = pairs[:, order], heights[order]
    new = np.ones(pairs.shape[1], np.bool_)
    new[1:] = (pairs[:, 1:] != pairs[:, :-1]).any(axis=0)
    return pairs[:, new], heights[new]
