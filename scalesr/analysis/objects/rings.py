"""Rings around objects: the pixels nearest to each, and its outline."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from scalesr.analysis.objects.basins import offsets

if TYPE_CHECKING:
    from numpy.typing import NDArray


def grown_labels(labels: NDArray[np.int64], *, distance: float) -> NDArray[np.int64]:
    """Return labels that have grown over the ground by a distance in pixels; a pixel goes to the nearest object.

    Of objects that are equally near the lower label has it, so that the outcome depends on the pixel's surroundings
    alone. Right where `distance` pixels or the field's edge surround a pixel.
    """
    reach = int(distance)
    around = np.pad(labels, reach)
    names, steps = around.ravel(), np.array(around.strides) // around.itemsize
    # Only what has an object within reach along all axes is looked at.
    left = np.flatnonzero((names == 0) & _near(around, reach).ravel() & _own(labels.shape, reach).ravel())
    found = names.copy()
    squares: dict[int, list[int]] = {}
    for step in itertools.product(range(-reach, reach + 1), repeat=labels.ndim):
        square = sum(s * s for s in step)
        if 0 < square <= distance * distance:
            squares.setdefault(square, []).append(int(np.dot(step, steps)))
    none = np.iinfo(np.int64).max
    for square in sorted(squares):
        best = np.full(len(left), none)
        for shift in squares[square]:
            near = names[left + shift]
            np.minimum(best, np.where(near > 0, near, none), out=best)
        reached = best < none
        found[left[reached]] = best[reached]
        left = left[~reached]
    return found.reshape(around.shape)[tuple(slice(reach, reach + n) for n in labels.shape)]


def outline(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which pixels of objects have a neighbour, diagonal ones too, that is not of the same object.

    The region's border counts as another object, as in CellProfiler.
    """
    around = np.pad(labels, 1, constant_values=-1)
    core = tuple(slice(1, 1 + n) for n in labels.shape)
    different = np.zeros(labels.shape, np.bool_)
    for step in offsets(labels.ndim):
        there = tuple(slice(c.start + s, c.stop + s) for c, s in zip(core, step, strict=True))
        different |= around[there] != labels
    return np.asarray(different & (labels != 0))


def _near(around: NDArray[np.int64], reach: int) -> NDArray[np.bool_]:
    near = around > 0
    for axis in range(around.ndim):
        sums = np.cumsum(near, axis=axis, dtype=np.int64)
        n = around.shape[axis]
        upper = np.minimum(np.arange(n) + reach, n - 1)
        lower = np.arange(n) - reach - 1
        below = np.take(sums, np.maximum(lower, 0), axis=axis)
        shape = [1] * around.ndim
        shape[axis] = n
        near = np.take(sums, upper, axis=axis) - np.where((lower >= 0).reshape(shape), below, 0) > 0
    return near


def _own(shape: tuple[int, ...], reach: int) -> NDArray[np.bool_]:
    return np.pad(np.ones(shape, np.bool_), reach)
