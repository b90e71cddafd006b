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
    from collections.abc import Callable, Sequence

    from benchmarks.race.running import Terms
    from benchmarks.race.tools import Tool


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
    terms: Terms, tools: Sequence[Tool], gigabytes: Sequence[float], folder: Path, *, told: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Race on each size; whoever fails at one is not sent to a larger one, and the table says so."""
    lines: dict[str, dict[str, Any]] = {tool.name: {"tool": tool.name, "points": []} for tool in tools}
    ndim = len(terms.case.axes)
    for wanted in sorted(gigabytes):
        size = edge_of(wanted, ndim=ndim, step=terms.cell)
        able = [tool for tool in tools if not any(point["failure"] for point in lines[tool.name]["points"])]
        with TemporaryDirectory(dir=folder) as place:
            rows = {
                row.tool.name: row for row in race(replace(terms, size=size), able, Path(place), bits=False, told=told)
            }
            shutil.rmtree(place, ignore_errors=True)
            Path(place).mkdir()
        for tool in tools:
            row = rows.get(tool.name)
            lines[tool.name]["points"].append(
                {
                    "gigabytes": terms.case.count * size**ndim * 2 / 1e9,
                    "peak": row.median("peak") if row else None,
                    "seconds": row.median("seconds") if row else None,
                    "failure": row.failure if row else "not tried: failed at a smaller size",
                }
            )
    for line in lines.values():
        for name in ("peak", "seconds"):
            points = [(p["gigabytes"], p[name]) for p in line["points"] if p[name] and math.isfinite(p[name])]
            line[f"slope of {name}"] = slope([p[0] for p in points], [p[1] for p in points]) if points else None
    return list(lines.values())
