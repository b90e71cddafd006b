"""``scalesr objects label``: a label for each object."""

from __future__ import annotations

from math import isfinite
from typing import Annotated, Literal

import typer

from scalesr.cli import object_options as usual
from scalesr.cli import options as given
from scalesr.cli.failing import reporting
from scalesr.cli.listing import show_notes
from scalesr.cli.options import told
from scalesr.cli.output import print_json, print_lines, screen, watched
from scalesr.jobs.values import OptionError

EXAMPLES = f"""
[bold]Examples[/bold]

Label nuclei; the labels lie beside the image, where viewers and the other commands find them:

  [cyan]scalesr objects label cells.ome.zarr --channel DAPI --smallest 50[/cyan]

All fields of a plate, with one threshold for all of them; after an interruption go on with --resume:

  [cyan]scalesr objects label plate.zarr --channel DAPI --name nuclei --resume[/cyan]
{usual.CODES}"""
_FINDING = "What is an object"


def label(
    image: usual.Fields,
    labels: Annotated[
        str | None,
        typer.Argument(
            metavar="LABELS",
            help="Where the labels go; of a plate, a folder that gets the plate's paths.",
            show_default="beside each image",
        ),
    ] = None,
    *,
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Name of the labels in the folder labels beside an image: of IMAGE, or of those below LABELS.",
            show_default="objects",
        ),
    ] = None,
    missing: usual.Missing = "stop",
    channel: Annotated[
        str, typer.Option(metavar="CHANNEL", help="Name or number of the stain.", rich_help_panel=_FINDING)
    ] = "0",
    sigma: Annotated[
        float, typer.Option(min=0, metavar="PIXELS", help="Smooth before by so much.", rich_help_panel=_FINDING)
    ] = 2.0,
    threshold: Annotated[
        str,
        typer.Option(
            metavar="otsu|VALUE",
            help="Smoothed values above it are object. otsu finds one from all fields together, and refuses images of "
            "mere noise.",
            rich_help_panel=_FINDING,
        ),
    ] = "otsu",
    split: Annotated[
        Literal["distance", "none"],
        typer.Option(help="Part what touches where it is narrow, or not at all.", rich_help_panel=_FINDING),
    ] = "distance",
    depth: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="PIXELS",
            help="Part two objects where the narrower one is this much wider, on either side, than the neck between.",
            rich_help_panel=_FINDING,
        ),
    ] = 1.0,
    reach: Annotated[
        float,
        typer.Option(min=1, metavar="PIXELS", help="Largest half-width that counts.", rich_help_panel=_FINDING),
    ] = 48.0,
    smallest: Annotated[
        int, typer.Option(min=1, metavar="PIXELS", help="Pixels of the smallest object.", rich_help_panel=_FINDING)
    ] = 1,
    largest: Annotated[
        int | None,
        typer.Option(
            min=1, metavar="PIXELS", help="Pixels of the largest.", show_default="any", rich_help_panel=_FINDING
        ),
    ] = None,
    cut: Annotated[
        Literal["keep", "skip"],
        typer.Option(help="What becomes of objects that the edge of the field cuts.", rich_help_panel=_FINDING),
    ] = "keep",
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            metavar="",
            help="Keep labels that are finished and were made in the same way. What an interruption left half-done is "
            "begun anew: that is one field of a plate, or the whole of an image by itself.",
        ),
    ] = False,
    overwrite: usual.Overwrite = False,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Find objects, such as nuclei, and write a label for each pixel: 1, 2, 3 ... and 0 for the ground.

    Images of any size; the labels do not depend on how they are stored or cut. Fields without objects are told.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        if resume and overwrite:
            raise OptionError("--resume keeps labels, --overwrite replaces them.", remedy="Give one of them.")
        level = _threshold(threshold)
        with screen("err").status("starting"):
            from scalesr.analysis import label_fields  # noqa: PLC0415 torch takes seconds
        with watched(shown=not (quiet or json)) as callbacks:
            found = label_fields(
                image,
                labels=labels,
                name=name,
                channel=usual.parse_channel(channel),
                sigma=sigma,
                threshold=level,
                split=split,
                depth=depth,
                reach=reach,
                smallest=smallest,
                largest=largest,
                cut=usual.CUT[cut],
                missing=usual.MISSING[missing],
                mode="resume" if resume else "overwrite" if overwrite else "create",
                callbacks=callbacks,
            )
        if json:
            print_json(
                {
                    "objects": found.number,
                    "threshold": found.threshold,
                    "fields": found.rows(),
                    "left_out": found.left_out,
                    "notes": list(found.notes),
                }
            )
        elif not quiet:
            places = [made.labels.url for _, made in found.fields]
            more = f" and {len(places) - 1:,} more" if len(places) > 1 else ""
            print_lines(
                [
                    ("written", f"{places[0]}{more}"),
                    ("objects", f"{found.number:,}"),
                    ("threshold", f"{found.threshold:.6g}"),
                ]
            )
            show_notes(found.left_out, found.notes)


def _threshold(text: str) -> float | Literal["otsu"]:
    if text == "otsu":
        return "otsu"
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not isfinite(value):
        raise OptionError(f"--threshold {text!r} is not a threshold.", remedy="Give otsu, or a value such as 420.")
    return value
