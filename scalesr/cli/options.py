"""The options that commands share: their help, and how they become the options of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scalesr.cli import clusters
from scalesr.cli.values import (
    OptionError,
    parse_bytes,
    parse_normalise,
    parse_planes,
    parse_scale,
    parse_settings,
    parse_sizes,
    parse_strategy,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.cli.failing import Style
    from scalesr.engine import Options

Source = Annotated[
    str, typer.Argument(metavar="IN", help="An OME-Zarr image: a folder, or an address such as s3://...")
]
Series = Annotated[
    int | None, typer.Option(metavar="N", help="Which image of a file that holds several.", show_default="the first")
]
Level = Annotated[
    int, typer.Option(min=0, metavar="N", help="Which level of the image's pyramid to process; 0 is the finest.")
]

_MODEL = "Model"
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE|FUNCTION",
        help="A name that `scalesr models` lists, a .safetensors file, or package.module:function.",
        rich_help_panel=_MODEL,
    ),
]
Scale = Annotated[
    str | None,
    typer.Option(
        metavar="S[,S...]|isotropic",
        help="Output pixels for each input pixel: 4, 1.5, or one for each axis such as 48/13,1,1; isotropic: so many "
        "planes that they lie as far apart as the pixels.",
        show_default="the model's own, or isotropic where that is open along z",
        rich_help_panel=_MODEL,
    ),
]
ModelAxes = Annotated[
    Literal["yx", "zyx"] | None,
    typer.Option(
        help="Work on each plane by itself (yx), or on the volume (zyx).",
        show_default="the model's own, else yx",
        rich_help_panel=_MODEL,
    ),
]
Strategy = Annotated[
    str,
    typer.Option(
        metavar="auto|single|triples|eigen:K",
        help="How channels go through the model: each alone, three neighbours at a time, or K eigenimages that stand "
        "for all bands of a spectral image (three passes each), the rest of which is interpolated.",
        rich_help_panel=_MODEL,
    ),
]
Sampling = Annotated[
    Literal["auto", "area", "point"],
    typer.Option(
        help="What the planes of a volume stand for. point: they are optical sections, and plane k becomes row "
        "k x scale exactly; area: each is the mean over its thickness; auto: as the model takes them, area for "
        "interpolations. Pixels within a plane are areas to interpolations.",
        rich_help_panel=_MODEL,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Tell the model something, as often as needed: steps=20, paper_exact=true. Its documentation has the "
        "names; values are JSON, bare words are texts.",
        rich_help_panel=_MODEL,
    ),
]
MissingPlanes = Annotated[
    str,
    typer.Option(
        metavar="auto|none|N[,N...]",
        help="Planes that were not measured, counted from 0, which a model that can is to make up: 5,17; auto takes "
        "those that the image's attributes name, and those of nothing but NaN.",
        rich_help_panel=_MODEL,
    ),
]
Trust = Annotated[
    Literal["safe", "pickle"],
    typer.Option(help="pickle: read weights that can run code while they load.", rich_help_panel=_MODEL),
]
OutDtype = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        help="Number format of the output: uint8, uint16, float32, ...",
        show_default="that of the input",
        rich_help_panel=_MODEL,
    ),
]
Flux = Annotated[
    Literal["auto", "conserved", "free"],
    typer.Option(
        help="conserved: the mean of the output over each input pixel is what was measured there, and zero stays zero; "
        "auto: where the model's author recommends it and the scale is a whole number.",
        rich_help_panel=_MODEL,
    ),
]
Mask = Annotated[
    str,
    typer.Option(
        metavar="auto|none|MASK",
        help="Which pixels were measured: auto takes the mask that lies beside the image, if any; or an OME-Zarr image "
        "that is not zero there. The others become NaN, or zero in integers.",
        rich_help_panel=_MODEL,
    ),
]

_TILES = "Tiles (in pixels of the input)"
Cell = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Pixels that one tile answers for.",
        show_default="from image and model",
        rich_help_panel=_TILES,
    ),
]
Halo = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Pixels of context around a cell.",
        show_default="as far as the model sees, or recommends",
        rich_help_panel=_TILES,
    ),
]
Blend = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Fade neighbouring tiles into each other over twice so many pixels. 0 is exact where the halo suffices.",
        show_default="as the model recommends, else 0",
        rich_help_panel=_TILES,
    ),
]
Block = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Tiles along each edge of a block, which is what is scheduled and resumed.",
        show_default="some 16 MB of output",
        rich_help_panel=_TILES,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Tiles along each edge of an output file.",
        show_default="as --block",
        rich_help_panel=_TILES,
    ),
]

_SPEED = "Speed and memory"
Batch = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Tiles, or eigenimages of one, that go through the network at once.",
        show_default="1 on the CPU, 8 on a GPU",
        rich_help_panel=_SPEED,
    ),
]
Calibrate = Annotated[
    Literal["never", "once", "again"],
    typer.Option(
        help="Measure which cell and batch are fastest here, and use them where none are given. Another cell or batch "
        "changes the last bits of the result.",
        rich_help_panel=_SPEED,
    ),
]
Precision = Annotated[
    Literal["fp32", "bf16", "fp16"],
    typer.Option(help="Number format inside the network; 16 bits are faster on a GPU.", rich_help_panel=_SPEED),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Where the network runs: cpu, cuda, cuda:1; auto is a GPU if any.", rich_help_panel=_SPEED
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        min=1,
        metavar="N",
        help="Threads inside one tile's computation; more --workers are faster.",
        rich_help_panel=_SPEED,
    ),
]
Scheduler = clusters.Scheduler
Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Threads or processes at work.",
        show_default="one for each core",
        rich_help_panel=_SPEED,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory that the run may use, such as 8GB; a run that needs more is refused.",
        show_default="nine tenths of what is free",
        rich_help_panel=_SPEED,
    ),
]

Json = Annotated[bool, typer.Option("--json", metavar="", help="Write one JSON document instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Say nothing unless something is wrong.")]
Traceback = Annotated[
    bool, typer.Option("--traceback", metavar="", help="On an error, show where in the code it arose.")
]


def told(json: bool) -> Style:  # noqa: FBT001 what the command line knows is a flag
    """Return how a command tells its result."""
    return "json" if json else "text"


def engine_options(
    *,
    scale: str | None,
    cell: str | None,
    halo: str | None,
    blend: str | None,
    block: str | None,
    shard: str | None,
    memory: str | None,
    normalise: str = "auto",
    strategy: str = "auto",
    settings: Sequence[str] | None = None,
    missing_planes: str = "auto",
    resume: bool = False,
    overwrite: bool = False,
    data_range: float | None = None,
    scheduler: str = "threads",
    workers: str | None = None,
    cluster_options: Sequence[str] | None = None,
    wait: float | None = None,
    tls_ca: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    **others: Any,
) -> Options:
    """Return the options of the engine for the texts of a command line.

    Raises
    ------
    OptionError
        A text cannot be understood, or --resume and --overwrite are given together.
    """
    if resume and overwrite:
        raise OptionError(
            "--resume goes on with an output, --overwrite removes it.", remedy="Give one of them, or neither."
        )
    given: dict[str, Any] = {
        "scale": parse_scale(scale),
        "cell": parse_sizes(cell, "--cell"),
        "halo": parse_sizes(halo, "--halo"),
        "blend": parse_sizes(blend, "--blend"),
        "block": parse_sizes(block, "--block"),
        "shard": parse_sizes(shard, "--shard"),
        "memory": parse_bytes(memory, "--memory"),
        "normalise": parse_normalise(normalise),
        "strategy": parse_strategy(strategy),
        "model_options": parse_settings(settings or ()),
        "missing_planes": parse_planes(missing_planes),
        "mode": "resume" if resume else "overwrite" if overwrite else "create",
    }
    given["scheduler"], given["workers"] = clusters.parse_crew(
        scheduler,
        workers=workers,
        options=cluster_options,
        wait=wait,
        authority=tls_ca,
        certificate=tls_cert,
        key=tls_key,
    )
    from scalesr.engine import Options  # noqa: PLC0415 torch takes seconds, and a mistyped option needs none of it
    from scalesr.metrics import Settings  # noqa: PLC0415

    return Options(**given, **others, settings=Settings(data_range=data_range))
