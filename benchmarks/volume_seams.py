"""Whether the borders of tiles and blocks can be found in a volume that MSDSR made, beside the true volume.

usage: python -m benchmarks.volume_seams --data FOLDER

Every fourth plane of the FIB-SEM test block is kept and the volume made in tiles as a user gets them, two tiles to a
block along y. Steps between neighbours are divided by those of the truth at the same position, which takes out that the
specimen is rougher in one place than in another; a border scores the mean of that over its positions, divided by the
mean elsewhere. Along z only positions of the same phase are compared: rows directly beside measured planes are others
than rows between them, with or without a tile's border. ``spread`` is the standard deviation of scores that as many
positions have that are no borders: what a score can differ from 1 by without any seam.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

import scalesr
from benchmarks.common import save
from benchmarks.volumes import RUN, Z, blocks, cropped
from scalesr.demo.storing import store
from scalesr.images import open_image

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPACING, DRAWS = 4, 2000
ALONG = (1, 2, 1)
"""Tiles of a block along z, y and x."""


def scores(
    made: NDArray[np.float64], truth: NDArray[np.float64], *, axis: int, borders: NDArray[np.int64], spacing: int
) -> dict[str, float]:
    """Return the score of borders, given by the voxel above them, and what it varies by where there are none."""
    steps = [
        np.abs(np.diff(each, axis=axis)).mean(axis=tuple(other for other in range(3) if other != axis))
        for each in (made, truth)
    ]
    ratio = steps[0] / np.maximum(steps[1], 1e-9)
    # The step to voxel p is that of number p - 1; the outermost are left out, as they have one neighbour.
    phase = np.arange(1, len(ratio) + 1) % spacing if axis == 0 else np.zeros(len(ratio), int)
    at = borders[(borders > 1) & (borders < len(ratio))] - 1
    near = np.isin(np.arange(len(ratio)), np.concatenate([at - 1, at, at + 1]))
    rest = ~near & np.isin(phase, phase[at])
    rest[[0, -1]] = False
    random = np.random.default_rng(0)
    usual = ratio[rest]
    drawn = [random.choice(usual, len(at), replace=False).mean() / usual.mean() for _ in range(DRAWS)]
    return {
        "score": float(ratio[at].mean() / usual.mean()),
        "spread": float(np.std(drawn)),
        "borders": float(len(at)),
        "steps": float(len(at) * made.size / made.shape[axis]),
    }


def measured(options: argparse.Namespace) -> dict[str, Any]:
    """Return scores of tile and block borders along each axis."""
    block = cropped(blocks("test", data=options.data)["fib-sem"], options.crop)
    truth = np.rint(255 * block[: (len(block) - 1) // SPACING * SPACING + 1])
    with TemporaryDirectory() as folder:
        source = store(
            truth[::SPACING].astype(np.uint8),
            Path(folder) / "stack.ome.zarr",
            pixel=1.0,
            first=Z,
            depth=float(SPACING),
            levels="one",
        )
        out = Path(folder) / "out.ome.zarr"
        result = scalesr.run(source, out, model=options.model, precision="bf16", block=ALONG, workers=1, **RUN)
        image = open_image(out)
        made = image.read(tuple(slice(0, size) for size in image.shape)).astype(np.float64)[: len(truth)]
    found: dict[str, Any] = {}
    for axis, lattice in enumerate(result.plan.lattice.axes):
        # Tiles cross-fade over twice the ramp, and its middle lies a ramp before the next cell.
        cell, ramp, size = int(lattice.cell * lattice.scale), int(lattice.ramp * lattice.scale), truth.shape[axis]
        every = np.arange(cell - ramp, size, cell)
        own = np.arange(cell * lattice.block - ramp, size, cell * lattice.block)
        for kind, borders in (("tiles", every), ("blocks", own)):
            if len(borders):
                found[f"{lattice.name} {kind}"] = scores(made, truth, axis=axis, borders=borders, spacing=SPACING)
                print(f"{lattice.name} {kind}: {found[f'{lattice.name} {kind}']}", flush=True)
    for kind in ("tiles", "blocks"):
        some = [each for name, each in found.items() if name.endswith(kind)]
        weights = np.array([each["steps"] for each in some])
        found[kind] = {
            "score": float(np.average([each["score"] for each in some], weights=weights)),
            "spread": float(np.sqrt(np.sum((weights * [each["spread"] for each in some]) ** 2)) / weights.sum()),
        }
        print(f"{kind}: {found[kind]}", flush=True)
    return {"lattice": str(result.plan.lattice), "shape": truth.shape, "scores": found}


def main() -> None:
    """Run it, and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--model", default="msdsr", help="name or file of weights")
    parser.add_argument("--crop", type=int, help="use at most so many voxels along each axis")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    save("volume-seams", measured(options))


if __name__ == "__main__":
    main()
