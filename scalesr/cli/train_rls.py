"""``scalesr train rls-generator`` and ``rls-flow``: what regularised latent search knows of objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scalesr.cli import options as given
from scalesr.cli import training_options as usual
from scalesr.cli.training import Titles
from scalesr.cli.training_course import CODES, Asked, Course, teaching
from scalesr.cli.training_files import open_objects
from scalesr.cli.values import parse_whole
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from scalesr.learning import Judged, Source

GENERATOR_EXAMPLES = f"""
[bold]Examples[/bold]

Make a generator of finely measured objects, then a flow of its latents, then search for what coarse objects show:

  [cyan]scalesr train rls-generator cells.ome.zarr --out cells --size 64 --factor 8 --minutes 120[/cyan]
  [cyan]scalesr train rls-flow cells/weights.safetensors --out flow[/cyan]
  [cyan]scalesr run coarse.ome.zarr finer.ome.zarr --model flow/weights.safetensors[/cyan]

Of crops from anywhere of large fields:

  [cyan]scalesr train rls-generator field-*.ome.zarr --out net --augment flips --device cuda[/cyan]

In an hour on a CPU, with the help of an encoder:

  [cyan]scalesr train rls-generator cells.ome.zarr --out cells --guided 0.35 --r1 0.3 --mixing 0.5 --minutes 60[/cyan]
{CODES}"""
FLOW_EXAMPLES = f"""
[bold]Examples[/bold]

Train the flow of a generator, and write both into one file that runs:

  [cyan]scalesr train rls-flow cells/weights.safetensors --out flow[/cyan]

Of a published StyleGAN2, made a file of plain tensors once; a class of a conditional one is chosen for good:

  [cyan]python -c "import scalesr.models as m; m.convert('stylegan2.pt', 'g.safetensors')"[/cyan]
  [cyan]scalesr train rls-flow g.safetensors --class 3 --factor 16 --hidden 1024 --out flow[/cyan]
{CODES}"""
GENERATOR_MINUTES, FLOW_MINUTES = 120.0, 20.0
"""Default lengths."""
GENERATOR_TITLES = Titles(
    scores={"frechet loss": ("Frechet distance", "{:.3f}"), "kernel loss": ("kernel distance", "{:.4f}")},
    reference="",
)
FLOW_TITLES = Titles(
    scores={
        "loss": ("-log density of an entry", "{:.4f} nats"),
        "norm": ("(|u| - sqrt n)^2", "{:.3f}"),
    },
    reference="a normal density",
)
GRIDS, FIGURE = "samples", "norms.png"
"""Where a training puts pictures of what the generator makes, and of the norms of latents."""

Objects = Annotated[
    list[str],
    typer.Argument(
        metavar="OBJECTS...",
        help="Finely measured objects: OME-Zarr stacks (n, c, y, x) or (n, y, x) or whole fields, of any size; TIFF "
        "stacks or folders of PNG files of up to 1 GB.",
        show_default=False,
    ),
]
Validation = Annotated[
    list[str] | None,
    typer.Option(
        metavar="OBJECTS", help="Others to validate on; may be repeated.", show_default="every eighth, or a strip"
    ),
]
Size = Annotated[
    int,
    typer.Option(metavar="N", help="Edge of its images in pixels: 16, 32, 64, ...", rich_help_panel=usual.NETWORK),
]
Factor = Annotated[
    int,
    typer.Option(min=1, metavar="N", help="Pixels for each measured one along an axis.", rich_help_panel=usual.NETWORK),
]
Widths = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,...",
        help="Features at each resolution, from 4 pixels.",
        show_default="2048 over the edge, 32 to 128",
        rich_help_panel=usual.NETWORK,
    ),
]
Batch = Annotated[int, typer.Option(metavar="N", help="Objects of a step.", rich_help_panel=usual.NETWORK)]
Rate = Annotated[float, typer.Option(metavar="RATE", help="Rate of learning.", rich_help_panel=usual.NETWORK)]
Average = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Weight of the past in the moving average of the weights, which is what is kept.",
        rich_help_panel=usual.NETWORK,
    ),
]


@teaching(GENERATOR_TITLES, minutes=GENERATOR_MINUTES)
def generator(
    asked: Asked,
    objects: Objects,
    *,
    validation: Validation = None,
    size: Size = 64,
    factor: Factor = 16,
    latent: Annotated[int, typer.Option(metavar="N", help="Entries of a latent.", rich_help_panel=usual.NETWORK)] = 128,
    depth: Annotated[
        int, typer.Option(metavar="N", help="Layers between noise and latents.", rich_help_panel=usual.NETWORK)
    ] = 8,
    widths: Widths = None,
    batch: Batch = 16,
    rate: Rate = 2e-3,
    r1: Annotated[
        float,
        typer.Option(
            "--r1",
            metavar="W",
            help="Weight of the penalty on the discriminator's slopes.",
            rich_help_panel=usual.NETWORK,
        ),
    ] = 10.0,
    r1_every: Annotated[
        int,
        typer.Option(
            "--r1-every", metavar="N", help="Steps from one such penalty to the next.", rich_help_panel=usual.NETWORK
        ),
    ] = 16,
    path: Annotated[
        float, typer.Option(metavar="W", help="Weight of the penalty on path lengths.", rich_help_panel=usual.NETWORK)
    ] = 2.0,
    path_every: Annotated[
        int,
        typer.Option(
            "--path-every", metavar="N", help="Steps from one such penalty to the next.", rich_help_panel=usual.NETWORK
        ),
    ] = 4,
    mixing: Annotated[
        float,
        typer.Option(
            metavar="SHARE", help="Share of the steps with two styles in an image.", rich_help_panel=usual.NETWORK
        ),
    ] = 0.9,
    guided: Annotated[
        float,
        typer.Option(
            metavar="SHARE",
            help="Share of the training, at its begin, in which the generator learns from an encoder to reproduce "
            "objects, before a discriminator judges it. 0.35 makes trainings of an hour useful; 0 is as published.",
            rich_help_panel=usual.NETWORK,
        ),
    ] = 0.0,
    average: Average = 0.999,
    augment: Annotated[
        Literal["none", "flips", "full"],
        typer.Option(
            help="What is done to images before they are judged: none; flips, both mirrored; full, also moved, and "
            "other brightness and contrast, for few objects.",
            rich_help_panel=usual.NETWORK,
        ),
    ] = "full",
    precision: usual.Precision = "fp32",
) -> Course:
    """Train a StyleGAN2 generator on images of single objects, for regularised latent search.

    Objects of the network's size are taken whole, and of larger images any place. The network with the lowest Frechet
    distance from what is held out is kept; the folder `samples` of --out gets what it makes at each validation. What
    follows is `scalesr train rls-flow`.
    """
    from scalesr.rls.generator_lesson import GeneratorLesson  # noqa: PLC0415 torch takes seconds
    from scalesr.rls.settings import GeneratorSettings  # noqa: PLC0415
    from scalesr.rls.teaching import GeneratorTraining  # noqa: PLC0415

    sources, judged_by, judged, channels = opened(objects, validation, edge=size)
    network = GeneratorSettings(
        size=size, channels=channels, latent=latent, depth=depth, widths=parse_whole("--widths", widths) or ()
    )
    settings = GeneratorTraining(
        network=network,
        batch=batch,
        rate=rate,
        r1=r1,
        r1_every=r1_every,
        path=path,
        path_every=path_every,
        mixing=mixing,
        guided=guided,
        average=average,
        augment=augment,
        factor=factor,
        precision=precision,
        device=asked.device,
        seed=asked.seed,
    )
    lesson = GeneratorLesson(settings, sources, validation=judged_by, grids=asked.out / GRIDS)
    return Course(lesson=lesson, judged=judged)


def opened(
    objects: list[str], validation: list[str] | None, *, edge: int
) -> tuple[list[Source], list[Source], Judged, int]:
    """Return what to train on, what to validate on, what that is, and how many channels objects have."""
    from scalesr.rls.objects import judges_of_objects  # noqa: PLC0415 torch takes seconds

    sources, channels = open_objects(objects)
    others, there = open_objects(validation) if validation else (None, channels)
    if there != channels:
        raise OptionError(
            f"{objects[0]} has {channels} channel(s), and what --validation names has {there}.",
            remedy="Validate on objects of the same channels.",
        )
    taught, held, judged = judges_of_objects(sources, others, channels=channels, edge=edge)
    return list(taught), list(held), judged, channels


@teaching(FLOW_TITLES, minutes=FLOW_MINUTES)
def flow(
    asked: Asked,
    generator: Annotated[
        str,
        typer.Argument(
            metavar="GENERATOR",
            help="weights.safetensors of `scalesr train rls-generator`, or a published StyleGAN2 generator.",
            show_default=False,
        ),
    ],
    *,
    factor: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Pixels for each measured one along an axis.",
            show_default="that of the generator's file, or 16",
            rich_help_panel=usual.NETWORK,
        ),
    ] = None,
    condition: Annotated[
        int | None,
        typer.Option(
            "--class",
            min=0,
            metavar="N",
            help="Class of a conditional published network.",
            show_default="none",
            rich_help_panel=usual.NETWORK,
        ),
    ] = None,
    blocks: Annotated[int, typer.Option(metavar="N", help="Blocks of the flow.", rich_help_panel=usual.NETWORK)] = 5,
    hidden: Annotated[
        int, typer.Option(metavar="N", help="Features of its hidden layers.", rich_help_panel=usual.NETWORK)
    ] = 256,
    batch: Annotated[int, typer.Option(metavar="N", help="Latents of a step.", rich_help_panel=usual.NETWORK)] = 256,
    rate: Rate = 1e-4,
    average: Average = 0.999,
    trust: given.Trust = "safe",
) -> Course:
    """Train the flow that knows how likely a generator's latents are, and write it with the generator into one file.

    Latents are drawn anew for each step. The flow with the highest density of others is kept; `norms.png` in --out
    shows how the norms of latents are distributed, and how those of normal ones are, whose (|u| - sqrt n)^2 is 0.5. The
    file is for `scalesr run --model`.
    """
    from scalesr.rls.checkpoints import load  # noqa: PLC0415 torch takes seconds
    from scalesr.rls.flow_lesson import FlowLesson  # noqa: PLC0415
    from scalesr.rls.teaching import FlowTraining  # noqa: PLC0415

    pair = load(generator, trust=trust, condition=condition)
    settings = FlowTraining(
        blocks=blocks, hidden=hidden, batch=batch, rate=rate, average=average, device=asked.device, seed=asked.seed
    )
    lesson = FlowLesson(settings, pair.generator, factor=factor or pair.factor, figure=asked.out / FIGURE)
    return Course(lesson=lesson)
