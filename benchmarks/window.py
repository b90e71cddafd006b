"""Memory of client and scheduler while many blocks of nothing run through the rolling window.

usage: python -m benchmarks.window 20000 100000
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import psutil

from benchmarks.common import make_image, save
from scalesr.engine.events import BlockReport
from scalesr.engine.executors import DaskExecutor
from scalesr.engine.normalisation import Normalisation
from scalesr.engine.options import Options
from scalesr.engine.preparing import prepare, subject_of
from scalesr.engine.settling import make_job
from scalesr.engine.window import Tasks, Window
from scalesr.images import Location

if TYPE_CHECKING:
    from scalesr.engine.job import Job


def nothing(*_: object) -> None:
    """Stand in for reading, inference and strips."""


def report(job: Job, block: int, *_: object) -> BlockReport:
    """Stand in for stitching."""
    return BlockReport(block=block, index=job.plan.lattice.index(block), checksums=(), tiles=1, batch=1)


def rehearse(blocks: int) -> dict[str, float]:
    """Send so many blocks through the real scheduler; return its peak memory and the tasks of each block."""
    with tempfile.TemporaryDirectory() as place:
        edge = int(np.ceil(np.sqrt(blocks)))
        image = make_image(Path(place) / "in.zarr", (64, 64))
        subject = subject_of(image)
        options = Options(model="identity", cell=4, halo=1, blend=1, block=1, scheduler="threads")
        # The image is never read: only its shape counts.
        subject = type(subject)(**{**vars(subject), "shape": (4 * edge, 4 * edge)})
        prepared = prepare(subject, options)
        normalisation = Normalisation(offset=(0.0,), gain=(1.0,), axis=None, origin="none")
        location = Location.parse(Path(place) / "out.zarr")
        job, _ = make_job(image, location, prepared, options, normalisation=normalisation, tell=nothing)
        executor = DaskExecutor.local(kind="threads", workers=1, slots=1)
        own = psutil.Process()
        tasks = Tasks(read=nothing, infer=nothing, strip=nothing, stitch=report)
        window = Window(
            job, executor, bytearray(job.plan.blocks), lacking=set(), size=16, tell=lambda _: None, tasks=tasks
        )
        peak = early = 0
        for count, _ in enumerate(window.run()):
            if count % 100 == 0:
                peak = max(peak, own.memory_info().rss)
            if count == 2000:
                early = peak
        executor.close(how="finished")
        return {
            "blocks": job.plan.blocks,
            "tasks per block": job.plan.tasks_per_block,
            "peak": peak,
            "peak of the first 2000": early,
        }


def main() -> None:
    """Run each count in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("blocks", type=int, nargs="+")
    parser.add_argument("--here", action="store_true")
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(rehearse(arguments.blocks[0])))
        return
    runs = []
    for blocks in arguments.blocks:
        command = [sys.executable, "-m", "benchmarks.window", "--here", str(blocks)]
        runs.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(runs[-1], flush=True)
    save("window", {"runs": runs, "largest over smallest": max(r["peak"] for r in runs) / min(r["peak"] for r in runs)})


if __name__ == "__main__":
    main()
