"""A progress bar in a terminal: the stage, how far it is, rate, use of the devices, and the time that is left."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from scalesr.engine import BlockDone, StageAdvanced, StageStarted
from scalesr.progress.pace import Pace
from scalesr.progress.words import Tidings

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.progress import TaskID

    from scalesr.engine import Event


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
        self._pace = Pace(clock)
        self._tidings = Tidings()
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

    def __enter__(self) -> Self:
        self._progress.start()
        self._task = self._progress.add_task(self._title or "preparing", total=None, rate="")
        return self

    def __exit__(self, *_: object) -> None:
        self._end_preparing()
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show what happened."""
        self._pace.note(event)
        for style, words in self._tidings.of(event):
            self._say(f"[{style}]{escape(words)}")
        match event:
            case StageStarted(name=name, total=total):
                self._start(name, total)
            case StageAdvanced(steps=steps):
                self._advance(steps)
            case BlockDone():
                self._advance(1)
            case _:
                pass

    def rate(self) -> float:
        """Return the useful input pixels of a second: those that tiles answer for, their context not counted."""
        return self._pace.rate()

    def _start(self, name: str, total: int) -> None:
        self._end_preparing()
        description = f"{self._title}: {name}" if self._title else name
        self._task = self._progress.add_task(escape(description), total=total, rate="")

    def _end_preparing(self) -> None:
        if self._task is not None and self._progress.tasks[-1].total is None:
            self._progress.remove_task(self._task)
            self._task = None

    def _advance(self, steps: int) -> None:
        if self._task is not None:
            self._progress.update(self._task, advance=steps, rate=self._pace.words())

    def _say(self, text: str) -> None:
        if self.console.is_terminal:
            self._progress.console.print(text, highlight=False)
