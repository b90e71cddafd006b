"""The code blocks of the pages, and how they are checked and run."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import json
import re
import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
import yaml

from scalesr.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if "site" not in path.parts),
]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
SHELL, PROGRAM = ("bash", "sh", "console"), "python"
LANGUAGES = {*SHELL, PROGRAM, "text", "yaml", "json", "toml"}
FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,})(?P<info>[^`]*)$")
INFO = re.compile(r'(?P<language>\S*)(?P<rest>(?:\s+[\w-]+="[^"]*")*)\s*$')


@dataclass(frozen=True, kw_only=True)
class Block:
    """One block of a page."""

    page: Path
    line: int
    """Line of the page that its first line is."""
    language: str
    text: str
    title: str = ""
    """Name of the file that the block is to be written to, instead of being run."""
    no_run: str = ""
    """Why it cannot be run here; empty where it can."""

    @property
    def place(self) -> str:
        """Where it is, for messages."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in order, those inside of lists and tabs, too."""
    lines = page.read_text(encoding="utf-8").splitlines()
    found: list[Block] = []
    number = 0
    while number < len(lines):
        opened = FENCE.match(lines[number])
        if opened is None:
            number += 1
            continue
        end = next(
            (n for n in range(number + 1, len(lines)) if lines[n].strip() == opened["ticks"]),
            None,
        )
        assert end is not None, f"{page.name}:{number + 1}: a block without an end"
        info = INFO.match(opened["info"].strip())
        assert info is not None, f"{page.name}:{number + 1}: what follows the language is not understood"
        facts = dict(re.findall(r'([\w-]+)="([^"]*)"', info["rest"]))
        assert set(facts) <= {"title", "no-run"}, f"{page.name}:{number + 1}: {set(facts)}"
        indent = len(opened["indent"])
        found.append(
            Block(
                page=page,
                line=number + 2,
                language=info["language"],
                text="\n".join(line[indent:] for line in lines[number + 1 : end]) + "\n",
                title=facts.get("title", ""),
                no_run=facts.get("no-run", ""),
            )
        )
        number = end + 1
    return found


def commands_of(block: Block) -> Iterator[str]:
    """Yield the lines of a shell block that somebody types, continued ones as one; of a console those after $."""
    text = block.text.replace("\\\n", " ")
    for line in text.splitlines():
        words = re.sub(r"(?:^|\s+)#.*", "", line.strip())
        if block.language == "console":
            if not words.startswith("$ "):
                continue
            words = words.removeprefix("$ ")
        if words:
            yield words


def unknown_options(line: str) -> set[str]:
    """Return the options of a line's ``scalesr COMMAND`` that the parser of that command does not have."""
    found: Any = typer.main.get_command(app)
    words = re.split(r"[\s=]+", line)
    for number, word in enumerate(words):
        below = getattr(found, "commands", {})
        if word not in below:
            break
        found = below[word]
        words[number] = ""
    else:
        number = len(words)
    known = {name for parameter in found.params for name in parameter.opts} | {"--help", "-h"}
    return {word for word in words if re.fullmatch(r"--[a-z][a-z-]+", word)} - known


def check(block: Block) -> None:
    """Raise an AssertionError, or what the parser of its language raises, where a block cannot be right."""
    assert block.language in LANGUAGES, f"{block.place}: a block needs a language, of {sorted(LANGUAGES)}"
    if block.language == PROGRAM:
        tree = compile(block.text, block.place, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        for node in ast.walk(tree):
            _check_imports(node, block)
    elif block.language in SHELL:
        for line in commands_of(block):
            for words in re.findall(r"(?:^|(?<=[\s(]))scalesr ((?:[a-z][a-z-]* ?)+.*)", line):
                assert not unknown_options(words), f"{block.place}: {line}: {unknown_options(words)}"
    elif block.language == "yaml":
        list(yaml.safe_load_all(block.text))
    elif block.language == "json":
        json.loads(block.text)
    elif block.language == "toml":
        tomllib.loads(block.text)


def _check_imports(node: ast.AST, block: Block) -> None:
    if isinstance(node, ast.Import):
        names = [(alias.name, "") for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [(node.module or "", alias.name) for alias in node.names]
    else:
        return
    for module, name in names:
        if not module.startswith("scalesr") and importlib.util.find_spec(module.split(".")[0]) is None:
            continue  # of the reader, or of an extra that is not installed
        loaded = importlib.import_module(module)
        if name and not hasattr(loaded, name):
            importlib.import_module(f"{module}.{name}")


def words_of(line: str) -> tuple[dict[str, str], list[str]]:
    """Return the variables that a line sets before its command, and the words of the command."""
    words = shlex.split(line, comments=True)
    variables: dict[str, str] = {}
    while words and re.match(r"[A-Z_]+=", words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    return variables, words
