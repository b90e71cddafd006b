"""Figures of objects, one row each, kept by column."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from scalesr.analysis.packages import need
from scalesr.analysis.tabular import Tabular
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

LABEL = "label"
"""Name of the column that tells objects apart, always the first."""
WELL, FIELD, OWN = "well", "field", "label in image"
"""Names of the columns that say where an object of a plate is, and the label that it has there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ObjectTable(Tabular):
    """Figures of objects. Tables of the same objects are put together by their labels, whatever their order."""

    columns: Mapping[str, NDArray[Any]]
    """By name: numbers, truth values or texts, each of shape (objects,); ``label`` comes first."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Objects that have no row, by reason."""
    notes: tuple[str, ...] = ()
    """What a reader must know."""

    def __post_init__(self) -> None:
        lengths = {len(values) for values in self.columns.values()}
        if next(iter(self.columns), None) != LABEL or len(lengths) > 1:
            raise ValueError(f"a table of objects begins with {LABEL!r} and has columns of one length")
        if len(np.unique(self.columns[LABEL])) < len(self):
            raise InputError(
                "A label stands for more than one row.",
                remedy="Put tables of several images together with stacked, which numbers anew.",
            )

    def __len__(self) -> int:
        return len(self.columns[LABEL])

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a column.

        Raises
        ------
        InputError
            There is no such column.
        """
        if name not in self.columns:
            raise InputError(
                f"The table has no column {name!r}, but {', '.join(self.columns)}.", remedy="Name one of these."
            )
        return self.columns[name]

    @property
    def labels(self) -> NDArray[np.int64]:
        """The objects' labels."""
        return np.asarray(self.columns[LABEL], np.int64)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns that are numbers, without the label."""
        return tuple(name for name, values in self.columns.items() if name != LABEL and values.dtype.kind in "iuf")

    def rows(self) -> list[dict[str, Any]]:
        """Return one mapping from column to value for each object."""
        values = [column.tolist() for column in self.columns.values()]
        return [dict(zip(self.columns, row, strict=True)) for row in zip(*values, strict=True)]

    def to_frame(self) -> Any:
        """Return the columns as a ``pandas.DataFrame``.

        Raises
        ------
        PlanError
            pandas is not installed.
        """
        return need("pandas", extra="tables", purpose="A data frame").DataFrame(dict(self.columns))

    def where(self, kept: NDArray[np.bool_], *, reason: str | None = None) -> Self:
        """Return the rows that are kept; with a reason, the others are counted as left out for it."""
        lost = int(np.count_nonzero(~kept))
        left = dict(self.left_out)
        if reason is not None and lost:
            left[reason] = left.get(reason, 0) + lost
        return replace(self, columns={name: values[kept] for name, values in self.columns.items()}, left_out=left)

    def with_columns(self, columns: Mapping[str, ArrayLike]) -> Self:
        """Return the table with more columns, or with others in place of those of the same names.

        A single value, such as the name of a well, is that of all rows.
        """
        more = {name: np.broadcast_to(np.asarray(values), (len(self),)) for name, values in columns.items()}
        return replace(self, columns={**self.columns, **more})

    def noted(self, *notes: str) -> Self:
        """Return the table with more notes."""
        return replace(self, notes=self.notes + notes)

    def joined(self, other: ObjectTable) -> Self:
        """Return the objects that both tables have, in this one's order, with the columns of both.

        Objects that only one has are counted as left out. Of columns of one name, this table's are kept.
        """
        mine, theirs = positions(self, other)
        more = {name: values[theirs] for name, values in other.columns.items() if name not in self.columns}
        kept = np.zeros(len(self), np.bool_)
        kept[mine] = True
        joined = self.where(kept, reason="objects of the first table alone")
        alone = len(other) - len(theirs)
        left = {**joined.left_out, **({"objects of the second table alone": alone} if alone else {})}
        return replace(joined, columns={**joined.columns, **more}, left_out=left, notes=self.notes + other.notes)


def positions(one: ObjectTable, other: ObjectTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of two tables that are of the same objects, pair by pair, in the order of the first.

    Objects are the same that have one label; of plates, where both tables say it, that have one label in one field of
    one well: tables of several fields are numbered anew, and one may lack some.
    """
    keys: list[NDArray[Any]] = [table.labels for table in (one, other)]
    if all(name in table.columns for name in (WELL, FIELD, OWN) for table in (one, other)):
        keys = [_key(table) for table in (one, other)]
    _, mine, theirs = np.intersect1d(keys[0], keys[1], assume_unique=True, return_indices=True)
    order = np.argsort(mine)
    return mine[order], theirs[order]


def matched(one: ObjectTable, other: ObjectTable) -> tuple[ObjectTable, ObjectTable]:
    """Return what two tables know of the objects that both have, in the order and with the labels of the first."""
    mine, theirs = positions(one, other)
    columns = [
        {name: values[rows] for name, values in table.columns.items()} for table, rows in ((one, mine), (other, theirs))
    ]
    columns[1][LABEL] = columns[0][LABEL]
    return replace(one, columns=columns[0]), replace(other, columns=columns[1])


def stacked(tables: Sequence[ObjectTable]) -> ObjectTable:
    """Return the rows of several tables, of several fields say, below each other, numbered anew from 1.

    The label that an object had is kept in the column ``label in image``. All have the same columns.

    Raises
    ------
    InputError
        Their columns differ, or there is no table.
    """
    if not tables or any(set(table.columns) != set(tables[0].columns) for table in tables):
        raise InputError(
            f"{len(tables)} tables with different columns, or none, cannot be put below each other.",
            remedy="Measure the same features of all images.",
        )
    names = [name for name in tables[0].columns if name != LABEL]
    columns = {name: np.concatenate([table[name] for table in tables]) for name in names}
    own = np.concatenate([table.labels for table in tables])
    left: dict[str, int] = {}
    for table in tables:
        for reason, count in table.left_out.items():
            left[reason] = left.get(reason, 0) + count
    first = {LABEL: np.arange(1, len(own) + 1), OWN: own}
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    return ObjectTable(columns={**first, **columns}, left_out=left, notes=notes)


def _key(table: ObjectTable) -> NDArray[np.str_]:
    texts = [np.asarray(table[name]).astype(np.str_) for name in (WELL, FIELD, OWN)]
    return np.char.add(np.char.add(np.char.add(texts[0], "/"), np.char.add(texts[1], "/")), texts[2])
