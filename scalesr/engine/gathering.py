"""The task `gather`: a stretch of cells of all images, read once, taken in by every statistic."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from scalesr.engine.views import read_mask
from scalesr.metrics import Patch, State
from scalesr.metrics.patch import measured_span
from scalesr.metrics.walk import grid_of, span, take_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from scalesr.engine.pairing import Subjects
    from scalesr.engine.views import View
    from scalesr.metrics import Statistic

BUFFER_BYTES = 2**25
"""Most bytes of one row of cells of one image in a stretch: so little that what was decoded is partly in the caches
still when it is measured, so much that a shard is not opened too often."""
KERNEL_BYTES = 2**26
"""Bytes that the statistics' own slabs and filters take at the most; measured by benchmarks/measuring.py."""
TASKS_PER_SLOT = 6
"""So many stretches for each worker at least, where there are cells enough, so that all end at about the same time."""


@dataclass(frozen=True)
class Stretch:
    """What one task measures: some cells of one plane, along the first axis of space one after the other."""

    plane: tuple[int, ...]
    cells: tuple[range, ...]
    """Cells along each axis of space."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What every task is told."""

    subjects: Subjects
    statistics: tuple[Statistic, ...]
    context: tuple[int, ...]
    """Pixels above a cell that the statistics look at, for each axis of space."""
    on_bad_block: Literal["stop", "fill"]


@dataclass(frozen=True)
class Gathered:
    """What came of a stretch."""

    stretch: Stretch
    states: tuple[State, ...]
    """One for each statistic."""
    bad_chunks: tuple[str, ...]
    """Chunks that could not be decoded and were filled."""


def stretches(subjects: Subjects, *, slots: int) -> list[Stretch]:
    """Cut the images into tasks. How does not show in any figure."""
    frame = subjects.frame
    grid = grid_of(frame)
    pixel = frame.bands * subjects.output.image.dtype.itemsize
    edges = [1] * frame.ndim
    for axis in range(frame.ndim - 1, 0, -1):
        row = pixel * math.prod(n * cell for n, cell in zip(edges, frame.cell, strict=True))
        most = min(grid[axis], max(1, BUFFER_BYTES // row))
        # Whole shards where they fit, else parts of about the same width.
        whole = -(-_stored(subjects, axis) // frame.cell[axis])
        edges[axis] = most // whole * whole if most >= whole else -(-grid[axis] // -(-grid[axis] // most))
    columns = math.prod(-(-n // e) for n, e in zip(grid[1:], edges[1:], strict=True)) * math.prod(subjects.plane_shape)
    parts = min(grid[0], max(1, -(-TASKS_PER_SLOT * slots // columns)))
    edges[0] = -(-grid[0] // parts)
    pieces = [[range(i, min(i + e, n)) for i in range(0, n, e)] for n, e in zip(grid, edges, strict=True)]
    planes = product(*(range(n) for n in subjects.plane_shape))
    return [Stretch(plane, cells) for plane in planes for cells in product(*pieces)]


def _stored(subjects: Subjects, axis: int) -> int:
    """Return how many pixels of the output lie in one stored object along an axis of space."""
    level = subjects.output.image.levels[0]
    return (level.shards or level.chunks)[subjects.output.space[axis]]


def buffer_bytes(subjects: Subjects, context: tuple[int, ...]) -> int:
    """Return about how many bytes one task holds of all images."""
    frame = subjects.frame
    row = frame.bands * subjects.output.image.dtype.itemsize * math.prod(frame.cell)
    views = [view for view in (subjects.output, subjects.reference, subjects.measured) if view is not None]
    # A row of cells and what is being decoded of it; the row above where statistics look there; and a copy where the
    # axes must be swapped.
    rows = sum((3.0 if any(context) else 1.5) + (not view.in_place) for view in views)
    grow = math.prod(1 + c / size for c, size in zip(context, frame.cell, strict=True))
    return int(rows * max(row, BUFFER_BYTES) * grow) + KERNEL_BYTES


def gather_stretch(survey: Survey, stretch: Stretch) -> Gathered:
    """Read a stretch and return what each statistic gathers of it.

    Raises
    ------
    StorageError
        A chunk cannot be read or decoded, and the survey does not fill.
    """
    # How many threads share one sum decides its last bit.
    torch.set_num_threads(1)
    states = {statistic: State() for statistic in survey.statistics}
    bad: list[str] = []
    for patch in walk(survey, stretch, bad):
        take_in(states, patch)
    return Gathered(stretch, tuple(states.values()), tuple(dict.fromkeys(bad)))


def walk(survey: Survey, stretch: Stretch, bad: list[str], *, lead: tuple[int, ...] | None = None) -> Iterator[Patch]:
    """Yield the patches of a stretch, first axis of space outermost; chunks that had to be filled are added to `bad`.

    The arrays of a patch are valid until the next one is asked for: their memory is used again.

    Parameters
    ----------
    lead
        Pixels below each cell that the patch begins with, less at the image's beginning; none when not given.
    """
    subjects, frame = survey.subjects, survey.subjects.frame
    below = lead or (0,) * frame.ndim
    spans = [
        [span(frame, axis, cell, context=survey.context[axis]) for cell in cells]
        for axis, cells in enumerate(stretch.cells)
    ]
    outer = [(max(0, some[0][0] - low), some[-1][2]) for some, low in zip(spans, below, strict=True)]
    coarse = [measured_span(*bounds, r) for bounds, r in zip(outer, frame.ratio, strict=True)]

    def rolling(view: View | None, bounds: list[tuple[int, int]]) -> Rolling | None:
        return None if view is None else Rolling(view, stretch.plane, bounds, survey.on_bad_block, bad)

    output = Rolling(subjects.output, stretch.plane, outer, survey.on_bad_block, bad)
    reference, measured = rolling(subjects.reference, outer), rolling(subjects.measured, coarse)
    try:
        for first in spans[0]:
            for others in product(*spans[1:]):
                cell = (first, *others)
                starts = [max(0, start - low) for (start, _, _), low in zip(cell, below, strict=True)]
                bounds = [(start, end) for start, (_, _, end) in zip(starts, cell, strict=True)]
                under = [measured_span(*b, r) for b, r in zip(bounds, frame.ratio, strict=True)]
                mask = None if subjects.mask is None else read_mask(subjects.mask, stretch.plane, bounds)
                yield Patch(
                    output=output.cut(bounds),
                    reference=None if reference is None else reference.cut(bounds),
                    measured=None if measured is None else measured.cut(under),
                    mask=mask,
                    start=tuple(starts),
                    cell=tuple(stop - start for start, (_, stop, _) in zip(starts, cell, strict=True)),
                    shape=frame.shape,
                    ratio=frame.ratio,
                    plane=stretch.plane,
                )
    finally:
        for rolls in (output, reference, measured):
            if rolls is not None:
                rolls.end()


class _Spare(threading.local):
    """Memory of the last stretch of a thread: that of a new one would be zeroed first, for a tenth of the time."""

    def __init__(self) -> None:
        self._blocks: list[NDArray[np.uint8]] = []

    def take(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array, whatever it holds."""
        size = math.prod(shape) * dtype.itemsize
        block = self._blocks.pop() if self._blocks else None
        if block is None or len(block) < size:
            del block
            block = np.empty(size, np.uint8)
        return block[:size].view(dtype).reshape(shape)

    def keep(self, rows: NDArray[Any]) -> None:
        """Take an array back; not in the main thread, which would hold it for as long as the program runs."""
        if threading.current_thread() is not threading.main_thread():
            block = rows
            while isinstance(block.base, np.ndarray):
                block = block.base
            self._blocks.append(block)


_SPARE = _Spare()


class Rolling:
    """An image passing by: rows are read once, in whole chunks, and forgotten when nobody will ask for them again.

    Parameters
    ----------
    view
        The image.
    plane, bounds
        What of it passes by.
    on_bad, bad
        What to do with chunks that cannot be decoded, and where to name them.
    """

    def __init__(
        self,
        view: View,
        plane: tuple[int, ...],
        bounds: Sequence[tuple[int, int]],
        on_bad: Literal["stop", "fill"],
        bad: list[str],
    ) -> None:
        self._view, self._plane, self._bounds = view, plane, list(bounds)
        self._on_bad, self._bad = on_bad, bad
        self._step = view.image.levels[0].chunks[view.space[0]]
        self._from = self._to = self._bounds[0][0]
        self._rows: NDArray[Any] | None = None

    def cut(self, bounds: Sequence[tuple[int, int]]) -> NDArray[Any]:
        """Return a region, shape (bands, *space), as a view; the first axis must not go back."""
        start, stop = bounds[0]
        if stop > self._to:
            self._read(start, stop)
        assert self._rows is not None
        rows = slice(start - self._from, stop - self._from)
        rest = (slice(a - low, b - low) for (a, b), (low, _) in zip(bounds[1:], self._bounds[1:], strict=True))
        return self._rows[(slice(None), rows, *rest)]

    def end(self) -> None:
        """Give the memory to the next one in this thread; regions that were cut are no longer valid."""
        if self._rows is not None:
            _SPARE.keep(self._rows)
            self._rows = None

    def _read(self, start: int, stop: int) -> None:
        first = self._view.start[0]
        # To the end of a chunk, so that none is decoded twice.
        until = min(-(-(first + stop) // self._step) * self._step - first, self._bounds[0][1])
        begin = min(start, self._to)
        kept = self._to - begin
        old, lower = self._rows, begin - self._from
        if old is None or old.shape[1] < until - begin:
            rest = [stop - start for start, stop in self._bounds[1:]]
            shape = (self._view.bands, until - begin, *rest)
            self._rows = _SPARE.take(shape, self._view.image.dtype.newbyteorder("="))
        assert self._rows is not None
        if kept and old is not None:
            self._rows[:, :kept] = old[:, lower : lower + kept]
        del old
        fresh = self._rows[:, kept : until - begin]
        bad = self._view.read_into(fresh, self._plane, [(self._to, until), *self._bounds[1:]], on_bad=self._on_bad)
        self._bad.extend(chunk.key for chunk in bad)
        self._from, self._to = begin, until
