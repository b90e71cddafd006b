"""YAML with the lines that its values stand in: nothing but plain values, each name once, no surprises of YAML 1.1."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from scalesr.jobs.values import OptionError

LARGEST = 2**20
"""Bytes of a file at most; those that people write have a few thousand."""
Where = tuple[str | int, ...]
"""Names and numbers that lead to a value."""
_REMEDY = "Check the file; `scalesr schema --defaults` writes one that holds every setting."


class _Loader(yaml.SafeLoader):  # type: ignore[misc]
    """Knows the plain values of YAML 1.2: ``no`` is a word and ``12:30`` a text, which YAML 1.1 makes false and 750."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 as in the base class

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Compose a value; no alias, a few of which can stand for more values than memory holds."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not read", self.peek_event().start_mark)
        return super().compose_node(parent, index)


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), list(_first))


@dataclass(frozen=True, kw_only=True)
class Document:
    """The values of a file, and the line in which each begins."""

    values: dict[str, Any]
    """What the file holds."""
    lines: dict[Where, int] = field(default_factory=dict)
    """Line of each value, from 1, by the names and numbers that lead to it."""

    def line(self, where: Where) -> int:
        """Return the line of a value, or of the nearest one around it."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)


def read_document(content: bytes, *, name: str) -> Document:
    """Return what a file of YAML, or JSON, holds: a mapping of texts, numbers, lists and mappings.

    Parameters
    ----------
    content
        The bytes of the file.
    name
        What to call it in an error.

    Raises
    ------
    OptionError
        It is no YAML, no mapping, names something twice, or holds anchors, tags or what is no plain value.
    """
    if len(content) > LARGEST:
        raise OptionError(f"{name} has {len(content):,} bytes, far more than settings.", remedy=_REMEDY)
    try:
        loader = _Loader(content.decode("utf-8-sig"))
        node = loader.get_single_node()
        if node is None:
            raise OptionError(f"{name} is empty.", remedy=_REMEDY)
        lines: dict[Where, int] = {}
        values = _value(loader, node, (), lines, name=name)
    except UnicodeDecodeError as error:
        raise OptionError(f"{name} is no text in UTF-8: {error}.", remedy=_REMEDY) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise OptionError(
            f"{name}{where}, cannot be read: {error.problem or error.context}.", remedy=_REMEDY
        ) from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise OptionError(f"{name} cannot be read: {error}.", remedy=_REMEDY) from error
    if not isinstance(values, dict):
        raise OptionError(
            f"{name} holds no settings.", remedy="Write one NAME: VALUE on each line, such as `scale: 4`."
        )
    return Document(values=values, lines=lines)


def _value(loader: _Loader, node: yaml.Node, where: Where, lines: dict[Where, int], *, name: str) -> Any:
    lines[where] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        found: dict[str, Any] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise OptionError(f"{name}, line {line}: a name must be a plain word.", remedy=_REMEDY)
            if key.value in found:
                raise OptionError(
                    f"{name}, line {line}: {key.value!r} stands in line {lines[(*where, key.value)]} already.",
                    remedy="Keep one of the two.",
                )
            found[key.value] = _value(loader, value, (*where, key.value), lines, name=name)
            lines[(*where, key.value)] = line
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_value(loader, item, (*where, i), lines, name=name) for i, item in enumerate(node.value)]
    kind = node.tag.rpartition(":")[2]
    if kind not in ("str", "int", "float", "bool", "null"):
        raise OptionError(
            f"{name}, line {lines[where]}: {node.tag} is no text, number, list or mapping.",
            remedy="Put quotes round a text that begins with a sign of YAML's own.",
        )
    # Leading zeros are octal in YAML 1.1.
    return int(node.value) if kind == "int" else loader.construct_object(node)
