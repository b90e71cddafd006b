"""``scalesr train``: a network from images, or a better one from one's own cube."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scalesr.cli import options as given
from scalesr.cli import training_options as usual
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import print_json, screen
from scalesr.cli.training import (
    Titles,
    bar,
    document_taught,
    help_of,
    one_length,
    open_sources,
    settle_device,
    show_taught,
)
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from scalesr.hyres.settings import TrainingSettings
    from scalesr.models.rrdb import RRDBNet

EXAMPLES = """
[bold]Examples[/bold]

Make a network of finely measured cubes, for an instrument that measures four times coarser pixels, then use it:

  [cyan]scalesr train hyres fine-1.ome.zarr fine-2.ome.zarr --out net --instrument maldi --minutes 60[/cyan]
  [cyan]scalesr run coarse.ome.zarr finer.ome.zarr --model net/weights.safetensors[/cyan]

Go on after an interruption, with the same options:

  [cyan]scalesr train hyres fine-1.ome.zarr fine-2.ome.zarr --out net --instrument maldi --minutes 60 --resume[/cyan]

Fit a network to your own cube, which needs no finer one: it is trained to undo a further degradation of the cube:

  [cyan]scalesr train hyres coarse.ome.zarr --own --from default --out own[/cyan]

[bold]Exit codes[/bold]

  0 done             1 not foreseen     2 options     3 images     4 output     5 model
  6 settings         7 the folder of another training     8 storage     130 Ctrl-C
"""
_PHYSICS = "The instrument"
MINUTES = 60.0
"""Default length."""
TITLES = Titles(
    scores={
        "psnr": ("PSNR", "{:.2f} dB"),
        "ssim": ("SSIM", "{:.4f}"),
        "frc": ("FRC", "above 1/7 up to {:.3f} cycles per pixel"),
    },
    reference="cubic",
)

training = typer.Typer(no_args_is_help=True, rich_markup_mode="rich")


@training.callback()
def train() -> None:
    """Train a network on images, or fit one to your own. It gives a file for `scalesr run --model`."""


def hyres(
    images: usual.Images,
    *,
    out: usual.Out,
    validation: usual.Validation = None,
    resume: usual.Resume = False,
    own: Annotated[
        bool,
        typer.Option(
            "--own",
            metavar="",
            help="Fit the network of --from to the image itself: its own pixels are the truth, and a further "
            "degradation of them is the input.",
        ),
    ] = False,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NAME|FILE", help="Go on from a network of this kind.", show_default="a new network"
        ),
    ] = None,
    quiet: given.Quiet = False,
    scale: Annotated[
        int | None,
        typer.Option(
            metavar="2|4", help="Output pixels for each input pixel.", show_default="4", rich_help_panel=_PHYSICS
        ),
    ] = None,
    instrument: Annotated[
        str,
        typer.Option(
            metavar="NAME|TEXT",
            help="What measures the image: binning, maldi, imc, raman, camera; with changes such as maldi,counts=50; "
            "or all of it, such as factor=4,spot=gaussian:1.5,washout=0.5,counts=200,gain=0.05,dead=0.001. Several: "
            "'binning; maldi'.",
            rich_help_panel=_PHYSICS,
        ),
    ] = "binning",
    vary: Annotated[
        Literal["family", "fixed"],
        typer.Option(
            help="Measure each patch by an instrument near that one, or by that very one.", rich_help_panel=_PHYSICS
        ),
    ] = "family",
    flux: Annotated[
        Literal["conserved", "free"],
        typer.Option(
            help="conserved: train for runs that keep the mean over each input pixel at what was measured there.",
            rich_help_panel=_PHYSICS,
        ),
    ] = "conserved",
    minutes: Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES",
            help="How long to train.",
            show_default="60, or 5 with --own",
            rich_help_panel=usual.LENGTH,
        ),
    ] = None,
    steps: usual.Steps = None,
    features: Annotated[
        int | None,
        typer.Option(
            metavar="N", help="Channels inside the network.", show_default="32", rich_help_panel=usual.NETWORK
        ),
    ] = None,
    blocks: Annotated[
        int | None,
        typer.Option(metavar="N", help="Blocks of the network.", show_default="1", rich_help_panel=usual.NETWORK),
    ] = None,
    patch: Annotated[
        int, typer.Option(metavar="N", help="Edge of a patch in input pixels.", rich_help_panel=usual.NETWORK)
    ] = 24,
    batch_patches: usual.Patches = 8,
    rate: Annotated[
        float | None,
        typer.Option(
            metavar="RATE",
            help="Highest rate of learning.",
            show_default="0.0005, or 0.0001 with --own",
            rich_help_panel=usual.NETWORK,
        ),
    ] = None,
    frc: Annotated[
        float,
        typer.Option(metavar="W", help="Weight of the Fourier ring correlation loss.", rich_help_panel=usual.NETWORK),
    ] = 0.1,
    adversarial: Annotated[
        float,
        typer.Option(
            metavar="W",
            help="Weight of the adversarial loss, such as 0.01: sharper to the eye, farther from the truth.",
            rich_help_panel=usual.NETWORK,
        ),
    ] = 0.0,
    perceptual: Annotated[
        float, typer.Option(metavar="W", help="Weight of the perceptual loss.", rich_help_panel=usual.NETWORK)
    ] = 0.0,
    perceptual_weights: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Weights of VGG19 for the perceptual loss.", rich_help_panel=usual.NETWORK),
    ] = None,
    seed: usual.Seed = 0,
    trust: given.Trust = "safe",
    precision: usual.Precision = "fp32",
    device: given.Device = "auto",
    threads: usual.Threads = None,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Train a network for spectral images by the physics of the instrument: each band alone, 4 or 2 times finer.

    What was measured finely is the truth; the instrument makes the input of it. The network with the best PSNR on what
    is held out is kept.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        one_length(steps=steps, minutes=minutes)
        if own and start is None:
            raise OptionError(
                "--own fits a network that is there.", remedy="Name it with --from, such as --from default."
            )
        if own and len(images) > 1:
            raise OptionError("--own fits a network to one image.", remedy="Give one, or leave --own out.")
        asked: dict[str, Any] = {
            "scale": scale,
            "features": features,
            "blocks": blocks,
            "rate": rate,
            "steps": steps,
            "minutes": minutes,
        }
        settings: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        settings |= {
            "instrument": instrument,
            "vary": vary,
            "flux": flux,
            "patch": patch,
            "batch": batch_patches,
            "frc": frc,
            "adversarial": adversarial,
            "perceptual": perceptual,
            "perceptual_weights": perceptual_weights,
            "seed": seed,
            "precision": precision,
        }
        with screen("err").status("starting"):
            # Late: torch takes seconds, and help texts and mistyped options need none of it.
            from scalesr.hyres import train as run_training  # noqa: PLC0415

            settings["device"] = settle_device(device, threads)
            network = None if start is None else _network(start, trust=trust)
            decided = _settings(settings, network, own=own)
            sources, judges = open_sources(images), open_sources(validation or [])
        with bar(TITLES, shown=not quiet and not json) as watch:
            found = run_training(
                decided,
                sources,
                Path(out),
                validation=judges or None,
                start=network,
                mode="resume" if resume else "create",
                watch=watch,
            )
        if json:
            print_json(document_taught(found))
        elif not quiet:
            show_taught(found, TITLES)


training.command("hyres", help=help_of(hyres), epilog=EXAMPLES, no_args_is_help=True)(hyres)


def _network(name: str, *, trust: Literal["safe", "pickle"]) -> RRDBNet:
    from scalesr.hyres.generator import load_generator  # noqa: PLC0415 torch takes seconds

    return load_generator(name, trust=trust)


def _settings(asked: dict[str, Any], network: RRDBNet | None, *, own: bool) -> TrainingSettings:
    from scalesr.hyres.settings import TrainingSettings  # noqa: PLC0415
    from scalesr.hyres.tuning import own_settings, sizes_of  # noqa: PLC0415 torch takes seconds

    if network is not None:
        wrong = [
            f"--{name} {asked[name]}"
            for name, size in sizes_of(network).items()
            if name in asked and asked[name] != size
        ]
        if wrong:
            sizes = ", ".join(f"{name} {size}" for name, size in sizes_of(network).items())
            raise OptionError(
                f"The network of --from has {sizes}; {', '.join(wrong)} was asked for.",
                remedy="Leave these options out, or use another network.",
            )
        asked = {name: value for name, value in asked.items() if name not in sizes_of(network)}
    if own:
        assert network is not None, "--own without --from was refused"
        return own_settings(network, **asked)
    length = {} if "steps" in asked else {"minutes": MINUTES}
    return TrainingSettings(**{**length, **asked, **({} if network is None else sizes_of(network))})
