"""Where the commands write: results to standard output, everything else to standard error."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def note(text: str) -> None:
    """Tell the person something beside the result."""
    screen("err").print(Text(text, style="dim"), soft_wrap=True)
