"""The options that the commands for objects share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from scalesr.analysis import ObjectTable

CODES = """
[bold]Exit codes[/bold]

  0 done     1 not foreseen     2 options     3 images     4 files to write
  6 a package that is needed     8 storage     130 Ctrl-C
"""

Fields = Annotated[
    str, typer.Argument(metavar="IMAGE", help="An OME-Zarr image, or a plate: all of its fields one after the other.")
]
Labels = Annotated[
    str | None,
    typer.Option(
        metavar="LABELS",
        help="Image of labels; of a plate, a folder with the same paths, or a plate whose fields have labels.",
        show_default="beside each image",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Name of labels that lie in the folder labels beside an image: of IMAGE, or of those in --labels.",
        show_default="objects",
    ),
]
Missing = Annotated[
    Literal["stop", "skip"],
    typer.Option(help="When a field of a plate cannot be opened: such fields stop the work, or are counted and named."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", metavar="", help="Replace what is there.")]
Whole = Annotated[
    Literal["keep", "skip"],
    typer.Option(
        "--cut",
        help="Whether objects that the edge of their field cuts count, or are left out and told: theirs are "
        "the figures of what is seen.",
    ),
]
PlateMap = Annotated[
    str | None,
    typer.Option("--map", metavar="FILE", help="What is in each well, as CSV with a column well.", show_default="none"),
]
Condition = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Column that says the condition of an object.", show_default="none"),
]
_SHOWN = 8
MISSING: dict[str, Literal["stop", "leave out"]] = {"stop": "stop", "skip": "leave out"}
CUT: dict[str, Literal["keep", "leave out"]] = {"keep": "keep", "skip": "leave out"}
"""What the choices are called elsewhere, where nobody types them."""


def parse_channels(text: str | None) -> tuple[int | str, ...] | None:
    """Return channels by name or by number: ``DAPI,GFP`` or ``0,2``; none at all for ``none``, all without a text."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise OptionError("--channels names none.", remedy="Give names or numbers, such as DAPI,GFP or 0,2; or none.")
    return () if parts == ["none"] else tuple(parse_channel(part) for part in parts)


def parse_channel(text: str) -> int | str:
    """Return one channel: a number if it is one, else a name."""
    return int(text) if text.isdecimal() else text


def parse_names(text: str | None) -> tuple[str, ...] | None:
    """Return names that are separated by commas."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def pair_of(objects: ObjectTable, column: str, text: str | None) -> tuple[str, str]:
    """Return the two conditions that are compared: those named, or the only two that a column has.

    Raises
    ------
    OptionError
        There are not two, or the column has no such value.
    """
    known = sorted(set(objects[column].astype(str).tolist()))
    pair = parse_names(text) or tuple(known)
    if len(pair) != 2 or pair[0] == pair[1] or not set(pair) <= set(known):
        some = ", ".join(known[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        raise OptionError(
            f"Two conditions are compared, and column {column!r} has {len(known)}: {some}.",
            remedy="Name two of them, such as --conditions treated,control.",
        )
    return pair[0], pair[1]


def uncut(objects: ObjectTable, cut: Literal["keep", "skip"]) -> ObjectTable:
    """Return the objects that the edge of their field does not cut, where the table says it; the others are counted."""
    from scalesr.analysis.objects.labelling import CUT as REASON  # noqa: PLC0415 torch takes seconds

    edge = objects.columns.get("touches_edge")
    return objects if edge is None or cut == "keep" else objects.where(~edge.astype(bool), reason=REASON)


def only(objects: ObjectTable, column: str, values: tuple[str, ...]) -> ObjectTable:
    """Return the objects that have one of the values in a column."""
    import numpy as np  # noqa: PLC0415 help texts need none of it

    return objects.where(np.isin(objects[column].astype(str), values))
