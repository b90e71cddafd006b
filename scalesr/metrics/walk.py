"""The lattice of cells over an image, and walking over it where the arrays fit in memory."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

from scalesr.metrics.moments import Differences
from scalesr.metrics.patch import Patch, measured_span
from scalesr.metrics.sam import SpectralAngles, update_together
from scalesr.metrics.state import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from fractions import Fraction

    import numpy as np
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.metric import Metric, Statistic

EDGES = {2: 512, 3: 128}
"""Edge of a cell by the number of axes: large enough that its context costs little, small enough for the memory."""
LEAST_EDGES = {2: 64, 3: 32}
CELL_BYTES = 2**26
"""Bytes of a cell of one image, all bands, in its own number format; cells of many bands are smaller."""


def choose_cell(
    shape: tuple[int, ...], *, bands: int, itemsize: int, ratio: Sequence[Fraction] = (), tile: int | None = None
) -> tuple[int, ...]:
    """Return the cell of an image: it depends on the image and the settings, never on how it is stored.

    Parameters
    ----------
    shape
        Pixels of the output along the axes of space.
    bands, itemsize
        Channels, and bytes of a pixel.
    ratio
        Pixels of the output for each of the measurement: a cell is a whole number of pixels of both.
    tile
        Edge of the tiles of Fourier statistics where the user chose one: a cell holds a whole number of them.
    """
    edge = EDGES[len(shape)]
    while edge > LEAST_EDGES[len(shape)] and bands * itemsize * edge ** len(shape) > CELL_BYTES:
        edge //= 2
    units = [math.lcm(tile or 1, r.numerator) for r in ratio] or [tile or 1] * len(shape)
    return tuple(max(1, edge // unit) * unit for unit in units)


def grid_of(frame: Frame) -> tuple[int, ...]:
    """Return the number of cells along each axis of space."""
    return tuple(-(-size // edge) for size, edge in zip(frame.shape, frame.cell, strict=True))


def span(frame: Frame, axis: int, cell: int, *, context: int) -> tuple[int, int, int]:
    """Return where a cell starts and ends along an axis, and where its context ends."""
    start = cell * frame.cell[axis]
    size = frame.shape[axis]
    stop = min(start + frame.cell[axis], size)
    return start, stop, min(start + frame.cell[axis] + context, size)


def context_of(statistics: Iterable[Statistic], frame: Frame) -> tuple[int, ...]:
    """Return the context that serves some statistics: the largest, in whole pixels of the measurement."""
    most = [0] * frame.ndim
    for statistic in statistics:
        most = [max(a, b) for a, b in zip(most, statistic.context, strict=True)]
    return tuple(-(-n // r.numerator) * r.numerator for n, r in zip(most, frame.ratio, strict=True))


def patches(
    frame: Frame,
    output: NDArray[Any],
    *,
    reference: NDArray[Any] | None = None,
    measured: NDArray[Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
    context: tuple[int, ...],
) -> Iterator[Patch]:
    """Yield the patches of arrays in memory, shape (bands, *space), in C order of their cells."""
    for index in product(*(range(n) for n in grid_of(frame))):
        spans = [span(frame, axis, cell, context=c) for axis, (cell, c) in enumerate(zip(index, context, strict=True))]
        region = tuple(slice(start, end) for start, _, end in spans)
        coarse = tuple(
            slice(*measured_span(start, end, r)) for (start, _, end), r in zip(spans, frame.ratio, strict=True)
        )
        yield Patch(
            output=output[(slice(None), *region)],
            reference=None if reference is None else reference[(slice(None), *region)],
            measured=None if measured is None else measured[(slice(None), *coarse)],
            mask=None if mask is None else mask[region],
            start=tuple(start for start, _, _ in spans),
            cell=tuple(stop - start for start, stop, _ in spans),
            shape=frame.shape,
            ratio=frame.ratio,
        )


def finalized(metrics: Iterable[Metric], states: Mapping[Statistic, State], frame: Frame) -> list[Measure]:
    """Return the figures of some metrics, in their order."""
    return [measure for metric in metrics for measure in metric.finalize(states[metric.statistic], frame)]


def gather(statistics: Sequence[Statistic], pieces: Iterable[Patch]) -> Mapping[Statistic, State]:
    """Return what each statistic gathers from some patches."""
    states = {statistic: State() for statistic in statistics}
    for patch in pieces:
        take_in(states, patch)
    return states


def take_in(states: dict[Statistic, State], patch: Patch) -> None:
    """Add a patch to what each statistic has gathered: the same bits whatever is gathered beside it."""
    angles = next((s for s in states if isinstance(s, SpectralAngles)), None)
    differences = next((s for s in states if isinstance(s, Differences)), None)
    done: tuple[Statistic, ...] = ()
    if (
        angles is not None
        and differences is not None
        and update_together(states[angles], states[differences], patch.within(angles.context))
    ):
        done = (angles, differences)
    for statistic, state in states.items():
        if statistic not in done:
            states[statistic] = statistic.update(state, patch.within(statistic.context))
