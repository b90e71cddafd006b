"""What a plate says of itself in words: for terminals and notebooks alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalesr.images.showing import counted, few

if TYPE_CHECKING:
    from collections.abc import Collection

    from scalesr.images.plates import Plate
    from scalesr.images.showing import Lines


def plate_facts(plate: Plate) -> Lines:
    """Return where a plate lies, of which format, its wells and fields, acquisitions, and what cannot be used of it."""
    rows, columns = len(plate.layout.rows), len(plate.layout.columns)
    found = [
        ("address", plate.url),
        ("format", f"OME-Zarr {plate.version} plate"),
        ("wells", f"{len(plate.wells):,}, in {counted(rows, 'row')} and {counted(columns, 'column')}"),
        ("fields", fields_words(plate)),
    ]
    if plate.layout.acquisitions:
        found.append(("acquisitions", few(a.name or str(a.id) for a in plate.layout.acquisitions)))
    return found + unusable_lines(plate.left_out)


def fields_words(plate: Plate) -> str:
    """Return how many fields there are, and in each well."""
    each = sorted({len(well.fields) for well in plate.wells})
    span = f"{each[0]} in each well" if len(each) == 1 else f"{each[0]} to {each[-1]} in a well"
    return f"{counted(len(plate.fields), 'field')}, {span}"


def unusable_lines(left_out: Collection[str]) -> Lines:
    """Return which wells of a plate cannot be used, if there are any."""
    words = f"{counted(len(left_out), 'well')} that the plate lists: {few(left_out)}"
    return [("unusable", words)] if left_out else []
