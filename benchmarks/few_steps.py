"""Voxels a second of the fast mode and of few steps of diffusion, against 200 steps, with what they are worth.

usage: python -m benchmarks.few_steps --data FOLDER [--specimen fib-sem] [--crop 61] [--repeats 3] [--long 1]

One test block of `training/volumes.py`, of which every fourth plane is kept, is restored by `msdsr-fast` (one pass of a
network that was taught by the diffusion), by `msdsr` (ten deterministic steps) and by 200 stochastic steps (DDIM, eta
1, slices fused at the end), each by `scalesr.run` from store to store. What was asked for is ten times the voxels a
second at a SliceFID within 5 % of that of 200 steps. CPU times are of the process, with one thread for each network;
ratios are of one repeat, and their medians count; where the 200 steps are done less often, their last time counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

import torch

from benchmarks.common import save
from benchmarks.volumes import blocks, cropped, judged, methods, restored

SPACING = 4
LONG = "msdsr, 200 steps"
NAMES = ("linear", "msdsr-fast", "msdsr", LONG)
FASTER, BOUND = 10.0, 1.05
"""How many times faster was asked for, and how much larger than that of 200 steps a SliceFID may be."""
DISTANCE = "slice_fid mean of planes"


def main() -> None:
    """Run it, and save the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=os.environ.get("SCALESR_DATA"), help="folder of the real images")
    parser.add_argument("--specimen", default="fib-sem")
    parser.add_argument("--crop", type=int, default=61, help="use at most so many voxels along each axis")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long", type=int, default=1, help="repeats in which the 200 steps are done")
    options = parser.parse_args()
    if options.data is None:
        parser.error("name the folder of the real images with --data or SCALESR_DATA")
    torch.set_num_threads(1)
    whole = cropped(blocks("test", data=options.data)[options.specimen], options.crop)
    truth = whole[: (len(whole) - 1) // SPACING * SPACING + 1]
    times: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
    quality: dict[str, dict[str, float]] = {}
    for repeat in range(options.repeats):
        for method in methods(NAMES, folder=None):
            if method.name == LONG and repeat >= options.long:
                times[LONG].append(times[LONG][-1])
                continue
            with tempfile.TemporaryDirectory() as place:
                folder, began = Path(place), process_time()
                made, seconds = restored(truth[::SPACING], method, spacing=SPACING, folder=folder, depth=float(SPACING))
                times[method.name].append({"cpu": process_time() - began, "wall": seconds})
                if method.name not in quality:
                    quality[method.name] = judged(made[: len(truth)], truth, folder, distances=("slice_fid",))
            print(f"{method.name:18s} {times[method.name][-1]}", flush=True)
    rows: dict[str, Any] = {}
    for name, all_of in times.items():
        row: dict[str, Any] = {}
        for clock in ("cpu", "wall"):
            row[f"voxels a second, {clock}"] = truth.size / statistics.median(each[clock] for each in all_of)
            row[f"times 200 steps, {clock}"] = statistics.median(
                long[clock] / each[clock] for each, long in zip(all_of, times[LONG], strict=True)
            )
        row["SliceFID over that of 200 steps"] = quality[name][DISTANCE] / quality[LONG][DISTANCE]
        row["within the bound"] = row["SliceFID over that of 200 steps"] <= BOUND
        row["fast enough"] = row["times 200 steps, cpu"] >= FASTER
        rows[name] = {**row, **quality[name]}
    save(
        "few-steps",
        {
            **{name: getattr(options, name) for name in ("specimen", "crop", "repeats", "long")},
            "shape": truth.shape,
            "methods": rows,
        },
    )


if __name__ == "__main__":
    main()
