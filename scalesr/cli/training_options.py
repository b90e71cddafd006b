"""The options that commands which train have in common."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

LENGTH = "How long"
NETWORK = "Network and losses"
SPEED = "Speed and memory"
"""Panels of the help texts."""

Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGE...", help="OME-Zarr images to train on, of any size.", show_default=False),
]
Out = Annotated[str, typer.Option(metavar="FOLDER", help="Where weights, checkpoint and curves go.")]
Validation = Annotated[
    list[str] | None,
    typer.Option(
        metavar="IMAGE", help="An image to validate on; may be repeated.", show_default="a strip of each image"
    ),
]
Resume = Annotated[bool, typer.Option("--resume", metavar="", help="Go on with a training that stopped.")]
Steps = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="How many steps, instead of minutes; the same bits again.", rich_help_panel=LENGTH
    ),
]
Patches = Annotated[int, typer.Option("--patches", metavar="N", help="Patches of a step.", rich_help_panel=NETWORK)]
Seed = Annotated[
    int, typer.Option(min=0, metavar="N", help="Seed of all that is left to chance.", rich_help_panel=NETWORK)
]
Precision = Annotated[
    Literal["fp32", "bf16"],
    typer.Option(
        help="Number format; bf16 is twice as fast on GPUs and on CPUs with AMX, and slow on others.",
        rich_help_panel=SPEED,
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="N", help="Threads on the CPU.", show_default="one for each core", rich_help_panel=SPEED
    ),
]
