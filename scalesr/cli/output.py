"""Where the commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.progress import Task

    from scalesr.engine import Callback

Lines = list[tuple[str, str]]
"""What and how much."""


def screen(stream: Literal["out", "err"] = "out") -> Console:
    """Return a console on the stream as it is now, with colours only where a person reads."""
    return Console(stderr=stream == "err", highlight=False)


def print_json(document: dict[str, Any]) -> None:
    """Write the one JSON document of a command."""
    json.dump(document, sys.stdout, indent=2, default=str)
    sys.stdout.write("\n")


def print_lines(lines: Sequence[tuple[str, str]]) -> None:
    """Write pairs with the second of each in one column; long ones are left to the terminal to wrap."""
    console = screen()
    width = max((len(name) for name, _ in lines), default=0)
    for name, text in lines:
        console.print(Text.assemble((f"{name:<{width}}  ", "cyan"), text), soft_wrap=True)


def print_heading(text: str) -> None:
    """Write a heading."""
    screen().print(Text(text, style="bold"), soft_wrap=True)


@contextmanager
def watched(*, shown: bool) -> Iterator[list[Callback]]:
    """Show progress on standard error, where a person reads that; give the callbacks for it."""
    from scalesr.progress import RichProgress  # noqa: PLC0415 torch takes seconds

    if not shown:
        yield []
        return
    with RichProgress(screen("err")) as callback:
        yield [callback]


def note(text: str) -> None:
    """Tell the person something beside the result."""
    screen("err").print(Text(text, style="dim"), soft_wrap=True)


class _Rate(ProgressColumn):
    """Steps of a second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.3g} /s" if speed else "", style="cyan")


def counting(*, shown: bool) -> Progress:
    """Return a bar on standard error of something that is counted: how far, rate, time left; only where a person reads.

    It is for work without the engine's events, which `scalesr.progress` shows and which would load torch.
    """
    console = screen("err")
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        console=console,
        disable=not (shown and console.is_terminal),
    )
