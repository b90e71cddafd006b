"""What the pages name is there: files, headings, other pages, options, and settings of the environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from docs.fenced import NAMES, PAGES, ROOT, unknown_options

if TYPE_CHECKING:
    from pathlib import Path

MADE = re.compile(r"^(?:\.\./)*(?:(?:models|contribute|notebooks|reference)/[\w.-]+|scalesr[\w.]*)\.md$")
"""Pages that exist in the site only; whether links to them lead somewhere is a matter of building it."""
SOURCES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("scalesr", "deploy", "tests", "training")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".sh", ".sbatch", ".yaml"}
)


def anchor_of(heading: str) -> str:
    """Return the name that a heading has in links."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?:)([^)\s]+)\)", text):
        file, _, heading = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        if MADE.match(file) and not there.exists():
            continue
        assert there.exists(), target
        if heading and there.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), flags=re.MULTILINE)
            assert heading in {anchor_of(title) for title in headings}, target


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in re.findall(r"(?<![\w./-])(?:deploy|tests|notebooks|benchmarks/results)/[\w./-]+\w", page.read_text()):
        assert (ROOT / name).exists() or (page.parent / name).exists(), name


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_options_of_scalesr_are_those_of_its_parser(page: Path) -> None:
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    for words in re.findall(r"`scalesr ([a-z][^`\n]*)`", text):
        assert not unknown_options(words), words


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_variables_of_the_environment_are_known(page: Path) -> None:
    for name in re.findall(r"\bSCALESR_[A-Z_]+\b", page.read_text(encoding="utf-8")):
        assert name in SOURCES, name
