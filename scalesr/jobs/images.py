"""The settings that say what goes in and what comes out: images, stores, fields of plates, measurements."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scalesr.jobs.declaring import Natural, Place

Source = Annotated[
    str,
    typer.Argument(
        metavar="IN",
        help="An OME-Zarr image or plate: a folder, or an address such as s3://...",
    ),
    Place(),
]
Target = Annotated[
    str | None,
    typer.Argument(metavar="OUT", help="Where the new OME-Zarr image or plate goes.", show_default=False),
    Place(),
]
Series = Annotated[
    int | None, typer.Option(metavar="N", help="Which image of a file that holds several.", show_default="the first")
]
Level = Annotated[
    int, typer.Option(min=0, metavar="N", help="Which level of the image's pyramid to process; 0 is the finest.")
]

_PLATES = "Plates"
Fields = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[,NAME...]",
        help="Which fields of a plate: wells (B3, B/3) or fields (B/3/0), with * and ?: B/* is row B, */0 the field 0 "
        "of every well.",
        show_default="all",
        rich_help_panel=_PLATES,
    ),
    Natural(list[str]),
]
NormaliseBy = Annotated[
    Literal["plate", "field"],
    typer.Option(
        help="plate: one normalisation for all fields, so that intensities stay comparable between wells; it reads "
        "the plate once more where the model needs percentiles. field: each by its own.",
        rich_help_panel=_PLATES,
    ),
]

_STORES = "Object stores"
StorageOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--storage-options",
        metavar="NAME=VALUE",
        help="How the store of IN is opened, as often as needed: anon=true, profile=lab, endpoint_url=https://... No "
        "secrets: keys are found where the store's own tools find them.",
        rich_help_panel=_STORES,
    ),
    Natural(dict[str, str | float | int | bool]),
]
TargetOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--target-options",
        metavar="NAME=VALUE",
        help="How the store of OUT is opened; the same.",
        rich_help_panel=_STORES,
    ),
    Natural(dict[str, str | float | int | bool]),
]

_OUTPUT = "Output"
Resume = Annotated[
    bool, typer.Option("--resume", metavar="", help="Go on with a run that stopped.", rich_help_panel=_OUTPUT)
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", metavar="", help="Replace an image that is there.", rich_help_panel=_OUTPUT)
]
Share = Annotated[
    bool,
    typer.Option(
        "--share",
        metavar="",
        help="Work at OUT together with all others that are given the same command, here or on machines that see "
        "OUT; each takes blocks that nobody has. Goes on with what is there.",
        rich_help_panel=_OUTPUT,
    ),
]
Deviation = Annotated[
    str,
    typer.Option(
        metavar="beside|none|PLACE",
        help="Where the standard deviations go that some models return: beside, the image `deviation` inside OUT; "
        "none, nowhere; or an image of their own.",
        rich_help_panel=_OUTPUT,
    ),
    Place(("beside", "none")),
]

_MEASURE = "Measure on the way"
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[,NAME...]",
        help="Figures of quality to take of the blocks as they are made: against --reference, or against IN "
        "(consistency, ...); `scalesr measure --list` names all.",
        show_default="psnr,ssim,mae,pearson with --reference",
        rich_help_panel=_MEASURE,
    ),
    Natural(list[str]),
]
Reference = Annotated[
    str | None,
    typer.Option(
        metavar="REF",
        help="What OUT should look like: an image of the same pixels.",
        show_default=False,
        rich_help_panel=_MEASURE,
    ),
    Place(),
]
DataRange = Annotated[
    float | None,
    typer.Option(
        metavar="RANGE",
        help="Largest minus smallest possible intensity; needed for psnr and ssim of floats.",
        show_default="of the number format",
        rich_help_panel=_MEASURE,
    ),
]
