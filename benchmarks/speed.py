"""The whole run, Zarr to Zarr, against a bare loop over the same tiles in memory and against MONAI.

usage: python -m benchmarks.speed [--size 8192] [--peer-path FOLDER]     FOLDER: where `pip install --target` put MONAI
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import scalesr
from benchmarks.common import Clock, make_image, network, save
from scalesr.models import load, resolve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.tiling import Plan


def bare_loop(
    pixels: NDArray[np.uint16], weights: Path, plan: Plan, *, side_by_side: int, cores: int | None = None
) -> NDArray[np.uint16]:
    """Run the same network over the same tiles, in memory, with nothing else around it.

    `side_by_side` inferences run at the same time, each with its share of the cores, which are all if not given.
    """
    model = load(resolve(str(weights), image_channels=None, image_axes="yx"))
    axis = plan.lattice.axes[0]
    cell, halo, scale = axis.cell, axis.halo, int(axis.scale)
    low, high = (float(v) for v in np.percentile(pixels, (0.1, 99.9)))
    padded = np.pad(pixels, halo, mode="reflect")
    padded = np.pad(padded, ((0, -pixels.shape[0] % cell), (0, -pixels.shape[1] % cell)), mode="reflect")
    out = np.empty((pixels.shape[0] * scale, pixels.shape[1] * scale), np.uint16)
    origin = torch.zeros((1, 2), dtype=torch.int64)
    threads = (cores or os.cpu_count() or 1) // side_by_side

    def one(corner: tuple[int, int]) -> None:
        torch.set_num_threads(threads)
        y, x = corner
        tile = (padded[y : y + axis.tile, x : x + axis.tile].astype(np.float32) - low) / (high - low)
        with torch.inference_mode():
            batch = torch.from_numpy(tile)[None, None].contiguous(memory_format=torch.channels_last)
            result = model(batch, origin)[0, 0].numpy()
        own = result[halo * scale :][: cell * scale, halo * scale :][:, : cell * scale]
        own = own[: out.shape[0] - y * scale, : out.shape[1] - x * scale]
        values = np.clip(np.rint(own * (high - low) + low), 0, 65535)
        out[y * scale : y * scale + own.shape[0], x * scale : x * scale + own.shape[1]] = values

    corners = [(y, x) for y in range(0, pixels.shape[0], cell) for x in range(0, pixels.shape[1], cell)]
    with ThreadPoolExecutor(side_by_side) as pool:
        list(pool.map(one, corners))
    return out


PEER = """
import sys, time, numpy as np, torch, zarr
from monai.inferers import sliding_window_inference
from safetensors.torch import load_file
from scalesr.models.edsr import EDSR
source, target, weights, overlap = sys.argv[1], sys.argv[2], sys.argv[3], float(sys.argv[4])
network = EDSR(in_channels=1, out_channels=1, features=32, blocks=8, scale=2).eval()
network.load_state_dict(load_file(weights))
began = time.perf_counter()
pixels = zarr.open_array(source + "/0", mode="r")[...]
low, high = np.percentile(pixels, (0.1, 99.9))
image = torch.from_numpy((pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low))[None, None]
with torch.inference_mode():
    result = sliding_window_inference(image, (512, 512), 4, network, overlap=overlap)
values = (result[0, 0].numpy() * (high - low) + low).round().clip(0, 65535).astype(np.uint16)
zarr.create_array(target, shape=values.shape, chunks=(512, 512), shards=(2048, 2048), dtype="uint16")[...] = values
print("SECONDS", time.perf_counter() - began)
"""


def peer(source: str, folder: Path, weights: Path, *, overlap: float, path: str) -> float:
    """Return the seconds that MONAI takes as its users call it: windows of 512, batches of 4, whole image in memory."""
    command = [sys.executable, "-c", PEER, source, str(folder / "peer.zarr"), str(weights), str(overlap)]
    environment = os.environ | {"PYTHONPATH": path}
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    return float(text.split("SECONDS")[1])


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--cell", type=int, default=None)
    parser.add_argument("--peer-path", default=None)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--side-by-side", type=int, nargs="+", default=[1, os.cpu_count() or 1])
    arguments = parser.parse_args()
    figures: dict[str, Any] = {"size": arguments.size, "runs": []}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        weights = network(folder)
        image = make_image(folder / "in.zarr", (arguments.size, arguments.size))
        pixels = np.asarray(image.array()[...])
        for _ in range(arguments.repeats):
            with Clock() as ours:
                result = scalesr.run(
                    image, folder / "out.zarr", model=str(weights), cell=arguments.cell, mode="overwrite"
                )
            run: dict[str, Any] = {"scalesr": ours.wall, "scalesr cpu": ours.cpu, "scalesr peak": ours.peak}
            for side_by_side in arguments.side_by_side:
                with Clock() as loop:
                    expected = bare_loop(pixels, weights, result.plan, side_by_side=side_by_side)
                run[f"bare loop, {side_by_side} side by side"] = loop.wall
                run[f"bare loop cpu, {side_by_side} side by side"] = loop.cpu
                found = np.asarray(result.image.array()[...])
                run["largest difference"] = int(np.abs(found.astype(np.int64) - expected).max())
            best = min(run[f"bare loop, {n} side by side"] for n in arguments.side_by_side)
            run["over the bare loop"] = ours.wall / best
            if arguments.peer_path:
                seconds = peer(image.url, folder, weights, overlap=0.25, path=arguments.peer_path)
                run["MONAI"] = seconds
                run["of MONAI"] = ours.wall / seconds
            figures["runs"].append(run)
            print(run, flush=True)
    save("speed", figures)


if __name__ == "__main__":
    main()
