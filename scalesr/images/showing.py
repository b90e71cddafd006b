"""How an object shows itself in a terminal and in a notebook: a title, pairs of what and how much, a picture."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Lines = list[tuple[str, str]]
"""What and how much."""


def counted(number: int, what: str) -> str:
    """Return how many there are of what, in words: ``1 field``, ``1,536 fields``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def few(names: Iterable[str], *, most: int = 5) -> str:
    """Return some names and how many more there are: ``A/1, A/2 and 94 more``."""
    known = list(names)
    return ", ".join(known[:most]) + (f" and {len(known) - most:,} more" if len(known) > most else "")


@dataclass(frozen=True, kw_only=True)
class Section:
    """One part of what is shown: pairs, or a table where it has headers."""

    rows: Sequence[Sequence[str]]
    """Texts of each row."""
    headers: Sequence[str] = ()
    """Of the columns; none where rows are pairs."""
    title: str = ""
    """What it is about."""

    def text(self) -> str:
        """Return it for a terminal, with columns."""
        lines = [list(self.headers), *map(list, self.rows)] if self.headers else list(map(list, self.rows))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        # What comes last may be as long as it likes.
        body = [
            "  ".join(f"{cell:<{width}}" for cell, width in zip(line, [*widths[:-1], 0], strict=True)).rstrip()
            for line in lines
        ]
        return "\n".join([self.title, *body] if self.title else body)

    def html(self) -> str:
        """Return it as a table of HTML; texts are escaped."""
        head = "".join(f'<th scope="col" style="{_CELL}">{escape(name)}</th>' for name in self.headers)
        body = "".join(
            f'<tr><th scope="row" style="{_CELL}">{escape(first)}</th>'
            + "".join(f'<td style="{_CELL}">{escape(text)}</td>' for text in others)
            + "</tr>"
            for first, *others in self.rows
        )
        caption = f'<caption style="{_CAPTION}">{escape(self.title)}</caption>' if self.title else ""
        return (
            f'<table style="margin: 0 0 0.5em 0">{caption}{f"<thead><tr>{head}</tr></thead>" if head else ""}'
            f"<tbody>{body}</tbody></table>"
        )


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A small picture."""

    address: str
    """``data:`` address of an image."""
    width: int
    """Pixels of the picture."""
    caption: str
    """What it shows, and how."""

    def html(self) -> str:
        """Return it with its caption; pixels stay pixels where they are enlarged."""
        zoom = "image-rendering: pixelated; " if self.width < _SHOWN_WIDTH else ""
        return (
            f'<figure style="margin: 0; max-width: {_SHOWN_WIDTH}px">'
            f'<img src="{escape(self.address)}" alt="{escape(self.caption)}" '
            f'style="{zoom}display: block; width: {_SHOWN_WIDTH}px; max-width: 100%">'
            f'<figcaption style="font-size: 85%">{escape(self.caption)}</figcaption></figure>'
        )


@dataclass(frozen=True, kw_only=True)
class Sheet:
    """All that an object shows of itself. Whatever texts it holds, its HTML has no script and no address."""

    title: str
    """What it is, in one line."""
    sections: Sequence[Section]
    """What it says of itself."""

    def text(self) -> str:
        """Return it for a terminal."""
        return "\n".join([self.title, *(section.text() for section in self.sections if section.rows)])

    def html(self, picture: Picture | None = None) -> str:
        """Return it for a notebook, in the colours of the notebook."""
        tables = "".join(section.html() for section in self.sections if section.rows)
        beside = picture.html() if picture is not None else ""
        return (
            f'<div><div style="margin-bottom: 0.5em"><strong>{escape(self.title)}</strong></div>'
            f'<div style="display: flex; flex-wrap: wrap; gap: 1.5em; align-items: flex-start">{beside}'
            f"<div>{tables}</div></div></div>"
        )


class Shown:
    """Mixed into what shows itself by a sheet: as text, and as HTML in notebooks."""

    __slots__ = ()

    @abstractmethod
    def _sheet(self) -> Sheet:
        """Return what is shown."""

    def __str__(self) -> str:
        return self._sheet().text()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return self._sheet().html()


_SHOWN_WIDTH = 256
_CELL = "text-align: left; vertical-align: top; padding: 0.15em 0.8em 0.15em 0"
_CAPTION = "white-space: nowrap; text-align: left; font-weight: bold; caption-side: top; padding: 0.2em 0"
