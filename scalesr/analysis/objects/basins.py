"""Basins of a relief by steepest ascent, and the highest passes between them: facts of pixels and their neighbours.

Each pixel points to the highest pixel of its neighbourhood and itself; of equal ones to the first in the order of the
field. That is a total order of all pixels, so pointers run in no circle, and a basin is what drains to one summit
(a rain-falling watershed: Meyer, Signal Processing 38, 113, 1994; Bieniek and Moga, Pattern Recognition 33, 907, 2000).
A pointer depends on a pixel's neighbours alone. So basins are components of a graph, and any cutting of the field
that keeps its edges finds the same ones.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


def offsets(axes: int) -> tuple[tuple[int, ...], ...]:
    """Return the steps to all neighbours, diagonal ones too, in the order of the field."""
    return tuple(step for step in itertools.product((-1, 0, 1), repeat=axes) if any(step))


@dataclass(frozen=True, kw_only=True, eq=False)
class Relief:
    """Heights in a region, and to which group each pixel belongs; basins and passes stay within groups."""

    height: NDArray[Any]
    """Height of each pixel, integers or floats."""
    group: NDArray[Any]
    """Not zero where a pixel takes part. Pixels of different groups are no neighbours."""

    def pointers(self) -> NDArray[np.int64]:
        """Return the flat index of the pixel that each points to, its own for summits and where there is no group.

        Right where all neighbours of a pixel are in the region.
        """
        shape = self.height.shape
        own = np.arange(self.height.size, dtype=np.int64).reshape(shape)
        best, target = self.height.copy(), own.copy()
        for step in offsets(self.height.ndim):
            here, there = _overlap(shape, step)
            near = (self.group[here] == self.group[there]) & (self.group[here] != 0)
            # Of equal heights the first in the field wins, the pixel's own place included.
            better = (self.height[there] > best[here]) | (
                (self.height[there] == best[here]) & (own[there] < target[here])
            )
            np.copyto(best[here], self.height[there], where=near & better)
            np.copyto(target[here], own[there], where=near & better)
        return target

    def passes(self, names: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]]]:
        """Yield the pairs of neighbours with different names, both not zero: names of both, and the lower height.

        Each pair of pixels comes once. A pass between two basins is the highest of their pairs.
        """
        for step in offsets(self.height.ndim)[: (3**self.height.ndim - 1) // 2]:
            here, there = _overlap(self.height.shape, step)
            a, b = names[here], names[there]
            border = (a != b) & (a != 0) & (b != 0) & (self.group[here] == self.group[there])
            if border.any():
                height = np.minimum(self.height[here][border], self.height[there][border])
                yield a[border], b[border], height


def summits(pointers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where following the pointers ends, flat indices of the same shape.

    A pixel that points out of the region that is of interest can be made an end by letting it point to itself.
    """
    target = pointers.ravel()
    while True:
        further = target[target]
        if np.array_equal(further, target):
            return target.reshape(pointers.shape)
        target = further


def _overlap(shape: tuple[int, ...], step: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    here = tuple(slice(max(0, -d), n - max(0, d)) for n, d in zip(shape, step, strict=True))
    there = tuple(slice(max(0, d), n - max(0, -d)) for n, d in zip(shape, step, strict=True))
    return here, there
