"""The settings of a run as options of a command, and the job file that may stand in place of the input."""

from __future__ import annotations

import inspect
from dataclasses import fields
from functools import wraps
from typing import TYPE_CHECKING, Any, get_type_hints

from scalesr.cli.output import note
from scalesr.jobs.declaring import settings_of
from scalesr.jobs.job_file import JobFile, names_job
from scalesr.jobs.settings import RunSettings
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import typer

    from scalesr.engine import Options


def with_settings(*, but: Collection[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each setting of a run, in the place of its parameter ``given``.

    The command gets them by name, as a mapping.

    Parameters
    ----------
    but
        Settings that the command does without.
    """
    hints = get_type_hints(RunSettings, include_extras=True)
    taken = [one for one in fields(RunSettings) if one.name not in but]

    def deriving(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def taking(**told: Any) -> None:
            given = {one.name: told.pop(one.name) for one in taken}
            command(given=given, **told)

        parameters: list[inspect.Parameter] = []
        for own in inspect.signature(command, eval_str=True).parameters.values():
            if own.name != "given":
                parameters.append(own.replace(kind=inspect.Parameter.KEYWORD_ONLY))
                continue
            parameters += [
                inspect.Parameter(
                    one.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    annotation=hints[one.name],
                    default=inspect.Parameter.empty if one.name == "source" else one.default,
                )
                for one in taken
            ]
        taking.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        taking.__annotations__ = {one.name: one.annotation for one in parameters}
        return taking

    return deriving


def asked(context: typer.Context, given: dict[str, Any], *, quiet: bool) -> tuple[RunSettings, Options]:
    """Return the settings of a run and what they are to the engine: as typed, or of a job file as far as not typed.

    Raises
    ------
    OptionError
        A text cannot be understood, there is no output, or the job file is wrong.
    """
    if not names_job(given["source"]):
        settings = RunSettings(**given)
        return settings, settings.options()
    job = JobFile.read(given["source"])
    typed = {name: value for name, value in given.items() if name != "source" and _typed(context, name)}
    changed = job.changed(**typed)
    if typed and not quiet:
        names = {one.field: one.name for one in settings_of(RunSettings)}
        words = [
            f"--{names[name]}" + (f" (line {job.lines[names[name]]})" if names[name] in job.lines else "")
            for name in typed
        ]
        note(f"In place of what {job.path} says: {', '.join(words)}.")
    return changed.settings, changed.options()


def _typed(context: typer.Context, name: str) -> bool:
    # By its name: some versions of typer have a click of their own within.
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def place_of(settings: RunSettings) -> str:
    """Return where the output goes.

    Raises
    ------
    OptionError
        Nobody said so.
    """
    if settings.target is None:
        raise OptionError(
            "Missing argument 'OUT'.",
            remedy="Say where the new image goes, or give a job file, NAME.yaml. See --help.",
        )
    return settings.target
