"""What a report is made of: tables, pictures, plots and comparisons, as plain values that the template lays out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markupsafe import Markup

Fact = tuple[str, str]
"""What, and how much; both as text."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of texts; the first of each is its heading."""

    caption: str
    """What the table says."""
    headers: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """Texts, one for each column."""
    notes: tuple[str, ...] = ()
    """What the reader must know of it; numbered from 1 where the table counts its notes."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A frame on a picture, by shares of its width and height."""

    name: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Pixels, as an image that is part of the page."""

    name: str
    """What it is, in a word or two."""
    alt: str
    """What it shows, for those who do not see it."""
    uri: str
    """The PNG as a ``data:`` address."""
    note: str = ""
    """What its colours mean."""
    side: Literal["before", "after", "none"] = "none"
    """On which side of the slider it can be shown."""
    grain: Literal["pixels", "smooth"] = "smooth"
    """``pixels``: coarser than the box that it is shown in, and to be shown as the pixels that it has."""
    marks: tuple[Mark, ...] = ()
    """Parts of it that are shown elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A drawing with the numbers that it was made of."""

    title: str
    words: str
    """What it shows, in a sentence or two: its description for those who do not see it, and its caption."""
    svg: Markup
    """The drawing, for the page."""
    table: Table | None = None
    """The numbers."""


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A scale bar."""

    share: float
    """Its length as a share of the picture's width."""
    words: str
    """Its length with its unit."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The same place in several images."""

    title: str
    where: str
    """Which pixels these are."""
    pictures: tuple[Picture, ...]
    """Input, interpolations, output, and the reference where there is one; all in the same intensities."""
    maps: tuple[Picture, ...]
    """Differences and deviations."""
    width: float
    height: float
    """Of all pictures, in the same unit of length."""
    bar: Bar | None
    """The scale bar; `None` where the size of a pixel has no unit of length."""
