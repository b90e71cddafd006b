"""What a run adds to the network: the same calls in a bare loop, and the run with its parts taken away one by one.

usage: python -m benchmarks.overhead [--blocks 6] [--block-seconds 1] [--repeats 3]

The network costs a fixed processor time for each tile (`benchmarks.fixed_cost`), so that blocks take a second whatever
the machine does. The bare loop reads each block from Zarr, cuts its tiles, runs the network, and writes whole shards in
the same coding, in as many threads; it keeps no ledger, measures nothing, makes no pyramid, and nobody schedules it.
All ways take turns. What counts are processor seconds between the moment when all is prepared and the last block:
overhead is what a run uses above the bare loop, over what that uses. Its wall time says the same of a machine on which
nobody else is at work. What is done once for a run, whatever its size, is told beside it.

Shares of single parts are those of a run with the serial scheduler, in which one thing is done at a time: processor
seconds of the whole process, the threads of Zarr included, while a part is at work, without the parts inside it.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any, Literal
from unittest.mock import patch

import numpy as np
import torch

import scalesr
from benchmarks.account import Account, counted
from benchmarks.common import make_image, save, usable_cores
from benchmarks.fixed_cost import FACTOR, SPENT, FixedCost
from scalesr.engine import (
    BlockDone,
    Options,
    RunStarted,
    planning,
    prepare,
    subject_of,
)
from scalesr.engine.preparing import layout_of
from scalesr.images import create_image

if TYPE_CHECKING:
    from scalesr.engine import Event
    from scalesr.images import Image, ImageLayout
    from scalesr.tiling import Plan

MODEL = "benchmarks.fixed_cost:fixed_cost"
CELL, CELLS = 256, 2
"""Input pixels of a tile without its context, and tiles along either side of a block: 512 x 512 px in a second is what
the EDSR of the other benchmarks does on half a core to one."""
ASKED = 0.03
"""Overhead that is allowed at blocks of a second."""
PIXELS = ("psnr", "mae", "pearson")
"""What is measured on the way: what compares pixel by pixel."""
NOTHING = 2**62
"""An image that is no larger has no pyramid."""
BARE, SERIAL = "bare loop", "serial"


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Clocks at one moment."""

    cpu: float
    wall: float
    network: float

    @classmethod
    def now(cls) -> Marks:
        """Read them."""
        return cls(cpu=process_time(), wall=perf_counter(), network=SPENT.seconds)


class Phases:
    """Notes when all is prepared, and when the last block is done."""

    def __init__(self) -> None:
        self.began = self.started = self.ended = Marks.now()

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if isinstance(event, RunStarted):
            self.started = Marks.now()
        elif isinstance(event, BlockDone):
            self.ended = Marks.now()


def bare_loop(image: Image, target: Path, plan: Plan, model: FixedCost, *, threads: int) -> None:
    """Read, cut, run the network, and write, block by block, with nothing else around it."""
    writer, source = create_image(target, _finest(image, plan), mode="overwrite"), image.array()
    y_axis, x_axis = plan.lattice.axes
    halo, cell, tile = x_axis.halo, x_axis.cell, x_axis.tile
    low, high = 0.0, 65535.0
    origin = torch.zeros((1, 2), dtype=torch.int64)

    def one(block: tuple[int, int]) -> None:
        torch.set_num_threads(1)
        starts = [i * axis.block * axis.cell for i, axis in zip(block, (y_axis, x_axis), strict=True)]
        stops = [
            min(start + axis.block * axis.cell, axis.size) for start, axis in zip(starts, (y_axis, x_axis), strict=True)
        ]
        region, margins = [], []
        for start, stop, axis in zip(starts, stops, (y_axis, x_axis), strict=True):
            region.append(slice(max(0, start - halo), min(axis.size, stop + halo)))
            margins.append((region[-1].start - start + halo, stop + halo - region[-1].stop))
        pixels = np.pad(np.asarray(source[tuple(region)]), margins, mode="reflect")
        voxels = np.empty([FACTOR * (stop - start) for start, stop in zip(starts, stops, strict=True)], np.uint16)
        for y, x in product(*(range(0, stop - start, cell) for start, stop in zip(starts, stops, strict=True))):
            cut = (pixels[y : y + tile, x : x + tile].astype(np.float32) - low) / (high - low)
            result = model(torch.from_numpy(cut)[None, None], origin)[0, 0].numpy()
            own = result[halo * FACTOR : -halo * FACTOR, halo * FACTOR : -halo * FACTOR]
            part = np.clip(np.rint(own * (high - low) + low), 0, 65535)
            voxels[y * FACTOR : (y + cell) * FACTOR, x * FACTOR : (x + cell) * FACTOR] = part
        writer.write(0, tuple(slice(FACTOR * a, FACTOR * b) for a, b in zip(starts, stops, strict=True)), voxels)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, product(*(range(axis.blocks) for axis in (y_axis, x_axis)))))


@dataclass(frozen=True, kw_only=True)
class Way:
    """One of the ways that are compared."""

    options: dict[str, Any]
    pyramid: Literal["made", "none"] = "made"


class Comparison:
    """An image, the run of it in several ways, and the bare loop.

    Parameters
    ----------
    folder
        Where everything is written.
    blocks
        Along each side of the image.
    seconds
        Processor time of the network for each block.
    threads
        Inferences side by side.
    """

    def __init__(self, folder: Path, *, blocks: int, seconds: float, threads: int) -> None:
        edge = blocks * CELLS * CELL
        self._folder, self._threads = folder, threads
        self._image = make_image(folder / "in.zarr", (edge, edge))
        whole: dict[str, Any] = {
            "model": MODEL,
            "model_options": (("seconds", seconds / CELLS**2),),
            "cell": CELL,
            "block": CELLS,
            "workers": threads,
            "normalise": "dtype",
        }
        # The same pixels come out of tiles that cost nothing; this run also loads what is loaded once.
        free = whole | {"model_options": (("seconds", 0.0),)}
        self._expected = scalesr.run(self._image, folder / "reference.zarr", mode="overwrite", **free).image
        measured = {"metrics": PIXELS, "reference": self._expected.url}
        self._ways = {
            "whole": Way(options=whole | measured),
            "without statistics": Way(options=whole),
            "without statistics and pyramid": Way(options=whole, pyramid="none"),
            "with ssim": Way(options=whole | measured | {"metrics": (*PIXELS, "ssim")}),
            SERIAL: Way(options=whole | measured | {"scheduler": "serial"}),
        }
        self.plan = prepare(subject_of(self._image), Options(**whole)).plan
        self._model = FixedCost(seconds=seconds / CELLS**2)
        self.account = Account()
        """What the serial runs took, by part."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that `once` knows."""
        return (BARE, *self._ways)

    def once(self, name: str) -> dict[str, float]:
        """Run one of the ways, or the bare loop, and return what it took.

        Raises
        ------
        AssertionError
            It made other pixels.
        """
        target = self._folder / "out.zarr"
        began = Marks.now()
        if name == BARE:
            bare_loop(self._image, target, self.plan, self._model, threads=self._threads)
            taken = _taken(began, began, Marks.now())
            voxels = create_image(target, _finest(self._image, self.plan), mode="resume").array()[...]
        else:
            taken = self._run(self._ways[name], target, account=self.account if name == SERIAL else None)
            voxels = scalesr.open_image(target).array()[...]
        assert np.array_equal(voxels, self._expected.array()[...]), name
        return taken

    def _run(self, way: Way, target: Path, *, account: Account | None) -> dict[str, float]:
        phases = Phases()
        with ExitStack() as stack:
            if way.pyramid == "none":
                stack.enter_context(patch.object(planning, "SMALLEST_LEVEL", NOTHING))
            if account is not None:
                stack.enter_context(counted(account))
            scalesr.run(self._image, target, mode="overwrite", callbacks=[phases], **way.options)
        return _taken(phases.began, phases.started, phases.ended)


def _taken(began: Marks, started: Marks, ended: Marks) -> dict[str, float]:
    over = Marks.now()
    return {
        "cpu": ended.cpu - started.cpu,
        "wall": ended.wall - started.wall,
        "network": ended.network - started.network,
        "cpu once": over.cpu - began.cpu - (ended.cpu - started.cpu),
        "wall once": over.wall - began.wall - (ended.wall - started.wall),
    }


def _finest(image: Image, plan: Plan) -> ImageLayout:
    """Return the layout of the output with its finest level alone."""
    layout = layout_of(image, plan, level=0, name="bare")
    return replace(layout, levels=layout.levels[:1])


def compared(folder: Path, *, blocks: int, seconds: float, repeats: int, threads: int) -> dict[str, Any]:
    """Run all ways in turn, and return what they took and by how much they exceed the bare loop."""
    comparison = Comparison(folder, blocks=blocks, seconds=seconds, threads=threads)
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in comparison.names}
    for number in range(repeats):
        # Forth and back, so that no way always comes first.
        for name in list(runs)[:: 1 if number % 2 == 0 else -1]:
            runs[name].append(comparison.once(name))
            print(f"{number + 1} {name:<32}", *(f"{kind} {s:.2f}" for kind, s in runs[name][-1].items()), flush=True)
    plan = comparison.plan
    return {
        "blocks": plan.blocks,
        "tiles": plan.tiles,
        "block seconds": seconds,
        "voxels of a block": int(np.prod([axis.out_block for axis in plan.lattice.axes])),
        "threads": threads,
        # Where others are at work on the same cores, wall times say more of them than of this.
        "load of this machine": os.getloadavg()[1],
        "measured": list(PIXELS),
        "runs": runs,
        "over the bare loop": {
            name: {kind: over(runs[name], runs[BARE], kind) for kind in ("cpu", "wall")}
            for name in runs
            if name not in (BARE, SERIAL)
        },
        "asked": ASKED,
        "processor seconds a block by part": shares(comparison.account, runs[SERIAL], blocks=plan.blocks * repeats),
        "processor seconds a block of the scheduler": scheduling(runs, blocks=plan.blocks),
    }


def over(some: list[dict[str, float]], bare: list[dict[str, float]], kind: str) -> dict[str, float]:
    """Return by how much a way exceeds the bare loop of its turn: the median, the least and the most of all turns."""
    network = ("network",) if kind == "cpu" else ()
    # Both networks are asked for the same; what they exceed it by is not the run's.
    each = [
        (a[kind] - sum(a[n] for n in network) - b[kind] + sum(b[n] for n in network)) / b[kind]
        for a, b in zip(some, bare, strict=True)
    ]
    return {"median": median(each), "least": min(each), "most": max(each)}


def shares(account: Account, serial: list[dict[str, float]], *, blocks: int) -> dict[str, float]:
    """Return the processor seconds of each part for one block; the rest is what nobody claims."""
    total = sum(run["cpu"] + run["cpu once"] for run in serial)
    found = {name: seconds / blocks for name, seconds in sorted(account.cpu.items(), key=lambda each: -each[1])}
    return found | {"rest, mostly once": (total - sum(account.cpu.values())) / blocks}


def scheduling(runs: dict[str, list[dict[str, float]]], *, blocks: int) -> float:
    """Return what threads under a scheduler use more than one task after the other, for one block."""
    each = [
        (a["cpu"] - a["network"] - b["cpu"] + b["network"]) / blocks
        for a, b in zip(runs["whole"], runs["serial"], strict=True)
    ]
    return median(each)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--blocks", type=int, default=6, help="along each side of the image")
    parser.add_argument("--block-seconds", type=float, default=1.0, help="processor time of the network for a block")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=usable_cores(), help="inferences side by side")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        found = compared(
            Path(place),
            blocks=arguments.blocks,
            seconds=arguments.block_seconds,
            repeats=arguments.repeats,
            threads=arguments.threads,
        )
    save("overhead", found)


if __name__ == "__main__":
    main()
