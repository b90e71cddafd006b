"""What `benchmarks.race` left of a case: the seconds of scalesr, for who wants to set them beside something else."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.common import RESULTS

if TYPE_CHECKING:
    from pathlib import Path

OURS = "scalesr"


@dataclass(frozen=True, kw_only=True)
class Raced:
    """A result of the race."""

    seconds: float
    """Of the computation, the median of its runs."""
    file: str
    """Where it stands."""


def seconds_of(case: str, *, size: int, tool: str = OURS, folder: Path = RESULTS) -> Raced | None:
    """Return what scalesr took in the race, on the processor and from disk to disk.

    Parameters
    ----------
    case
        Its name.
    size
        Edge of the image.
    tool
        The name that the race gives to a way to run it.
    folder
        Where the results are.

    Returns
    -------
    Raced or None
        `None` where there is no such race, or it did not end in it.
    """
    file = folder / f"race-{case}-{size}-cpu-disk.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text(encoding="utf-8"))
    row = next((row for row in found.get("rows", []) if row.get("tool") == tool), None)
    if row is None or row.get("seconds") is None:
        return None
    return Raced(seconds=float(row["seconds"]), file=file.name)
