"""Rules of the house that no linter checks."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "scalesr"
SOURCES = sorted(PACKAGE.rglob("*.py"))

MOST_LINES = 350
LONGER: dict[str, int] = {}
"""Files that have a reason to be longer, by path inside the package, with the lines they may have: 500 at most."""

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|raise NotImplementedError")


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_a_file_can_be_read_in_one_go() -> None:
    too_long = {name_of(path): lines(path) for path in SOURCES if lines(path) > LONGER.get(name_of(path), MOST_LINES)}
    assert not too_long, f"one noun a file, so move the second one out: {too_long}"
    assert all(MOST_LINES < allowed <= 500 for allowed in LONGER.values())


def test_nothing_is_left_unfinished() -> None:
    found = [
        f"{name_of(path)}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text().splitlines()
        if UNFINISHED.search(line)
    ]
    assert not found, "\n".join(found)


def test_only_the_surface_prints() -> None:
    """The engine tells what happens by events, never by printing."""
    wrong = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCES
        if name_of(path).split("/")[0].removesuffix(".py") not in {"cli", "report"}
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    ]
    assert not wrong
