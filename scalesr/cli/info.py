"""``scalesr info``: what an image says of itself, and what made it."""

from __future__ import annotations

import json as json_format
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import print_heading, print_json, print_lines
from scalesr.cli.plates import show_plate
from scalesr.errors import InputError, ScalesrError

if TYPE_CHECKING:
    from scalesr.cli.output import Lines
    from scalesr.images import Channel, Image, Level
    from scalesr.images.spectral import SpectralAxis

EXAMPLES = """
[bold]Example[/bold]

  [cyan]scalesr info cells.ome.zarr[/cyan]
"""
LEDGER, MANIFEST, RECORDS = "scalesr", "manifest.json", "blocks"
"""Where a run keeps its ledger inside its output. The engine has these names too; reading them from there would take
the seconds that torch needs to load."""
_SHOWN = 12


def info(
    source: Annotated[str, typer.Argument(metavar="IN", help="An OME-Zarr image or plate, finished or not.")],
    *,
    series: given.Series = None,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Show axes, shape, pixel size, levels, chunks and channels of an image; of an output, also what made it.

    Of a plate: its wells and fields, the first field, and of an output how many fields are done.

    Only metadata is read, so it is quick for an image of any size.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        from scalesr.images import Plate, open_any  # noqa: PLC0415 zarr takes most of a second
        from scalesr.images.opening import UnfinishedError  # noqa: PLC0415
        from scalesr.images.spectral import read_spectral  # noqa: PLC0415

        try:
            image = open_any(source, series=series)
        except UnfinishedError:
            made = history(source)
            if made is None:
                raise
            if json:
                print_json({"address": source, "state": "unfinished", "made_by": made})
                return
            print_heading(f"{source}: the output of a run that did not finish")
            print_lines([*_history_lines(made), ("go on", "run the same command again with --resume")])
            return
        if isinstance(image, Plate):
            show_plate(image, json=json)
            return
        made = history(image.url)
        spectral = read_spectral(image)
        beside = _beside(image)
        if json:
            print_json(
                document(image) | _spectral_values(spectral) | {"beside": beside} | ({"made_by": made} if made else {})
            )
            return
        print_heading(image.name)
        print_lines(
            [
                *image_lines(image),
                *_level_lines(image.levels),
                *_channel_lines(image.channels),
                *_spectral_lines(spectral),
                *([("beside it", ", ".join(beside))] if beside else []),
            ]
        )
        if made is not None:
            print_heading("Made by scalesr")
            print_lines(_history_lines(made))


SHOWN, MADE = ("input level", "model", "torch", "device class"), ("source", "model", "scalesr")
"""What is shown of the identity and of the provenance of a run."""


def history(url: str) -> dict[str, Any] | None:
    """Return what the ledger of an output says of the run that made it, or None where there is none."""
    from scalesr.images import Files, Location  # noqa: PLC0415
    from scalesr.tiling import Plan  # noqa: PLC0415

    try:
        files = Files((Location.parse(url) / LEDGER).url)
        stored = files.get(MANIFEST)
    except (ScalesrError, OSError, ValueError):
        # A ledger is an extra: a place without plain files, such as a web server, may still hold an image.
        return None
    if stored is None:
        return None
    try:
        values = json_format.loads(stored)
        plan = Plan.from_json(values["identity"]["plan"])
        identity = {key: value for key, value in values["identity"].items() if key != "plan"}
        blocks, provenance = plan.blocks, {**values["provenance"]}
        # What is missing or no mapping fails here and not where it is shown.
        _ = (
            identity["normalisation"]["origin"],
            *(identity[name] for name in SHOWN),
            *(provenance[name] for name in MADE),
        )
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise InputError(
            f"The ledger of {url} is damaged ({error}).", remedy="Start that run again with --overwrite."
        ) from error
    done = sum(key.endswith(".json") for key in files.list(f"{RECORDS}/"))
    return {
        "blocks_done": done,
        "blocks": blocks,
        **provenance,
        "identity": identity,
        "plan": plan.to_json(),
    }


def document(image: Image) -> dict[str, Any]:
    """Return what an image says of itself, as what JSON can hold."""
    return {
        "address": image.url,
        "state": "done",
        "name": image.name,
        "version": image.version,
        "axes": [asdict(axis) for axis in image.axes],
        "shape": image.shape,
        "dtype": image.dtype.name,
        "bytes": image.nbytes,
        "levels": [asdict(level) for level in image.levels],
        "channels": [asdict(channel) for channel in image.channels],
    }


def image_lines(image: Image) -> Lines:
    """Return what an image is: where, of which format, size and pixel size."""
    from scalesr.tiling import human_bytes  # noqa: PLC0415

    sizes = ", ".join(f"{axis.name} {size:,}" for axis, size in zip(image.axes, image.shape, strict=True))
    pixel = ", ".join(
        f"{axis.name} {size:.6g} {axis.unit or '(no unit)'}"
        for axis, size in zip(image.axes, image.pixel_sizes, strict=True)
        if axis.kind in ("space", "time")
    )
    return [
        ("address", image.url),
        ("format", f"OME-Zarr {image.version}"),
        ("size", f"{sizes}; {image.dtype}; {human_bytes(image.nbytes)} before compression"),
        ("pixel size", pixel or "not given"),
    ]


def _level_lines(levels: tuple[Level, ...]) -> Lines:
    lines = []
    for number, level in enumerate(levels):
        pieces = f"chunks {_times(level.chunks)}"
        if level.shards is not None:
            pieces += f" in shards {_times(level.shards)}"
        lines.append((f"level {number}", f"{_times(level.shape)} px; {pieces}"))
    return lines


def _channel_lines(channels: tuple[Channel, ...]) -> Lines:
    from scalesr.images.showing import few  # noqa: PLC0415 zarr takes most of a second

    names = [channel.label or str(number) for number, channel in enumerate(channels)]
    return [("channels", few(names, most=_SHOWN))] if names else []


def _beside(image: Image) -> list[str]:
    """Return the names of what is known of each pixel beside its bands."""
    from scalesr.images.importing.companions import open_companion  # noqa: PLC0415

    return [name for name in ("mask", "tic") if open_companion(image, name) is not None]


def _spectral_values(axis: SpectralAxis | None) -> dict[str, Any]:
    if axis is None:
        return {}
    facts = {"quantity": axis.quantity, "unit": axis.unit, "values": axis.values.tolist()}
    return {"spectral": facts | {"attributes": dict(axis.attributes)}}


def _spectral_lines(axis: SpectralAxis | None) -> Lines:
    if axis is None:
        return []
    unit = f" {axis.unit}" if axis.unit else "" if axis.quantity == "m/z" else " (no unit)"
    span = f"{axis.values.min():.6g} to {axis.values.max():.6g}{unit}"
    return [("spectrum", f"{axis.values.size:,} bands; {axis.quantity} {span}")]


def _history_lines(made: dict[str, Any]) -> Lines:
    identity = made["identity"]
    share = 100 * made["blocks_done"] / made["blocks"]
    return [
        ("blocks", f"{made['blocks_done']:,} of {made['blocks']:,} done, {share:.0f} %"),
        ("from", f"{made['source']}, level {identity['input level']}"),
        ("model", f"{made['model']}, SHA-256 {str(identity['model'])[:12]}..."),
        ("normalised", str(identity["normalisation"]["origin"])),
        ("with", f"scalesr {made['scalesr']}, torch {identity['torch']} on {identity['device class']}"),
    ]


def _times(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes)
