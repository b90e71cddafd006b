"""Figures as rows of texts, for people: headlines first, many bands or places folded into one row."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scalesr.metrics.measure import Measure

Detail = Literal["folded", "each"]
"""``folded``: one row with least, median and most. ``each``: a row for each."""

HEADERS = ("metric", "figure", "where", "value", "n", "left out", "note")
"""Names of the columns that `Row.cells` fills."""
WITHIN = ", "
"""Between a place and a place within it: plane ``z 3`` of field ``A/1/0`` is ``A/1/0, z 3``."""
_NOTES = 3
_DIGITS = 4
_MOST_DECIMALS = 15


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table of figures."""

    metric: str
    """Name of the metric."""
    figure: str
    """Which of its figures, and of which band."""
    where: str
    """The plane or the field; empty for the whole image."""
    value: str
    """The figure with its unit; three figures where it stands for many."""
    n: str
    """How many pixels, spectra, tiles or samples it stands on."""
    left_out: str
    """What was not counted."""
    notes: tuple[str, ...]
    """What a reader must know."""
    rank: Literal["headline", "detail"]
    """Whether it is the figure by which the metric is known."""

    def cells(self) -> tuple[str, ...]:
        """Return the texts in the order of `HEADERS`."""
        return self.metric, self.figure, self.where, self.value, self.n, self.left_out, "; ".join(self.notes)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Rows as columns of texts: columns that are empty are dropped, notes become numbers that are explained below."""

    headers: tuple[str, ...]
    """Names of the columns."""
    cells: tuple[tuple[str, ...], ...]
    """Texts of each row."""
    ranks: tuple[Literal["headline", "detail"], ...]
    """Rank of each row."""
    footnotes: tuple[str, ...]
    """What the numbers in the last column mean, from 1."""


def rows_of(measures: Sequence[Measure], *, bands: Detail = "folded", places: Detail = "folded") -> list[Row]:
    """Return figures as rows: the headline of each metric, then all others, in the order of the metrics.

    Parameters
    ----------
    measures
        The figures.
    bands
        Whether the figures of the bands become one row.
    places
        Whether those of planes or fields become one row.
    """
    kinds: dict[str, tuple[str, bool]] = {}
    depths: dict[str, int] = {}
    groups: dict[tuple[object, ...], list[Measure]] = {}
    for measure in measures:
        kinds.setdefault(measure.metric, (measure.kind, measure.band is None))
        depth = _depth(measure.where)
        depths[measure.metric] = min(depth, depths.get(measure.metric, depth))
        key = (
            measure.metric,
            measure.kind,
            depth if places == "folded" else measure.where,
            measure.band is None if bands == "folded" else measure.band,
        )
        groups.setdefault(key, []).append(measure)
    rows = []
    for group in groups.values():
        first = group[0]
        head = (first.kind, first.band is None) == kinds[first.metric] and _depth(first.where) == depths[first.metric]
        rank: Literal["headline", "detail"] = "headline" if head else "detail"
        rows.append(_row(first, rank) if len(group) == 1 else _folded(group, rank))
    return sorted(rows, key=lambda row: row.rank != "headline")


def lay_out(rows: Sequence[Row]) -> Layout:
    """Return rows as columns for a page of text."""
    notes = list(dict.fromkeys(note for row in rows for note in row.notes))
    numbers = {note: str(number) for number, note in enumerate(notes, start=1)}
    table = [(*row.cells()[:-1], ", ".join(numbers[note] for note in row.notes)) for row in rows]
    # Columns after the value are left away where nothing was left out and nothing needs a note.
    kept = [
        column
        for column, name in enumerate(HEADERS)
        if name in ("metric", "figure", "value") or any(cells[column] for cells in table)
    ]
    return Layout(
        headers=tuple(HEADERS[column] for column in kept),
        cells=tuple(tuple(cells[column] for column in kept) for cells in table),
        ranks=tuple(row.rank for row in rows),
        footnotes=tuple(notes),
    )


def number_text(value: float | None, unit: str = "") -> str:
    """Return a figure as people read it: four digits, more near one, two decimals for decibels."""
    if value is None or math.isnan(value):
        return "undefined"
    if math.isinf(value):
        return "infinite" if value > 0 else "-infinite"
    return _with_unit(_digits(value, unit), unit)


def left_out_text(counts: Iterable[tuple[str, int]]) -> str:
    """Return what was left out: ``12 border; 3 zero spectra``."""
    return "; ".join(f"{count:,} {reason}" for reason, count in counts)


def _row(measure: Measure, rank: Literal["headline", "detail"]) -> Row:
    return Row(
        metric=measure.metric,
        figure=_figure(measure),
        where=measure.where,
        value=number_text(measure.value, measure.unit),
        n=f"{measure.n:,}",
        left_out=left_out_text(measure.left_out.items()),
        notes=_parts(measure.note),
        rank=rank,
    )


def _figure(measure: Measure) -> str:
    if measure.band is None:
        return measure.kind
    return f"band {measure.band}" if measure.kind == "band" else f"{measure.kind}, band {measure.band}"


def _folded(group: Sequence[Measure], rank: Literal["headline", "detail"]) -> Row:
    first = group[0]
    known = sorted(m.value for m in group if m.value is not None)
    bands, places = ({m.band for m in group}, {m.where for m in group})
    over = [
        f"{len(names):,} {word}" for names, word in ((bands, "bands"), (places, _place_word(places))) if len(names) > 1
    ]
    left: Counter[str] = Counter()
    notes: Counter[str] = Counter()
    for measure in group:
        left.update(measure.left_out)
        notes.update(_parts(measure.note))
    undefined = len(group) - len(known)
    least, most = min(m.n for m in group), max(m.n for m in group)
    many = len(group)
    told = [note if count == many else f"{note} ({count:,} of {many:,})" for note, count in notes.most_common(_NOTES)]
    if len(notes) > _NOTES:
        told.append(f"{len(notes) - _NOTES:,} other notes")
    if known and undefined:
        told.append(f"{undefined:,} of {many:,} are undefined and not among these three")
    middle = [_digits(known[0], first.unit), _digits(median(known), first.unit), _digits(known[-1], first.unit)] \
        if known else []  # fmt: skip
    return Row(
        metric=first.metric,
        figure=f"{first.kind}: min, median, max of {' in '.join(over) or f'{many:,}'}",
        where="" if len(places) > 1 else first.where,
        value=_with_unit(f"[{', '.join(middle)}]", first.unit) if middle else "undefined",
        n=f"{least:,} each" if least == most else f"{least:,} to {most:,}",
        left_out=left_out_text(left.items()),
        notes=tuple(told),
        rank=rank,
    )


def _parts(note: str) -> tuple[str, ...]:
    """Return what a note says, one thing each: most figures of a metric share most of it."""
    return tuple(dict.fromkeys(part for part in note.split("; ") if part))


def _depth(where: str) -> int:
    return where.count(WITHIN) + 1 if where else 0


def _place_word(places: set[str]) -> str:
    return "fields" if all("/" in place and WITHIN not in place for place in places) else "planes"


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {unit}".rstrip()


def _digits(value: float, unit: str) -> str:
    size = abs(value)
    if not math.isfinite(value):
        return "undefined" if math.isnan(value) else "infinite" if value > 0 else "-infinite"
    if unit == "dB":
        return f"{value:.2f}"
    if 0.99 <= size < 1:
        # What tells correlations of 0.9998 and 0.99998 apart is how far they are from one.
        return f"{value:.{min(2 - math.ceil(math.log10(1 - size)), _MOST_DECIMALS)}f}"
    if 10 ** (_DIGITS - 1) <= size < 1e7:
        return f"{value:,.0f}"
    if 1e-3 <= size < 1e3 and value != int(value):
        return f"{value:#.{_DIGITS}g}".removesuffix(".")
    return f"{value:.{_DIGITS}g}"
