"""The options of `scalesr measure` that say how single metrics measure."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

_SETTINGS = "Settings of single metrics"
DataRange = Annotated[
    float | None,
    typer.Option(
        metavar="RANGE",
        help="Largest minus smallest possible intensity; needed for psnr and ssim of floats.",
        show_default="of the number format",
        rich_help_panel=_SETTINGS,
    ),
]
ErgasRatio = Annotated[
    float | None,
    typer.Option(
        metavar="R",
        help="Pixels of OUT for one of IN along one axis, for ergas.",
        show_default="of OUT and IN",
        rich_help_panel=_SETTINGS,
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        min=8,
        metavar="N",
        help="Edge of the tiles of Fourier metrics, in pixels.",
        show_default="256, in volumes less",
        rich_help_panel=_SETTINGS,
    ),
]
Threshold = Annotated[
    str,
    typer.Option(
        metavar="NAME|snr:X",
        help="Where a Fourier ring correlation counts as lost: 1/7, 0.5, half-bit, one-bit, three-sigma, or where the "
        "signal is X times the noise.",
        rich_help_panel=_SETTINGS,
    ),
]
Window = Annotated[
    Literal["tukey", "hann"],
    typer.Option(
        help="How tiles are faded out for Fourier ring correlations: at their edges (tukey), or all over (hann).",
        rich_help_panel=_SETTINGS,
    ),
]
Features = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="What fid and kid see an image with: small (a network of our own), package.module:factory, "
        "export:FILE.pt2 or jit:FILE.pt.",
        rich_help_panel=_SETTINGS,
    ),
]
Patch = Annotated[
    int,
    typer.Option(min=8, metavar="N", help="Edge of the patches of fid and kid.", rich_help_panel=_SETTINGS),
]
Degradation = Annotated[
    str,
    typer.Option(
        metavar="WAY",
        help="What the instrument did to the truth, for consistency: area, rows, or gaussian:SIGMA, disc:DIAMETER, "
        "washout:LENGTH in pixels of OUT, joined by +.",
        rich_help_panel=_SETTINGS,
    ),
]
SeamPeriod = Annotated[
    str | None,
    typer.Option(
        metavar="N,N[,N]",
        help="Pixels from one border of tiles to the next along each axis of space, for seam.",
        show_default="as the run that made OUT recorded",
        rich_help_panel=_SETTINGS,
    ),
]
SeamOffset = Annotated[
    str | None,
    typer.Option(
        metavar="N,N[,N]",
        help="Pixel after the first border along each of these; zeros where only --seam-period is given.",
        show_default="as the run that made OUT recorded",
        rich_help_panel=_SETTINGS,
    ),
]
