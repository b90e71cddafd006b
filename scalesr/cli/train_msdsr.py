"""``scalesr train msdsr``: a diffusion network for stacks of planes, from 2-D images."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scalesr.cli import options as given
from scalesr.cli import training_options as usual
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import print_json, screen
from scalesr.cli.training import Titles, bar, document_taught, one_length, settle_device, show_taught
from scalesr.cli.training_files import open_planes
from scalesr.cli.values import OptionError

if TYPE_CHECKING:
    from scalesr.learning import Judged, Lesson
    from scalesr.msdsr.settings import TrainingSettings

CODES = """
[bold]Exit codes[/bold]

  0 done             1 not foreseen     2 options     3 images     4 output     5 model
  6 settings         7 the folder of another training     8 storage     130 Ctrl-C
"""
EXAMPLES = f"""
[bold]Examples[/bold]

Make a network of 2-D images, at the pixel size that volumes shall have along all axes, then use it:

  [cyan]scalesr train msdsr planes-*.tif --out net --minutes 60[/cyan]
  [cyan]scalesr run stack.ome.zarr volume.ome.zarr --model net/weights.safetensors --scale isotropic[/cyan]

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
Minutes = Annotated[
    float | None,
    typer.Option(metavar="MINUTES", help="How long to train.", show_default="60", rich_help_panel=usual.LENGTH),
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


def msdsr(
    images: Planes,
    *,
    out: usual.Out,
    validation: usual.Validation = None,
    resume: usual.Resume = False,
    quiet: given.Quiet = False,
    minutes: Minutes = None,
    steps: usual.Steps = None,
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
    seed: usual.Seed = 0,
    precision: usual.Precision = "fp32",
    device: given.Device = "auto",
    threads: usual.Threads = None,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Train a diffusion network for stacks of planes on 2-D images alone, for any distance between planes.

    Rows of the images are hidden, and the network learns to draw them. No volume is needed: where a specimen looks the
    same from all sides, XZ and YZ slices of a stack are images like these. The network with the lowest loss on what is
    held out is kept. Needs pip install 'scalesr[volumes]'.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        one_length(steps=steps, minutes=minutes)
        with screen("err").status("starting"):
            # Late: torch takes seconds, and help texts and mistyped options need none of it.
            from scalesr.learning import judges  # noqa: PLC0415
            from scalesr.msdsr.lesson import DiffusionLesson  # noqa: PLC0415

            settings = settings_of(
                released=released,
                network={"conditioning": conditioning, "channels": channels, "widths": numbers(widths)},
                training={"batch": patches, "rate": rate},
                precision=precision,
                device=settle_device(device, threads),
                seed=seed,
            )
            sources, judged_by, judged = judges(open_planes(images), open_planes(validation or []) or None)
            lesson = DiffusionLesson(settings, sources, validation=judged_by)
        course(
            lesson,
            out,
            TITLES,
            minutes=minutes or MINUTES,
            steps=steps,
            resume=resume,
            judged=judged,
            quiet=quiet,
            json=json,
        )


def numbers(text: str | None) -> tuple[int, ...] | None:
    """Return what ``--widths`` says.

    Raises
    ------
    OptionError
        It is no list of whole numbers.
    """
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise OptionError(f"--widths is '{text}'.", remedy="Give whole numbers, such as 32,64,96,128.") from error


def settings_of(
    *, released: bool, network: dict[str, Any], training: dict[str, Any], **usual_ones: Any
) -> TrainingSettings:
    """Return the defaults, or the released ones, with what was asked for; None stands for what was not."""
    from scalesr.msdsr.settings import TrainingSettings  # noqa: PLC0415 torch takes seconds

    settings = TrainingSettings.paper() if released else TrainingSettings()
    changes = {name: value for name, value in network.items() if value is not None}
    if "widths" in changes and len(changes["widths"]) != len(settings.network.widths):
        changes["attention"] = (False,) * len(changes["widths"])
    asked = {name: value for name, value in training.items() if value is not None}
    return replace(settings, network=replace(settings.network, **changes), **asked, **usual_ones)


def course(
    lesson: Lesson,
    out: str,
    titles: Titles,
    *,
    minutes: float,
    steps: int | None,
    resume: bool,
    judged: Judged,
    quiet: bool,
    json: bool,
) -> None:
    """Teach, with a bar, and say what came of it."""
    from scalesr.learning import Length, teach  # noqa: PLC0415 torch takes seconds

    length = Length(steps=steps, minutes=None if steps else minutes)
    with bar(titles, shown=not quiet and not json) as watch:
        found = teach(lesson, length, Path(out), mode="resume" if resume else "create", watch=watch)
    found = replace(found, judged=judged)
    if json:
        print_json(document_taught(found))
    elif not quiet:
        show_taught(found, titles)
