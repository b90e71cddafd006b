"""cubed's `map_overlap` and `to_zarr`, with its executor of threads.

Run as ``python -m benchmarks.peers.cubed_overlap JOB.json``.
See https://cubed-dev.github.io/cubed/user-guide/index.html, and for
`map_overlap` its docstring: a border is a constant or nothing, and what overlaps is not cut off. With nothing at the
border of the image the network ends there as it would on the whole image.
"""

from __future__ import annotations

import os

# One thread for each task; must be said before torch is loaded.
os.environ["OMP_NUM_THREADS"] = "1"

import functools
from threading import Lock
from typing import TYPE_CHECKING, Any

import cubed
import torch
from cubed.runtime.executors.local import ThreadsExecutor

from benchmarks.peers import networks
from benchmarks.peers.job import Job, Stopwatch, answer

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

COUNTS = [0, 0]
COUNTING = Lock()


@functools.cache
def loaded(weights: str, device: str) -> nn.Module:
    """Load the network once."""
    return networks.load(weights).to(device)


def restore(
    block: NDArray[Any], *, job: Job, blocks: tuple[int, ...], block_id: tuple[int, ...] | None = None
) -> NDArray[Any]:
    """Run a block with its halo and cut the halo off, which is none where the image ends."""
    assert block_id is not None
    torch.set_num_threads(1)
    lead = block.ndim - job.ndim
    pixels = torch.from_numpy(job.unit(block.reshape(1, 1, *block.shape[lead:]))).to(job.device)
    with COUNTING:
        COUNTS[0] += 1
        COUNTS[1] += pixels.numel()
    with torch.inference_mode():
        result = loaded(job.weights, job.device)(pixels)[0, 0].cpu().numpy()
    margin = job.halo * job.scale
    inner = tuple(
        slice(margin if number else 0, n - margin if number < last - 1 else n)
        for n, number, last in zip(result.shape, block_id[lead:], blocks[lead:], strict=True)
    )
    return job.intensities(result[inner]).reshape((1,) * lead + result[inner].shape)


def main() -> None:
    """Map the function over each image."""
    job = Job.read()
    spec = cubed.Spec(work_dir=job.scratch, allowed_mem=job.extra.get("allowed_mem", "4GB"), reserved_mem="500MB")
    with Stopwatch() as watch:
        results: list[Any] = []
        for source in job.sources:
            stored = cubed.from_zarr(source, spec=spec)
            lead = stored.ndim - job.ndim
            cell = (*(1,) * lead, *job.cell)
            image = stored if stored.chunksize == cell else stored.rechunk(cell)
            large = tuple(
                chunks if axis < lead else tuple(n * job.scale for n in chunks)
                for axis, chunks in enumerate(image.chunks)
            )
            result = cubed.map_overlap(
                restore,
                image,
                dtype=job.out_dtype,
                chunks=large,
                depth={axis: 0 if axis < lead else job.halo for axis in range(image.ndim)},
                boundary="none",
                trim=False,
                job=job,
                blocks=image.numblocks,
            )
            results.append(result)
        # All in one plan, so that fields of a single chunk run side by side.
        cubed.store(results, job.targets, executor=ThreadsExecutor(max_workers=job.threads))
    answer(watch, tiles=COUNTS[0], pixels=COUNTS[1])


if __name__ == "__main__":
    main()
