"""A progress bar of a run: its stages, the rate in useful input pixels, and the time that is left."""

from __future__ import annotations

from collections import deque
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from scalesr.engine import (
    BatchReduced,
    BlockDone,
    BlockGivenUp,
    BlockLost,
    BlockRetried,
    BlockSlow,
    ClusterAway,
    ClusterBack,
    FieldTold,
    RunStarted,
    StageAdvanced,
    StageStarted,
    Trouble,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import TaskID

    from scalesr.engine import BlockReport, Event
    from scalesr.tiling import Plan

RATE_SECONDS = 60.0
"""The rate is that of the last minute, or of the last two blocks where these took longer."""


class RichProgress:
    """Shows a run in a terminal; says nothing at all where there is none, so that pipes and logs stay clean.

    It is a context manager and a callback: ``with RichProgress() as callback: run(..., callbacks=[callback])``.

    Parameters
    ----------
    console
        Where to show it; standard error when not given.
    title
        What is run, shown before the name of each stage.
    clock
        Seconds that only grow.
    """

    def __init__(
        self, console: Console | None = None, *, title: str = "", clock: Callable[[], float] = perf_counter
    ) -> None:
        self.console = console or Console(stderr=True)
        self._title = title
        self._clock = clock
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", style="cyan"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=self.console,
            disable=not self.console.is_terminal,
            speed_estimate_period=600.0,
        )
        self._task: TaskID | None = None
        self._plan: Plan | None = None
        self._recent: deque[tuple[float, float]] = deque()
        self._away = False

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task(self._title or "preparing", total=None, rate="")
        return self

    def __exit__(self, *_: object) -> None:
        self._end_preparing()
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show what happened."""
        match event:
            case RunStarted(plan=plan, demand=demand, executor=executor, done=done):
                self._plan = plan
                device = "the GPU" if demand.device else "the CPU"
                earlier = f"; {done:,} of {plan.blocks:,} blocks were done before" if done else ""
                self._say(f"[dim]{plan.blocks:,} blocks, {escape(executor)}, on {device}{earlier}")
            case StageStarted(name=name, total=total):
                self._start(name, total)
            case StageAdvanced(steps=steps):
                self._advance(steps)
            case BlockDone(report=report):
                self._measure(report)
                self._advance(1)
            case FieldTold(field=field, event=Trouble() as trouble):
                self._warn(trouble, of=f"{field}: ")
            case Trouble():
                self._warn(event)
            case _:
                pass

    def _warn(self, trouble: Trouble, *, of: str = "") -> None:
        match trouble:
            case BlockRetried(block=block, attempt=attempt, error=error):
                self._say(f"[yellow]{of}Block {block} failed ({escape(error)}); this is attempt {attempt}.")
            case BlockLost(block=block, error=error):
                self._say(f"[yellow]{of}Block {block} was lost ({escape(error)}) and is computed again.")
            case BlockGivenUp(block=block, error=error):
                self._say(f"[red]{of}Block {block} is left out ({escape(error)}); the others go on.")
            case BlockSlow(block=block, seconds=seconds, usual=usual):
                self._say(
                    f"[yellow]{of}Block {block} has taken {seconds:.0f} s so far; others take {usual:.0f} s. If its "
                    "worker hangs, end that worker: another one gets the block."
                )
            case BatchReduced(batch=batch):
                self._say(f"[yellow]{of}The device ran out of memory; batches now have {batch} tiles.")
            case ClusterAway(problem=problem, patience=patience) if not self._away:
                # Of a plate, each field that is at work says so.
                self._away = True
                self._say(f"[yellow]{escape(problem[:1].upper() + problem[1:])}; waiting for up to {patience:.0f} s.")
            case ClusterBack(seconds=seconds) if self._away:
                self._away = False
                self._say(f"[yellow]It is back after {seconds:.0f} s; the run goes on.")
            case _:
                pass

    def rate(self) -> float:
        """Return the useful input pixels of a second: those that tiles answer for, their context not counted."""
        if len(self._recent) < 2:
            return 0.0
        (first, _), *rest = self._recent
        seconds = rest[-1][0] - first
        return sum(pixels for _, pixels in rest) / seconds if seconds > 0 else 0.0

    def _start(self, name: str, total: int) -> None:
        self._end_preparing()
        description = f"{self._title}: {name}" if self._title else name
        self._task = self._progress.add_task(description, total=total, rate="")
        self._recent = deque([(self._clock(), 0.0)])

    def _end_preparing(self) -> None:
        if self._task is not None and self._progress.tasks[-1].total is None:
            self._progress.remove_task(self._task)
            self._task = None

    def _advance(self, steps: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=steps, rate=_pace(self.rate()))

    def _measure(self, report: BlockReport) -> None:
        if self._plan is None:
            return
        lattice = self._plan.lattice
        voxels = prod(part.stop - part.start for part in lattice.owned(report.index))
        now = self._clock()
        self._recent.append((now, float(voxels / prod(axis.scale for axis in lattice.axes))))
        while len(self._recent) > 3 and now - self._recent[0][0] > RATE_SECONDS:
            self._recent.popleft()

    def _say(self, text: str) -> None:
        if self.console.is_terminal:
            self._progress.console.print(text, highlight=False)


def _pace(rate: float) -> str:
    if rate <= 0:
        return ""
    return f"{rate / 1e6:.3g} Mpx/s" if rate >= 1e5 else f"{rate / 1e3:.3g} kpx/s"
