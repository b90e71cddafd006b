"""How busy the real scheduler keeps workers that sleep, what a block costs it, and what it adds to its memory.

usage: python -m benchmarks.simulation --workers 1000 --blocks 10000 --block-seconds 30
       python -m benchmarks.simulation --memory --workers 4 --blocks 100000 --block-seconds 0
"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict
from math import ceil, isqrt

from benchmarks.common import save
from scalesr.engine import Options, empty_subject, prepare
from scalesr.engine.simulation import simulate

CELL = 64


def main() -> None:
    """Simulate, for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, nargs="+", default=[50])
    parser.add_argument("--blocks", type=int, default=500)
    parser.add_argument("--block-seconds", type=float, default=5.0)
    parser.add_argument("--memory", action="store_true", help="keep memory over the blocks, in a file of its own")
    arguments = parser.parse_args()
    # Blocks of one cell, blended, so that each hands strips to its neighbours as in a real run.
    edge = CELL * max(8, ceil(1 + isqrt(arguments.blocks)))
    subject = empty_subject((edge, edge), "yx", "uint16")
    options = Options(model="linear", scale=2, cell=CELL, halo=8, blend=4, block=1, scheduler="slurm")
    prepared = prepare(subject, options)
    runs = []
    for workers in arguments.workers:
        found = simulate(
            prepared, subject, workers=workers, blocks=arguments.blocks, block_seconds=arguments.block_seconds
        )
        course = [asdict(sample) for sample in found.course]
        runs.append(
            {
                **asdict(found),
                "course": course if arguments.memory else [course[0], course[-1]],
                "bytes_per_block": found.bytes_per_block,
                "most_blocks_per_second": found.most_blocks_per_second,
                "most_workers": found.most_workers,
                "tasks per block": prepared.plan.tasks_per_block,
                # Where others are at work on the same cores, workers wait for these and not for the scheduler.
                "load of this machine": os.getloadavg()[1],
            }
        )
        print({key: value for key, value in runs[-1].items() if key != "course"}, flush=True)
    save("simulation-memory" if arguments.memory else "simulation", {"runs": runs})


if __name__ == "__main__":
    main()
