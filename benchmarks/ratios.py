"""A quick check that nothing has become slower than it was, by ratios and not by seconds: two to three minutes.

usage: python -m benchmarks.ratios [--check] [--only overhead memory]

Seconds differ from machine to machine and from hour to hour; what a run takes in proportion to a bare loop in the same
process, a moment before or after, does so far less. The two that are compared take turns, first the one and then the
other, and the median of their ratios counts. Its bounds are generous: they do not say how fast it is, but when somebody
should look, and at what. A ratio beyond its bound is measured once more before it counts. With `--check` it is the exit
status that tells; without, the ratios are kept with the other results, unless they are only some.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from statistics import median
from time import perf_counter, process_time, sleep
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

import scalesr
from benchmarks.common import make_image, network, save, usable_cores
from benchmarks.machine import peak
from benchmarks.overhead import BARE, Comparison
from benchmarks.peers import networks
from benchmarks.speed import bare_loop
from scalesr.engine import BlockDone, Options, prepare, subject_of
from scalesr.engine.executors import DaskExecutor
from scalesr.models import load

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalesr.engine import Event, Prepared
    from scalesr.models import Precision

SIZE = 1024
"""Pixels along the image that the network enlarges."""
TURNS = 3
"""How often two that are compared take turns."""
TILE = (1, 1, 256, 256)
RESTED = 2.0
"""Seconds that workers have nothing to do."""
FLAT = (4096, 8192)
"""Edges of the images whose copies are to take the same memory: 34 and 134 MB."""


class Ground:
    """What the checks share, made when the first asks for it.

    Parameters
    ----------
    folder
        Where everything is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cores = usable_cores()
        self.weights = network(folder)

    @cached_property
    def image(self) -> scalesr.Image:
        """The image that the network enlarges."""
        return make_image(self.folder / "in.zarr", (SIZE, SIZE))

    @cached_property
    def prepared(self) -> Prepared:
        """The run of it."""
        return prepare(subject_of(self.image), Options(model=str(self.weights)))

    def run(self) -> list[int]:
        """Run the network over the image, and return the tiles of each block."""
        tiles: list[int] = []

        def note(event: Event) -> None:
            if isinstance(event, BlockDone):
                tiles.append(event.report.tiles)

        target = self.folder / "out.zarr"
        scalesr.run(self.image, target, model=str(self.weights), mode="overwrite", callbacks=[note])
        return tiles


def in_turn(one: Callable[[], object], other: Callable[[], object], *, turns: int = TURNS) -> list[float]:
    """Return the wall time of one over that of the other, for each turn; each goes once before that counts."""
    ratios = []
    one(), other()
    for turn in range(turns):
        pair = (one, other) if turn % 2 == 0 else (other, one)
        taken = [_seconds(call) for call in pair]
        ratios.append(taken[0] / taken[1] if turn % 2 == 0 else taken[1] / taken[0])
    return ratios


def _seconds(call: Callable[[], object]) -> float:
    began = perf_counter()
    call()
    return perf_counter() - began


def run_over_bare_loop(ground: Ground) -> list[float]:
    """Return a run from Zarr to Zarr over the same tiles through the same network in memory."""
    pixels, plan = np.asarray(ground.image.array()[...]), ground.prepared.plan
    return in_turn(ground.run, lambda: bare_loop(pixels, ground.weights, plan, side_by_side=ground.cores))


def network_over_plain(ground: Ground) -> list[float]:
    """Return the network as a run has it over the plain module, contiguous in memory, as one who loads it has it."""
    plain = networks.load(str(ground.weights))
    ours, tile, origin = load(ground.prepared.ref), torch.rand(TILE), torch.zeros((1, 2), dtype=torch.int64)
    torch.set_num_threads(1)

    def module() -> None:
        with torch.inference_mode():
            plain(tile)

    return in_turn(lambda: ours(tile, origin), module, turns=2 * TURNS)


def short_over_long(ground: Ground) -> list[float]:
    """Return bf16 over fp32 of the network, in proportion to what convolutions of that format gain on this machine."""
    tile, origin = torch.rand(TILE), torch.zeros((1, 2), dtype=torch.int64)
    torch.set_num_threads(1)

    def call(precision: Precision) -> Callable[[], object]:
        model = load(ground.prepared.ref, precision=precision)
        return lambda: model(tile, origin)

    gained = peak("bf16", cores=1, patience=0.1).one / peak("fp32", cores=1, patience=0.1).one
    return [ratio * gained for ratio in in_turn(call("bf16"), call("fp32"), turns=2 * TURNS)]


def overhead(ground: Ground) -> list[float]:
    """Return the processor seconds of a run with blocks of one second over those of a bare loop."""
    # A folder of its own each time: what lay at a place is still open in this process.
    folder = Path(tempfile.mkdtemp(dir=ground.folder))
    comparison = Comparison(folder, blocks=3, seconds=1.0, threads=ground.cores)
    found = []
    for turn in range(2):
        order = ("whole", BARE) if turn % 2 == 0 else (BARE, "whole")
        taken = {name: comparison.once(name)["cpu"] for name in order}
        found.append(taken["whole"] / taken[BARE])
    return found


def resting(ground: Ground) -> list[float]:
    """Return the processor seconds of each second in which the workers of this machine have nothing to do."""
    executor = DaskExecutor.local(kind="threads", workers=ground.cores, slots=ground.cores)
    try:
        # What comes of their start is over by then.
        sleep(RESTED)
        found = []
        for _ in range(TURNS):
            cpu, wall = process_time(), perf_counter()
            sleep(RESTED)
            found.append((process_time() - cpu) / (perf_counter() - wall))
        return found
    finally:
        executor.close(how="finished")


COPY = """
import pathlib, resource, sys, scalesr
scalesr.run(sys.argv[1], sys.argv[2], model="identity", cell=512, block=2, mode="overwrite")
status = pathlib.Path("/proc/self/status")
lines = status.read_text().splitlines() if status.exists() else []
own = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
print("PEAK", own[0] if own else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
"""A run with the same blocks whatever the image: by default small images have smaller ones. What `getrusage` says on
Linux begins with the peak of the process that started this one."""


def memory(ground: Ground) -> list[float]:
    """Return the peak of a copy of an image over that of one of a quarter of its size, each in a process of its own."""
    peaks = []
    for edge in FLAT:
        image = make_image(ground.folder / f"{edge}.zarr", (edge, edge))
        command = [sys.executable, "-c", COPY, image.url, str(ground.folder / f"{edge}-copy.zarr")]
        # What it says of an error is for who reads this.
        text = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        peaks.append(float(text.split("PEAK")[1]))
    return [peaks[1] / peaks[0]]


def tiles(ground: Ground) -> list[float]:
    """Return the tiles that a run computed over those that its image has."""
    axes = ground.prepared.plan.lattice.axes
    return [sum(ground.run()) / prod(math.ceil(axis.size / axis.cell) for axis in axes)]


@dataclass(frozen=True, kw_only=True)
class Check:
    """A ratio, and what it may be."""

    name: str
    says: str
    """What is over what."""
    most: float
    """The largest that is well."""
    least: float = 0.0
    """The smallest."""
    look: str
    """Where to look when it is not."""
    measure: Callable[[Ground], list[float]]


CHECKS = (
    Check(
        name="run",
        says="a run from Zarr to Zarr over a bare loop in memory",
        most=1.25,
        look="benchmarks.overhead tells the shares; engine/inference.py and the executors are at work in every tile",
        measure=run_over_bare_loop,
    ),
    Check(
        name="network",
        says="the network as a run has it over the plain module",
        most=1.1,
        look="models/network.py chooses the layout, models/fusing.py what is done in one pass",
        measure=network_over_plain,
    ),
    Check(
        name="bf16",
        says="bf16 over fp32, times what convolutions gain by bf16 here",
        most=2.0,
        look="models/network.py and models/fusing.py: which layers are left in float32, and how often values are cast",
        measure=short_over_long,
    ),
    Check(
        name="overhead",
        says="processor time of a run with blocks of 1 s over a bare loop",
        most=1.10,
        look="benchmarks.overhead tells the shares; executors/dask.py, engine/stitching.py, engine/riding.py",
        measure=overhead,
    ),
    Check(
        name="resting",
        says="processor time of workers that wait over wall time",
        most=0.02,
        look="the settings of Dask in engine/executors/dask.py, and what else is called by the clock",
        measure=resting,
    ),
    Check(
        name="memory",
        says="peak of a copy over that of an image of a quarter of its size",
        most=1.2,
        look="engine/window.py bounds what is in flight; benchmarks.memory and benchmarks.window measure more",
        measure=memory,
    ),
    Check(
        name="tiles",
        says="tiles computed over tiles of the image",
        most=1.0,
        least=1.0,
        look="tiling/lattice.py: each cell belongs to one block",
        measure=tiles,
    ),
)
"""What is checked. Bounds are some two to three times as far from 1 as what was measured, or as wide as the noise."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a check."""

    check: Check
    ratio: float
    each: tuple[float, ...]
    """Of all turns."""
    measured: int
    """How often: twice where the first time was beyond the bound."""

    @property
    def well(self) -> bool:
        """Whether the ratio is within its bounds; one that is no number is not."""
        return self.check.least <= self.ratio <= self.check.most

    def line(self) -> str:
        """Return it in words."""
        bound = f"at most {self.check.most:g}" + (f", at least {self.check.least:g}" if self.check.least else "")
        spread = f"{min(self.each):.3f} to {max(self.each):.3f} in {len(self.each)} turns"
        words = (
            f"{'well' if self.well else 'BAD':<5}{self.check.name:<10}{self.ratio:7.3f}  ({bound})  {self.check.says}"
        )
        again = ", measured twice" if self.measured > 1 else ""
        return words + f": {spread}{again}" + ("" if self.well else f"\n     look at {self.check.look}")


def judged(check: Check, ground: Ground) -> Verdict:
    """Measure a ratio; where it is beyond its bounds, once more, which then counts.

    Raises
    ------
    ValueError
        Nothing was measured.
    """
    for measured in (1, 2):
        each = tuple(check.measure(ground))
        if not each:
            raise ValueError(f"{check.name} measured nothing; its function must return a ratio for each turn.")
        verdict = Verdict(check=check, ratio=median(each), each=each, measured=measured)
        if verdict.well:
            break
    return verdict


def all_judged(checks: Sequence[Check], ground: Ground) -> list[Verdict]:
    """Judge one check after the other, and tell each as it ends."""
    verdicts = []
    for check in checks:
        verdicts.append(judged(check, ground))
        print(verdicts[-1].line(), flush=True)
    return verdicts


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with status 1 where a ratio is beyond its bounds")
    parser.add_argument("--only", nargs="+", choices=[check.name for check in CHECKS], help="some of the ratios")
    arguments = parser.parse_args()
    chosen = [check for check in CHECKS if arguments.only is None or check.name in arguments.only]
    began = perf_counter()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        verdicts = all_judged(chosen, Ground(Path(place)))
    print(f"{perf_counter() - began:.0f} s")
    if arguments.check:
        bad = [verdict.check.name for verdict in verdicts if not verdict.well]
        raise SystemExit(f"Beyond their bounds: {', '.join(bad)}." if bad else 0)
    if arguments.only is not None:
        # Some of them do not replace all.
        return
    ratios: dict[str, Any] = {
        verdict.check.name: {
            "says": verdict.check.says,
            "ratio": verdict.ratio,
            "each": list(verdict.each),
            "least": verdict.check.least,
            "most": verdict.check.most,
        }
        for verdict in verdicts
    }
    save("ratios", {"load of this machine": os.getloadavg()[1], "ratios": ratios})


if __name__ == "__main__":
    main()
