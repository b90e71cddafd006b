"""How fast something goes, how long it will take, and how busy the devices are, by the events of a run."""

from __future__ import annotations

from collections import deque
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from scalesr.engine import BlockDone, RunStarted, StageAdvanced, StageStarted

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.engine import BlockReport, Event
    from scalesr.tiling import Plan

RATE_SECONDS = 60.0
"""Rates are those of the last minute, or of the last two steps where these took longer."""
LOOK_SECONDS = 2.0
"""A device is asked how busy it is no more often."""


class Pace:
    """Keeps what the events of the last minute say of the stage that is at work.

    Parameters
    ----------
    clock
        Seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = perf_counter) -> None:
        self._clock = clock
        self.stage = ""
        """What is being done, in words; empty until something is."""
        self.total = 0
        """Steps of the stage."""
        self.done = 0
        """Steps that are done."""
        self._plan: Plan | None = None
        self._slots = 0
        self._gpu = False
        self._looked = (float("-inf"), -1)
        self._steps: deque[tuple[float, float]] = deque()
        self._blocks: deque[tuple[float, float, float]] = deque()

    def note(self, event: Event) -> None:
        """Take note of an event."""
        match event:
            case RunStarted(plan=plan, demand=demand, slots=slots):
                self._plan, self._slots, self._gpu = plan, slots, bool(demand.device)
            case StageStarted(name=name, total=total):
                self.stage, self.total, self.done = name, total, 0
                self._steps = deque([(self._clock(), 0.0)])
                self._blocks = deque([(self._clock(), 0.0, 0.0)])
            case StageAdvanced(steps=steps):
                self._advance(steps)
            case BlockDone(report=report):
                self._advance(1)
                self._measure(report)
            case _:
                pass

    def rate(self) -> float:
        """Return the useful input pixels of a second: those that tiles answer for, their context not counted."""
        return _per_second([(when, pixels) for when, pixels, _ in self._blocks])

    def steps(self) -> float:
        """Return the steps of a second."""
        return _per_second(self._steps)

    def left(self) -> float | None:
        """Return the seconds that the stage will still take; None where nothing tells."""
        pace = self.steps()
        return (self.total - self.done) / pace if pace > 0 else None

    def busy(self) -> float | None:
        """Return which share of the time the places for an inference had one at work; None where nothing tells."""
        share = _per_second([(when, seconds) for when, _, seconds in self._blocks])
        return min(share / self._slots, 1.0) if self._slots and share > 0 else None

    def gpu(self) -> float | None:
        """Return which share of the time the GPU that this process uses was at work; None where nothing tells.

        NVIDIA's own figure, of the last moments; it needs the package nvidia-ml-py.
        """
        now = self._clock()
        if self._gpu and now - self._looked[0] >= LOOK_SECONDS:
            self._looked = (now, _gpu_percent())
        return self._looked[1] / 100 if self._looked[1] >= 0 else None

    def words(self) -> str:
        """Return rate and use of the devices in words."""
        pixels, busy, gpu = self.rate(), self.busy(), self.gpu()
        parts = [_pixels(pixels) if pixels > 0 else _steps(self.steps())]
        parts += [f"{busy:.0%} busy"] if busy is not None else []
        parts += [f"GPU {gpu:.0%}"] if gpu is not None else []
        return ", ".join(filter(None, parts))

    def _advance(self, steps: int) -> None:
        self.done += steps
        now = self._clock()
        self._steps.append((now, float(steps)))
        while len(self._steps) > 3 and now - self._steps[0][0] > RATE_SECONDS:
            self._steps.popleft()

    def _measure(self, report: BlockReport) -> None:
        if self._plan is None:
            return
        lattice = self._plan.lattice
        voxels = prod(part.stop - part.start for part in lattice.owned(report.index))
        now = self._clock()
        pixels = float(voxels / prod(axis.scale for axis in lattice.axes))
        self._blocks.append((now, pixels, report.seconds.get("infer", 0.0)))
        while len(self._blocks) > 3 and now - self._blocks[0][0] > RATE_SECONDS:
            self._blocks.popleft()


def span(seconds: float) -> str:
    """Return a time as clocks show it: ``1:02:03``, ``4:05``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _per_second(recent: deque[tuple[float, float]] | list[tuple[float, float]]) -> float:
    """Return what came in a second since the first of some moments."""
    if len(recent) < 2:
        return 0.0
    (first, _), *rest = recent
    seconds = rest[-1][0] - first
    return sum(much for _, much in rest) / seconds if seconds > 0 else 0.0


def _gpu_percent() -> int:
    """Return how busy the GPU of this process is, in percent; -1 where it has none, or nobody can tell."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return -1
    try:
        return int(torch.cuda.utilization())
    except (ImportError, RuntimeError, OSError):
        return -1


def _pixels(rate: float) -> str:
    return f"{rate / 1e6:.3g} Mpx/s" if rate >= 1e5 else f"{rate / 1e3:.3g} kpx/s"


def _steps(rate: float) -> str:
    if rate <= 0:
        return ""
    return f"{rate:.3g} /s" if rate >= 1 else f"{rate * 60:.3g} /min" if rate >= 1 / 60 else f"{rate * 3600:.3g} /h"
