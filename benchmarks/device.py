"""A run, from Zarr to sharded and compressed Zarr, against its network alone on tiles that lie in the device's memory.

usage: python -m benchmarks.device --network rrdb --device cuda --size 8192 --precision bf16 fp16 [--compile]
       python -m benchmarks.device --network rrdb --device cpu --size 512 --features 8 --depth 1 --cell 96

Same tiles, batch, number format and layout for both. What a run takes in whole includes starting Dask and loading the
network; ``steady`` is the time from the first block that is done to the last, for the blocks between them. How busy a
GPU is comes from nvidia-smi: the share of each sampling period in which a kernel ran. How far short formats are from
fp32 is the largest difference between outputs, over the range of fp32's.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import mean
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

import scalesr
from benchmarks.common import Clock, make_image, save
from benchmarks.peers import networks
from scalesr.engine import BlockDone
from scalesr.images import Axis, create_image, open_image, pyramid_layout
from scalesr.models import determinism, load, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalesr.engine import Event, Prepared
    from scalesr.images import Image
    from scalesr.models import Model, ModelRef, Precision

RANGE = (0.0, 5000.0)
"""Intensities that become 0 and 1."""
SHORT = {"bf16": torch.bfloat16, "fp16": torch.float16}
SAMPLE = 0.2
"""Seconds between two samples of how busy a GPU is."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A network, at the size that a GPU of the data centre is asked for."""

    architecture: str
    axes: str
    cell: int
    block: int
    """Cells of a block along each axis."""
    sizes: dict[str, int]
    depth: str
    """Name of the size that `--depth` sets, if there is one."""


KINDS = {
    "rrdb": Kind(
        architecture="rrdb",
        axes="yx",
        cell=448,
        block=4,
        sizes={"in_channels": 1, "out_channels": 1, "features": 64, "growth": 32, "blocks": 23, "scale": 4},
        depth="blocks",
    ),
    "unet3d": Kind(architecture="unet3d", axes="zyx", cell=128, block=2, sizes={"features": 64}, depth=""),
}


class Busy:
    """Samples, by nvidia-smi, the share of time in which a kernel ran on ``cuda`` or ``cuda:N``; elsewhere nothing."""

    def __init__(self, device: str) -> None:
        self._wanted = device.startswith("cuda") and shutil.which("nvidia-smi") is not None
        self._device = device.partition(":")[2] or "0"
        self.share: float | None = None

    def __enter__(self) -> Self:
        if self._wanted:
            query = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", f"--loop-ms={SAMPLE * 1000:.0f}")
            self._sampling = subprocess.Popen(
                ["nvidia-smi", f"--id={self._device}", *query], stdout=subprocess.PIPE, text=True
            )
        return self

    def __exit__(self, *_: object) -> None:
        if self._wanted:
            self._sampling.terminate()
            lines = self._sampling.communicate()[0].split()
            percents = [float(line) for line in lines if line.replace(".", "").isdigit()]
            self.share = mean(percents) / 100 if percents else None


def make_volume(path: Path, size: int) -> Image:
    """Write a cube of blobs and noise, layer of shards by layer of shards."""
    chunk = min(64, size)
    layout = pyramid_layout(
        axes=tuple(Axis(name, "space", "micrometer") for name in "zyx"),
        shape=(size,) * 3,
        dtype="uint16",
        scale=(1.0,) * 3,
        translation=(0.0,) * 3,
        chunks=(chunk,) * 3,
        shards=(2 * chunk,) * 3,
        smallest=size,
        name=path.stem,
    )
    writer = create_image(path, layout, mode="overwrite")
    y, x = np.arange(size, dtype=np.float32)[:, None], np.arange(size, dtype=np.float32)
    plane = 800 * np.sin(x / 23) * np.cos(y / 31) + 500 * np.sin((x + y) / 7)
    for start in range(0, size, 2 * chunk):
        stop = min(start + 2 * chunk, size)
        z = np.arange(start, stop, dtype=np.float32)[:, None, None]
        noise = np.random.default_rng(start).integers(0, 256, (stop - start, size, size), dtype=np.uint8)
        layer = (2000 + plane * np.cos(z / 17) + noise).astype(np.uint16)
        writer.write(0, (slice(start, stop), slice(0, size), slice(0, size)), layer)
    writer.publish()
    return open_image(path)


def some_tiles(image: Image, prepared: Prepared) -> torch.Tensor:
    """Return a batch of tiles of the image, normalised, as the run cuts them."""
    shape = prepared.plan.lattice.tile_shape
    rng = np.random.default_rng(0)
    tiles = []
    for _ in range(prepared.plan.batch):
        starts = [int(rng.integers(0, max(1, size - edge))) for size, edge in zip(image.shape, shape, strict=True)]
        found = image.read(tuple(slice(start, start + edge) for start, edge in zip(starts, shape, strict=True)))
        # Of a small image a tile is mostly reflection.
        whole = np.pad(found, [(0, edge - n) for edge, n in zip(shape, found.shape, strict=True)], mode="symmetric")
        tiles.append((whole.astype(np.float32) - RANGE[0]) / (RANGE[1] - RANGE[0]))
    return torch.from_numpy(np.stack(tiles)[:, None])


def synchronize(device: str) -> None:
    """Wait for a device."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def tiles_a_second(
    call: Callable[[torch.Tensor], object], tiles: torch.Tensor, *, threads: int, slots: int, seconds: float
) -> float:
    """Return how many tiles go through a network that lie in the device's memory, so many calls side by side."""
    device = str(tiles.device)

    def calls(until: float) -> int:
        if device == "cpu":
            torch.set_num_threads(threads)
        own = torch.cuda.stream(torch.cuda.Stream(device)) if device.startswith("cuda") else nullcontext()
        count = 0
        with own, torch.inference_mode():
            while count == 0 or perf_counter() < until:
                call(tiles)
                count += 1
        return count

    with ThreadPoolExecutor(slots) as pool:
        # What torch.compile makes for one thread is not for another.
        each = map if slots == 1 else pool.map
        # The first calls choose kernels and allocate.
        list(each(calls, [0.0] * slots))
        synchronize(device)
        began = perf_counter()
        count = sum(each(calls, [began + seconds] * slots))
        synchronize(device)
        return count * len(tiles) / (perf_counter() - began)


def alone(model: Model, tiles: torch.Tensor, *, threads: int, slots: int, seconds: float) -> float:
    """Return the best rate of a network, one call at a time and as many side by side as in the run."""
    origins = torch.zeros((len(tiles), tiles.ndim - 2), dtype=torch.int64)
    if tiles.ndim == 4:
        tiles = tiles.contiguous(memory_format=torch.channels_last)
    sides = {1, slots} if tiles.is_cuda else {slots}
    return max(
        tiles_a_second(lambda batch: model(batch, origins), tiles, threads=threads, slots=side, seconds=seconds)
        for side in sides
    )


def deviations(ref: ModelRef, tiles: torch.Tensor, short: Sequence[Precision]) -> dict[str, Any]:
    """Return how far short formats are from fp32: the largest and the usual difference, over the range of fp32's."""
    origins = torch.zeros((len(tiles), tiles.ndim - 2), dtype=torch.int64)
    exact = load(ref, device=str(tiles.device))(tiles, origins)
    extent = (exact.max() - exact.min()).item()
    found: dict[str, Any] = {}
    for precision in short:
        difference = (load(ref, device=str(tiles.device), precision=precision)(tiles, origins) - exact).abs()
        found[precision] = {
            "largest": difference.max().item() / extent,
            "root mean square": difference.square().mean().sqrt().item() / extent,
        }
    return found


def compiled(weights: Path, tiles: torch.Tensor, precision: str, *, threads: int, seconds: float) -> dict[str, Any]:
    """Return the rates of the bare module: as it is, through torch.compile, and replayed as a CUDA graph."""
    determinism.settle()
    layout: Any = torch.channels_last if tiles.ndim == 4 else torch.channels_last_3d
    module: Any = networks.load(str(weights)).to(tiles.device).requires_grad_(requires_grad=False)
    module = module.to(memory_format=layout)
    tiles, short = tiles.contiguous(memory_format=layout), SHORT.get(precision)

    def called(network: Any) -> Callable[[torch.Tensor], object]:
        def call(batch: torch.Tensor) -> object:
            with torch.autocast(batch.device.type, dtype=short, enabled=short is not None):
                return network(batch)

        return call

    ways: dict[str, Callable[[torch.Tensor], object]] = {
        "eager": called(module),
        "torch.compile": called(torch.compile(module)),
        "torch.compile, reduce-overhead": called(torch.compile(module, mode="reduce-overhead")),
    }
    if tiles.is_cuda:
        ways["CUDA graph"] = captured(called(module), tiles)
    found: dict[str, Any] = {}
    for name, call in ways.items():
        began = perf_counter()
        with torch.inference_mode():
            call(tiles)
        synchronize(str(tiles.device))
        first = perf_counter() - began
        # Graphs have one input and one output, so that calls go one after the other.
        rate = tiles_a_second(call, tiles, threads=threads, slots=1, seconds=seconds)
        found[name] = {"first call": first, "tiles a second": rate}
        found[name]["over eager"] = rate / found["eager"]["tiles a second"]
    return found


def captured(call: Callable[[torch.Tensor], object], tiles: torch.Tensor) -> Callable[[torch.Tensor], object]:
    """Return a call that replays what one call did, on the same tiles."""
    stream, graph = torch.cuda.Stream(tiles.device), torch.cuda.CUDAGraph()
    stream.wait_stream(torch.cuda.current_stream(tiles.device))
    with torch.cuda.stream(stream), torch.inference_mode():
        for _ in range(3):
            call(tiles)
    torch.cuda.current_stream(tiles.device).wait_stream(stream)
    with torch.inference_mode(), torch.cuda.graph(graph):
        call(tiles)
    return lambda _: graph.replay()


def whole_run(image: Image, target: Path, options: dict[str, Any]) -> dict[str, Any]:
    """Run, and return what it took, and what it left the device to do."""
    done: list[float] = []

    def note(event: Event) -> None:
        if isinstance(event, BlockDone):
            done.append(perf_counter())

    device = options["device"]
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    with Clock() as clock, Busy(device) as busy:
        result = scalesr.run(image, target, mode="overwrite", callbacks=[note], **options)
    steady = (len(done) - 1) / (done[-1] - done[0]) if len(done) > 1 else 1 / clock.wall
    tiles = result.plan.tiles / result.plan.blocks
    return {
        "wall": clock.wall,
        "tiles a second, whole": result.plan.tiles / clock.wall,
        "tiles a second, steady": steady * tiles,
        "input voxels a second": prod(image.shape) / clock.wall,
        "tiles": result.plan.tiles,
        "tiles that only fill batches up": result.plan.tiles_padded - result.plan.tiles,
        "blocks": result.plan.blocks,
        "cores at work": clock.cpu / clock.wall,
        "peak memory": clock.peak,
        "peak device memory": torch.cuda.max_memory_allocated(device) if device.startswith("cuda") else None,
        "device busy": busy.share,
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", choices=sorted(KINDS), default="rrdb")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--size", type=int, default=4096, help="edge of the image")
    parser.add_argument("--cell", type=int)
    parser.add_argument("--block", type=int, help="cells of a block along each axis")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--precision", nargs="+", choices=("fp32", "bf16", "fp16"), default=["fp32"])
    parser.add_argument("--features", type=int, help="channels of the network; 64 when not given")
    parser.add_argument("--depth", type=int, help="blocks of rrdb; 23 when not given")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each rate of the network alone")
    parser.add_argument("--compile", action="store_true", help="also time torch.compile and CUDA graphs")
    given = parser.parse_args()
    kind = KINDS[given.network]
    sizes = kind.sizes | ({"features": given.features} if given.features else {})
    if given.depth and kind.depth:
        sizes[kind.depth] = given.depth
    figures: dict[str, Any] = {**vars(given), "sizes": sizes, "runs": []}
    if given.device.startswith("cuda"):
        figures["gpu"] = torch.cuda.get_device_name(given.device)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        weights = networks.write(folder / "network.safetensors", kind.architecture, **sizes)
        make = make_volume(folder / "in.zarr", given.size) if kind.axes == "zyx" else None
        image = make or make_image(folder / "in.zarr", (given.size, given.size))
        base: dict[str, Any] = {
            "model": "benchmarks.peers.networks:load",
            "model_options": (("weights", str(weights)),),
            "normalise": RANGE,
            "device": given.device,
            "cell": given.cell or kind.cell,
            "block": given.block or kind.block,
            "blend": 0,
            "batch": given.batch,
        }
        ref = resolve(base["model"], image_channels=None, image_axes=kind.axes, options={"weights": str(weights)})
        for precision in given.precision:
            options = base | {"precision": precision}
            prepared = scalesr.plan(image, **options)
            tiles = some_tiles(image, prepared).to(given.device)
            settings = {"threads": prepared.plan.threads, "seconds": given.seconds}
            model = load(ref, device=given.device, precision=precision)
            limit = alone(model, tiles, slots=prepared.workers.slots, **settings)
            run = {"precision": precision, "tile": prepared.plan.lattice.tile_shape, "batch": prepared.plan.batch}
            run |= {"slots": prepared.workers.slots, "network alone, tiles a second": limit}
            run |= whole_run(image, folder / "out.zarr", options)
            for part in ("whole", "steady"):
                run[f"of the network alone, {part}"] = run[f"tiles a second, {part}"] / limit
            if given.compile:
                run["bare module"] = compiled(weights, tiles, precision, **settings)
            figures["runs"].append(run)
            print(run, flush=True)
        short = [each for each in given.precision if each != "fp32"]
        figures["deviation from fp32 over its range"] = deviations(ref, tiles, short)
    save(f"device-{given.network}", figures)


if __name__ == "__main__":
    main()
