"""What the pages of clusters tell is there: files, options, messages and other pages."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from commands import call

from scalesr.engine.preflight import REMEDIES
from scalesr.engine.probing import Matter

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "docs" / "clusters.md", *sorted((ROOT / "docs" / "deploy").glob("*.md"))]
NAMES = [page.stem for page in PAGES]


@cache
def options_of(command: str) -> set[str]:
    """Return the options that a command's help shows."""
    return set(re.findall(r"--[a-z][a-z-]+", call(command, "--help").stdout))


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if heading:
            headings = re.findall(r"^#+ (.+)$", there.read_text(), flags=re.MULTILINE)
            assert heading in {title.lower().replace(" ", "-") for title in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in re.findall(r"(?<![\w./-])deploy/[\w./-]+\w", page.read_text()):
        assert (ROOT / name).exists() or (page.parent / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_options_of_scalesr_are_those_of_its_help(page: Path) -> None:
    text = page.read_text().replace("\\\n", " ")
    lines = re.findall(r"scalesr (run|plan|info) ([^`\n]*)", text)
    for command, rest in lines:
        assert set(re.findall(r"(?<!\S)--[a-z][a-z-]+", rest)) <= options_of(command), rest


def test_every_matter_has_its_remedy_and_its_line() -> None:
    assert set(REMEDIES) == set(get_args(Matter))
    text = (ROOT / "docs" / "clusters.md").read_text()
    rows = {
        name.strip() for row in re.findall(r"^\| ([\w, ]+) \|", text, flags=re.MULTILINE) for name in row.split(",")
    }
    assert set(get_args(Matter)) - {"answer"} <= rows
