"""``scalesr train msdsr``: a diffusion network for stacks of planes, from 2-D images."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scalesr.cli import training_options as usual
from scalesr.cli.training import Titles
from scalesr.cli.training_course import CODES, Asked, Course, teaching
from scalesr.cli.training_files import open_planes
from scalesr.cli.values import parse_whole
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from scalesr.msdsr.network import Denoiser
    from scalesr.msdsr.settings import TrainingSettings

EXAMPLES = f"""
[bold]Examples[/bold]

Make a network of 2-D images, at the pixel size that volumes shall have along all axes, then use it:

  [cyan]scalesr train msdsr planes-*.tif --out net --minutes 60[/cyan]
  [cyan]scalesr run stack.ome.zarr volume.ome.zarr --model net/weights.safetensors --scale isotropic[/cyan]

Go on from a network that is there, with images of your own:

  [cyan]scalesr train msdsr planes-*.tif --weights msdsr --out own --minutes 20[/cyan]

Train as the released code does, on images of three channels and a large GPU:

  [cyan]scalesr train msdsr slides/*.ome.zarr --out net --released --steps 13560 --device cuda[/cyan]
{CODES}"""
MINUTES = 60.0
"""Default length."""
TITLES = Titles(scores={"psnr": ("PSNR", "{:.2f} dB"), "loss": ("loss", "{:.4f}")}, reference="linear")

Planes = Annotated[
    list[str],
    typer.Argument(
        metavar="IMAGE...",
        help="Images whose planes are finely resolved along both axes: OME-Zarr of any size, or TIFF of up to 1 GB.",
        show_default=False,
    ),
]
Widths = Annotated[
    str | None,
    typer.Option(
        metavar="N,N,...",
        help="Features on each level of the network.",
        show_default="32,64,96,128",
        rich_help_panel=usual.NETWORK,
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Channels that are restored together.",
        show_default="1: each channel alone",
        rich_help_panel=usual.NETWORK,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        "--patches", min=1, metavar="N", help="Patches of a step.", show_default="8", rich_help_panel=usual.NETWORK
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        metavar="RATE", help="Highest rate of learning.", show_default="0.0004", rich_help_panel=usual.NETWORK
    ),
]


@teaching(TITLES, minutes=MINUTES)
def msdsr(
    asked: Asked,
    images: Planes,
    *,
    validation: usual.Validation = None,
    weights: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Go on from a trained network, whose sizes stay.",
            show_default="a new network",
        ),
    ] = None,
    released: Annotated[
        bool,
        typer.Option(
            "--released",
            metavar="",
            help="Network and settings of the released code: 274 million parameters, three channels, 1,024 patches of "
            "a step, a rate of 4e-6. Other options change single ones.",
            rich_help_panel=usual.NETWORK,
        ),
    ] = False,
    conditioning: Annotated[
        Literal["guide", "mask", "rows"] | None,
        typer.Option(
            help="How the network is told of the measured rows: rows, they stand in its input; mask, and a channel "
            "says where; guide, and another is the interpolation between them.",
            show_default="guide; rows with --released",
            rich_help_panel=usual.NETWORK,
        ),
    ] = None,
    widths: Widths = None,
    channels: Channels = None,
    patches: Batch = None,
    rate: Rate = None,
    flat: Annotated[
        Literal["rare", "drawn"] | None,
        typer.Option(
            help="Patches in which nothing is to be seen: rare, drawn again up to eight times; drawn, as images have "
            "them, which teaches the network to leave empty space empty.",
            show_default="rare",
            rich_help_panel=usual.NETWORK,
        ),
    ] = None,
    precision: usual.Precision = "fp32",
) -> Course:
    """Train a diffusion network for stacks of planes on 2-D images alone, for any distance between planes.

    Rows of the images are hidden, and the network learns to draw them. No volume is needed: where a specimen looks the
    same from all sides, XZ and YZ slices of a stack are images like these. The network with the lowest loss on what is
    held out is kept. Needs pip install 'scalesr[volumes]'.
    """
    # Late: torch takes seconds, and help texts and mistyped options need none of it.
    from scalesr.learning import judges  # noqa: PLC0415
    from scalesr.msdsr.lesson import DiffusionLesson  # noqa: PLC0415
    from scalesr.msdsr.network import load_denoiser  # noqa: PLC0415

    begun = None if weights is None else load_denoiser(weights)
    network = {"conditioning": conditioning, "channels": channels, "widths": parse_whole("--widths", widths)}
    if begun is not None:
        network = _own_sizes(begun, network, released=released)
    settings = settings_of(
        released=released,
        network=network,
        training={"batch": patches, "rate": rate, "flat": flat},
        precision=precision,
        device=asked.device,
        seed=asked.seed,
    )
    sources, judged_by, judged = judges(open_planes(images), open_planes(validation or []) or None)
    lesson = DiffusionLesson(settings, sources, validation=judged_by, begun=begun)
    return Course(lesson=lesson, judged=judged, first="step" if begun is None else "validation")


def _own_sizes(begun: Denoiser, asked: dict[str, Any], *, released: bool) -> dict[str, Any]:
    """Return the settings of a trained network by name.

    Raises
    ------
    OptionError
        Others were asked for.
    """
    own = vars(begun.settings)
    wrong = ["--released"] if released else []
    wrong += [f"--{name} {_said(value)}" for name, value in asked.items() if value not in (None, own[name])]
    if wrong:
        raise OptionError(
            f"The network of --weights has {', '.join(f'{name} {_said(own[name])}' for name in asked)}; "
            f"{', '.join(wrong)} was asked for.",
            remedy="Leave these options out, or use another network.",
        )
    return dict(own)


def _said(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def settings_of(
    *, released: bool, network: dict[str, Any], training: dict[str, Any], **usual_ones: Any
) -> TrainingSettings:
    """Return the defaults, or the released ones, with what was asked for; None stands for what was not."""
    from scalesr.msdsr.settings import TrainingSettings  # noqa: PLC0415 torch takes seconds

    settings = TrainingSettings.paper() if released else TrainingSettings()
    changes = {name: value for name, value in network.items() if value is not None}
    if "widths" in changes and "attention" not in changes and len(changes["widths"]) != len(settings.network.widths):
        changes["attention"] = (False,) * len(changes["widths"])
    asked = {name: value for name, value in training.items() if value is not None}
    return replace(settings, network=replace(settings.network, **changes), **asked, **usual_ones)
