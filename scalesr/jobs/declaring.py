"""What a setting is: a field with its option, its help, and how a file may write it. All else is derived from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

if TYPE_CHECKING:
    from pathlib import PurePath


@dataclass(frozen=True)
class Natural:
    """A setting that is a text on the command line, and may be a number, a list or a mapping in a file."""

    kind: Any
    """What it may be beside the text: a type as annotations have it."""
    unit: str = ""
    """What a plain number is followed by to be the text."""

    def told(self, value: Any) -> Any:
        """Return a value of a file as the command line has it: a text, or several where it is asked for several."""
        if isinstance(value, Mapping):
            return [f"{name}={json.dumps(item)}" for name, item in value.items()]
        if isinstance(value, list):
            return ",".join(str(item) for item in value)
        return f"{value}{self.unit}" if isinstance(value, int | float) else value


@dataclass(frozen=True)
class Place:
    """A setting that is a path or an address; in a file, a path is relative to the folder of the file."""

    words: tuple[str, ...] = ()
    """Texts that are no place."""
    endings: tuple[str, ...] = ()
    """How a path ends, where names that are no path are allowed too."""

    def names_path(self, text: str) -> bool:
        """Return whether a text is a path, and no word, no name and no address."""
        if text in self.words or "://" in text or "::" in text:
            return False
        return not self.endings or "/" in text or text.lower().endswith(self.endings)

    def within(self, folder: PurePath, text: str) -> str:
        """Return the place that a file in a folder means."""
        return str(folder / text) if self.names_path(text) else text


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One setting of a run."""

    field: str
    """Its name in Python."""
    name: str
    """Its name on the command line, without dashes before it, and in files."""
    kind: Any
    """What the command line makes of it: a type as annotations have it."""
    default: Any
    """Its value where none is given; ``None`` where that depends on image and model, or there is none."""
    help: str
    """What it says, in one or two sentences."""
    panel: str
    """Under which heading the help shows it."""
    values: str
    """What can be given, in short, such as ``N[,N...]``."""
    otherwise: str
    """What holds where nothing is given, in words; empty where the default says so itself."""
    least: float | None
    """Smallest number."""
    natural: Natural | None
    """How a file may write it beside."""
    place: Place | None
    """What makes it a path, if it is one."""

    @property
    def values_in_file(self) -> str:
        """What can be given in a file, in short."""
        if list[str] in get_args(self.kind):
            return "{NAME: VALUE, ...}"
        return self.values if self.least is None else f"{self.values}, at least {self.least:g}"


@cache
def settings_of(kind: type) -> tuple[Setting, ...]:
    """Return the settings that a dataclass declares by its annotations, in their order."""
    hints = get_type_hints(kind, include_extras=True)
    found = []
    for one in fields(kind):
        base, *extras = get_args(hints[one.name])
        option = next(extra for extra in extras if isinstance(extra, ArgumentInfo | OptionInfo))
        shown = option.show_default
        found.append(
            Setting(
                field=one.name,
                name=_name(one.name, option),
                kind=base,
                default=None if one.default is MISSING else one.default,
                help=option.help or "",
                panel=option.rich_help_panel or "",
                values=option.metavar or "|".join(_choices(base)),
                otherwise=shown if isinstance(shown, str) else "",
                least=option.min,
                natural=next((extra for extra in extras if isinstance(extra, Natural)), None),
                place=next((extra for extra in extras if isinstance(extra, Place)), None),
            )
        )
    return tuple(found)


def _choices(kind: Any) -> list[str]:
    """Return the words that can be chosen from; none where there is another choice than of words."""
    if kind is bool:
        return ["true", "false"]
    if get_origin(kind) is Literal:
        return [str(word) for word in get_args(kind)]
    return [word for part in get_args(kind) for word in _choices(part)]


def _name(field: str, option: ArgumentInfo | OptionInfo) -> str:
    """Return the long name of an option: the one that is declared, or that which typer makes of the field."""
    # The first declaration stands where a default would without annotations.
    declared = (option.default, *(option.param_decls or ()))
    long = (text for text in declared if isinstance(text, str) and text.startswith("--"))
    return next(long, field.replace("_", "-")).removeprefix("--")
