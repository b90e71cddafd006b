"""What measuring costs beside reading, and beside its bare kernels over arrays in memory; and its peak memory.

usage: python -m benchmarks.measuring speed --gigabytes 4
       python -m benchmarks.measuring kernels --size 8192
       python -m benchmarks.measuring memory 1 16            sizes in GB of the pair
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise, product
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.fft
import scipy.sparse
import torch
import zarr
from scipy import ndimage
from skimage.metrics import structural_similarity

import scalesr
from benchmarks.common import save
from scalesr.engine.pairing import match_images
from scalesr.images import Axis, create_image, open_image, pyramid_layout
from scalesr.metrics import Settings, State, make_metrics
from scalesr.metrics.walk import context_of, gather, patches

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scalesr.images import Image

BANDS = 16
EDGE = 512


def make_cube(path: Path, edge: int, *, bands: int, seed: int) -> Image:
    """Write a cube of smooth bands and noise, row of chunks by row of chunks."""
    layout = pyramid_layout(
        axes=(Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
        shape=(bands, edge, edge),
        dtype="uint16",
        scale=(1.0, 1.0, 1.0),
        translation=(0.0, 0.0, 0.0),
        chunks=(1, EDGE, EDGE),
        shards=(1, EDGE, edge),
        smallest=edge,
    )
    writer = create_image(path, layout, mode="overwrite")
    x = np.arange(edge, dtype=np.float32)
    for band in range(bands):
        for start in range(0, edge, EDGE):
            rng = np.random.default_rng((seed, band, start))
            y = np.arange(start, start + EDGE, dtype=np.float32)[:, None]
            smooth = 2000 + 800 * np.sin(x / (23 + band)) * np.cos(y / 31) + 500 * np.sin((x + y) / 7)
            noise = rng.integers(0, 256, (EDGE, edge), dtype=np.uint8)
            region = (slice(band, band + 1), slice(start, start + EDGE), slice(0, edge))
            writer.write(0, region, (smooth + noise).astype(np.uint16)[None])
    writer.publish()
    return open_image(path)


def read_all(images: list[Image], *, by: Literal["zarr", "scalesr"], workers: int) -> None:
    """Read and decode every chunk of some images once, and let it go: with Zarr as it comes, or as scalesr reads."""
    arrays = [zarr.open_array(f"{image.url}/0", mode="r") for image in images]

    def read(job: tuple[int, int, int]) -> int:
        number, band, start = job
        region = (slice(band, band + 1), slice(start, start + EDGE), slice(0, images[number].shape[2]))
        pixels = np.asarray(arrays[number][region]) if by == "zarr" else images[number].read(region)
        return int(pixels[0, 0, 0])

    rows = range(0, images[0].shape[1], EDGE)
    jobs = [(i, b, s) for b in range(images[0].shape[0]) for s in rows for i in range(len(images))]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(read, jobs))


def timed(function: Callable[[], object], *, repeats: int) -> float:
    """Return the least wall time of some calls."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def speed(gigabytes: float, repeats: int) -> None:
    """Compare PSNR and SAM over a pair in storage with reading the pair once."""
    edge = max(1, round(sqrt(gigabytes * 1e9 / 2 / 2 / BANDS) / EDGE)) * EDGE
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as place:
        images = [make_cube(Path(place) / f"{n}.zarr", edge, bands=BANDS, seed=n) for n in range(2)]
        values: dict[str, Any] = {"gigabytes": 2 * images[0].nbytes / 1e9, "workers": workers}
        readers: tuple[Literal["zarr", "scalesr"], ...] = ("zarr", "scalesr")
        for by in readers:
            values[f"reading by {by}"] = timed(partial(read_all, images, by=by, workers=workers), repeats=repeats)
        for names in (("psnr", "sam"), ("psnr",), ("ssim",), ("frc",)):
            work = partial(scalesr.measure, images[0], reference=images[1], metrics=names, workers=workers)
            values["+".join(names)] = timed(work, repeats=repeats)
        for by in readers:
            values[f"psnr+sam over reading by {by}"] = values["psnr+sam"] / values[f"reading by {by}"]
    save("measuring-speed", values)


def bare_ssim(x: NDArray[Any], y: NDArray[Any]) -> dict[str, Callable[[], object]]:
    """Return SSIM over arrays in memory as their users write it."""
    span = 65535.0
    weights = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights /= weights.sum()

    def with_scipy() -> float:
        a, b = x.astype(np.float64), y.astype(np.float64)

        def mean(image: NDArray[Any]) -> NDArray[Any]:
            return np.asarray(ndimage.gaussian_filter(image, 1.5, truncate=3.5))

        ux, uy = mean(a), mean(b)
        vx, vy, vxy = mean(a * a) - ux * ux, mean(b * b) - uy * uy, mean(a * b) - ux * uy
        c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
        s = ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
        return float(s[5:-5, 5:-5].mean())

    def with_torch() -> float:
        a, b = (torch.from_numpy(image.astype(np.float64))[None, None] for image in (x, y))
        row = torch.from_numpy(weights).reshape(1, 1, 1, -1)
        stack = torch.cat([a, b, a * a, b * b, a * b])
        means = torch.nn.functional.conv2d(torch.nn.functional.conv2d(stack, row), row.mT)
        ux, uy, xx, yy, xy = means[:, 0]
        c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
        vx, vy, vxy = xx - ux * ux, yy - uy * uy, xy - ux * uy
        return float((((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))).mean())

    def with_skimage() -> float:
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
        return float(structural_similarity(x, y, data_range=span, **options))

    return {"scipy": with_scipy, "torch": with_torch, "scikit-image": with_skimage}


def bare_frc(x: NDArray[Any], y: NDArray[Any], *, tile: int = 256) -> dict[str, Callable[[], object]]:
    """Return tile-wise Fourier ring correlation over arrays in memory: windowed real transforms and ring sums."""
    ramp = np.hanning(tile // 4)[: tile // 8]
    line = np.concatenate([ramp, np.ones(tile - 2 * len(ramp)), ramp[::-1]])
    window = line[:, None] * line
    frequency = np.hypot(np.fft.fftfreq(tile)[:, None], np.fft.rfftfreq(tile))
    rings = np.minimum(np.floor(frequency * tile).astype(np.intp), tile // 2).ravel()
    matrix = scipy.sparse.csr_array((np.ones(rings.size), (rings, np.arange(rings.size))))

    def tiles(image: NDArray[Any]) -> NDArray[Any]:
        rows, columns = (n // tile for n in image.shape)
        whole = image[: rows * tile, : columns * tile]
        return whole.reshape(rows, tile, columns, tile).swapaxes(1, 2).reshape(-1, tile, tile)

    def by_torch(image: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(torch.fft.rfft2(torch.from_numpy(image)).numpy())

    def work(transform: Callable[[Any], Any], summed: Callable[[NDArray[Any]], NDArray[Any]]) -> list[float]:
        found = []
        for a, b in zip(tiles(x), tiles(y), strict=True):
            f, g = (transform((image - image.mean()) * window) for image in (a, b))
            products = (f.real * g.real + f.imag * g.imag, f.real**2 + f.imag**2, g.real**2 + g.imag**2)
            cross, *powers = (summed(part.ravel()) for part in products)
            found.append(float((cross / np.sqrt(powers[0] * powers[1]))[tile // 4]))
        return found

    transforms = {"numpy": np.fft.rfft2, "scipy": scipy.fft.rfft2, "torch": by_torch}
    sums = {"bincount": lambda part: np.bincount(rings, part, minlength=tile // 2 + 1), "sparse": matrix.__matmul__}
    return {
        f"{name}, {how}": partial(work, transform, summed)
        for (name, transform), (how, summed) in product(transforms.items(), sums.items())
    }


def in_memory(name: str, images: list[Image], arrays: list[NDArray[Any]], *, workers: int) -> Callable[[], object]:
    """Return measuring of arrays in memory: statistic, merging and figures, but neither storage nor the engine."""
    settings = Settings(tile=256)
    subjects = match_images(
        images[0], reference=images[1], measured=None, mask=None, axes=None, settings=settings, position="check"
    )
    frame = subjects.frame
    (metric,) = make_metrics([name], frame, settings)
    statistic = metric.statistic
    context = context_of([statistic], frame)
    pieces = list(patches(frame, arrays[0][None], reference=arrays[1][None], context=context))
    shares = [pieces[len(pieces) * i // workers : len(pieces) * (i + 1) // workers] for i in range(workers)]

    def work() -> object:
        total = State()
        for found in together([partial(gather, [statistic], share) for share in shares]):
            total.merge(found[statistic])
        return metric.finalize(total, frame)

    return work


def together(works: list[Callable[[], Any]]) -> list[Any]:
    """Do some works at once, each in a thread of its own that starts no others."""
    # OpenMP keeps the number for each thread, so that each has to be told; two threads each on as many cores crawl.
    with ThreadPoolExecutor(len(works), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(lambda work: work(), works))


def least(works: dict[str, Callable[[], object]], *, repeats: int) -> dict[str, tuple[float, float]]:
    """Return the least wall and processor time of some works, taken by turns, so that a busy machine is so to all."""
    found = dict.fromkeys(works, (np.inf, np.inf))
    for _ in range(repeats):
        for name, work in works.items():
            began = time.perf_counter(), time.process_time()
            work()
            wall, busy = time.perf_counter() - began[0], time.process_time() - began[1]
            found[name] = min(found[name][0], wall), min(found[name][1], busy)
    return found


def kernels(size: int, repeats: int) -> None:
    """Compare SSIM and FRC with their bare kernels over the same arrays in memory, in as many threads.

    Beside it stands the whole command, which reads the arrays from storage first, and reading alone.
    """
    workers = os.cpu_count() or 1
    values: dict[str, Any] = {"size": size, "workers": workers}
    with tempfile.TemporaryDirectory() as place:
        images = [make_cube(Path(place) / f"{n}.zarr", size, bands=1, seed=n) for n in range(2)]
        x, y = arrays = [image.read((slice(0, 1), slice(0, size), slice(0, size)))[0] for image in images]
        cuts = sorted({i * size // workers // EDGE * EDGE for i in range(workers)})
        parts = [slice(*bounds) for bounds in pairwise([*cuts, size])]
        for name, bare in (("ssim", bare_ssim), ("frc", bare_frc)):
            kinds = [bare(x[part], y[part]) for part in parts]
            works: dict[str, Callable[[], object]] = {
                key: partial(together, [kind[key] for kind in kinds]) for key in kinds[0]
            }
            works["scalesr"] = in_memory(name, images, arrays, workers=workers)
            works["scalesr from storage"] = partial(
                scalesr.measure,
                images[0],
                reference=images[1],
                metrics=[name],
                settings=Settings(tile=256),
                workers=workers,
            )
            works["reading"] = partial(read_all, images, by="zarr", workers=workers)
            found = least(works, repeats=repeats)
            for clock, kind in enumerate(("seconds", "processor seconds")):
                taken = {key: times[clock] for key, times in found.items()}
                values[f"{name}, {kind}"] = taken
                best = min(taken[key] for key in kinds[0])
                values[f"{name} over its bare kernel, {kind}"] = taken["scalesr"] / best
                values[f"{name} from storage over reading and its bare kernel, {kind}"] = taken[
                    "scalesr from storage"
                ] / (best + taken["reading"])
    save("measuring-kernels", values)


def memory(gigabytes: list[float]) -> None:
    """Measure pairs of some sizes, each in a process of its own, and compare their peaks."""
    runs = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        for size in gigabytes:
            edge = ceil(sqrt(size * 1e9 / 2 / 2 / 4) / EDGE) * EDGE
            images = [make_cube(Path(place) / f"{n}.zarr", edge, bands=4, seed=n) for n in range(2)]
            command = [sys.executable, "-m", "benchmarks.measuring", "here", *(image.url for image in images)]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            runs.append({"gigabytes": 2 * images[0].nbytes / 1e9, **json.loads(text.split("RESULT")[1])})
            print(runs[-1], flush=True)
            for image in images:
                shutil.rmtree(image.url)
    peaks = [run["peak"] for run in runs]
    save("measuring-memory", {"runs": runs, "largest over smallest": max(peaks) / min(peaks)})


def here(output: str, reference: str) -> None:
    """Measure in this process and tell its peak."""
    found = scalesr.measure(output, reference=reference, metrics=["psnr", "sam", "ssim", "frc"])
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
    print("RESULT", json.dumps({"peak": peak, "seconds": found.seconds}))


def main() -> None:
    """Run one of the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, option, default in (("speed", "--gigabytes", 4.0), ("kernels", "--size", 8192)):
        command = commands.add_parser(name)
        command.add_argument(option, type=type(default), default=default)
        command.add_argument("--repeats", type=int, default=2)
    commands.add_parser("memory").add_argument("gigabytes", type=float, nargs="+")
    commands.add_parser("here").add_argument("images", nargs=2)
    arguments = parser.parse_args()
    match arguments.command:
        case "speed":
            speed(arguments.gigabytes, arguments.repeats)
        case "kernels":
            kernels(arguments.size, arguments.repeats)
        case "memory":
            memory(arguments.gigabytes)
        case _:
            here(*arguments.images)


if __name__ == "__main__":
    main()
