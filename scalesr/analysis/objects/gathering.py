"""Objects as wholes: where each lies, and tiles of the field that hold some of them uncut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.objects.blocks import Blocks, grown
from scalesr.analysis.objects.field import no_object
from scalesr.analysis.objects.shapes import geometry
from scalesr.analysis.objects.tally import Grouping, Tally, column, sums
from scalesr.analysis.objects.telling import steps

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.objects.field import Field, Region
    from scalesr.engine import Callback

TILE = {2: 1024, 3: 96}
"""Edge of the lattice on which objects are sorted into tiles, by the number of axes."""
MOST = 2
"""Objects of more tiles than this along an axis are left out: a whole would not fit the memory."""
FINDING = "finding objects"
TOO_LONG = f"objects longer than {MOST} tiles"


@dataclass(frozen=True, kw_only=True, eq=False)
class Extents:
    """Where the objects of a field lie."""

    labels: NDArray[np.int64]
    """Labels, ascending, shape (n,)."""
    low: NDArray[np.int64]
    """First pixel along each axis, shape (n, axes)."""
    high: NDArray[np.int64]
    """The one after the last, shape (n, axes)."""
    centre: NDArray[np.float64]
    """Mean place of the pixels, shape (n, axes)."""
    shape: tuple[int, ...]
    """Of the field."""

    @classmethod
    def of(cls, field: Field, *, callbacks: Sequence[Callback] = ()) -> Extents:
        """Return where all objects lie, in one pass over the labels.

        Raises
        ------
        NoObjectError
            There is no object.
        """
        tally = Tally()
        for each in steps(Blocks.of(field.shape), name=FINDING, callbacks=callbacks):
            labels = field.read_labels(each.core)
            places = np.nonzero(labels)
            if len(places[0]):
                tally.add(geometry(Grouping(labels[places]), places, each.start))
        part, axes = tally.result(), range(len(field.shape))
        if not len(part.labels):
            raise no_object(field)
        area = column(part, "sum", "area")
        return cls(
            labels=part.labels,
            low=np.stack([column(part, "low", f"first-{a}") for a in axes], axis=1),
            high=np.stack([column(part, "high", f"last-{a}") + 1 for a in axes], axis=1),
            centre=np.stack([sums(part, f"moment-{a}")[0] / area for a in axes], axis=1),
            shape=field.shape,
        )

    @property
    def touches_edge(self) -> NDArray[np.bool_]:
        """Which objects touch the field's edge."""
        return np.asarray(((self.low == 0) | (self.high == self.shape)).any(axis=1))

    def order(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the order of a fixed lattice of tiles, by tile in the field's order and in it by label."""
        tile = places // TILE[len(self.shape)]
        return np.lexsort((self.labels, *tile.T[::-1]))

    def tiles(self, *, margin: int = 0) -> Iterator[Tile]:
        """Yield tiles with the objects that begin in each place of a fixed lattice; each object is in one tile.

        Objects that are longer than `MOST` places of the lattice are in none.
        """
        edge = TILE[len(self.shape)]
        short = np.asarray(np.all((self.high - self.low) <= MOST * edge, axis=1))
        order = self.order(self.low)
        order = order[short[order]]
        lattice = self.low[order] // edge
        starts = np.flatnonzero(np.diff(lattice, axis=0, prepend=-1).any(axis=1))
        for members in np.split(order, starts[1:]) if len(order) else []:
            low, high = self.low[members].min(axis=0), self.high[members].max(axis=0)
            region = tuple(slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            outer = grown(region, (margin,) * len(self.shape), self.shape)
            yield Tile(members=members, labels=self.labels[members], region=region, outer=outer)

    @property
    def left_out(self) -> dict[str, int]:
        """How many objects are in no tile."""
        edge = TILE[len(self.shape)]
        number = int(np.count_nonzero(np.any((self.high - self.low) > MOST * edge, axis=1)))
        return {TOO_LONG: number} if number else {}


@dataclass(frozen=True, kw_only=True, eq=False)
class Tile:
    """A part of a field that holds some objects as wholes."""

    members: NDArray[np.int64]
    """Which rows of the `Extents` they are."""
    labels: NDArray[np.int64]
    """Their labels, ascending."""
    region: Region
    """Where they lie."""
    outer: Region
    """The same with a margin, as far as the field reaches."""

    def read(self, field: Field) -> NDArray[np.int64]:
        """Return the labels of the region, numbered anew: 1 for the tile's first object, 0 for all other pixels."""
        found = field.read_labels(self.region)
        place = np.minimum(np.searchsorted(self.labels, found), len(self.labels) - 1)
        return np.where(self.labels[place] == found, place + 1, 0)

    @property
    def inner(self) -> tuple[slice, ...]:
        """Where the region lies in an array of the outer part."""
        return tuple(slice(r.start - o.start, r.stop - o.start) for r, o in zip(self.region, self.outer, strict=True))


def scattered(rows: int, tiles: list[tuple[NDArray[np.int64], dict[str, NDArray[Any]]]]) -> dict[str, NDArray[Any]]:
    """Return the figures of all tiles as columns; rows that no tile has are NaN.

    Parameters
    ----------
    rows
        Objects of the field.
    tiles
        Of each tile which rows it has, and their figures by name.
    """
    columns: dict[str, NDArray[Any]] = {}
    for members, figures in tiles:
        for name, values in figures.items():
            columns.setdefault(name, np.full(rows, np.nan))[members] = values
    return columns
