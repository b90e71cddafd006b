"""Plates of many small fields: how long one takes to open, and a run of it beside a loop over its fields.

usage: python -m benchmarks.plates --wells 384 --fields 9
       python -m benchmarks.plates --wells 4 --fields 2 --loop 2

The plate is generated. Its run is killed once in the middle with SIGKILL and resumed; then every field must be there,
some of them are compared with a run of these alone, and none that was done may have been touched. The loop calls
`scalesr.run` for one field after the other, with threads as by default and with `--scheduler serial`; it is compared
with a run of the same fields, some of the plate, for an interpolation and for a small network.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import scalesr
from benchmarks.common import network, save
from scalesr.images import (
    Axis,
    Channel,
    Location,
    PlateLayout,
    create_image,
    create_plate,
    field_states,
    mark_plate,
    open_plate,
    pyramid_layout,
)

if TYPE_CHECKING:
    from scalesr.images import Plate

EDGE = 96
OPTIONS: dict[str, Any] = {"model": "cubic", "scale": 2, "normalise": "percentile"}
COMMAND = ("--model", "cubic", "--scale", "2", "--normalise", "percentile", "--quiet")
REPEATS = 7
KILLED_AT = 0.4
"""Share of the fields that are done when the run is killed."""


def make(folder: Path, *, wells: int, fields: int) -> Plate:
    """Write a plate in the proportions of those of 96 and 384 wells: 2 rows to 3 columns."""
    across = max(1, round((wells * 3 / 2) ** 0.5))
    names = [f"{chr(65 + well // across)}/{well % across + 1}" for well in range(wells)]
    plate = create_plate(
        folder, PlateLayout.of_wells("generated", {name: [str(n) for n in range(fields)] for name in names})
    )
    layout = pyramid_layout(
        axes=(Axis("c", "channel"), Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
        shape=(1, EDGE, EDGE),
        dtype="uint16",
        scale=(1.0, 0.65, 0.65),
        translation=(0.0, 0.0, 0.0),
        channels=(Channel(label="nuclei"),),
    )
    for number, path in enumerate(plate.fields):
        rng = np.random.default_rng(number)
        writer = create_image(plate.location(path).url, layout)
        writer.write(
            0, (slice(0, 1), slice(0, EDGE), slice(0, EDGE)), rng.integers(100, 4000, (1, EDGE, EDGE), np.uint16)
        )
        writer.publish()
    return mark_plate(plate, state="done")


def opening(url: str) -> dict[str, float]:
    """Return seconds to open the plate, median and slowest of some times, in this process; the first time is one."""
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        open_plate(url)
        seconds.append(time.perf_counter() - began)
    return {"first": seconds[0], "median": statistics.median(seconds), "slowest": max(seconds)}


def killed(folder: Path, plate: Plate) -> dict[str, Any]:
    """Start a run as a user does, kill it in the middle, and resume it; return what was done when, and by whom."""
    target = folder / "killed.zarr"
    command = [sys.executable, "-c", "from scalesr.cli import main; main()", "run", plate.url, str(target), *COMMAND]
    log = folder / "log.jsonl"
    began = time.perf_counter()
    process = subprocess.Popen([*command, "--log", str(log)], start_new_session=True)
    wanted = KILLED_AT * len(plate.fields)
    while not log.exists() or log.read_text().count('"FieldEnded"') < wanted:
        if process.poll() is not None:
            raise RuntimeError("the run ended before it could be killed")
        time.sleep(0.5)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    first = time.perf_counter() - began
    begun = open_plate(target)
    states = field_states(begun)
    stamps = {path: stamp(begun, path) for path, state in states.items() if state == "whole"}
    print(f"killed after {first:.0f} s with {len(stamps)} fields done", flush=True)
    text = subprocess.run([*command[:-1], "--resume", "--json"], check=True, capture_output=True, text=True).stdout
    document = json.loads(text)
    output = open_plate(target)
    touched = sum(stamp(output, path) != when for path, when in stamps.items())
    # Some that were done before, some that were begun, some that came later.
    looked_at = {*list(stamps)[:10], *(p for p, state in states.items() if state == "begun"), *plate.fields[-10:]}
    return {
        "seconds until it was killed": first,
        "done when killed": len(stamps),
        "begun when killed": sum(state == "begun" for state in states.values()),
        "fields of the resumed run": document["fields"],
        "seconds of the resumed run": document["seconds"],
        "fields there afterwards": sum(state == "whole" for state in field_states(output).values()),
        "done fields touched again": touched,
        "compared with a run of single fields": len(looked_at),
        "of these with other bytes": others(folder, plate, output, sorted(looked_at)),
    }


def stamp(plate: Plate, path: str) -> int:
    """Return when a field was published."""
    return (Path(plate.location(path).url) / "zarr.json").stat().st_mtime_ns


def others(folder: Path, plate: Plate, output: Plate, fields: list[str]) -> int:
    """Return how many fields differ from those of a run of these alone, which was not killed."""
    alone = scalesr.run(plate, folder / "alone.zarr", fields=fields, scheduler="serial", **OPTIONS).plate
    return sum(
        not np.array_equal(alone.open_field(path).array(0)[...], output.open_field(path).array(0)[...])
        for path in fields
    )


def beside_loops(plate: Plate, folder: Path, *, fields: int, options: dict[str, Any]) -> dict[str, Any]:
    """Return the seconds that a field takes in a run of some fields of the plate, and in loops over the same ones."""
    some = plate.fields[:fields]
    # What is loaded and measured once in a process is not what is compared.
    scalesr.run(plate, folder / "warm.zarr", fields=some[:1], mode="overwrite", **options)
    result = scalesr.run(plate, folder / "some.zarr", fields=some, mode="overwrite", **options)
    assert not result.failed
    each, loops = result.seconds / len(some), {}
    for scheduler in ("threads", "serial"):
        began = time.perf_counter()
        for path in some:
            target = Location.parse(folder / f"loop-{scheduler}.zarr") / path
            scalesr.run(plate.open_field(path), target.url, scheduler=scheduler, mode="overwrite", **options)
        loops[scheduler] = (time.perf_counter() - began) / len(some)
    return {
        "fields": len(some),
        "seconds a field": each,
        "seconds a field in a loop": loops,
        "loop over run": {scheduler: seconds / each for scheduler, seconds in loops.items()},
    }


def main() -> None:
    """Generate, open, run, kill, resume, and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wells", type=int, default=384)
    parser.add_argument("--fields", type=int, default=9, help="fields of each well")
    parser.add_argument("--loop", type=int, default=30, help="fields that the loops are timed on")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        plate = make(folder / "plate.zarr", wells=arguments.wells, fields=arguments.fields)
        opened = opening(plate.url)
        print(f"opened in {opened['median']:.3f} s", flush=True)
        run: dict[str, Any] = {
            "wells": arguments.wells,
            "fields": len(plate.fields),
            "pixels of a field": EDGE * EDGE,
            "seconds to open": opened,
            "killed": killed(folder, plate),
        }
        edsr = {"model": str(network(folder)), "normalise": "dtype"}
        run["beside a loop"] = {
            name: beside_loops(plate, folder, fields=arguments.loop, options=options)
            for name, options in (("cubic", OPTIONS | {"normalise": "dtype"}), ("edsr-8-32", edsr))
        }
    save("plates", {"runs": [run]})


if __name__ == "__main__":
    main()
