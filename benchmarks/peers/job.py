"""What every peer shares: the job it is given as JSON, the clock around its computation, and the line that it answers.

A job names one or several images, each an array of Zarr of its own, and where the results go. An array with one axis
more than the tile has is a stack of planes that are independent of each other. Nothing here is imported from scalesr.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
import zarr
from torch import nn

from benchmarks.peers import networks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a tool is to do."""

    sources: list[str]
    """Arrays of Zarr: folders or URLs."""
    targets: list[str]
    """Arrays of Zarr that are made, one for each source."""
    weights: str
    """File of weights, see `networks.load`."""
    scale: int
    """Output pixels for each input pixel and axis."""
    cell: list[int]
    """Input pixels that a tile answers for, along the axes that the network mixes."""
    halo: int
    """Input pixels of context on each side of a cell."""
    batch: int
    """Tiles that go through the network at once, where the tool has batches."""
    low: float
    """Intensity that becomes 0 for the network."""
    high: float
    """Intensity that becomes 1."""
    threads: int
    """Cores that may be used."""
    device: str
    """``cpu`` or ``cuda``."""
    variant: str = ""
    """How the tool is run, where it can be run in several ways."""
    out_dtype: str = "float32"
    """Number format of the result."""
    scratch: str = "."
    """A folder for files in between."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Options that only some tools have."""

    @classmethod
    def read(cls) -> Self:
        """Read the job from the file that the command line names."""
        return cls(**json.loads(Path(sys.argv[1]).read_text()))

    def write(self, path: Path) -> Path:
        """Write the job to a file."""
        path.write_text(json.dumps(asdict(self)))
        return path

    @property
    def tile(self) -> tuple[int, ...]:
        """Edges of what the network sees."""
        return tuple(n + 2 * self.halo for n in self.cell)

    @property
    def ndim(self) -> int:
        """Axes that the network mixes."""
        return len(self.cell)

    def unit(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Return intensities as the network wants them."""
        out: NDArray[np.float32] = pixels.astype(np.float32) - np.float32(self.low)
        out /= np.float32(self.high - self.low)
        return out

    def intensities(self, values: NDArray[np.float32]) -> NDArray[Any]:
        """Return what the network made as intensities, in the number format of the result."""
        out = values * np.float32(self.high - self.low) + np.float32(self.low)
        if np.dtype(self.out_dtype).kind == "f":
            return np.asarray(out, self.out_dtype)
        limits = np.iinfo(self.out_dtype)
        rounded: NDArray[Any] = np.clip(np.rint(out), limits.min, limits.max).astype(self.out_dtype)
        return rounded

    def images(self) -> Iterator[tuple[zarr.Array[Any], zarr.Array[Any]]]:
        """Open each source, and make its target, whose chunks are what a cell becomes."""
        for source, target in zip(self.sources, self.targets, strict=True):
            image = zarr.open_array(source, mode="r")
            yield image, self.create(target, image.shape)

    def create(self, target: str, shape: tuple[int, ...]) -> zarr.Array[Any]:
        """Make the array for the result of an image of a shape."""
        lead = len(shape) - self.ndim
        large = (*shape[:lead], *(n * self.scale for n in shape[lead:]))
        cell = (*(1,) * lead, *(min(n, size) * self.scale for n, size in zip(self.cell, shape[lead:], strict=True)))
        return zarr.create_array(target, shape=large, chunks=cell, dtype=self.out_dtype)

    def planes(self) -> Iterator[tuple[NDArray[Any], Any]]:
        """Read one plane or volume after the other whole, with a function that writes its result."""
        for image, out in self.images():
            for lead in np.ndindex(image.shape[: image.ndim - self.ndim]):
                yield np.asarray(image[lead]), _Writer(out, lead)


@dataclass(frozen=True)
class _Writer:
    """Where the result of a plane goes."""

    out: zarr.Array[Any]
    lead: tuple[int, ...]

    def __call__(self, values: NDArray[Any]) -> None:
        place: Any = (*self.lead, ...)
        self.out[place] = values


class Counted(nn.Module):
    """A network that counts what goes through it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.tiles = 0
        self.pixels = 0

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Run a batch."""
        self.tiles += batch.shape[0]
        self.pixels += batch.shape[0] * int(np.prod(batch.shape[2:]))
        out: torch.Tensor = self.network(batch)
        return out


def network_of(job: Job) -> Counted:
    """Load the network to where it runs, with as many threads as the job allows."""
    torch.set_num_threads(job.threads)
    return Counted(networks.load(job.weights).to(job.device))


class Stopwatch:
    """Seconds, CPU seconds and bytes of the computation, of this process and of those that it has waited for."""

    def __enter__(self) -> Self:
        self._began = time.perf_counter(), _cpu(), _transferred()
        return self

    def __exit__(self, *_: object) -> None:
        seconds, cpu, transferred = self._began
        self.seconds = time.perf_counter() - seconds
        self.cpu = _cpu() - cpu
        self.read, self.written = (after - n for after, n in zip(_transferred(), transferred, strict=True))


def _cpu() -> float:
    return sum(os.times()[:4])


def _transferred() -> tuple[int, int]:
    path = Path("/proc/self/io")
    if not path.is_file():
        return 0, 0
    fields = dict(line.split(": ") for line in path.read_text().splitlines())
    return int(fields["rchar"]), int(fields["wchar"])


def tiles_along(size: int, cell: int) -> list[int]:
    """Return where cells begin."""
    return list(range(0, size, cell))


def answer(watch: Stopwatch, *, tiles: int, pixels: int, **more: Any) -> None:
    """Print the one line that the race reads: figures of the computation, tiles and pixels that the network saw."""
    peak = torch.cuda.max_memory_reserved() if torch.cuda.is_available() else None
    said = {
        "seconds": watch.seconds,
        "cpu": watch.cpu,
        "read": watch.read,
        "written": watch.written,
        "tiles": tiles,
        "pixels": pixels,
        "device_peak": peak,
        **more,
    }
    print("\nANSWER", json.dumps(said), flush=True)


def expected_pixels(job: Job) -> tuple[int, int]:
    """Return tiles and pixels that the network sees where each cell is computed once, with all of its halo."""
    tiles = pixels = 0
    for source in job.sources:
        shape = zarr.open_array(source, mode="r").shape
        lead = int(np.prod(shape[: len(shape) - job.ndim]))
        edges = [
            [min(n, size - start) + 2 * job.halo for start in tiles_along(size, n)]
            for size, n in zip(shape[-job.ndim :], job.cell, strict=True)
        ]
        every = [int(np.prod(combination)) for combination in itertools.product(*edges)]
        tiles += lead * len(every)
        pixels += lead * sum(every)
    return tiles, pixels
