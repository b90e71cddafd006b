"""Peak memory of whole runs, for images of different sizes, beside what the plan projected.

usage: python -m benchmarks.memory identity 1 8 32        sizes in GB of uint16 input
       python -m benchmarks.memory edsr 0.1 1
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scalesr
from benchmarks.common import make_image, network, save
from scalesr.engine import RunStarted

if TYPE_CHECKING:
    from scalesr.engine import Event
    from scalesr.models import Precision

STEP = 4096


def measure(model: str, image: str, target: str, *, precision: Precision) -> dict[str, float]:
    """Run it here; return the peak resident memory of this process and the plan's projection."""
    projected: list[int] = []

    def note(event: Event) -> None:
        if isinstance(event, RunStarted):
            projected.append(event.demand.host_bytes)

    result = scalesr.run(image, target, model=model, precision=precision, callbacks=[note])
    status = Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0] if Path("/proc").is_dir() else "0"
    peak = int(status) * 1024 or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"peak": peak, "projected": projected[0], "seconds": result.seconds, "blocks": result.blocks}


def main() -> None:
    """Run each size in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=["identity", "edsr"])
    parser.add_argument("gigabytes", type=float, nargs="*")
    parser.add_argument("--here", nargs=2, metavar=("IMAGE", "TARGET"))
    parser.add_argument("--weights")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    arguments = parser.parse_args()
    if arguments.here:
        print(
            "RESULT",
            json.dumps(measure(arguments.weights or arguments.model, *arguments.here, precision=arguments.precision)),
        )
        return
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        weights = ["--weights", str(network(folder))] if arguments.model == "edsr" else []
        weights += ["--precision", arguments.precision]
        for size in arguments.gigabytes:
            edge = ceil(sqrt(size * 1e9 / 2) / STEP) * STEP
            image = make_image(folder / "in.zarr", (edge, edge))
            command = [sys.executable, "-m", "benchmarks.memory", arguments.model, *weights]
            command += ["--here", image.url, str(folder / "out.zarr")]
            text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            runs.append({"gigabytes": edge * edge * 2 / 1e9, **json.loads(text.split("RESULT")[1])})
            runs[-1]["projected over measured"] = runs[-1]["projected"] / runs[-1]["peak"]
            print(runs[-1], flush=True)
            shutil.rmtree(folder / "in.zarr")
            shutil.rmtree(folder / "out.zarr")
    peaks = [run["peak"] for run in runs]
    save(
        f"memory-{arguments.model}",
        {"precision": arguments.precision, "runs": runs, "largest over smallest": max(peaks) / min(peaks)},
    )


if __name__ == "__main__":
    main()
