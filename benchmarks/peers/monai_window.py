"""MONAI's sliding window, with the whole image and the whole result in memory.

Run as ``python -m benchmarks.peers.monai_window JOB.json``.
See https://docs.monai.io/en/stable/inferers.html#sliding-window-inference-function
Variants: ``constant`` and ``gaussian`` are the two ways to blend; ``core`` gives the halo of each window no weight by
`roi_weight_map`, which the same page describes, on an image that is padded by the halo first: no border of a tile is
then part of the result.
"""

from __future__ import annotations

from typing import Any

import torch
from monai.inferers import sliding_window_inference
from torch.nn import functional

from benchmarks.peers.job import Job, Stopwatch, answer, network_of


def main() -> None:
    """Run one plane or volume after the other."""
    job = Job.read()
    with Stopwatch() as watch, torch.inference_mode():
        network = network_of(job)
        options: dict[str, Any] = {
            "roi_size": job.tile,
            "sw_batch_size": job.batch,
            # A hair less than the halo: MONAI cuts the step to a whole number, and would move by a pixel less.
            "overlap": [1 - (cell + 0.01) / n for cell, n in zip(job.cell, job.tile, strict=True)],
            "mode": "gaussian" if job.variant == "gaussian" else "constant",
            # The image and its result stay where they fit; windows go to the device one batch at a time.
            "sw_device": job.device,
            "device": "cpu",
        }
        halo = job.halo if job.variant == "core" else 0
        if halo:
            weights = torch.zeros(job.tile)
            weights[tuple(slice(halo, halo + n) for n in job.cell)] = 1.0
            options["roi_weight_map"] = weights
        for pixels, write in job.planes():
            image = torch.from_numpy(job.unit(pixels))[None, None]
            if halo:
                # Up to whole cells behind the end, so that no window is moved back from it.
                more = [-n % cell for n, cell in zip(pixels.shape, job.cell, strict=True)]
                image = functional.pad(image, (halo,) * 2 * job.ndim, mode="reflect")
                image = functional.pad(image, [n for m in reversed(more) for n in (0, m)], mode="replicate")
            result = sliding_window_inference(image, predictor=network, **options)
            assert isinstance(result, torch.Tensor)
            margin = halo * job.scale
            kept = tuple(slice(margin, margin + n * job.scale) for n in pixels.shape)
            write(job.intensities(result[0, 0][kept].numpy()))
    answer(watch, tiles=network.tiles, pixels=network.pixels)


if __name__ == "__main__":
    main()
