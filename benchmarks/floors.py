"""The two numbers that set a floor to each case, operations and bytes, and how far above it a run is.

usage: python -m benchmarks.floors [--cases edsr-2d copy] [--size small|full] [--repeats 1]

The operations are counted on the network itself by torch's counter, for a tile as planned: convolutions and matrix
products, a multiplication with addition as two. Useful are those of the image's own pixels; with context, those of all
tiles that are computed. The bytes are those of all pixels that are read and written, the levels of the pyramid with
them, before and after compression. A floor comes of them and of what this machine gives at its best, measured in the
same run (`benchmarks.machine`): the useful operations at the highest rate of the number format, and the pixels through
Zarr, which the same cores do one after the other; or, if that takes longer, the pixels once through memory.

Each case is run from Zarr to Zarr at a small size in the same process; `--size full` runs the sizes of the issue, which
takes an hour. Full sizes are counted in any case; where `benchmarks.race` left a result, its seconds stand beside them.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from math import prod
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import scalesr
from benchmarks.common import Clock, save
from benchmarks.floor_cases import CASES, make, make_plate, options_of
from benchmarks.machine import measured
from benchmarks.peers import networks
from benchmarks.raced import OURS, seconds_of
from scalesr.engine import Options, empty_subject, prepare, subject_of
from scalesr.images import OWN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.floor_cases import Case, Size
    from benchmarks.machine import Format, Machine
    from scalesr.engine import Prepared
    from scalesr.images import Image, Plate


@dataclass(frozen=True, kw_only=True)
class Bytes:
    """What is read and written."""

    read: float
    """Of pixels, contexts of blocks counted each time."""
    written: float
    """Of pixels on all levels."""
    useful: float
    """Of the input's pixels, each once, and of the output's finest level."""


def operations_of(prepared: Prepared, weights: Path | None) -> float:
    """Return the operations of one tile, counted while the network is at work on it; an interpolation has none.

    That is the network as it is defined, and not as an engine rewrites it: it is the same number for every tool.
    """
    if weights is None:
        return 0.0
    spec, axes = prepared.spec, {axis.name: axis for axis in prepared.plan.lattice.axes}
    tile = torch.rand((1, spec.channels, *(axes[name].tile for name in spec.axes)))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        networks.load(str(weights))(tile)
    return float(counter.get_total_flops())


def counted(prepared: Prepared, operations: float, *, fields: int) -> tuple[dict[str, float], Bytes]:
    """Return the operations, useful and with context, and the bytes of so many images alike."""
    plan = prepared.plan
    pixels, tile = prod(plan.lattice.shape), prod(plan.lattice.tile_shape)
    finest = prod(plan.levels[0].shape) * plan.out_itemsize
    return (
        {"useful": operations * pixels / tile * fields, "with context": operations * plan.tiles_padded * fields},
        Bytes(
            read=plan.bytes_read * fields,
            written=plan.bytes_written * fields,
            useful=(pixels * plan.in_itemsize + finest) * fields,
        ),
    )


def floor(operations: float, found: Bytes, machine: Machine, name: Format) -> dict[str, float]:
    """Return the seconds below which no program that does this can be on the machine, and what they are made of."""
    arithmetic = operations / machine.peaks[name].all
    coding = found.read / machine.coding.read + found.written / machine.coding.write
    memory = (found.read + found.written) / machine.memory
    return {
        "arithmetic": arithmetic,
        "coding": coding,
        "memory": memory,
        "seconds": max(arithmetic + coding, memory),
    }


def stored_bytes(folder: Path) -> int:
    """Return the bytes of the files of pixels below a folder: chunks and shards on all levels, and no metadata."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return sum((folder / file).stat().st_size for file in files if "c" in file.parts and OWN not in file.parts)


def ran(source: Image | Plate, target: Path, options: Options, *, repeats: int) -> dict[str, Any]:
    """Run a case, and return the medians of what it took, and bytes of files."""
    clocks = []
    for _ in range(repeats):
        with Clock() as clock:
            scalesr.run(source, target, options=options, mode="overwrite")
        clocks.append(clock)
    return {
        "seconds": median(clock.wall for clock in clocks),
        "processor seconds": median(clock.cpu for clock in clocks),
        "peak": max(clock.peak for clock in clocks),
        "files read": stored_bytes(Path(source.url)),
        "files written": stored_bytes(target),
    }


def entry(case: Case, prepared: Prepared, weights: Path | None, machine: Machine, *, size: Size) -> dict[str, Any]:
    """Return the numbers of a case at a size, without what was measured."""
    # Small images have other tiles than large ones.
    fields = case.fields[size]
    operations, found = counted(prepared, operations_of(prepared, weights), fields=fields)
    name: Format = "bf16" if prepared.plan.precision == "bf16" else "fp32"
    return {
        "case": case.name,
        "title": case.title,
        "size": size,
        "shape": list(case.shapes[size]),
        "fields": fields,
        "format": name,
        "operations": operations,
        "bytes": {"read": found.read, "written": found.written, "useful": found.useful},
        "floor": floor(operations["useful"], found, machine, name),
    }


def of_case(case: Case, machine: Machine, folder: Path, *, size: Size, repeats: int) -> list[dict[str, Any]]:
    """Run a case at one size, count it at both, and return an entry for each."""
    weights = None if case.network is None else case.network.write(folder)
    options, fields = options_of(case, weights), case.fields[size]
    source: Image | Plate
    if fields > 1:
        source = make_plate(folder / "in.zarr", case.shapes[size], case.axes, fields=fields)
        image = source.open_field(source.fields[0])
    else:
        source = image = make(folder / "in.zarr", case.shapes[size], case.axes)
    here = entry(case, prepare(subject_of(image), options), weights, machine, size=size)
    took = ran(source, folder / "out.zarr", options, repeats=repeats)
    here |= {"measured": took, "origin": "this run", "gap": took["seconds"] / here["floor"]["seconds"]}
    raw = prod(image.shape) * fields * np.dtype(image.levels[0].dtype).itemsize
    packed = {"read": took["files read"] / raw, "written": took["files written"] / here["bytes"]["written"]}
    found = [here]
    if size == "small":
        subject = empty_subject(case.shapes["full"], case.axes, "uint16")
        found.append(entry(case, prepare(subject, options), weights, machine, size="full"))
        # The race has a number format as another way to run the same case.
        name, reduced = case.name.removesuffix("-bf16"), case.name.endswith("-bf16")
        result = seconds_of(name, size=case.shapes["full"][-1], tool=f"{OURS}, bf16" if reduced else OURS)
        if result is not None:
            found[-1] |= {"measured": {"seconds": result.seconds}, "origin": result.file}
            found[-1]["gap"] = result.seconds / found[-1]["floor"]["seconds"]
    for one in found:
        one["bytes"].update({f"{kind}, compressed": one["bytes"][kind] * ratio for kind, ratio in packed.items()})
    return found


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the runs as lines for a terminal."""
    heads = ("TFLOP", "computed", "GB in", "GB out", "floor s", "s", "gap")
    lines = [f"{'case':<32} {'size':<6}" + "".join(f" {head:>9}" for head in heads)]
    for run in runs:
        operations, sizes, taken = run["operations"], run["bytes"], run.get("measured")
        figures = [
            operations["useful"] / 1e12,
            operations["with context"] / 1e12,
            sizes["read"] / 1e9,
            sizes["written"] / 1e9,
            run["floor"]["seconds"],
            *(() if taken is None else (taken["seconds"], run["gap"])),
        ]
        lines.append(f"{run['title']:<32} {run['size']:<6}" + "".join(f" {figure:9.3f}" for figure in figures))
    return "\n".join(lines)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--cases", nargs="+", choices=[case.name for case in CASES], default=[case.name for case in CASES]
    )
    parser.add_argument("--size", choices=("small", "full"), default="small", help="what is run; both are counted")
    parser.add_argument("--repeats", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        machine = measured(folder)
        runs = []
        for case in CASES:
            if case.name in arguments.cases:
                home = folder / case.name
                home.mkdir()
                runs += of_case(case, machine, home, size=arguments.size, repeats=arguments.repeats)
                print(table(runs[-2:]), flush=True)
    print(table(runs))
    # Where others are at work on the same cores, rates and seconds are theirs too.
    save("floors", {"load of this machine": os.getloadavg()[1], "rates": machine.to_json(), "runs": runs})


if __name__ == "__main__":
    main()
