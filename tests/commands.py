"""Calling the command line from tests, and small images for it to work on."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from typer.testing import CliRunner

from scalesr.cli import app
from scalesr.images import Axis, Image, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

KINDS: dict[str, Any] = {"t": "time", "c": "channel"}
SLOW_MODEL = """
import os, time
from fractions import Fraction
from scalesr.models import ModelSpec

class Slow:
    spec = ModelSpec(name="slow", axes="yx", scale=(Fraction(1), Fraction(1)), channels=1, out_channels=1,
                     receptive=(0, 0), activation_bytes=8.0, values="any")

    def to(self, *, device, precision):
        return self

    def __call__(self, tiles, origins):
        time.sleep(float(os.environ["TILE_SECONDS"]))
        return tiles.clone()

def slow():
    return Slow()
"""
"""A module whose model takes its time over a tile: so long that a run can be interrupted."""


def call(*arguments: str | os.PathLike[str]) -> Any:
    """Run a command line in this process, without a terminal."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [os.fspath(argument) for argument in arguments])


def only_json(result: Any) -> dict[str, Any]:
    """Return the one JSON document that a command wrote to standard output."""
    document: dict[str, Any] = json.loads(result.stdout)
    return document


def program() -> list[str]:
    """Return the start of a command line for a process of its own."""
    return [sys.executable, "-c", "from scalesr.cli import main; main()"]


def write_image(path: Path, pixels: NDArray[Any], axes: str = "yx", *, chunk: int = 32) -> Image:
    """Write an array as an OME-Zarr image with small chunks."""
    pieces = tuple(1 if a in "tc" else min(chunk, n) for a, n in zip(axes, pixels.shape, strict=True))
    layout = pyramid_layout(
        axes=tuple(Axis(a, KINDS.get(a, "space"), "micrometer" if a in "zyx" else None) for a in axes),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=tuple(0.5 if a in "zyx" else 1.0 for a in axes),
        translation=(0.0,) * len(axes),
        chunks=pieces,
        shards=pieces,
        name="test",
    )
    writer = create_image(path, layout, mode="overwrite")
    writer.array(0)[...] = pixels
    writer.publish()
    return open_image(path)


def speckle(*shape: int) -> NDArray[np.uint16]:
    """Return an image without any symmetry."""
    pixels: NDArray[np.uint16] = np.random.default_rng(3).integers(100, 4000, size=shape, dtype=np.uint16)
    return pixels
