"""How a command ends that does not end well: one message with a remedy, one exit code, no stack of calls."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import TYPE_CHECKING, Literal

import typer
from rich.text import Text

from scalesr.cli.output import print_json, screen
from scalesr.errors import InterruptedRunError, ScalesrError

if TYPE_CHECKING:
    from collections.abc import Iterator

Style = Literal["text", "json"]
"""How results and errors are told: for people, or as one JSON document on standard output."""

FILLED = 9
"""Exit code of a run that finished, but filled chunks of the input that could not be decoded."""

DAMAGED = 13
"""Exit code where an output was found that is not whole."""


@contextmanager
def reporting(*, style: Style, stack: Literal["hidden", "shown"]) -> Iterator[None]:
    """Turn any error inside into a message with a remedy and an exit code.

    A `ScalesrError` has an exit code of its own, Ctrl-C and SIGTERM are 130, and anything unforeseen is 1.

    Raises
    ------
    typer.Exit
        After the message.
    """
    try:
        with _ending():
            yield
    except (typer.Exit, typer.Abort, BrokenPipeError):
        raise
    except KeyboardInterrupt:
        stopped = InterruptedRunError(
            "Stopped.", remedy="Run the same command again; with --resume if the output was begun."
        )
        tell_error(stopped, style=style)
        raise typer.Exit(stopped.exit_code) from None
    except ScalesrError as error:
        if stack == "shown":
            screen("err").print_exception()
        tell_error(error, style=style)
        raise typer.Exit(error.exit_code) from None
    except Exception as error:  # noqa: BLE001 whatever it is, a stack of calls is not what a user can act on
        if stack == "shown":
            screen("err").print_exception()
        words = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        remedy = "This is not foreseen; please report it with what --traceback prints."
        tell_error(ScalesrError(words, remedy=remedy), style=style)
        raise typer.Exit(1) from None


@contextmanager
def _ending() -> Iterator[None]:
    """Take an order to end (SIGTERM), as queues and machines that are shut down give it, for a Ctrl-C."""
    if current_thread() is not main_thread():  # which alone may say what signals do
        yield
        return
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def tell_error(error: ScalesrError, *, style: Style) -> None:
    """Write an error: for people to standard error, as JSON to standard output."""
    if style == "json":
        print_json({"error": error.problem, "remedy": error.remedy, "exit_code": error.exit_code})
        return
    label = "" if isinstance(error, InterruptedRunError) else "Error: "
    text = Text.assemble((label, "bold red"), (error.problem, "red"), " ", error.remedy)
    screen("err").print(text, soft_wrap=True)
