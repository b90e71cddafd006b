"""Tiles of Fourier statistics: their size, their places in a cell, and figures of their resolutions."""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.measure import Measure
from scalesr.metrics.state import Count, State
from scalesr.metrics.thresholds import AT_NYQUIST, quantile, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.patch import Patch

EDGES = {2: 256, 3: 64}
"""Edge of a tile by the number of axes, where the user chose none."""
LEAST = 8
"""Fewer pixels along an axis have no rings to speak of."""
QUANTILES = {"median of tiles": 0.5, "10th percentile of tiles": 0.1, "90th percentile of tiles": 0.9}

MISSING = "tiles with missing pixels"
FLAT = "tiles with nothing to resolve"
CUT = "cut tiles"


def choose_tile(frame: Frame, settings: Settings, *, metric: str, least: int = LEAST) -> tuple[int, ...]:
    """Return the edges of the tiles: a cell holds a whole number of them, and where the image is smaller, it is one.

    Raises
    ------
    InputError
        The tile that was asked for, or the image, is too small, or it does not fit into the cells.
    """
    tile = tuple(
        min(settings.tile or _largest_part(edge, most=EDGES[frame.ndim]), size)
        for edge, size in zip(frame.cell, frame.shape, strict=True)
    )
    if min(tile) < least:
        raise InputError(
            f"The metric {metric!r} was asked for on tiles of {' x '.join(map(str, tile))} pixels, and the rings of "
            f"fewer than {least} pixels along an axis mean nothing.",
            remedy="Choose a larger tile, or leave this metric out.",
        )
    if any(edge % t for edge, t, size in zip(frame.cell, tile, frame.shape, strict=True) if t < size):
        raise InputError(
            f"Cells of {' x '.join(map(str, frame.cell))} pixels do not hold a whole number of tiles of "
            f"{' x '.join(map(str, tile))}.",
            remedy="Choose a tile whose edge divides that of the cells, or none.",
        )
    return tile


def places(patch: Patch, tile: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Yield each tile that lies whole in the cell: its index in the image, and where it lies in the patch."""
    for index in product(*(range(size // edge) for size, edge in zip(patch.cell, tile, strict=True))):
        region = tuple(slice(i * edge, (i + 1) * edge) for i, edge in zip(index, tile, strict=True))
        yield tuple(s // edge + i for s, edge, i in zip(patch.start, tile, index, strict=True)), region


def cut_tiles(patch: Patch, tile: tuple[int, ...]) -> int:
    """Return the number of tiles of the cell that the end of the image cuts."""
    begun = math.prod(-(-size // edge) for size, edge in zip(patch.cell, tile, strict=True))
    return begun - math.prod(size // edge for size, edge in zip(patch.cell, tile, strict=True))


def count_tiles(state: State, patch: Patch, tile: tuple[int, ...], *, missing: Any, flat: Any) -> None:
    """Count what was left out: tiles with missing pixels and flat ones for each band, and cut ones."""
    bands = len(patch.output)
    state.add(MISSING, Count(missing)).add(FLAT, Count(flat))
    state.add(CUT, Count(np.full(bands, cut_tiles(patch, tile))))


def left_out(state: State, bands: slice, *, total: int) -> dict[str, int]:
    """Return how many tiles of some bands were left out, by reason."""
    counts = {name: int(state.counts(name, (total,))[bands].sum()) for name in (MISSING, FLAT, CUT)}
    return {name: count for name, count in counts.items() if count}


def spread(
    state: State,
    frame: Frame,
    *,
    metric: str,
    note: str,
    kept: NDArray[np.bool_] | None = None,
    lacking: str = "no tiles",
) -> list[Measure]:
    """Return the quantiles of the periods of all tiles and bands.

    Parameters
    ----------
    state
        With the `Rows` "periods", one for each band, NaN where a tile was left out.
    frame
        What was measured.
    metric
        Name of the metric.
    note
        What was measured, said of each figure.
    kept
        Bands that count; all when not given.
    lacking
        What is said where nothing counts.
    """
    table = np.array(list(state.rows("periods").values()), np.float64).reshape(-1, frame.bands)
    periods = (table if kept is None else table[:, kept]).ravel()
    periods = periods[~np.isnan(periods)]
    fine, lost = int((periods == AT_NYQUIST).sum()), int(np.isinf(periods).sum())
    remarks = [f"{fine} of {len(periods)} tiles at or below Nyquist"] if fine else []
    remarks += [f"{lost} of {len(periods)} tiles without correlation"] if lost else []
    out = left_out(state, slice(None), total=frame.bands)
    measures = []
    for kind, share in QUANTILES.items():
        value, remark = told(quantile(periods, share)) if len(periods) else (None, lacking)
        text = "; ".join(filter(None, (remark, *remarks, note)))
        measures.append(
            Measure(
                metric=metric, kind=kind, value=value, unit=frame.unit or "", n=len(periods), left_out=out, note=text
            )
        )
    return measures


def map_of(state: State, frame: Frame, *, tile: tuple[int, ...]) -> NDArray[np.float32]:
    """Return the `Rows` "periods" of one plane as a map, shape (bands, *tiles).

    A tile that is resolved to the Nyquist frequency has its period, two of the largest pixels; one without
    correlation, and one that was left out, is NaN.
    """
    grid = tuple(-(-size // edge) for size, edge in zip(frame.shape, tile, strict=True))
    found = np.full((frame.bands, *grid), np.nan, np.float32)
    for key, periods in state.rows("periods").items():
        values = np.where(np.isinf(periods), np.nan, np.where(periods == AT_NYQUIST, nyquist_period(frame), periods))
        where: tuple[Any, ...] = (slice(None), *key[: len(grid)])
        found[where] = values
    return found


def nyquist_period(frame: Frame) -> float:
    """Return the finest period that all axes can hold."""
    return 2 * max(frame.pixel_size)


def _largest_part(edge: int, *, most: int) -> int:
    """Return the largest whole part of an edge that is no longer than `most`; the edge where all are far shorter."""
    part = max(n for n in range(1, min(edge, most) + 1) if edge % n == 0)
    return part if 2 * part > most or part == edge else edge
