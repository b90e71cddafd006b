"""How figures look in a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.table import Table
from rich.text import Text

from scalesr.cli.output import note, print_lines, screen

if TYPE_CHECKING:
    from scalesr.cli.output import Lines
    from scalesr.metrics import Frame, Measurement
    from scalesr.metrics.rows import Detail

_RIGHT = ("value", "n")


def show(found: Measurement, *, bands: Detail, places: Detail) -> None:
    """Write a measurement for people: what was measured, the figures, and what to know of them."""
    from scalesr.metrics.rows import lay_out  # noqa: PLC0415 torch takes seconds

    print_lines(_subject_lines(found))
    rows = found.table(bands=bands, places=places)
    layout = lay_out(rows)
    table = Table()
    for name in layout.headers:
        justify: Literal["left", "right"] = "right" if name in _RIGHT else "left"
        table.add_column(name, justify=justify, overflow="fold", no_wrap=name == "metric")
    for number, (cells, rank) in enumerate(zip(layout.cells, layout.ranks, strict=True)):
        if rank == "detail" and number and layout.ranks[number - 1] == "headline":
            table.add_section()
        # As they are: a band may be named like a style.
        table.add_row(*map(Text, cells), style="bold" if rank == "headline" else None)
    screen().print(table)
    for number, text in enumerate(layout.footnotes, start=1):
        screen().print(Text(f"({number}) {text}"), soft_wrap=True)
    for text in found.notes:
        screen().print(Text(f"Note: {text}", style="yellow"), soft_wrap=True)
    print_lines([(f"map of {name}", url) for name, url in found.maps.items()])
    hidden = [
        flag
        for flag, several in (
            ("--bands", len(found.table(bands="each", places=places)) > len(rows)),
            ("--places", len(found.table(bands=bands, places="each")) > len(rows)),
        )
        if several
    ]
    if hidden:
        note(f"Some rows stand for many figures; {' and '.join(hidden)} shows each.")


def _subject_lines(found: Measurement) -> Lines:
    lines = [("image", found.output)]
    if found.reference is not None:
        lines.append(("compared with", found.reference))
    if found.measured is not None:
        lines.append(("made from", found.measured))
    return [*lines, ("measured", _frame_text(found.frame)), ("time", f"{found.seconds:.1f} s")]


def _frame_text(frame: Frame) -> str:
    from scalesr.images.showing import counted  # noqa: PLC0415 zarr takes most of a second

    sizes = " x ".join(f"{size:,}" for size in frame.shape)
    pixel = " x ".join(f"{size:.6g}" for size in frame.pixel_size)
    bands = counted(frame.bands, "band")
    return f"{sizes} px of {pixel} {frame.unit or '(no unit)'}; {bands}; {frame.dtype}"
