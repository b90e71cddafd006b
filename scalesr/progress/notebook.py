"""Progress below the cell of a notebook: one line that changes, and what went wrong below it."""

from __future__ import annotations

from html import escape
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, Self

from scalesr.engine import BlockDone, RunFinished, StageStarted
from scalesr.progress.pace import Pace, span
from scalesr.progress.words import Tidings

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.engine import Event

OFTEN = 0.25
"""Seconds from one change of what is shown to the next: each travels to the browser."""
KEPT = 20
"""Most tidings that are shown; later ones take the place of earlier ones."""


class NotebookProgress:
    """Shows a run below the cell of a notebook, by what every front end has: HTML, or text where there is no HTML.

    It is a context manager and a callback, as `RichProgress`; no widgets are needed, and the last state stays when the
    notebook is saved.

    Parameters
    ----------
    title
        What is run, shown before the name of each stage.
    clock
        Seconds that only grow.
    display
        Shows something and returns what has ``update``; that of IPython when not given.
    """

    def __init__(
        self,
        *,
        title: str = "",
        clock: Callable[[], float] = perf_counter,
        display: Callable[[Any], Any] | None = None,
    ) -> None:
        self._title = title
        self._clock = clock
        self._display = display or _display
        self._pace = Pace(clock)
        self._tidings = Tidings()
        self._said: list[str] = []
        self._left_out = 0
        self._began = self._shown = clock()
        self._ended: Literal["", "done", "stopped"] = ""
        self._handle: Any = None

    def __enter__(self) -> Self:
        self._began = self._clock()
        self._handle = self._display(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended = "done" if kind is None else "stopped"
        self._show()

    def __call__(self, event: Event) -> None:
        """Show what happened."""
        self._pace.note(event)
        said = [words for _, words in self._tidings.of(event)]
        self._said += said
        if len(self._said) > KEPT:
            self._left_out += len(self._said) - KEPT
            self._said = self._said[-KEPT:]
        last = isinstance(event, BlockDone) and self._pace.done >= self._pace.total
        if said or last or isinstance(event, StageStarted | RunFinished) or self._clock() - self._shown >= OFTEN:
            self._show()

    def __repr__(self) -> str:
        return "\n".join([self._line(), *self._below()])

    def _repr_html_(self) -> str:
        total, done = (1, 1) if self._ended == "done" else (self._pace.total, self._pace.done)
        # Without a value it moves on its own: something is done, and nobody knows how much of it.
        value = f'value="{done}" max="{total or 1}"' if total or self._ended else ""
        below = "".join(f'<div style="font-size: 85%">{escape(words)}</div>' for words in self._below())
        return (
            f'<div><progress {value} style="width: 14em; vertical-align: middle"></progress> '
            f'<span style="font-variant-numeric: tabular-nums">{escape(self._line())}</span>{below}</div>'
        )

    def _line(self) -> str:
        pace = self._pace
        taken = span(self._clock() - self._began)
        if self._ended == "done":
            return ": ".join(filter(None, (self._title, f"done in {taken}")))
        stage = ": ".join(filter(None, (self._title, pace.stage or "preparing")))
        parts = [f"{pace.done:,} of {pace.total:,}", pace.words()] if pace.total else []
        left = pace.left()
        if self._ended:
            parts.append(f"stopped after {taken}")
        elif left is not None and pace.done < pace.total:
            parts.append(f"{span(left)} left")
        return "; ".join(filter(None, [stage, *parts]))

    def _below(self) -> list[str]:
        return ([f"... {self._left_out:,} before these"] if self._left_out else []) + self._said

    def _show(self) -> None:
        self._shown = self._clock()
        if self._handle is not None:
            self._handle.update(self)


def _display(shown: Any) -> Any:
    from IPython.display import display  # noqa: PLC0415 it is there where a notebook is

    return display(shown, display_id=True)  # type: ignore[no-untyped-call]
