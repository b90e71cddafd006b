"""What all outputs are compared with: each plane or volume in one piece through the network, without any tile.

Run as ``python -m benchmarks.race.whole JOB.json``.
"""

from __future__ import annotations

import torch

from benchmarks.peers.job import Job, Stopwatch, answer, network_of


def main() -> None:
    """Run one plane or volume after the other."""
    job = Job.read()
    with Stopwatch() as watch, torch.inference_mode():
        network = network_of(job)
        for pixels, write in job.planes():
            batch = torch.from_numpy(job.unit(pixels))[None, None].to(job.device)
            write(job.intensities(network(batch)[0, 0].cpu().numpy()))
    answer(watch, tiles=network.tiles, pixels=network.pixels)


if __name__ == "__main__":
    main()
