"""scalesr against the tools that people use today: the same image, network, cells, halo, intensities and machine.

usage: python -m benchmarks.race --case edsr-2d --size 2048 --tools all
       python -m benchmarks.race --case unet-3d --size 96 --cell 32 --tools scalesr monai torch
       python -m benchmarks.race --growth 1 4 16 64 --limit 3600 --memory 12

Install the others first: benchmarks/peers/environment.sh. Prints a table, and writes it as JSON and a plot as SVG and
PNG into the folder of results. Tools run one after the other, each in processes of its own; with repeats they take
turns, and what counts are medians. One that takes too long or too much is named with the reason.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.common import RESULTS, save, usable_cores
from benchmarks.race import showing
from benchmarks.race.cases import CASES
from benchmarks.race.growth import grow
from benchmarks.race.running import Terms, race
from benchmarks.race.tools import TOOLS, chosen


def main() -> None:
    """Run it."""
    arguments = _parser().parse_args()
    case = CASES["growth" if arguments.growth else arguments.case]
    terms = Terms(
        case=case,
        size=arguments.size or case.size,
        cell=arguments.cell or case.cell,
        batch=arguments.batch,
        device=arguments.device,
        store=arguments.store,
        threads=arguments.threads or usable_cores(),
        repeats=arguments.repeats,
        limit=arguments.limit,
        memory=int(arguments.memory * 1e9) if arguments.memory else None,
        out_dtype="uint16" if arguments.growth else "float32",
    )
    tools = chosen(arguments.tools)
    told = _told if not arguments.quiet else _silent
    # A terminal's width where there is one; a file's lines are as long as they need to be.
    console = Console(width=None if sys.stdout.isatty() else 190, highlight=False)
    size = "" if arguments.growth else f"-{terms.size}"
    name = f"race-{case.name}{size}-{terms.device}-{terms.store}"
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place).resolve()
        if arguments.growth:
            title = f"Growth with the image: {case.network.name}, {_many(terms.threads, 'thread')}, {terms.device}"
            file = RESULTS / f"{name}.json"
            earlier = json.loads(file.read_text())["lines"] if arguments.resume and file.is_file() else []
            for lines in grow(terms, tools, arguments.growth, folder, told=told, earlier=earlier):
                save(name, {**_said(terms), "lines": lines})
            paths = showing.growth_plot(lines, RESULTS / name, title=title)
            console.print(showing.growth_table(lines, title=title))
            for line in lines:
                for point in line["points"]:
                    if point["failure"]:
                        console.print(
                            f"{line['tool']} at {point['gigabytes']:.3g} GB: {point['failure']}", markup=False
                        )
        else:
            rows = race(terms, tools, folder, bits=arguments.bits, told=told)
            kept = showing.figures(rows, terms)
            shape = " x ".join(map(str, case.shape(terms.size)))
            title = (
                f"{case.name}: {shape}{f', {case.count} fields' if case.kind == 'plate' else ''}, {case.network.name}, "
                f"cells of {terms.cell} and a halo of {case.network.halo}, {terms.device}, "
                f"{_many(terms.threads, 'thread')}, {terms.store}, {_many(terms.repeats, 'run')} each"
            )
            paths = showing.plot(kept, RESULTS / name, title=title)
            save(name, {**_said(terms), "rows": kept})
            console.print(showing.table(kept, title=title))
            console.print(showing.abilities(kept))
            for words in showing.failures(kept):
                console.print(words, markup=False)
    console.print("plots:", *map(str, paths))


def _many(number: int, name: str) -> str:
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def _said(terms: Terms) -> dict[str, Any]:
    return {
        "case": terms.case.name,
        "network": terms.case.network.name,
        "size": terms.size,
        "cell": terms.cell,
        "halo": terms.case.network.halo,
        "threads": terms.threads,
        "device": terms.device,
        "store": terms.store,
        "repeats": terms.repeats,
        "limit": terms.limit,
        "memory": terms.memory,
    }


def _told(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _silent(text: str) -> None:
    del text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=[name for name in CASES if name != "growth"], default="edsr-2d")
    parser.add_argument("--size", type=int, help="edge of the image in pixels")
    parser.add_argument("--cell", type=int, help="edge of what a tile answers for, for all tools")
    parser.add_argument("--batch", type=int, default=1, help="tiles at once, for tools that have batches")
    parser.add_argument(
        "--tools", nargs="+", default=["all"], help=f"all, names, or what some begin with: {'; '.join(TOOLS)}"
    )
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--store", choices=["disk", "s3"], default="disk")
    parser.add_argument("--threads", type=int, help="cores that a tool may use; all by default")
    parser.add_argument("--limit", type=float, default=3600.0, help="seconds for each run")
    parser.add_argument("--memory", type=float, help="GB that a run may hold; the system's own limit by default")
    parser.add_argument("--bits", action="store_true", help="also run on other chunks, and compare bit for bit")
    parser.add_argument(
        "--growth", nargs="+", type=float, metavar="GB", help="sizes of a cheap network's image instead"
    )
    parser.add_argument("--resume", action="store_true", help="growth: keep what the folder of results has of it")
    parser.add_argument("--quiet", action="store_true")
    return parser


if __name__ == "__main__":
    main()
