"""How busy the real scheduler keeps workers that sleep, and what a block adds to its memory.

usage: python -m benchmarks.simulation --workers 1000 --blocks 100000 --block-seconds 30
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from math import ceil, isqrt

from benchmarks.common import save
from scalesr.engine import Options, empty_subject, prepare
from scalesr.engine.simulation import simulate

CELL = 64


def main() -> None:
    """Simulate, for each number of workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[50])
    parser.add_argument("--blocks", type=int, default=500)
    parser.add_argument("--block-seconds", type=float, default=5.0)
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
        runs.append({**asdict(found), "tasks per block": prepared.plan.tasks_per_block})
        print(runs[-1], flush=True)
    save("simulation", {"runs": runs})


if __name__ == "__main__":
    main()
