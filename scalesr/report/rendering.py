"""From sections to one HTML file that asks for nothing from anywhere and lets nothing run but its own script."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesr.report.pictures import legend

if TYPE_CHECKING:
    from scalesr.report.parts import Comparison, Fact, Picture, Plot, Table
    from scalesr.report.pictures import Scale

FOLDER = Path(__file__).parent / "page"
LEGENDS: dict[str, Scale] = {
    "Output minus cubic": "signed",
    "Error of the output": "size",
    "Error of cubic": "size",
    "Standard deviation": "spread",
}
"""Pictures that are maps, and their scales of colours."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of the page, under a heading of its own; what is empty is left out."""

    key: str
    """Its address within the page."""
    title: str
    words: tuple[str, ...] = ()
    """Paragraphs."""
    warnings: tuple[str, ...] = ()
    """What a reader must not overlook."""
    comparisons: tuple[Comparison, ...] = ()
    first: int = 1
    """Number of the first of these on the page."""
    pictures: tuple[Picture, ...] = ()
    wells: Table | None = None
    """A plate: a row for each of its rows, and in each cell how many fields are done of how many."""
    caption: str = ""
    """Of the facts."""
    facts: tuple[Fact, ...] = ()
    tables: tuple[Table, ...] = ()
    plots: tuple[Plot, ...] = ()
    codes: tuple[Fact, ...] = ()
    """Titles, and what a reader may copy."""
    folded: tuple[Table, ...] = ()
    """Tables that are opened by a click."""
    texts: tuple[Fact, ...] = ()
    """Titles, and long texts that are opened by a click."""


@dataclass(frozen=True, kw_only=True)
class Page:
    """All that a report says."""

    title: str
    lead: str
    """One sentence on what was done."""
    tiles: tuple[Fact, ...]
    """The few figures that everybody asks for."""
    sections: tuple[Section, ...]
    written: str = field(default_factory=lambda: datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"))
    """When."""


def rendered(page: Page) -> bytes:
    """Return the page as HTML. Every text in it is escaped, whoever wrote it."""
    from markupsafe import Markup  # noqa: PLC0415 it comes with Jinja

    style, script = (_own(name) for name in ("style.css", "slider.js"))
    digest = b64encode(sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    shown = {
        picture.name
        for section in page.sections
        for place in section.comparisons
        for picture in place.maps
        if picture.name in LEGENDS
    }
    text = _template().render(
        page=page,
        policy=policy,
        style=Markup(style),  # noqa: S704 our own files
        script=Markup(script),  # noqa: S704
        version=version("scalesr"),
        legends={name: legend(LEGENDS[name]) for name in shown},
    )
    return str(text).encode()


def _own(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _template() -> Any:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # noqa: PLC0415 not every run needs it

    found = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters["percent"] = lambda share: f"{100 * share:.2f}%"
    return found.get_template("report.html.j2")
