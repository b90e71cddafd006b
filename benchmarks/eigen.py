"""A few eigenimages through the network against each band on its own: seconds, PSNR and spectral angle.

The truth is a phantom of 1,000 bands. It is measured four times coarser, once as it is and once as counts with Poisson
noise, and restored with the network for spectral images, Zarr to Zarr.

usage: python -m benchmarks.eigen [--bands 1000] [--edge 64] [--k 8 16 32] [--counts inf 100] [--model hyres-x4]
                                    edge: measured pixels
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import scalesr
from benchmarks.common import Clock, save
from scalesr.images import Axis, create_image, open_image, pyramid_layout
from scalesr.phantoms import degrade, spectral_cube

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.images import Image

FACTOR = 4
HIGHEST = 100.0
"""Expected value of the highest peak of the phantom."""


def store(path: Path, cube: NDArray[np.float32], *, pixel: float) -> Image:
    """Write a cube as importers do, band by band and whole spectra in a file; its first pixel's outer edge is at 0."""
    bands, height, width = cube.shape
    layout = pyramid_layout(
        axes=(Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
        shape=cube.shape,
        dtype="float32",
        scale=(1.0, pixel, pixel),
        translation=(0.0, pixel / 2, pixel / 2),
        chunks=(1, height, width),
        shards=(bands, height, width),
        smallest=height,
        name=path.stem,
    )
    writer = create_image(path, layout, mode="overwrite")
    writer.write(0, tuple(slice(0, n) for n in cube.shape), cube)
    writer.publish()
    return open_image(path)


def restored(low: Image, truth: Image, folder: Path, *, model: str, strategy: str) -> dict[str, Any]:
    """Restore the measured cube, and return what it took and how near it is to the truth."""
    scale = FACTOR if model == "cubic" else None
    with Clock() as clock:
        result = scalesr.run(
            low, folder / "out.zarr", model=model, scale=scale, strategy=strategy, mode="overwrite", memory=8 << 30
        )
    found = scalesr.measure(result.image, reference=truth, metrics=("psnr", "sam"), data_range=HIGHEST)
    figures = {
        "strategy": f"{model}, {strategy}",
        "seconds": clock.wall,
        "seconds of processors": clock.cpu,
        "peak": clock.peak,
        "psnr": found.find("psnr", "mean of bands").value,
        "sam in degrees": found.find("sam", "mean").value,
    }
    if result.explained is not None:
        figures["least explained"], figures["explained"] = min(result.explained), float(np.mean(result.explained))
    print(figures, flush=True)
    return figures


def compare(
    truth: Image, cube: NDArray[np.float32], folder: Path, *, counts: float, ks: list[int], network: str
) -> dict[str, Any]:
    """Restore one measurement in every way, and set each beside `single`."""
    photons = None if math.isinf(counts) else counts / HIGHEST
    low = store(folder / "low.zarr", degrade(cube, factor=(1, FACTOR, FACTOR), photons=photons), pixel=FACTOR)
    runs = [
        restored(low, truth, folder, model=model, strategy=strategy)
        for model, strategy in [
            ("cubic", "single"),
            (network, "single"),
            *((network, f"eigen:{k}") for k in ks),
        ]
    ]
    single = runs[1]
    for run in runs[2:]:
        run["times faster"] = single["seconds"] / run["seconds"]
        run["times less of processors"] = single["seconds of processors"] / run["seconds of processors"]
        run["psnr above single"] = run["psnr"] - single["psnr"]
        run["sam above single"] = run["sam in degrees"] - single["sam in degrees"]
    return {"counts of the highest peak": None if math.isinf(counts) else counts, "ways": runs}


def main() -> None:
    """Make the phantom, measure it with and without noise, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bands", type=int, default=1000)
    parser.add_argument("--edge", type=int, default=64, help="measured pixels along y and x")
    parser.add_argument("--k", type=int, nargs="*", default=[8, 16, 32])
    parser.add_argument("--counts", type=float, nargs="*", default=[math.inf, 100.0], help="of the highest peak")
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--model", default="hyres-x4")
    arguments = parser.parse_args()
    edge = FACTOR * arguments.edge
    shape = (arguments.bands, edge, edge)
    cube = spectral_cube(shape, seed=arguments.seed, counts=HIGHEST).region([slice(0, n) for n in shape])
    figures: dict[str, Any] = {"shape": shape, "model": arguments.model, "runs": []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        truth = store(folder / "truth.zarr", cube, pixel=1.0)
        # What is measured of a network is kept on this machine; whoever runs first would pay for it.
        small = store(folder / "small.zarr", cube[:1, :FACTOR, :FACTOR].copy(), pixel=1.0)
        scalesr.run(small, folder / "first.zarr", model=arguments.model)
        for counts in arguments.counts:
            figures["runs"].append(compare(truth, cube, folder, counts=counts, ks=arguments.k, network=arguments.model))
            shutil.rmtree(folder / "out.zarr")
    save("eigen", figures)


if __name__ == "__main__":
    main()
