"""Commands that train: each says how its lesson comes about, and all are asked, taught and told alike."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from scalesr.cli import options as given
from scalesr.cli import training_options as usual
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import print_json, screen
from scalesr.cli.training import bar, document_taught, one_length, settle_device, show_taught

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.cli.training import Titles
    from scalesr.learning import Judged, Lesson

CODES = """
[bold]Exit codes[/bold]

  0 done             1 not foreseen     2 options     3 images     4 output     5 model
  6 settings         7 the folder of another training     8 storage     130 Ctrl-C
"""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What all lessons are told."""

    out: Path
    """Folder of the training."""
    device: str
    """``cpu``, ``cuda`` or ``cuda:1``."""
    seed: int
    """Seed of all that is left to chance."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """A lesson that is ready."""

    lesson: Lesson
    """What is taught."""
    judged: Judged | None = None
    """What its scores are of, where that differs."""
    first: Literal["step", "validation"] = "step"
    """``validation``: what is kept is at least as good as what was begun with."""


def teaching(
    titles: Titles, *, minutes: float, meanwhile: str = "starting"
) -> Callable[[Callable[..., Course]], Callable[..., None]]:
    """Make a command of a function that makes a lesson.

    The command has the function's arguments and options but for its first one, `Asked`, and those that all trainings
    share: where, how long, seed, device and threads, and how to tell. Typer reads its signature.

    Parameters
    ----------
    titles
        What scores are called.
    minutes
        Default length.
    meanwhile
        What is said to be done until the lesson is ready.
    """

    def make(prepare: Callable[..., Course]) -> Callable[..., None]:
        def command(**options: Any) -> None:
            shared = {name: options.pop(name) for name in _shared(minutes)}
            style = told(shared["json"])
            with reporting(style=style, stack="shown" if shared["traceback"] else "hidden"):
                one_length(steps=shared["steps"], minutes=shared["minutes"])
                with screen("err").status(meanwhile):
                    device = settle_device(shared["device"], shared["threads"])
                    course = prepare(Asked(out=Path(shared["out"]), device=device, seed=shared["seed"]), **options)
                _teach(course, titles, default=minutes, shared=shared)

        hints = get_type_hints(prepare, include_extras=True)
        own = [
            each.replace(annotation=hints[each.name])
            for each in list(inspect.signature(prepare).parameters.values())[1:]
        ]
        images = [each for each in own if each.kind is not inspect.Parameter.KEYWORD_ONLY]
        options = [each for each in own if each.kind is inspect.Parameter.KEYWORD_ONLY]
        shared = list(_shared(minutes).values())
        before = [each for each in shared if each.name in _BEFORE]
        after = [each for each in shared if each.name not in _BEFORE]
        parameters = [*images, *before, *options, *after]
        command.__doc__, command.__name__ = prepare.__doc__, prepare.__name__
        command.__annotations__ = {each.name: each.annotation for each in parameters}
        command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return command

    return make


def _everybodys(
    *,
    out: usual.Out,
    resume: usual.Resume = False,
    quiet: given.Quiet = False,
    minutes: float | None = None,
    steps: usual.Steps = None,
    seed: usual.Seed = 0,
    device: given.Device = "auto",
    threads: usual.Threads = None,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Hold the options that all trainings share."""


_BEFORE = ("out", "resume", "quiet", "minutes", "steps")
"""Those that stand before a command's own."""


def _shared(minutes: float) -> dict[str, inspect.Parameter]:
    hints = get_type_hints(_everybodys, include_extras=True)
    hints["minutes"] = Annotated[
        float | None,
        typer.Option(
            metavar="MINUTES", help="How long to train.", show_default=f"{minutes:g}", rich_help_panel=usual.LENGTH
        ),
    ]
    found = inspect.signature(_everybodys).parameters
    return {name: each.replace(annotation=hints[name]) for name, each in found.items()}


def _teach(course: Course, titles: Titles, *, default: float, shared: dict[str, Any]) -> None:
    """Teach, with a bar, and say what came of it."""
    from scalesr.learning import Length, teach  # noqa: PLC0415 torch takes seconds

    steps, quiet, json = shared["steps"], shared["quiet"], shared["json"]
    length = Length(steps=steps, minutes=None if steps else shared["minutes"] or default)
    with bar(titles, shown=not quiet and not json) as watch:
        found = teach(
            course.lesson,
            length,
            Path(shared["out"]),
            mode="resume" if shared["resume"] else "create",
            first=course.first,
            watch=watch,
        )
    found = replace(found, judged=course.judged)
    if json:
        print_json(document_taught(found))
    elif not quiet:
        show_taught(found, titles)
