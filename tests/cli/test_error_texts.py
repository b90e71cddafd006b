"""Every message of an error that scalesr raises, read in its source: what was wrong, and what to do, as sentences."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import scalesr
from scalesr.errors import ScalesrError

PACKAGE = Path(scalesr.__file__).parent
VALUE = "\N{WHITE SQUARE}"
"""What stands for a value that is filled in."""
COMMAND = re.compile(r"(pip install|scalesr) [^.]*$")
"""What is to be typed is not followed by a full stop, which would be typed too."""

KNOWN_OUTSIDE = {"StyleGAN2", "in_flight"}
"""A network of others, and a setting that users give."""


@dataclass(frozen=True)
class Site:
    """A place where an error is made."""

    where: str
    problems: tuple[str, ...]
    remedies: tuple[str, ...]
    """All texts that there can be, values filled in by `VALUE`; empty where another error's text is passed on."""


@cache
def trees() -> dict[str, ast.Module]:
    """Return the source of the whole package."""
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    }


@cache
def kinds() -> frozenset[str]:
    """Return the names of all errors that a user can mend."""
    found = {ScalesrError.__name__}
    classes = [node for tree in trees().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while True:
        more = {node.name for node in classes if {ast.unparse(base).split(".")[-1] for base in node.bases} & found}
        if more <= found:
            return frozenset(found)
        found |= more


def texts(node: ast.expr, names: dict[str, list[ast.expr]], deep: int = 0) -> list[str]:
    """Return all texts that an expression can become; a call or a member of another error is a value."""
    if isinstance(node, ast.Constant):
        return [str(node.value)]
    if isinstance(node, ast.FormattedValue):
        return texts(node.value, names, deep) if isinstance(node.value, ast.IfExp) else [VALUE]
    if isinstance(node, ast.JoinedStr | ast.BinOp):
        parts = node.values if isinstance(node, ast.JoinedStr) else [node.left, node.right]
        found = [""]
        for part in parts:
            found = [before + text for before in found for text in texts(part, names, deep)]
        return found
    if isinstance(node, ast.IfExp):
        return [*texts(node.body, names, deep), *texts(node.orelse, names, deep)]
    if isinstance(node, ast.Name) and names.get(node.id) and deep < 3:
        return [text for value in names[node.id] for text in texts(value, names, deep + 1)]
    return [VALUE]


def assigned(tree: ast.Module) -> dict[str, list[ast.expr]]:
    """Return what is assigned to each name of a file, wherever that is."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    found.setdefault(target.id, []).append(node.value)
        elif isinstance(node, ast.AnnAssign | ast.AugAssign | ast.NamedExpr) and isinstance(node.target, ast.Name):
            found.setdefault(node.target.id, []).extend([] if node.value is None else [node.value])
    return found


@cache
def sites() -> tuple[Site, ...]:
    """Return all places where such an error is made, but for those that hand on what another error says."""
    found = []
    for name, tree in trees().items():
        names = assigned(tree)
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or ast.unparse(node.func).split(".")[-1] not in kinds():
                continue
            remedy = next((word.value for word in node.keywords if word.arg == "remedy"), None)
            where = f"scalesr/{name}:{node.lineno}"
            problems = texts(node.args[0], names) if node.args else []
            remedies = [] if remedy is None else texts(remedy, names)
            found.append(Site(where, tuple(problems), tuple(remedies)))
    return tuple(found)


def complain(wrong: list[str]) -> None:
    assert not wrong, "\n".join(wrong)


def test_there_is_something_to_read() -> None:
    assert len(sites()) > 700
    assert {"InputError", "OutputError", "ModelError", "PlanError", "OptionError", "StoreError"} <= kinds()


def test_every_error_says_what_to_do() -> None:
    complain([site.where for site in sites() if not site.remedies or not site.problems])
    complain(
        [
            f"{site.where}: {remedy!r}"
            for site in sites()
            for remedy in site.remedies
            if remedy.strip(VALUE + " ") and not sentence(remedy)
        ]
    )


def sentence(text: str) -> bool:
    """Return whether a text begins with a capital, a value or a command, and ends as sentences do."""
    begins = text[:1].isupper() or text.startswith((VALUE, "scalesr ", "pip ", "'", "--", "`"))
    return begins and (text.rstrip().endswith((".", "?", "!", VALUE)) or COMMAND.search(text) is not None)


def test_problems_are_sentences() -> None:
    """One that ends in what another library said gets its full stop when it is made."""
    complain(
        [
            f"{site.where}: {problem!r}"
            for site in sites()
            for problem in site.problems
            if problem.strip(VALUE + " ") and not problem.rstrip().endswith((".", "?", "!", VALUE))
        ]
    )
    assert str(ScalesrError("It failed: no room", remedy="Make room.")) == "It failed: no room. Make room."
    assert str(ScalesrError("It failed: full..", remedy="Make room.")) == "It failed: full. Make room."
    assert str(ScalesrError("Is it?", remedy="See.")) == "Is it? See."


@pytest.mark.parametrize("part", ["problems", "remedies"])
def test_no_message_speaks_of_the_inside(part: str) -> None:
    """Names of classes and functions mean nothing to who types commands, but for those that they are to write."""
    nodes = [node for tree in trees().values() for node in ast.walk(tree)]
    defined = {node.name for node in nodes if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    inside = {name for name in defined if name.startswith("_") or re.search(r"[a-z][A-Z_]", name)} - KNOWN_OUTSIDE
    complain(
        [
            f"{site.where}: {text!r} has {word}"
            for site in sites()
            for text in getattr(site, part)
            for word in re.findall(r"(?<![\w.'`-])[A-Za-z_]\w+(?![\w'`])", text)
            if word in inside
        ]
    )
