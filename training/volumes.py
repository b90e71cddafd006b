"""The real volumes for diffusion on slices: which part of each is trained on, validated on, and judged by.

The three volumes that are equally fine along all axes are each cut into blocks that share no voxel and lie at least
four voxels apart. Only XY slices are trained on. The others are no volumes with a known truth, and serve for variety.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image
from samples import planes

from scalesr.learning import ArraySource

if TYPE_CHECKING:
    from pathlib import Path

    from samples import Part

Block = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True)
class Specimen:
    """A volume of cubic voxels, and its blocks (z, y, x)."""

    name: str
    files: str
    train: Block
    validation: Block
    test: Block
    """First and last plane are measured at a spacing of 2, 4 and 8."""


SPECIMENS = (
    Specimen(
        name="fib-sem",
        files="volumes/neuroproof_fibsem_1/*.png",
        train=(slice(0, 120), slice(0, 250), slice(0, 176)),
        validation=(slice(0, 113), slice(0, 80), slice(180, 250)),
        test=(slice(0, 113), slice(84, 250), slice(180, 250)),
    ),
    Specimen(
        name="bone",
        files="volumes/qim3d_xray_ct/bone_128x128x128.tif",
        train=(slice(0, 128), slice(0, 128), slice(0, 64)),
        validation=(slice(0, 121), slice(0, 48), slice(68, 128)),
        test=(slice(0, 121), slice(52, 128), slice(68, 128)),
    ),
    Specimen(
        name="shell",
        files="volumes/qim3d_xray_ct/shell_225x128x128.tif",
        train=(slice(0, 116), slice(0, 128), slice(0, 128)),
        validation=(slice(120, 153), slice(0, 128), slice(0, 128)),
        test=(slice(157, 222), slice(0, 128), slice(0, 128)),
    ),
)
OTHER_WEIGHT = 0.75
"""Share of the patches of all other images together, relative to one volume."""


def blocks(part: Part, *, data: Path) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    """Return the blocks of one part by name, each (z, y, x) with the intensities 0..255 of the file as 0..1."""
    found = {}
    for specimen in SPECIMENS:
        paths = sorted(data.glob(specimen.files))
        if not paths:
            raise FileNotFoundError(f"{specimen.files} matches no file in {data}")
        volume = np.stack([_read(path) for path in paths]) if len(paths) > 1 else _read(paths[0])
        block: Block = getattr(specimen, part)
        found[specimen.name] = volume[block].astype(np.float32) / np.float32(255)
    return found


def sources(part: Part, *, data: Path) -> list[ArraySource]:
    """Return the XY slices of one part as what a training draws from; for training, other microscopy as well."""
    found = [ArraySource(block, name=name, normalise="none") for name, block in blocks(part, data=data).items()]
    if part == "train":
        others = [plane for plane in planes("train", data=data) if _is_other(plane.name)]
        total = sum(plane.weight for plane in others)
        found += [
            ArraySource(plane.pixels, name=plane.name, weight=OTHER_WEIGHT * plane.weight / total, normalise="none")
            for plane in others
            if min(plane.pixels.shape) >= 48
        ]
    return found


def _is_other(name: str) -> bool:
    return not any(part in name for part in ("neuroproof", "qim3d", "msi/", "imc", "raman", "histology"))


def _read(path: Path) -> np.ndarray[Any, Any]:
    if path.suffix == ".png":
        return np.asarray(Image.open(path))
    return np.asarray(tifffile.imread(path))
