"""How memory and time of a tool grow with the image: sizes in GB, a power law fitted to what was measured."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.race.running import race

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.race.running import Terms
    from benchmarks.race.tools import Tool

NOT_TRIED = "not tried"


def slope(sizes: Sequence[float], values: Sequence[float]) -> float | None:
    """Return the exponent of the power law through some points, by least squares of logarithms; None for one point.

    0 is what does not grow, 1 what grows as the image does.
    """
    if len(set(sizes)) < 2:
        return None
    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def edge_of(gigabytes: float, *, ndim: int, step: int) -> int:
    """Return the edge of an image of so many GB of uint16, to the next multiple of a step."""
    edge: float = (gigabytes * 1e9 / 2) ** (1 / ndim)
    return max(1, round(edge / step)) * step


def grow(
    terms: Terms,
    tools: Sequence[Tool],
    gigabytes: Sequence[float],
    folder: Path,
    *,
    told: Callable[[str], None],
    earlier: Sequence[dict[str, Any]] = (),
) -> Iterator[list[dict[str, Any]]]:
    """Race on each size, and give what is known after it, so that a long race can be cut short.

    Whoever fails at one size is not sent to a larger one, nor who would take longer than the limit if time grows as the
    image does, and the table says so. What is known from earlier is not measured again.
    """
    done = {
        (line["tool"], point["gigabytes"]): point
        for line in earlier
        for point in line["points"]
        if not str(point["failure"]).startswith(NOT_TRIED)
    }
    lines: dict[str, dict[str, Any]] = {tool.name: {"tool": tool.name, "points": []} for tool in tools}
    ndim = len(terms.case.axes)
    for wanted in sorted(gigabytes):
        size = edge_of(wanted, ndim=ndim, step=terms.cell)
        known = terms.case.count * size**ndim * 2 / 1e9
        taken = {tool.name: done[tool.name, known] for tool in tools if (tool.name, known) in done}
        excuses = {tool.name: _excuse(lines[tool.name]["points"], known, limit=terms.limit) for tool in tools}
        able = [tool for tool in tools if not excuses[tool.name] and tool.name not in taken]
        rows = {}
        if able:
            with TemporaryDirectory(dir=folder) as place:
                found = race(replace(terms, size=size), able, Path(place), bits=False, told=told)
                rows = {row.tool.name: row for row in found}
                shutil.rmtree(place, ignore_errors=True)
                Path(place).mkdir()
        for tool in tools:
            row = rows.get(tool.name)
            lines[tool.name]["points"].append(
                taken.get(tool.name)
                or {
                    "gigabytes": known,
                    "peak": row.median("peak") if row else None,
                    "seconds": row.median("seconds") if row else None,
                    "failure": row.failure if row else f"{NOT_TRIED}: {excuses[tool.name]}",
                }
            )
        for line in lines.values():
            for name in ("peak", "seconds"):
                points = [(p["gigabytes"], p[name]) for p in line["points"] if p[name] and math.isfinite(p[name])]
                line[f"slope of {name}"] = slope([p[0] for p in points], [p[1] for p in points]) if points else None
        yield list(lines.values())


def _excuse(points: Sequence[dict[str, Any]], gigabytes: float, *, limit: float) -> str:
    """Return why a tool is not sent to a size, by how it did at the smaller ones; empty where it is."""
    if any(point["failure"] for point in points):
        return "failed at a smaller size"
    expected = points[-1]["seconds"] * gigabytes / points[-1]["gigabytes"] if points else 0.0
    return f"would take some {expected:.0f} s, and the limit is {limit:.0f} s" if expected > limit else ""
