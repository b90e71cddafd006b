"""A plate map: which conditions each well of a plate was given, from a CSV file, joined to objects by their wells."""

from __future__ import annotations

import csv
import io
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.tables.object_table import WELL
from scalesr.analysis.tabular import Tabular
from scalesr.errors import InputError
from scalesr.images import Files, Location, Plate, well_name

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.tables.object_table import ObjectTable

NO_CONDITION = "objects in wells that the plate map does not have"
_SHOWN = 6
# A batch 007 is a name.
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(
    r"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|nan|[+-]?inf", re.IGNORECASE
)
_SEPARATORS = ",;\t"


@dataclass(frozen=True, kw_only=True, eq=False)
class PlateMap(Tabular):
    """What was done to each well. Wells are named in one way, ``B3``, however the file writes them."""

    wells: tuple[str, ...]
    """Names of the wells, in the order of the file."""
    columns: Mapping[str, NDArray[Any]]
    """Conditions by name, each of shape (wells,): whole numbers, numbers (NaN where the cell was empty), or texts."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Wells that have no row here, by reason."""

    def __len__(self) -> int:
        return len(self.wells)

    def rows(self) -> list[dict[str, Any]]:
        """Return one row for each well."""
        values = [self.wells, *(column.tolist() for column in self.columns.values())]
        return [dict(zip((WELL, *self.columns), row, strict=True)) for row in zip(*values, strict=True)]

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return a condition of all wells.

        Raises
        ------
        InputError
            There is no such column.
        """
        if name not in self.columns:
            raise InputError(
                f"The plate map has no column {name!r}, but {', '.join(self.columns)}.", remedy="Name one of these."
            )
        return self.columns[name]

    def wells_where(self, **conditions: object) -> tuple[str, ...]:
        """Return the wells whose conditions have these values, such as ``compound="DMSO"``.

        Raises
        ------
        InputError
            There is no such column.
        """
        kept = np.ones(len(self), np.bool_)
        for name, value in conditions.items():
            kept &= self[name] == value
        return tuple(well for well, keep in zip(self.wells, kept, strict=True) if keep)

    def of_plate(self, plate: Plate) -> PlateMap:
        """Return the map of the wells that a plate has; the others are counted as left out.

        Raises
        ------
        InputError
            It has none of them, or wells that the map does not have.
        """
        there = [well.name for well in plate.wells]
        lost = [name for name in there if name not in self.wells]
        if lost:
            raise InputError(
                f"The plate map says nothing of wells of {plate.url} ({len(lost):,}): {_listed(lost)}.",
                remedy="Add a row for each, or select the wells that it has.",
            )
        kept = np.isin(self.wells, there)
        alone = int(np.count_nonzero(~kept))
        return PlateMap(
            wells=tuple(np.asarray(self.wells)[kept].tolist()),
            columns={name: values[kept] for name, values in self.columns.items()},
            left_out={**self.left_out, **({"wells that the plate does not have": alone} if alone else {})},
        )

    def join(self, table: ObjectTable, *, well: str = WELL) -> ObjectTable:
        """Return a table of objects with the conditions of their wells as further columns.

        Objects in wells that the map does not have are counted as left out; wells of the map without an object are
        told in a note. Objects keep their order, and wells their spelling.

        Parameters
        ----------
        table
            Objects with a column that says which well each is in, in any spelling of `well_name`.
        well
            Name of that column.

        Raises
        ------
        InputError
            There is no such column, one of the map's columns is in the table already, or no object is in a well of the
            map.
        """
        spelled, which = np.unique(np.asarray(table[well]).astype(str), return_inverse=True)
        twice = [name for name in self.columns if name in table.columns]
        if twice:
            raise InputError(
                f"The table has the columns {', '.join(twice)} already, which the plate map has too.",
                remedy="Rename them in the plate map.",
            )
        place = {name: number for number, name in enumerate(self.wells)}
        rows = np.array([place.get(well_name(name) or name, -1) for name in spelled.tolist()], np.intp)[which]
        kept = rows >= 0
        if not kept.any():
            raise InputError(
                f"None of {len(table):,} objects is in a well of the plate map: they are in "
                f"{_listed(spelled.tolist()) or 'none'}, and it has {_listed(self.wells)}.",
                remedy="Join the map of this plate.",
            )
        joined = table.where(kept, reason=NO_CONDITION)
        used = rows[kept]
        joined = joined.with_columns({name: values[used] for name, values in self.columns.items()})
        empty = [name for number, name in enumerate(self.wells) if number not in set(used.tolist())]
        if not empty:
            return joined
        note = f"Wells of the plate map without objects ({len(empty):,}): {_listed(empty)}."
        return type(joined)(columns=joined.columns, left_out=joined.left_out, notes=(*joined.notes, note))


def read_plate_map(path: str | os.PathLike[str], *, well: str = WELL) -> PlateMap:
    """Read a plate map from a CSV file (UTF-8; comma, semicolon or tab): a header, and a row for each well.

    A column of which every cell is a whole number, or a number, is numeric; empty cells in it are NaN, and make whole
    numbers floats. Everything else is text, also what begins with zeros, such as a batch 007. Numbers are written with
    a point.

    Parameters
    ----------
    path
        Local path or fsspec URL.
    well
        Name of the column that names the wells, in any case: ``A1``, ``A01`` and ``A/1`` are the same well.

    Raises
    ------
    InputError
        The file is absent or no text, has no header, no column of wells or no rows, a column twice, a row of another
        length, a well that is no well or is there twice; the message names the line.
    """
    header, lines = _read(path)
    names = [name.strip() for name in header]
    wanted = [number for number, name in enumerate(names) if name.lower() == well.lower()]
    if len(wanted) != 1:
        raise InputError(
            f"{path} has the columns {', '.join(names)}, and {'no' if not wanted else 'more than one'} column "
            f"{well!r}.",
            remedy="Name the wells in one column `well`, or say which column it is.",
        )
    twice = sorted({name for name in names if names.count(name) > 1 or not name})
    if twice:
        raise InputError(
            f"{path} has a column without a name, or more than one named {twice[-1]!r}.",
            remedy="Give each column its own name.",
        )
    first: dict[str, int] = {}
    for number, row in lines:
        if len(row) != len(names):
            raise InputError(
                f"Line {number} of {path} has {len(row)} cells, and the header {len(names)}.",
                remedy="Give it a cell for each column; texts with a separator in them stand in quotes.",
            )
        name = well_name(row[wanted[0]])
        if name is None:
            raise InputError(
                f"Line {number} of {path} names the well {row[wanted[0]]!r}, which is none.",
                remedy="Write row and column, such as A1, A01 or A/1.",
            )
        if name in first:
            raise InputError(
                f"{path} has the well {name} more than once, in the lines {first[name]} and {number}.",
                remedy="Keep one row for each well.",
            )
        first[name] = number
    if not first:
        raise InputError(f"{path} names no wells.", remedy="Give it a row for each well.")
    columns = {
        name: _typed([row[number].strip() for _, row in lines])
        for number, name in enumerate(names)
        if number != wanted[0]
    }
    return PlateMap(wells=tuple(first), columns=columns)


def _read(path: str | os.PathLike[str]) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header of a file, and its rows with the number of the line that each ends on; empty ones are none."""
    folder, _, name = Location.parse(path).url.rpartition("/")
    content = Files(folder).get(name)
    if content is None:
        raise InputError(f"{path} does not exist.", remedy="Check the path.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8: {error}.", remedy="Save it as CSV in UTF-8.") from error
    begin = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(_SEPARATORS, key=begin.count), strict=True)
    try:
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise InputError(
            f"Line {reader.line_num} of {path} cannot be read: {error}.", remedy="Check its quotes."
        ) from error
    if not rows:
        raise InputError(f"{path} is empty.", remedy="Give it a header and a row for each well.")
    return rows[0][1], rows[1:]


def _typed(cells: Sequence[str]) -> NDArray[Any]:
    """Return the cells of a column as whole numbers, numbers or texts, whichever fits them all."""
    filled = [cell for cell in cells if cell]
    if filled and len(filled) == len(cells) and all(_WHOLE.fullmatch(cell) for cell in cells):
        return np.array([int(cell) for cell in cells], np.int64)
    if filled and all(_NUMBER.fullmatch(cell) for cell in filled):
        return np.array([float(cell) if cell else math.nan for cell in cells], np.float64)
    return np.array(cells, np.str_)


def _listed(names: Iterable[str]) -> str:
    some = list(names)
    return ", ".join(some[:_SHOWN]) + (f" and {len(some) - _SHOWN:,} more" if len(some) > _SHOWN else "")
