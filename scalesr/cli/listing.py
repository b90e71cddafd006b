"""Rows of figures: shown as a table, as what JSON can hold, and as CSV."""

from __future__ import annotations

import csv
import io
from math import isfinite
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from scalesr.cli.output import screen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from scalesr.metrics.tables import Mode


def show_rows(rows: Sequence[Mapping[str, Any]], *, title: str = "") -> None:
    """Write rows with the same columns as a table; numbers with four digits."""
    table = Table(title=title or None, title_justify="left")
    first = rows[0] if rows else {}
    for name, value in first.items():
        number = isinstance(value, int | float) or value is None
        table.add_column(name, justify="right" if number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(value)) for value in row.values()))
    screen().print(table)


def show_notes(left_out: Mapping[str, int], notes: Iterable[str]) -> None:
    """Write what a reader must know: what was left out, by reason, and notes."""
    said = [f"{count:,} {reason}" for reason, count in left_out.items()]
    for text in (*said, *notes):
        screen().print(Text(f"Note: {text}", style="yellow"), soft_wrap=True)


def plain(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as JSON holds them: numbers that are not finite become null."""
    return [
        {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in row.items()}
        for row in rows
    ]


def write_rows(rows: Sequence[Mapping[str, Any]], path: str, *, mode: Mode) -> None:
    """Write rows with the same columns as CSV in UTF-8.

    Raises
    ------
    OutputError
        The file exists or cannot be written.
    """
    from scalesr.images import Files, Location  # noqa: PLC0415 zarr takes most of a second
    from scalesr.metrics.tables import check_new  # noqa: PLC0415 torch takes seconds

    check_new(path, mode=mode)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    folder, _, name = Location.parse(path).url.rpartition("/")
    Files(folder).put(name, stream.getvalue().encode())


def _text(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
