"""`dask.array.map_overlap` and `to_zarr`, as a careful user writes them.

Run as ``python -m benchmarks.peers.dask_overlap JOB.json``.
See https://docs.dask.org/en/stable/array-overlap.html and, for one model in
each process and one thread in each task, https://docs.dask.org/en/stable/array-best-practices.html. Chunks are cells;
the halo is shared between neighbours and cut off by the function, because the result is larger than its input.
Variants: ``threads``, and ``processes``, a local cluster with one thread in each process.
"""

from __future__ import annotations

import functools
import os

# One thread for each task of dask, or the cores are shared out twice; must be said before torch is loaded.
os.environ["OMP_NUM_THREADS"] = "1"

from typing import TYPE_CHECKING, Any

import dask
import dask.array
import numpy as np
import torch
from distributed import Client, LocalCluster

from benchmarks.peers import networks
from benchmarks.peers.job import Job, Stopwatch, answer, expected_pixels

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn


@functools.cache
def loaded(weights: str, device: str) -> nn.Module:
    """Load the network once for each process, and not with every task."""
    return networks.load(weights).to(device)


def restore(block: NDArray[Any], *, job: Job) -> NDArray[Any]:
    """Run a block with its halo and cut the halo off."""
    torch.set_num_threads(1)
    lead = block.ndim - job.ndim
    pixels = torch.from_numpy(job.unit(block.reshape(1, 1, *block.shape[lead:]))).to(job.device)
    with torch.inference_mode():
        result = loaded(job.weights, job.device)(pixels)[0, 0].cpu().numpy()
    inner = tuple(slice(job.halo * job.scale, n - job.halo * job.scale) for n in result.shape)
    return job.intensities(result[inner]).reshape((1,) * lead + result[inner].shape)


def compute(job: Job) -> None:
    """Map the function over each image."""
    stores: list[Any] = []
    for source, target in zip(job.sources, job.targets, strict=True):
        stored = dask.array.from_zarr(source)
        lead = stored.ndim - job.ndim
        image = stored.rechunk((*(1,) * lead, *job.cell))
        large = tuple(
            chunks if axis < lead else tuple(n * job.scale for n in chunks) for axis, chunks in enumerate(image.chunks)
        )
        depth = {axis: 0 if axis < lead else job.halo for axis in range(image.ndim)}
        result = dask.array.map_overlap(
            restore,
            image,
            depth=depth,
            boundary=dict.fromkeys(range(lead), "none") | dict.fromkeys(range(lead, image.ndim), "reflect"),
            trim=False,
            # The last chunk may be smaller than the halo; it stays a chunk where it can.
            allow_rechunk=True,
            chunks=large,
            dtype=job.out_dtype,
            meta=np.empty((0,) * image.ndim, job.out_dtype),
            job=job,
        )
        stores.append(result.to_zarr(target, compute=False))
    # All in one graph, so that fields of a single chunk run side by side.
    dask.compute(*stores)  # type: ignore[attr-defined]


def main() -> None:
    """Compute with threads or with processes."""
    job = Job.read()
    with Stopwatch() as watch:
        if job.variant == "processes":
            with (
                LocalCluster(
                    n_workers=job.threads, threads_per_worker=1, processes=True, dashboard_address=None
                ) as own,
                Client(own),
            ):
                compute(job)
        else:
            with dask.config.set(scheduler="threads", num_workers=job.threads):
                compute(job)
    tiles, pixels = expected_pixels(job)
    answer(watch, tiles=tiles, pixels=pixels)


if __name__ == "__main__":
    main()
