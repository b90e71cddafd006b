"""Writes the tables of the performance page from the results of the benchmarks: ``python docs/figures/performance.py``.

Each table stands in the page between two comments that name it. What nobody has measured says so, and how to.
"""  # noqa: INP001 the documentation is no package

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results"
PLACE = re.compile(r"(?<=<!-- table: )(?P<name>[\w-]+)(?P<head> -->\n).*?(?=<!-- end -->)", flags=re.DOTALL)
OVERHEAD = {
    "whole": "the whole run: ledger, pyramid, statistics (PSNR, MAE, Pearson)",
    "without statistics": "without statistics",
    "without statistics and pyramid": "without statistics and pyramid",
    "with ssim": "the whole run, and SSIM",
}
"""Ways of `benchmarks.overhead`, in words."""


def filled(text: str, results: Path = RESULTS) -> str:
    """Return the page with each table as the results have it now."""
    tables = {
        "floors": floors,
        "rates": rates,
        "overhead": overhead,
        "parts": parts,
        "ratios": ratios,
        "bare-loop": bare_loop,
        "latent": latent,
        "few-steps": few_steps,
        "race": race,
        "growth": growth,
        "memory": memory,
        "scheduling": scheduling,
    }

    def made(found: re.Match[str]) -> str:
        name = found["name"]
        return f"{name}{found['head']}{tables[name](results)}\n"

    return PLACE.sub(made, text)


def lacking(module: str) -> str:
    """Return what stands where nothing was measured."""
    return f"Not measured yet; `python -m benchmarks.{module}` does.\n"


def read(results: Path, name: str) -> dict[str, Any] | None:
    """Return a result, if there is one."""
    file = results / f"{name}.json"
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None


def table(heads: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table of Markdown; all columns but the first are numbers."""
    heads = list(heads)
    lines = [heads, ["---", *("---:" for _ in heads[1:])], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many digits that count, and none that do not."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}" if abs(value) >= 1e-3 else f"{value:.1e}"


def percent(value: float) -> str:
    """Return a share."""
    return f"{100 * value:.1f} %"


def where(found: Mapping[str, Any], *, name: str) -> str:
    """Return on what something was measured."""
    machine = found["machine"]
    processor = found.get("processor") or found.get("rates", {}).get("processor") or machine["processor"]
    load = found.get("load of this machine")
    busy = "" if load is None else f", load {load:.1f}"
    return (
        f"Measured on {machine['cores']} cores ({processor}, {machine['capability']}{busy}), torch {machine['torch']}; "
        f"[`{name}.json`](../../benchmarks/results/{name}.json).\n"
    )


def floors(results: Path) -> str:
    """Return operations, bytes, floor, time and gap of each case."""
    found = read(results, "floors")
    if found is None:
        return lacking("floors")
    rows = []
    for run in found["runs"]:
        operations, sizes = run["operations"], run["bytes"]
        edges = " x ".join(map(str, run["shape"])) + (f", {run['fields']} fields" if run["fields"] > 1 else "")
        rows.append(
            (
                f"{run['title']}, {edges}",
                number(operations["useful"] / 1e12),
                number(operations["with context"] / 1e12),
                f"{number(sizes['read'] / 1e9)} ({number(sizes['read, compressed'] / 1e9)})",
                f"{number(sizes['written'] / 1e9)} ({number(sizes['written, compressed'] / 1e9)})",
                number(run["floor"]["seconds"]),
                number(run.get("measured", {}).get("seconds")),
                number(run.get("gap"), 2),
            )
        )
    heads = ("Case", "TFLOP", "computed", "GB in", "GB out", "floor, s", "run, s", "gap")
    return table(heads, rows) + "\n" + where(found, name="floors")


def rates(results: Path) -> str:
    """Return what the machine gives at its best."""
    found = read(results, "floors")
    if found is None:
        return lacking("floors")
    measured = found["rates"]
    rows = [
        (f"{name}, {peak['by']}", f"{number(peak['one'] / 1e9)} GFLOP/s", f"{number(peak['all'] / 1e9)} GFLOP/s")
        for name, peak in measured["peaks"].items()
    ]
    coding = measured["coding"]
    rows += [
        ("memory, read and written by a copy", "", f"{number(measured['memory'] / 1e9)} GB/s"),
        ("pixels read through Zarr, decoded", "", f"{number(coding['read'] / 1e9)} GB/s"),
        ("pixels written through Zarr, encoded", "", f"{number(coding['write'] / 1e9)} GB/s"),
    ]
    return table(("Rate", "one core", f"{measured['cores']} cores"), rows)


def overhead(results: Path) -> str:
    """Return by how much a run exceeds the bare loop, in several ways."""
    found = read(results, "overhead")
    if found is None:
        return lacking("overhead")
    rows = [
        (words, *(percent(found["over the bare loop"][way][kind]["median"]) for kind in ("cpu", "wall")))
        for way, words in OVERHEAD.items()
        if way in found["over the bare loop"]
    ]
    heads = (f"Blocks of {number(found['block seconds'])} s, {found['blocks']} of them", "processor time", "wall time")
    return table(heads, rows) + "\n" + where(found, name="overhead")


def parts(results: Path) -> str:
    """Return what single parts of a run take of a block."""
    found = read(results, "overhead")
    if found is None:
        return lacking("overhead")
    each = dict(found["processor seconds a block by part"])
    each["scheduler, in threads"] = found["processor seconds a block of the scheduler"]
    network = each["network"]
    rows = [(name, f"{number(1e3 * seconds)} ms", percent(seconds / network)) for name, seconds in each.items()]
    return table(
        (f"Part, of a block of {found['voxels of a block'] / 1e6:.1f} M voxels", "a block", "of the network"), rows
    )


def ratios(results: Path) -> str:
    """Return the ratios that are checked, with their bounds."""
    found = read(results, "ratios")
    if found is None:
        return lacking("ratios")
    rows = [
        (f"{each['says']} (`{name}`)", number(each["ratio"]), number(each["most"]))
        for name, each in found["ratios"].items()
    ]
    return table(("Ratio", "measured", "at most"), rows) + "\n" + where(found, name="ratios")


def bare_loop(results: Path) -> str:
    """Return a whole run beside a bare loop over the same tiles in memory, and beside MONAI."""
    found = read(results, "speed")
    if found is None:
        return lacking("speed")
    rows = []
    for run in found["runs"]:
        loops = [s for name, s in run.items() if name.startswith("bare loop, ")]
        rows.append(
            (
                f"{found['size']} x {found['size']} px; {run.get('note', '')}".rstrip("; "),
                number(run["scalesr"]),
                number(min(loops)),
                number(run["over the bare loop"]),
                number(run.get("MONAI"), 4),
            )
        )
    heads = ("EDSR, x2, wall seconds", "run", "bare loop", "run over loop", "MONAI")
    return table(heads, rows) + "\n" + where(found, name="speed")


def latent(results: Path) -> str:
    """Return objects a second of latent search in several ways, and how like the authors' their solutions are."""
    found = read(results, "latent-speed-2")
    if found is None:
        return lacking("latent_speed --threads 2")
    rows = [
        (
            name,
            number(row["objects a second, wall"]),
            number(row["times the released way, wall"]),
            number(row["times the released way, cpu"]),
            _decibels(found["solutions"].get(name, {}).get("psnr to those as released")),
            _decibels(found["solutions"].get(name, {}).get("psnr to the truth")),
        )
        for name, row in found["speed"].items()
    ]
    heads = ("Latent search", "objects a second", "times the authors' way", "by processor time")
    heads = (*heads, "like theirs, dB", "like the truth, dB")
    return table(heads, rows) + "\n" + where(found, name="latent-speed-2")


def few_steps(results: Path) -> str:
    """Return voxels a second of diffusion in few steps, beside those of two hundred, and what comes of them."""
    found = read(results, "few-steps")
    if found is None:
        return lacking("few_steps --crop 33")
    rows = [
        (
            name,
            number(row["voxels a second, cpu"]),
            number(row["times 200 steps, cpu"]),
            number(row["times 200 steps, wall"]),
            number(row["SliceFID over that of 200 steps"], 2),
            number(row["psnr"]),
        )
        for name, row in found["methods"].items()
    ]
    heads = (
        "Volumes",
        "voxels a CPU second",
        "times 200 steps",
        "by wall clock",
        "SliceFID over that of 200",
        "PSNR, dB",
    )
    return table(heads, rows) + "\n" + where(found, name="few-steps")


def race(results: Path) -> str:
    """Return what other tools take for the same, where the race has been run."""
    parts = []
    for file in sorted(results.glob("race-*.json")):
        found = json.loads(file.read_text(encoding="utf-8"))
        rows = [
            (
                row["tool"],
                number(row["seconds"]),
                number(row.get("times scalesr")),
                number(row.get("cpu seconds")),
                _megabytes(row.get("peak")),
                *(_gigabytes(row.get(name)) for name in ("read", "written")),
                number(row.get("computed over needed")),
                "-" if row.get("difference inside") is None else f"{row['difference inside']:.1e}",
                number(row.get("seam over the whole image's")),
                {None: "-", True: "same", False: "differ"}[row.get("same bits from other chunks")],
            )
            for row in found.get("rows", [])
            if row.get("seconds") is not None
        ]
        if rows:
            what = f"{found['case']}, edge of {found['size']:,} px, {found['device']}, {found['store']}"
            heads = (what, "s", "over scalesr", "CPU s", "peak, MB", "GB read", "GB written", "computed over needed")
            heads = (*heads, "difference", "seam", "bits")
            missing = [
                f"{row['tool']}: {row['failure'].rstrip('.')}.\n" for row in found["rows"] if row.get("seconds") is None
            ]
            parts.append("\n".join([table(heads, rows), *missing, where(found, name=file.stem)]))
    return "\n".join(parts) or lacking("race")


def growth(results: Path) -> str:
    """Return how memory and time of each tool grow with the image."""
    found = read(results, "race-growth-cpu-disk")
    if found is None:
        return lacking("race --growth 1 4 16 64")
    rows = []
    for line in found["lines"]:
        cells = (
            point["failure"].partition(":")[0]
            if point["seconds"] is None
            else f"{point['peak'] / 1e9:.2f} GB, {point['seconds']:.0f} s"
            for point in line["points"]
        )
        rows.append((line["tool"], *cells, *(number(line[f"slope of {name}"], 2) for name in ("peak", "seconds"))))
    sizes = [f"{number(point['gigabytes'])} GB" for point in found["lines"][0]["points"]]
    heads = ("peak memory, and time", *sizes, "slope of memory", "slope of time")
    return table(heads, rows) + "\n" + where(found, name="race-growth-cpu-disk")


def _decibels(value: float | None) -> str:
    return number(value) if value is None or value < math.inf else "the same"


def _gigabytes(value: float | None) -> str:
    return number(None if value is None else value / 1e9)


def _megabytes(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.0f}"


def memory(results: Path) -> str:
    """Return the peaks of runs of images of different sizes, beside what was projected."""
    rows, named = [], ""
    for name, words in (("memory-identity", "copy"), ("memory-edsr", "EDSR, x2")):
        found = read(results, name)
        for run in [] if found is None else found["runs"]:
            size = f"{number(run['gigabytes'])} GB"
            rows.append((f"{words}, {size} of input", _megabytes(run["peak"]), _megabytes(run["projected"])))
        named += "" if found is None else where(found, name=name)
    return table(("Run", "peak, MB", "projected, MB"), rows) + "\n" + named if rows else lacking("memory")


def scheduling(results: Path) -> str:
    """Return how busy the scheduler keeps many workers."""
    found = read(results, "simulation")
    if found is None:
        return lacking("simulation")
    rows = [
        (
            f"{run['workers']:,} workers, {run['blocks']:,} blocks of {number(run['block_seconds'])} s",
            percent(run["busy"]),
            number(run["most_blocks_per_second"]),
        )
        for run in found["runs"]
    ]
    return table(("Cluster", "busy", "most blocks a second"), rows) + "\n" + where(found, name="simulation")


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
