"""The settings that say how a run computes: model, tiles, speed. Each is declared once, for command line and files."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from scalesr.jobs.declaring import Natural, Place

Sizes = Natural(int | list[int])
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
    Place(endings=(".safetensors", ".pth", ".pt", ".pt2", ".ckpt", ".bin", ".pkl")),
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
    Natural(int | float | list[int | float | str]),
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
    Natural(dict[str, str | float | int | bool]),
]
MissingPlanes = Annotated[
    str,
    typer.Option(
        metavar="auto|none|N[,N...]",
        help="Planes that were not measured, counted from 0, which a model that can is to make up: 5,17; auto takes "
        "those that the image's attributes name, and those of nothing but NaN.",
        rich_help_panel=_MODEL,
    ),
    Natural(int | list[int]),
]
Trust = Annotated[
    Literal["safe", "pickle"],
    typer.Option(help="pickle: read weights that can run code while they load.", rich_help_panel=_MODEL),
]
Normalise = Annotated[
    str,
    typer.Option(
        metavar="WAY|LOW,HIGH",
        help="Which intensities become 0 and 1 for the network: percentile (0.1 and 99.9 of each channel), dtype "
        "(the range of the number format), none, or two values; auto chooses by image and model.",
        rich_help_panel=_MODEL,
    ),
    Natural(list[float]),
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
    Place(("auto", "none")),
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
    Sizes,
]
Halo = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Pixels of context around a cell.",
        show_default="as far as the model sees, or recommends",
        rich_help_panel=_TILES,
    ),
    Sizes,
]
Blend = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Fade neighbouring tiles into each other over twice so many pixels. 0 is exact where the halo suffices.",
        show_default="as the model recommends, else 0",
        rich_help_panel=_TILES,
    ),
    Sizes,
]
Block = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Tiles along each edge of a block, which is what is scheduled and resumed.",
        show_default="some 16 MB of output",
        rich_help_panel=_TILES,
    ),
    Sizes,
]
Shard = Annotated[
    str | None,
    typer.Option(
        metavar="N[,N...]",
        help="Tiles along each edge of an output file.",
        show_default="as --block",
        rich_help_panel=_TILES,
    ),
    Sizes,
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
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="Memory that the run may use, such as 8GB; a run that needs more is refused.",
        show_default="nine tenths of what is free",
        rich_help_panel=_SPEED,
    ),
    Natural(int, unit="B"),
]

_TROUBLE = "If something is wrong with the input"
OnBadBlock = Annotated[
    Literal["stop", "fill"],
    typer.Option(help="When a chunk of the image cannot be decoded.", rich_help_panel=_TROUBLE),
]
OnNan = Annotated[
    Literal["stop", "fill"],
    typer.Option(help="When the image holds NaN or infinity.", rich_help_panel=_TROUBLE),
]
