"""The page of the command line, made of the parser itself."""  # noqa: INP001 the site is no package

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

import typer
from rich.text import Text

from scalesr.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = """# Command line

Made from the program's own parser, so it says what `--help` says. Sizes are in pixels of the input unless an option
says otherwise; one number stands for all axes that a model mixes, several for one each, slowest first.
"""


def commands_page() -> str:
    """Return all commands with their arguments, options and examples."""
    parts = [HEAD]
    for path, command in _walk(typer.main.get_command(app), ("scalesr",)):
        name = " ".join(path)
        parts.append(f"## {name}\n\n{_plain(command.help or '')}\n")
        if getattr(command, "commands", None):
            parts.append("\n".join(f"- `{name} {below}`: {_first(each)}" for below, each in command.commands.items()))
            parts.append("")
        else:
            parts.append(f"```text\n{_usage(name, command)}\n```\n")
        parts.extend(_tables(command))
        if command.epilog:
            parts.append(_examples(command.epilog))
    return "\n".join(parts)


def _walk(command: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    for name, below in getattr(command, "commands", {}).items():
        yield from _walk(below, (*path, name))


def _plain(markup: str) -> str:
    text = re.sub(r"\[cyan\](.*?)\[/cyan\]", r"`\1`", markup)
    return Text.from_markup(text).plain.strip()


def _first(command: Any) -> str:
    return _plain(command.help or "").split("\n\n")[0]


def _usage(name: str, command: Any) -> str:
    words = [_metavar(each) for each in command.params if each.param_type_name == "argument"]
    words = [word if each.required else f"[{word}]" for word, each in zip(words, _arguments(command), strict=True)]
    return " ".join([name, "[OPTIONS]", *words])


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _metavar(parameter: Any) -> str:
    if parameter.metavar is not None:
        return str(parameter.metavar)
    # Newer versions of typer keep the annotation, older ones the type that click made of it.
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    choices = getattr(getattr(parameter, "type", None), "choices", ()) or get_args(annotation)
    return "|".join(map(str, choices)) or "VALUE"


def _tables(command: Any) -> Iterator[str]:
    panels: dict[str, list[Any]] = {}
    for parameter in command.params:
        kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
        panels.setdefault(getattr(parameter, "rich_help_panel", None) or kind, []).append(parameter)
    for title, parameters in panels.items():
        yield f"**{title}**\n"
        yield f"| {'Argument' if title == 'Arguments' else 'Option'} | Says | Default |\n|---|---|---|"
        for parameter in parameters:
            yield f"| {_name(parameter)} | {_cell(parameter.help or '')} | {_default(parameter)} |"
        yield ""


def _name(parameter: Any) -> str:
    metavar = _metavar(parameter)
    if parameter.param_type_name == "argument":
        return f"`{metavar}`"
    names = ", ".join(f"`{each}`" for each in parameter.opts)
    return names if parameter.is_flag or not metavar else f"{names} `{metavar}`"


def _cell(text: str) -> str:
    return _plain(text).replace("\n", " ").replace("|", "\\|")


def _default(parameter: Any) -> str:
    shown = getattr(parameter, "show_default", None)
    if isinstance(shown, str):
        return _cell(shown)
    value = parameter.default
    if parameter.required or value is None or value is False or callable(value) or not str(value):
        return "required" if parameter.required else ""
    return f"`{getattr(value, 'value', value)}`"


def _examples(epilog: str) -> str:
    lines = [line.rstrip() for line in Text.from_markup(epilog.strip("\n")).plain.splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```\n"
