"""``scalesr objects crops`` and ``paste``: objects as a stack for models of single objects, and back."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scalesr.cli import object_options as usual
from scalesr.cli import options as given
from scalesr.cli.failing import reporting
from scalesr.cli.listing import show_notes
from scalesr.cli.options import told
from scalesr.cli.output import print_json, print_lines, screen, watched
from scalesr.cli.values import parse_whole
from scalesr.jobs.values import OptionError

CROP_EXAMPLES = f"""
[bold]Examples[/bold]

All nuclei of a plate, 64 x 64 px each, in one stack; then one model run restores them all:

  [cyan]scalesr objects crops plate.zarr stack.ome.zarr --edge 64 --table places.parquet[/cyan]
  [cyan]scalesr run stack.ome.zarr finer.ome.zarr --model cubic --scale 4[/cyan]

The stack has the axes n, c, y and x. Object n is row n of the table, which says its well, field, label and place.
{usual.CODES}"""
PASTE_EXAMPLES = f"""
[bold]Example[/bold]

Put restored objects back, so that a plate can be measured and looked at:

  [cyan]scalesr objects paste finer.ome.zarr finer.zarr --crops stack.ome.zarr --image plate.zarr[/cyan]
{usual.CODES}"""


def crops(
    image: usual.Fields,
    out: Annotated[str, typer.Argument(metavar="STACK", help="The stack that is written, OME-Zarr.")],
    *,
    edge: Annotated[
        str, typer.Option(metavar="N[,N...]", help="Pixels of a crop along each axis: 64, or 16,64,64 of volumes.")
    ],
    labels: usual.Labels = None,
    name: usual.Name = None,
    missing: usual.Missing = "stop",
    channels: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNEL[,CHANNEL...]", help="Channels, by name or number, in this order.", show_default="all"
        ),
    ] = None,
    cut: Annotated[
        Literal["keep", "skip"],
        typer.Option(help="What becomes of objects that the edge of the field cuts; those that are skipped are told."),
    ] = "skip",
    around: Annotated[
        Literal["keep", "zero"], typer.Option(help="What becomes of pixels around the object in its crop.")
    ] = "keep",
    table: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the places as Parquet, too; they are in the stack.", show_default="none"
        ),
    ] = None,
    overwrite: usual.Overwrite = False,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Gather a crop around each object of an image, or of all fields of a plate, into one stack of images.

    Models of single objects, which know how such an object looks, run on the stack. Past the edge of a field a crop
    goes on as its mirror image, and is marked.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        size = parse_whole("--edge", edge) or ()
        chosen = usual.parse_channels(channels)
        if chosen == ():
            raise OptionError("--channels none leaves nothing to gather.", remedy="Name channels, or leave it out.")
        mode: Literal["create", "overwrite"] = "overwrite" if overwrite else "create"
        with screen("err").status("starting"):
            from scalesr.analysis import gather_crops, write_parquet  # noqa: PLC0415 torch takes seconds
            from scalesr.metrics.tables import check_new  # noqa: PLC0415

            if table is not None:
                check_new(table, mode=mode)
        with watched(shown=not (quiet or json)) as callbacks:
            found = gather_crops(
                image,
                labels,
                out,
                edge=size[0] if len(size) == 1 else size,
                name=name,
                channels=chosen,
                cut=usual.CUT[cut],
                around=around,
                missing=usual.MISSING[missing],
                mode=mode,
                callbacks=callbacks,
            )
        if table is not None:
            write_parquet(found.table, table, mode=mode)
        mirrored = int(found.table["mirrored"].sum())
        if json:
            print_json(
                {
                    "written": found.stack.url,
                    "shape": found.stack.shape,
                    "fields": len(found.origins),
                    "mirrored": mirrored,
                    "left_out": dict(found.table.left_out),
                    "notes": list(found.table.notes),
                }
            )
        elif not quiet:
            shape = ", ".join(f"{a} {n:,}" for a, n in zip(found.stack.axis_names, found.stack.shape, strict=True))
            print_lines(
                [
                    *(("written", place) for place in (found.stack.url, table) if place is not None),
                    ("stack", f"{shape}; {found.stack.dtype}"),
                    ("mirrored", f"{mirrored:,} crops reach past the edge of their field"),
                ]
            )
            show_notes(found.table.left_out, found.table.notes)


def paste(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="Restored crops, in the order of those gathered.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Where the image, or the fields of the plate, go.")],
    *,
    gathered: Annotated[
        str, typer.Option("--crops", metavar="STACK", help="The stack that was gathered, which knows the places.")
    ],
    image: Annotated[str, typer.Option(metavar="IMAGE", help="The image or plate that it was gathered from.")],
    part: Annotated[
        Literal["whole", "own"],
        typer.Option("--paste", help="Put back all of a crop, or the pixels of its object alone."),
    ] = "whole",
    overwrite: usual.Overwrite = False,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Put the crops of a stack back to where they come from, at the resolution of the stack.

    Where crops overlap the nearer one is taken and nothing is averaged; where there is none the image is 0.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        with screen("err").status("starting"):
            from scalesr.analysis import scatter_crops  # noqa: PLC0415 torch takes seconds
        with watched(shown=not (quiet or json)) as callbacks:
            made = scatter_crops(
                stack,
                out,
                crops=gathered,
                field=image,
                paste=part,
                mode="overwrite" if overwrite else "create",
                callbacks=callbacks,
            )
        if json:
            print_json({"written": [each.url for each in made], "shapes": [each.shape for each in made]})
        elif not quiet:
            more = f" and {len(made) - 1:,} more fields" if len(made) > 1 else ""
            print_lines([("written", f"{made[0].url}{more}")])
