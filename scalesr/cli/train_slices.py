"""``scalesr train msdsr-slices``: networks that restore slices in one pass."""

from __future__ import annotations

from math import inf
from typing import Annotated, Literal

import typer

from scalesr.cli import training_options as usual  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.train_msdsr import MINUTES, Batch, Channels, Planes, Rate, Widths, settings_of
from scalesr.cli.training import Titles
from scalesr.cli.training_course import CODES, Asked, Course, teaching
from scalesr.cli.training_files import open_planes
from scalesr.cli.values import parse_whole

EXAMPLES = f"""
[bold]Examples[/bold]

What diffusion is to be compared with, on the same images:

  [cyan]scalesr train msdsr-slices planes-*.tif --kind e2e --out e2e[/cyan]
  [cyan]scalesr train msdsr-slices planes-*.tif --kind care --psf gaussian:0.9 --counts 200 --out care[/cyan]
{CODES}"""
TITLES = Titles(scores={"psnr": ("PSNR", "{:.2f} dB")}, reference="linear")
_DEGRADATION = "What care undoes"


@teaching(TITLES, minutes=MINUTES)
def slices(
    asked: Asked,
    images: Planes,
    *,
    kind: Annotated[
        Literal["e2e", "care"],
        typer.Option(
            help="e2e: fill the rows between measured ones; care: restore a linearly enlarged stack as a whole, after "
            "IsotropicCARE."
        ),
    ],
    validation: usual.Validation = None,
    psf: Annotated[
        str,
        typer.Option(
            metavar="point|gaussian:W|box:W",
            help="How a plane sees along z, with W its width in distances between planes.",
            rich_help_panel=_DEGRADATION,
        ),
    ] = "point",
    counts: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Photons of an intensity of 1.",
            show_default="no such noise",
            rich_help_panel=_DEGRADATION,
        ),
    ] = None,
    noise: Annotated[
        float,
        typer.Option(
            metavar="SIGMA", help="Standard deviation of Gaussian noise on 0..1.", rich_help_panel=_DEGRADATION
        ),
    ] = 0.0,
    spacing: Annotated[
        float | None,
        typer.Option(
            metavar="ROWS", help="Rows for each plane.", show_default="any from 2 to 8", rich_help_panel=_DEGRADATION
        ),
    ] = None,
    widths: Widths = None,
    channels: Channels = None,
    patches: Batch = None,
    rate: Rate = None,
    precision: usual.Precision = "fp32",
) -> Course:
    """Train a network that restores slices of stacks in one pass: what diffusion is compared with.

    It is the network of diffusion, and sees the same patches. The one with the best PSNR on what is held out is kept.
    Needs pip install 'scalesr[volumes]'.
    """
    from scalesr.learning import judges  # noqa: PLC0415 torch takes seconds
    from scalesr.msdsr.degrading import Degradation  # noqa: PLC0415
    from scalesr.msdsr.slice_lesson import SliceLesson, SliceSettings  # noqa: PLC0415

    training = settings_of(
        released=False,
        network={"channels": channels, "widths": parse_whole("--widths", widths)},
        training={"batch": patches, "rate": rate, "loss": "l1"},
        precision=precision,
        device=asked.device,
        seed=asked.seed,
    )
    degradation = Degradation(psf=psf, counts=inf if counts is None else counts, noise=noise, spacing=spacing)
    settings = SliceSettings(kind=kind, training=training, degradation=degradation)
    sources, judged_by, judged = judges(open_planes(images), open_planes(validation or []) or None)
    return Course(lesson=SliceLesson(settings, sources, validation=judged_by), judged=judged)
