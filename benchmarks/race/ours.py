"""scalesr in a race: one run from image to image, in a process of its own like every other tool.

Run as ``python -m benchmarks.race.ours JOB.json``. Variant ``same`` takes the cells and the halo of the others; without
it scalesr chooses.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# What is measured is the run, and not the page about it.
os.environ.setdefault("SCALESR_REPORT", "none")

# By name: what the package imports when it is first asked for is imported before the clock starts, as with the others.
from benchmarks.peers.job import Job, Stopwatch, answer
from scalesr import open_image, open_plate, plan, run

if TYPE_CHECKING:
    from scalesr.tiling import Plan


def options(job: Job) -> dict[str, Any]:
    """Return what the run is told."""
    said: dict[str, Any] = {
        "normalise": (job.low, job.high),
        "out_dtype": job.out_dtype,
        "device": job.device,
        "workers": job.threads,
        "threads": 1,
        "flux": "free",
        "precision": job.extra.get("precision", "fp32"),
    }
    if job.extra["model"] == "file":
        said["model"] = job.weights
    else:
        said |= {"model": "benchmarks.peers.networks:load", "model_options": (("weights", job.weights),)}
        said["axes"] = "zyx"[-job.ndim :]
    if job.variant == "same":
        said |= {"cell": tuple(job.cell), "halo": job.halo}
    if "blend" in job.extra:
        # Neighbours are faded into each other within what both have computed: its own halo is longer by that.
        said["blend"] = int(job.extra["blend"])
    return said


def main() -> None:
    """Run it, and say which tiles there were."""
    job = Job.read()
    source, target = job.extra["image"], job.extra["target"]
    with Stopwatch() as watch:
        if job.extra["kind"] == "plate":
            plate = open_plate(source)
            result: Any = run(plate, target, **options(job))
            fields, first = len(plate.fields), plate.open_field(plate.fields[0])
        else:
            result = run(source, target, **options(job))
            fields, first = 1, open_image(source)
    made: Plan = result.plan if fields == 1 else plan(first, **options(job)).plan
    axes = [axis for axis in made.lattice.axes if axis.name in "zyx"[-job.ndim :]]
    seen = 1
    for axis in axes:
        seen *= axis.tile
    answer(
        watch,
        tiles=made.tiles * fields,
        pixels=made.tiles * fields * seen,
        cell=[axis.cell for axis in axes],
        halo=[axis.halo for axis in axes],
    )


if __name__ == "__main__":
    main()
