"""Draws the figures of the geometry from the lattice itself: ``python docs/figures/geometry.py``.

Colours are variables of the page that a figure is put into, so that it is legible on light and on dark pages.
"""  # noqa: INP001 the documentation is no package

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from scalesr.tiling import UNIT, AxisLattice, cell_window

IMAGES = Path(__file__).parents[1] / "images"
INK, SOFT = "var(--drawn-ink, #455a64)", "var(--drawn-soft, #90a4ae)"
OWN, STRIP, TILE = "var(--drawn-own, #00897b)", "var(--drawn-strip, #d2691e)", "var(--drawn-tile, #5c6bc0)"
AXIS = AxisLattice(name="x", size=144, scale=Fraction(1), cell=24, halo=10, ramp=4, block=3)
LEFT, STEP = 118, 4.2
"""Where the first pixel is drawn, and how wide one is."""


def figures() -> dict[str, str]:
    """Return the figures by the names of their files."""
    return {"geometry-axis.svg": _axis(), "geometry-strips.svg": _strips(), "geometry-tasks.svg": _tasks()}


def _axis() -> str:
    """One axis: shards, cells, weights, what a block computes, and one tile; the numbers are those of `AXIS`."""
    parts = [_label(4, 42, "shards"), _label(4, 82, "cells"), _label(4, 140, "weights")]
    parts += [_label(4, 208, "block 1 adds to"), _label(4, 263, "one tile")]
    for block in range(AXIS.blocks):
        low, high = AXIS.owned(block)
        parts.append(_box(_x(low), 26, _x(high) - _x(low), 26, OWN, f"shard of block {block}", strong=block == 1))
    for cell in range(AXIS.cells):
        low, high = _span(cell)
        strong = cell // AXIS.block == 1
        parts.append(_box(_x(low), 66, _x(high) - _x(low), 26, TILE, f"cell {cell}", strong=strong))
        parts.append(_weights(cell))
    low, high = AXIS.owned(1)
    width = 2 * AXIS.out_ramp
    parts.append(_box(_x(low - width), 192, width * STEP, 26, STRIP, "", strong=True))
    parts.append(_box(_x(low), 192, _x(high) - _x(low), 26, OWN, "own part, stays with block 1", strong=True))
    parts.append(_line(_x(low - width / 2), 218, _x(low - width / 2), 226, STRIP))
    parts.append(_text(_x(low - width / 2), 222 + 14, "strip, to block 0", STRIP, anchor="end"))
    first, last = _span(4)
    halo = AXIS.out_halo
    outer = (first - AXIS.out_ramp, last + AXIS.out_ramp)
    tile = (first - halo, last + halo)
    parts.append(_box(_x(tile[0]), 246, _x(tile[1]) - _x(tile[0]), 26, SOFT, ""))
    parts.append(_box(_x(outer[0]), 246, _x(outer[1]) - _x(outer[0]), 26, TILE, "what cell 4 adds", strong=True))
    parts.append(_text(_x(tile[0]) - 6, 263, "context", INK, anchor="end"))
    parts.append(_text(_x(tile[1]) + 6, 263, "context", INK, anchor="start"))
    for block in range(AXIS.blocks + 1):
        at = _x(min(block * AXIS.out_block, AXIS.out_size))
        parts.append(_line(at, 20, at, 276, INK, dashed=True))
        parts.append(_text(at, 14, ("0", "kS", "end")[block], INK))
    return _svg(760, 286, parts, "One axis of an image: shards, cells, weights, what a block adds to, and a tile")


def _span(cell: int) -> tuple[int, int]:
    """Return where a cell lies in the picture: shifted down by the half-width, and cut at the ends of the image."""
    low = max(0, cell * AXIS.out_cell - AXIS.out_ramp)
    end = (cell + 1) * AXIS.out_cell - AXIS.out_ramp
    return low, AXIS.out_size if cell == AXIS.cells - 1 else end


def _weights(cell: int) -> str:
    window = cell_window(AXIS.out_cell, AXIS.out_ramp, first=cell == 0, last=cell == AXIS.cells - 1)
    begin = cell * AXIS.out_cell - 2 * AXIS.out_ramp
    points = " ".join(
        f"{_x(begin + position + 0.5):.1f},{168 - 60 * weight / UNIT:.1f}"
        for position, weight in enumerate(window)
        if begin + position >= 0
    )
    colour, width = (TILE, 2.2) if cell // AXIS.block == 1 else (SOFT, 1.6)
    return f'<polyline points="{points}" fill="none" style="stroke:{colour}" stroke-width="{width}"/>'


def _strips() -> str:
    """Four blocks in a plane, and the three strips that the one at the upper end hands to its lower neighbours."""
    edge, strip, left, top = 150, 34, 40, 34
    middle, low = left + edge, top + edge
    parts = [_box(left + i * edge, top + j * edge, edge, edge, SOFT, "") for j in range(2) for i in range(2)]
    parts += [
        _box(middle - strip, low - strip, strip, strip, STRIP, "", strong=True),
        _box(middle, low - strip, edge, strip, STRIP, "", strong=True),
        _box(middle - strip, low, strip, edge, STRIP, "", strong=True),
        _box(middle, low, edge, edge, OWN, "", strong=True),
        _text(middle + edge / 2, low + edge / 2 - 6, "own part", INK),
        _text(middle + edge / 2, low + edge / 2 + 12, "of block (1, 1)", INK),
        _text(left + 54, top + 54, "block (0, 0)", INK),
        _text(middle + edge / 2, top + 54, "block (0, 1)", INK),
        _text(left + 54, low + edge / 2, "block (1, 0)", INK),
        _arrow(middle - strip / 2, low - strip - 4, middle - strip / 2 - 26, low - strip - 30),
        _arrow(middle + edge / 2, low - strip - 4, middle + edge / 2, low - strip - 30),
        _arrow(middle - strip - 4, low + edge / 2 + 30, middle - strip - 34, low + edge / 2 + 30),
        _text(left + edge, top - 12, "x", INK),
        _text(left - 16, top + edge, "y", INK),
    ]
    words = (
        "All that block (1, 1) computes for",
        "others lies on its lower side: three",
        "strips in a plane, seven in a volume.",
        "",
        "A strip is as wide as the cross-fade, 2b.",
        "It is put into storage once, and added",
        "there by the block that owns the voxels.",
        "",
        "Blocks are visited from the last to the",
        "first, so a strip is there when the block",
        "that needs it comes.",
    )
    parts += [_text(385, 92 + 19 * row, line, INK, anchor="start") for row, line in enumerate(words)]
    return _svg(680, 350, parts, "Four blocks of a plane and the strips that one of them hands to the others")


def _tasks() -> str:
    """The tasks of a block, and what they read and write."""
    names = (
        ("read", "block + context"),
        ("infer", "tiles, batches"),
        ("strip", "for neighbours"),
        ("stitch", "add, cast"),
    )
    parts = []
    for position, (name, words) in enumerate(names):
        at = 30 + 180 * position
        parts.append(_box(at, 30, 120, 48, TILE if name == "infer" else OWN, "", strong=True))
        parts.append(_text(at + 60, 50, name, INK, bold=True))
        parts.append(_text(at + 60, 68, words, INK))
        if position:
            parts.append(_arrow(at - 58, 54, at - 4, 54))
    parts.append(_box(30, 150, 660, 48, SOFT, ""))
    parts.append(_text(360, 170, "storage: the image, and the output with its ledger", INK))
    parts.append(_text(360, 188, "shards of most levels, strips while they are needed, one record for each block", INK))
    for at, way in ((90, "up"), (450, "down"), (590, "up"), (650, "down")):
        parts.append(_arrow(at, 146, at, 84) if way == "up" else _arrow(at, 82, at, 144))
    for at, words in ((98, "image"), (458, "strips"), (598, "strips"), (658, "shards, record")):
        parts.append(_text(at, 118, words, INK, anchor="start"))
    return _svg(760, 214, parts, "The tasks of a block and what they read from storage and write to it")


def _x(pixel: float) -> float:
    return LEFT + pixel * STEP


def _box(x: float, y: float, width: float, height: float, colour: str, words: str, *, strong: bool = False) -> str:
    style = f"fill:{colour};stroke:{colour};fill-opacity:{0.28 if strong else 0.1}"
    drawn = f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" style="{style}"/>'
    return drawn + (_text(x + width / 2, y + height / 2 + 4, words, INK) if words else "")


def _text(x: float, y: float, words: str, colour: str, *, anchor: str = "middle", bold: bool = False) -> str:
    weight = ";font-weight:bold" if bold else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" style="fill:{colour}{weight}">{words}</text>'


def _label(x: float, y: float, words: str) -> str:
    return _text(x, y, words, INK, anchor="start", bold=True)


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, *, dashed: bool = False) -> str:
    style = f"stroke:{colour}" + (";stroke-dasharray:3 4;stroke-opacity:.7" if dashed else "")
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" style="{style}"/>'


def _arrow(x: float, y: float, to_x: float, to_y: float) -> str:
    return (
        f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" style="stroke:{INK}" stroke-width="1.5" '
        'marker-end="url(#head)"/>'
    )


def _svg(width: int, height: int, parts: list[str], title: str) -> str:
    head = (
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 0 8 4 0 8z" style="fill:{INK}"/></marker></defs>'
    )
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="{title}" '
            'font-family="sans-serif" font-size="13">',
            head,
            *parts,
            "</svg>\n",
        )
    )


if __name__ == "__main__":
    for name, text in figures().items():
        (IMAGES / name).write_text(text, encoding="utf-8")
