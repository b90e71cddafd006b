"""Drawings for a page: small SVG whose words are text, in colours that follow the page's light and dark."""

from __future__ import annotations

import re
import warnings
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from markupsafe import Markup
    from matplotlib.axes import Axes

INK, SOFT, LINE, OUT, IN, THIRD, PAPER = (
    "#010203",
    "#010204",
    "#010205",
    "#010206",
    "#010207",
    "#010208",
    "#010209",
)
"""Colours that stand for those of the page, see `NAMES`."""
NAMES = {
    INK: "ink",
    SOFT: "soft",
    LINE: "line",
    OUT: "output",
    IN: "input",
    THIRD: "third",
    PAPER: "paper",
}
WIDTH = 5.4
"""Of all drawings, in inches; the page scales them to its column."""
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "text.usetex": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 9.5,
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.use_mathtext": False,
    "axes.unicode_minus": True,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "text.color": INK,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "legend.fontsize": 9.5,
    "lines.linewidth": 1.6,
}


class Drawing:
    """Axes to draw on, and what became of them when the context `drawn` has ended."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes
        self.svg: Markup


@contextmanager
def drawn(key: str, *, title: str, words: str, height: float = 2.6) -> Iterator[Drawing]:
    """Give axes to draw on, and turn what was drawn into SVG.

    Parameters
    ----------
    key
        What no other drawing of the page is called, of letters and hyphens.
    title, words
        Name and description of the drawing, for those who do not see it.
    height
        In inches.
    """
    from matplotlib import rc_context  # noqa: PLC0415 it takes half a second
    from matplotlib.backends.backend_svg import FigureCanvasSVG  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: Any = STYLE | {"svg.hashsalt": key}
    with rc_context(style):
        figure = Figure(figsize=(WIDTH, height), layout="constrained")
        canvas: Any = FigureCanvasSVG(figure)
        drawing = Drawing(figure.subplots())
        yield drawing
        stream = StringIO()
        with warnings.catch_warnings():
            # The words are text, and drawn by the fonts of whoever reads the page.
            warnings.filterwarnings("ignore", "Glyph .* missing from")
            canvas.print_svg(stream, metadata=dict.fromkeys(("Date", "Creator", "Format", "Type")))
    drawing.svg = _cleaned(stream.getvalue(), key, title, words)


def _cleaned(text: str, key: str, title: str, words: str) -> Markup:
    """Return a drawing for a page: its colours and fonts are the page's, and it says what it shows."""
    from markupsafe import Markup, escape  # noqa: PLC0415 it comes with Jinja, as above

    text = text[text.index("<svg") :]
    head, _, body = text.partition(">")
    found = re.search(r'viewBox="[^"]*"', head)
    assert found is not None
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # Groups are numbered alike in every drawing; clips and markers are referred to, and have names of their own.
    body = re.sub(r'<g id="[^"]*"', "<g", body)
    body = re.sub(r"font(-family)?: ?([^;\"]*?)'?DejaVu Sans[^;\"]*", _font, body)
    for placeholder, name in NAMES.items():
        body = body.replace(placeholder, f"var(--{name})")
    return Markup(  # noqa: S704 what is not ours in it was escaped, here or by matplotlib
        f'<svg class="plot" {found.group()} role="img" aria-labelledby="{key}-title {key}-words" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{key}-title">{escape(title)}</title><desc id="{key}-words">{escape(words)}</desc>{body}'
    )


def _font(match: re.Match[str]) -> str:
    size = re.search(r"[\d.]+px", match.group())
    return f"font: {size.group()} system-ui, sans-serif" if size else "font-family: system-ui, sans-serif"
