"""``scalesr train rls-unet``: what regularised latent search is compared with, learnt from pairs."""

from __future__ import annotations

from math import inf
from typing import Annotated, Literal

import typer

from scalesr.cli import training_options as usual
from scalesr.cli.train_rls import Average, Batch, Factor, Objects, Rate, Size, Validation, opened
from scalesr.cli.training import Titles
from scalesr.cli.training_course import CODES, Asked, Course, teaching
from scalesr.cli.values import parse_whole

EXAMPLES = f"""
[bold]Examples[/bold]

Train on the objects of the generator, by the operator of the search, then use it:

  [cyan]scalesr train rls-unet cells.ome.zarr --out unet --size 64 --factor 8[/cyan]
  [cyan]scalesr run coarse.ome.zarr finer.ome.zarr --model unet/weights.safetensors[/cyan]
{CODES}"""
MINUTES = 30.0
"""Default length."""
TITLES = Titles(scores={"psnr": ("PSNR", "{:.2f} dB")}, reference="cubic")
_MEASUREMENT = "The measurement"


@teaching(TITLES, minutes=MINUTES)
def unet(
    asked: Asked,
    objects: Objects,
    *,
    validation: Validation = None,
    size: Size = 64,
    factor: Factor = 16,
    operator: Annotated[
        Literal["bicubic", "area", "pulse"],
        typer.Option(
            help="How pixels become larger: by the cubic kernel; by means; by the cubic kernel with the image mirrored "
            "at its border, as in the code of PULSE.",
            rich_help_panel=_MEASUREMENT,
        ),
    ] = "bicubic",
    psf: Annotated[
        float,
        typer.Option(
            metavar="SIGMA",
            help="Standard deviation in fine pixels of a Gaussian that blurs first.",
            rich_help_panel=_MEASUREMENT,
        ),
    ] = 0.0,
    noise: Annotated[
        float,
        typer.Option(
            metavar="SIGMA", help="Standard deviation of Gaussian noise on 0..1.", rich_help_panel=_MEASUREMENT
        ),
    ] = 0.0,
    counts: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="Photons of an intensity of 1.",
            show_default="no such noise",
            rich_help_panel=_MEASUREMENT,
        ),
    ] = None,
    widths: Annotated[
        str,
        typer.Option(metavar="N,N,...", help="Features on each level of the network.", rich_help_panel=usual.NETWORK),
    ] = "32,64,128",
    loss: Annotated[
        Literal["l1", "l2"],
        typer.Option(help="Absolute or squared differences from the truth.", rich_help_panel=usual.NETWORK),
    ] = "l1",
    batch: Batch = 16,
    rate: Rate = 5e-4,
    average: Average = 0.999,
    precision: usual.Precision = "fp32",
) -> Course:
    """Train a U-Net from coarse objects to fine ones: the supervised method that a search is to be compared with.

    Fine objects are measured by the operator of the search, and the network learns to undo that. It gives something
    near the mean of all that a measurement may have come from, and knows one measurement only. The network with the
    best PSNR on what is held out is kept.
    """
    from scalesr.rls.degradation import Degradation  # noqa: PLC0415 torch takes seconds
    from scalesr.rls.unet_lesson import UNetLesson, UNetTraining  # noqa: PLC0415

    sources, judged_by, judged, channels = opened(objects, validation, edge=size)
    settings = UNetTraining(
        degradation=Degradation(
            kind=operator, factor=factor, psf=psf, noise=noise, counts=inf if counts is None else counts
        ),
        size=size,
        channels=channels,
        widths=parse_whole("--widths", widths) or (),
        loss=loss,
        batch=batch,
        rate=rate,
        average=average,
        precision=precision,
        device=asked.device,
        seed=asked.seed,
    )
    return Course(lesson=UNetLesson(settings, sources, validation=judged_by), judged=judged)
