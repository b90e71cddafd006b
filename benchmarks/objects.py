"""Memory and time of measuring 100,000 objects over label images of different sizes, and agreement with scikit-image.

usage: python -m benchmarks.objects 0.5 4 16              sizes in GB of uint32 labels
       python -m benchmarks.objects 0.1 --objects 2000

Objects are ellipses on a lattice that touch across it here and there, so many in an image of any size. The intensities
are two channels of uint16. Parts of the image are measured by scikit-image too, and all common figures compared.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from skimage.measure import regionprops_table

from benchmarks.common import Clock, save
from scalesr.analysis.objects import measure_objects
from scalesr.images import Axis, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHARD = 2048
PROPERTIES = (
    "label",
    "area",
    "centroid",
    "bbox",
    "axis_major_length",
    "axis_minor_length",
    "eccentricity",
    "perimeter",
    "perimeter_crofton",
    "euler_number",
    "intensity_mean",
    "intensity_std",
    "intensity_min",
    "intensity_max",
)
PLACES = {"centroid-0": 0, "centroid-1": 1, "bbox-0": 0, "bbox-1": 1, "bbox-2": 0, "bbox-3": 1}


def labels_of(y: NDArray[Any], x: NDArray[Any], *, pitch: float, across: int) -> NDArray[np.uint32]:
    """Return the labels of some rows and columns: an ellipse in each place of a lattice of `pitch` pixels."""
    row, column = (np.floor(axis / pitch).astype(np.int32) for axis in (y, x))
    dy, dx = ((axis - (place + 0.5) * pitch).astype(np.float32) for axis, place in ((y, row), (x, column)))
    number = row * across + column + 1
    every = np.arange(across * (across + 1) + 2)
    turn, long = every * 0.7, (0.3 + 0.2 * ((every * 7919) % 97) / 97) * pitch
    cos, sin = (np.asarray(wave, np.float32)[number] for wave in (np.cos(turn), np.sin(turn)))
    along, beside = dy * cos + dx * sin, dx * cos - dy * sin
    inside = (along / long.astype(np.float32)[number]) ** 2 + (beside / np.float32(0.35 * pitch)) ** 2 < 1
    return np.where(inside & (column < across) & (row < across), number, 0).astype(np.uint32)


def make(folder: Path, edge: int, objects: int) -> None:
    """Write labels and image, a shard at a time."""
    across = math.isqrt(objects)
    space = (Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer"))
    writers = {}
    for name, axes, dtype in (("labels", space, "uint32"), ("image", (Axis("c", "channel"), *space), "uint16")):
        more = len(axes) - 2
        layout = pyramid_layout(
            axes=axes,
            shape=(2,) * more + (edge, edge),
            dtype=dtype,
            scale=(1.0,) * len(axes),
            translation=(0.0,) * len(axes),
            chunks=(1,) * more + (512, 512),
            shards=(1,) * more + (SHARD, SHARD),
            smallest=edge,
        )
        writers[name] = create_image(folder / name, layout)
    for top in range(0, edge, SHARD):
        for left in range(0, edge, SHARD):
            part = slice(top, min(top + SHARD, edge)), slice(left, min(left + SHARD, edge))
            y, x = np.arange(part[0].start, part[0].stop)[:, None], np.arange(part[1].start, part[1].stop)
            labels = labels_of(y, x, pitch=edge / across, across=across)
            rng = np.random.default_rng((top, left))
            writers["labels"].write(0, part, labels)
            noise = rng.integers(0, 256, labels.shape, dtype=np.uint8)
            bright = (labels % 97).astype(np.uint16)
            for channel, grain in enumerate((noise, noise.T)):
                pixels = grain.reshape(labels.shape) + bright * np.uint16(40 + channel)
                writers["image"].write(0, (slice(channel, channel + 1), *part), pixels[None])
    for writer in writers.values():
        writer.publish()


def measure(folder: Path) -> dict[str, Any]:
    """Measure here; return time, memory, and the largest relative difference from scikit-image on parts that fit."""
    names, field = open_image(folder / "labels"), open_image(folder / "image")
    with Clock() as clock:
        table = measure_objects(names, field)
    worst, compared = 0.0, 0
    edge = names.shape[0]
    size = min(edge, SHARD)
    for top, left in {(0, 0), ((edge - size) // 2,) * 2, (edge - size,) * 2}:
        region = slice(top, top + size), slice(left, left + size)
        labels = names.read(region).astype(np.int64)
        # Only whole objects are the same in a part of the image.
        rim = [labels[0], labels[-1], labels[:, 0], labels[:, -1]]
        labels[np.isin(labels, np.unique(np.concatenate(rim)))] = 0
        pixels = field.read((slice(0, 2), *region)).astype(np.float64)
        found = regionprops_table(labels, np.moveaxis(pixels, 0, -1), properties=PROPERTIES)
        rows = np.searchsorted(table.labels, found["label"])
        compared += len(rows)
        for name, values in found.items():
            expected = values + (top, left)[PLACES[name]] if name in PLACES else values
            gap = np.abs(table[name][rows] - expected) / np.maximum(np.abs(expected), 1)
            worst = max(worst, float(gap.max(initial=0)))
    return {
        "objects": len(table),
        "seconds": clock.wall,
        "processor": clock.cpu,
        "peak": clock.peak,
        "compared": compared,
        "largest difference": worst,
    }


def main() -> None:
    """Measure each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gigabytes", type=float, nargs="*")
    parser.add_argument("--objects", type=int, default=100_000)
    parser.add_argument("--here")
    arguments = parser.parse_args()
    if arguments.here:
        print("RESULT", json.dumps(measure(Path(arguments.here))))
        return
    runs: list[dict[str, Any]] = []
    for size in arguments.gigabytes:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
            edge = math.ceil(math.sqrt(size * 1e9 / 4) / 512) * 512
            make(Path(place), edge, arguments.objects)
            command = [sys.executable, "-m", "benchmarks.objects", "--here", place]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        runs.append({"gigabytes": edge * edge * 4 / 1e9, **json.loads(text.split("RESULT")[1])})
        print(runs[-1], flush=True)
        peaks = [run["peak"] for run in runs]
        save("objects", {"runs": runs, "largest over smallest": max(peaks) / min(peaks)})


if __name__ == "__main__":
    main()
