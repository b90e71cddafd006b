"""The options that commands share; those of a run are declared in `scalesr.jobs`, and others take some."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from scalesr.jobs.crew import Scheduler
from scalesr.jobs.images import Series
from scalesr.jobs.options import Device, Memory, Model, Trust

if TYPE_CHECKING:
    from scalesr.cli.failing import Style

__all__ = [
    "Device",
    "Json",
    "Memory",
    "Model",
    "Quiet",
    "Scheduler",
    "Series",
    "Traceback",
    "Trust",
    "Workers",
    "told",
]

Workers = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Threads or processes at work.",
        show_default="one for each core",
        rich_help_panel="Speed and memory",
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Write one JSON document instead of text.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="Say nothing unless something is wrong.")]
Traceback = Annotated[
    bool, typer.Option("--traceback", metavar="", help="On an error, show where in the code it arose.")
]


def told(json: bool) -> Style:  # noqa: FBT001 what the command line knows is a flag
    """Return how a command tells its result."""
    return "json" if json else "text"
