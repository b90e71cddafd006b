"""A plain loop over tiles in torch, Zarr to Zarr: as users write it, and with channels last. The limit for the others.

Run as ``python -m benchmarks.peers.torch_loop JOB.json``.
Variant ``contiguous`` is what nearly everybody runs; ``channels-last`` is the
memory layout of https://docs.pytorch.org/tutorials/intermediate/memory_format_tutorial.html, one line more.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch

from benchmarks.peers.job import Job, Stopwatch, answer, network_of, tiles_along


def main() -> None:
    """Read a tile with its halo, reflected where the image ends; run it; write what is its own."""
    job = Job.read()
    with Stopwatch() as watch, torch.inference_mode():
        network = network_of(job)
        layout = torch.contiguous_format
        if job.variant == "channels-last":
            layout = torch.channels_last if job.ndim == 2 else torch.channels_last_3d
            network = network.to(memory_format=layout)  # type: ignore[call-overload]
        for image, out in job.images():
            lead = image.ndim - job.ndim
            starts = [tiles_along(n, cell) for n, cell in zip(image.shape[lead:], job.cell, strict=True)]
            for index in itertools.product(np.ndindex(image.shape[:lead]), itertools.product(*starts)):
                plane, corner = index
                own = [
                    slice(start, min(start + cell, n))
                    for start, cell, n in zip(corner, job.cell, image.shape[lead:], strict=True)
                ]
                seen = [
                    slice(max(0, span.start - job.halo), min(n, span.stop + job.halo))
                    for span, n in zip(own, image.shape[lead:], strict=True)
                ]
                pad = [
                    (job.halo - (span.start - s.start), job.halo - (s.stop - span.stop))
                    for span, s in zip(own, seen, strict=True)
                ]
                pixels = np.pad(job.unit(np.asarray(image[(*plane, *seen)])), pad, mode="reflect")
                batch = torch.from_numpy(pixels)[None, None].to(job.device).contiguous(memory_format=layout)
                result = network(batch)[0, 0].cpu().numpy()
                inner = tuple(slice(job.halo * job.scale, n - job.halo * job.scale) for n in result.shape)
                place = (slice(span.start * job.scale, span.stop * job.scale) for span in own)
                out[(*plane, *place)] = job.intensities(result[inner])
    answer(watch, tiles=network.tiles, pixels=network.pixels)


if __name__ == "__main__":
    main()
