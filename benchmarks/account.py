"""Processor seconds of a run by its parts: read, cut, network, stitch, encode, ledger, statistics, pyramid."""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import google_crc32c

from benchmarks.fixed_cost import FixedCost
from scalesr.engine import inference, reading, running, settling, stitching
from scalesr.engine.tally import Tally
from scalesr.images import ImageWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Account:
    """Processor and wall seconds by part, each without those of the parts inside it; for one thing at a time."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)
        self._inside: list[tuple[float, float]] = []

    def around(self, part: Callable[..., str], function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does the same and is counted as the part that `part` makes of its arguments."""

        @wraps(function)
        def counted(*args: Any, **given: Any) -> Any:
            began = process_time(), perf_counter()
            self._inside.append((0.0, 0.0))
            try:
                return function(*args, **given)
            finally:
                cpu, wall = process_time() - began[0], perf_counter() - began[1]
                inner = self._inside.pop()
                name = part(*args)
                self.cpu[name] += cpu - inner[0]
                self.wall[name] += wall - inner[1]
                if self._inside:
                    around = self._inside[-1]
                    self._inside[-1] = around[0] + cpu, around[1] + wall

        return counted


def written(_: ImageWriter, level: int, *__: object) -> str:
    """Return which part a shard belongs to."""
    return "encode and write" if level == 0 else "pyramid"


SEAMS: tuple[tuple[Any, str, str | Callable[..., str]], ...] = (
    (settling, "normalisation_of", "figures of the input"),
    (running, "start_ledger", "ledger"),
    (running, "survey", "ledger"),
    (reading, "read_context", "read"),
    (inference, "infer_cells", "cut and add tiles"),
    (FixedCost, "__call__", "network"),
    (stitching, "to_voxels", "stitch"),
    (stitching, "gather_block", "statistics"),
    (Tally, "measured", "statistics"),
    (stitching, "downsample", "pyramid"),
    (running, "finish_levels", "pyramid"),
    (ImageWriter, "write", written),
    (google_crc32c, "extend", "ledger"),
    (stitching, "record", "ledger"),
)
"""Where one part of a run ends and another begins."""


@contextmanager
def counted(account: Account) -> Iterator[None]:
    """Count the parts of all runs within."""
    with ExitStack() as stack:
        for home, name, part in SEAMS:
            told = part if callable(part) else partial(_named, part)
            stack.enter_context(patch.object(home, name, account.around(told, getattr(home, name))))
        yield


def _named(part: str, *_: object) -> str:
    return part
