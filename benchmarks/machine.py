"""What the machine gives at its best, measured anew in each run: arithmetic, memory, and storage with its coding.

These are rates that something real reaches here, and not those of a data sheet: the best of some convolutions and
matrix products in a number format, a copy between arrays that no cache holds, and whole shards of an image like that of
the benchmarks, written and read as runs do. What others do on the machine at the same moment lowers them.
"""

from __future__ import annotations

import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from benchmarks.common import make_image, processor_name, usable_cores
from scalesr.images import create_image, pyramid_layout

if TYPE_CHECKING:
    from collections.abc import Callable

Format = Literal["fp32", "bf16"]
DTYPES: dict[Format, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16}
CONVOLUTIONS = ((32, 32, 128), (64, 64, 128), (128, 128, 64), (256, 256, 32))
"""Features in and out, and edge of the tile, of convolutions of 3 x 3 with the channels last."""
MATRICES = (512, 1024, 2048)
"""Edges of the matrices that are multiplied."""
PATIENCE = 0.25
"""Seconds for each shape, of which the fastest call counts."""
COPIED = 2**25
"""Values of float32 in the array that is copied: 128 MB, beyond all caches."""
EDGE = 2048
"""Pixels along a shard that is written and read: 8 MB of uint16."""


@dataclass(frozen=True, kw_only=True)
class Peak:
    """The most operations a second in a number format, a multiplication with addition counted as two."""

    one: float
    """Of one thread."""
    all: float
    """Of all cores."""
    by: str
    """What reached it with all cores."""


@dataclass(frozen=True, kw_only=True)
class Coding:
    """Bytes of pixels a second through Zarr, its coding and the file system, by all cores side by side."""

    read: float
    """The file system's cache warm, as it is where an image was just written."""
    write: float
    ratio: float
    """Bytes in files for each byte of pixels."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """All rates."""

    cores: int
    peaks: dict[Format, Peak]
    memory: float
    """Bytes a second, read and written both counted, of a copy by all cores."""
    coding: Coding
    processor: str
    """What the system calls it."""

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON values."""
        return asdict(self)


def measured(place: Path, *, cores: int | None = None, patience: float = PATIENCE) -> Machine:
    """Measure all rates.

    Parameters
    ----------
    place
        Folder on the disk whose rates count; some 100 MB are written there and removed.
    cores
        Threads side by side; as many as this process may use when not given.
    patience
        Seconds for each shape.
    """
    cores = cores or usable_cores()
    return Machine(
        cores=cores,
        peaks={name: peak(name, cores=cores, patience=patience) for name in DTYPES},
        memory=memory_rate(cores=cores, patience=4 * patience),
        coding=coding_rates(place, cores=cores),
        processor=processor_name(),
    )


def peak(name: Format, *, cores: int, patience: float = PATIENCE) -> Peak:
    """Return the most operations a second that convolutions and matrix products reach in a number format."""
    work = dict(_shapes(DTYPES[name]))
    one = max(operations / fastest(call, side_by_side=1, patience=patience) for operations, call in work.values())
    all_cores = {
        shape: cores * operations / fastest(call, side_by_side=cores, patience=patience)
        for shape, (operations, call) in work.items()
    }
    best = max(all_cores, key=lambda shape: all_cores[shape])
    return Peak(one=one, all=all_cores[best], by=best)


def _shapes(dtype: torch.dtype) -> list[tuple[str, tuple[float, Callable[[], object]]]]:
    """Return what is tried: its name, its operations, and a call."""
    found: list[tuple[str, tuple[float, Callable[[], object]]]] = []
    for into, out, edge in CONVOLUTIONS:
        tile = torch.rand((1, into, edge, edge)).to(dtype).contiguous(memory_format=torch.channels_last)
        weights = torch.rand((out, into, 3, 3)).to(dtype).contiguous(memory_format=torch.channels_last)
        call = partial(torch.nn.functional.conv2d, tile, weights, padding=1)
        found.append((f"convolution, {into} to {out} features, {edge} px", (2.0 * into * out * 9 * edge**2, call)))
    for edge in MATRICES:
        matrix = torch.rand((edge, edge)).to(dtype)
        found.append((f"product of {edge} x {edge} matrices", (2.0 * edge**3, partial(torch.mm, matrix, matrix))))
    return found


def fastest(call: Callable[[], object], *, side_by_side: int, patience: float) -> float:
    """Return the seconds of the fastest round in which so many threads make the call once each."""

    def one(_: int) -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            call()

    with ThreadPoolExecutor(side_by_side) as pool:
        list(pool.map(one, range(side_by_side)))
        best, until = float("inf"), perf_counter() + patience
        while perf_counter() < until:
            began = perf_counter()
            list(pool.map(one, range(side_by_side)))
            best = min(best, perf_counter() - began)
    return best


def memory_rate(*, cores: int, patience: float) -> float:
    """Return the bytes a second that a copy reads and writes."""
    source, target = np.ones(COPIED, np.float32), np.ones(COPIED, np.float32)
    parts = list(zip(np.array_split(source, cores), np.array_split(target, cores), strict=True))
    with ThreadPoolExecutor(cores) as pool:
        best, until = float("inf"), perf_counter() + patience
        while perf_counter() < until:
            began = perf_counter()
            list(pool.map(lambda part: np.copyto(part[1], part[0]), parts))
            best = min(best, perf_counter() - began)
    return 2 * source.nbytes / best


def coding_rates(place: Path, *, cores: int, repeats: int = 3) -> Coding:
    """Return how fast whole shards of an image are written and read, with the coding that runs use."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        image = make_image(folder / "source.zarr", (EDGE, EDGE * cores))
        pixels = np.asarray(image.array()[...])
        level = image.levels[0]
        layout = pyramid_layout(
            axes=image.axes,
            shape=level.shape,
            dtype=level.dtype,
            scale=level.scale,
            translation=level.translation,
            chunks=level.chunks,
            shards=(EDGE, EDGE),
            smallest=max(level.shape),
            name="coding",
        )
        regions = [(slice(0, EDGE), slice(EDGE * n, EDGE * (n + 1))) for n in range(cores)]
        write = read = float("inf")
        for _ in range(repeats):
            writer = create_image(folder / "copy.zarr", layout, mode="overwrite")
            write = min(write, _all(lambda region, to=writer: to.write(0, region, pixels[region]), regions))
            array = writer.array(0)
            read = min(read, _all(lambda region, of=array: np.asarray(of[region]), regions))
        stored = sum(file.stat().st_size for file in (folder / "copy.zarr" / "0").rglob("*") if file.is_file())
    return Coding(read=pixels.nbytes / read, write=pixels.nbytes / write, ratio=stored / pixels.nbytes)


def _all(call: Callable[..., object], regions: list[tuple[slice, slice]]) -> float:
    with ThreadPoolExecutor(len(regions)) as pool:
        began = perf_counter()
        list(pool.map(call, regions))
        return perf_counter() - began
