"""The images of a race: OME-Zarr of any number of axes, written slab by slab; stacks of bands, and plates."""

from __future__ import annotations

import math
import os
import shutil
from typing import TYPE_CHECKING

import numpy as np
import zarr

from scalesr.images import PlateLayout, create_plate, mark_plate, open_image, open_plate

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.race.cases import Case

UNIT, PIXEL = "micrometer", 0.5
LOW, HIGH = 1000.0, 3500.0
"""Intensities that become 0 and 1; given to every tool, so that none has to find them."""
ROWS = 16
"""Rows of pixels whose noise is drawn together."""
SLABS = 16
"""Rows of chunks that differ; a higher image repeats them, as other names of the same files, so that one larger than
the disk can be read."""


def make(case: Case, folder: Path, *, size: int, chunk: int) -> tuple[str, list[str]]:
    """Write the image of a case.

    Parameters
    ----------
    case
        Which image.
    folder
        Where it goes, as ``in.zarr``.
    size
        Edge of the image in pixels.
    chunk
        Edge of the chunks, each a file, as most images are stored.

    Returns
    -------
    tuple
        What scalesr opens, and the arrays that the others open, inside of it.
    """
    place = folder / "in.zarr"
    chunk = min(chunk, size)
    if case.kind != "plate":
        _write(place, case.shape(size), chunk=chunk, seed=0, case=case)
        return str(place), [str(place / "0")]
    names = {f"{chr(65 + number // 12)}/{number % 12 + 1}": ["0"] for number in range(case.count)}
    plate = create_plate(place, PlateLayout.of_wells("race", names))
    for seed, path in enumerate(plate.fields):
        _write(place / path, case.shape(size), chunk=chunk, seed=seed, case=case)
    mark_plate(plate, state="done")
    return str(place), [str(place / path / "0") for path in plate.fields]


def results(case: Case, target: Path) -> list[str]:
    """Return the arrays of an output of scalesr, in the order of `make`."""
    if case.kind == "plate":
        plate = open_plate(str(target))
        return [str(target / path / "0") for path in plate.fields]
    return [str(target / open_image(str(target)).levels[0].path)]


def _write(place: Path, shape: tuple[int, ...], *, chunk: int, seed: int, case: Case) -> None:
    space = len(case.axes)
    lead = len(shape) - space
    names = ("c",) * lead + tuple("zyx"[-space:])
    axes = [{"name": n, "type": "channel"} if n == "c" else {"name": n, "type": "space", "unit": UNIT} for n in names]
    scale = [{"type": "scale", "scale": [1.0] * lead + [PIXEL] * space}]
    images = [{"name": "race", "axes": axes, "datasets": [{"path": "0", "coordinateTransformations": scale}]}]
    group = zarr.create_group(place, attributes={"ome": {"version": "0.5", "multiscales": images}})
    # A file for each chunk, as most images are stored, and as every store and tool can read it.
    out = group.create_array(
        "0", shape=shape, chunks=(1,) * lead + (chunk,) * space, dtype="uint16", dimension_names=names
    )
    height = 1 if lead else chunk
    made = shape[0] if lead else min(shape[0], SLABS * height)
    for start in range(0, made, height):
        stop = min(start + height, shape[0])
        noise = _noise((stop - start, *shape[1:]), start=start, seed=seed, levels=case.noise, rows=1 if lead else ROWS)
        out[start:stop] = (_blobs(noise.shape, start=start) + noise).astype(np.uint16)
    for start in range(made, shape[0], height):
        row = place / "0" / "c"
        shutil.copytree(row / str(start % made // height), row / str(start // height), copy_function=os.link)


def _noise(shape: tuple[int, ...], *, start: int, seed: int, levels: int, rows: int) -> NDArray[np.uint8]:
    """Return noise that does not depend on where slabs begin: each group of rows has a seed of its own."""
    first, last = start // rows, -(-(start + shape[0]) // rows)
    groups = [
        np.random.default_rng((seed, number)).integers(0, levels, (rows, *shape[1:]), dtype=np.uint8)
        for number in range(first, last)
    ]
    return np.concatenate(groups)[start - first * rows :][: shape[0]]


def _blobs(shape: tuple[int, ...], *, start: int) -> NDArray[np.float32]:
    """Return a smooth pattern with details of several sizes, which goes on from one slab to the next."""
    out = np.full(shape, 1900, np.float32)
    for axis, (n, period) in enumerate(zip(shape, (23, 31, 17), strict=False)):
        wave = np.sin((np.arange(n, dtype=np.float32) + (0 if axis else start)) * np.float32(math.tau / period))
        out *= 1 + 0.2 * wave.reshape(tuple(n if k == axis else 1 for k in range(len(shape))))
    return out
