"""Lengths of outlines and numbers of holes, counted from the pixels along the borders of planar objects.

Both are sums over small windows, hence over blocks. Objects that touch are each measured as if they were alone, and
beyond the field's edge there is none of them, as in ``skimage.measure.regionprops``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.objects.tally import Grouping, Part, column

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.objects.tally import Kind

MARGIN = 2
"""Pixels around a block that its outlines depend on."""
_PATTERNS = {"edge": (5, 7, 15, 17, 25, 27), "diagonal": (21, 33), "corner": (13, 23)}
"""Patterns of border pixels around one: 1 for itself, 2 for each beside it, 10 for each across (Benkrid and Crookes,
Design and FPGA implementation of a perimeter estimator, 2000)."""
_STRAIGHT = np.array([0, 1, 0, 0, 0, 1, 0, 0, 1, 2, 0, 0, 1, 2, 0, 0], np.int64)
_SLANTED = np.array([0, 1, 1, 2, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0], np.int64)
_EULER = np.array([0, 0, 0, 0, 0, 0, -1, 0, 1, 0, 0, 0, 0, 0, -1, 0], np.int64)
"""By the pattern of four pixels: crossings of straight and of slanted lines (Crofton's formula in four directions;
Rivollier, thesis, Saint-Etienne 2010), and the Euler number where diagonal pixels touch (Ohser, Nagel and Schladitz,
Lecture Notes in Physics 600, 2002)."""


def outlines(labels: NDArray[np.int64], *, last: tuple[bool, bool]) -> list[Part]:
    """Return what a block adds to the figures of its objects.

    Parameters
    ----------
    labels
        Of the block and `MARGIN` pixels on all sides, zeros beyond the field.
    last
        Whether the block is the last along y and along x, so that the windows across the field's edge are its own.
    """
    return [part for part in (_border_pixels(labels), _windows(labels, last)) if part is not None]


def perimeters(part: Part) -> dict[str, NDArray[Any]]:
    """Return the perimeter, that by Crofton's formula, and the Euler number of each object, in pixels."""
    edge, diagonal, corner, straight, slanted, euler = (
        column(part, "sum", name) for name in ("edge", "diagonal", "corner", "straight", "slanted", "euler")
    )
    return {
        "perimeter": edge + diagonal * math.sqrt(2) + corner * (1 + math.sqrt(2)) / 2,
        "perimeter_crofton": math.pi / 4 * (straight + slanted / math.sqrt(2)),
        "euler_number": euler,
    }


def _border_pixels(labels: NDArray[np.int64]) -> Part | None:
    inside = labels[1:-1, 1:-1]
    beside = (labels[:-2, 1:-1], labels[2:, 1:-1], labels[1:-1, :-2], labels[1:-1, 2:])
    border = (inside > 0) & np.any([inside != near for near in beside], axis=0)
    own, marked = inside[1:-1, 1:-1], border[1:-1, 1:-1]
    y, x = np.nonzero(marked)
    if not len(y):
        return None
    names, pattern = own[y, x], np.ones(len(y), np.int64)
    for dy in (-1, 0, 1):
        for dx in (-1, 0, 1):
            if dy or dx:
                at = y + 1 + dy, x + 1 + dx
                pattern += (10 if dy and dx else 2) * (border[at] & (inside[at] == names))
    rows = Grouping(names)
    columns: dict[tuple[Kind, str, int], NDArray[Any]] = {
        ("sum", name, 0): rows.reduce("sum", np.isin(pattern, patterns)) for name, patterns in _PATTERNS.items()
    }
    return Part(labels=rows.labels, columns=columns)


def _windows(labels: NDArray[np.int64], last: tuple[bool, bool]) -> Part | None:
    """Count windows of four pixels; a window belongs to the block that has its lower right pixel."""
    high, wide = (n - 2 * MARGIN + int(end) for n, end in zip(labels.shape, last, strict=True))
    four = [labels[MARGIN - dy : MARGIN - dy + high, MARGIN - dx : MARGIN - dx + wide] for dy, dx in _CORNERS]
    mixed = np.any([corner != four[0] for corner in four[1:]], axis=0)
    if not mixed.any():
        return None
    corners = np.stack([corner[mixed] for corner in four])
    names, patterns = [], []
    for k, name in enumerate(corners):
        # An object counts once in a window, at the first of its corners.
        new = (name > 0) & ~np.any(corners[:k] == name, axis=0)
        same = corners[:, new] == name[new]
        names.append(name[new])
        patterns.append((same * np.array([[1], [2], [4], [8]])).sum(axis=0))
    rows, pattern = Grouping(np.concatenate(names)), np.concatenate(patterns)
    tables = {"straight": _STRAIGHT, "slanted": _SLANTED, "euler": _EULER}
    columns: dict[tuple[Kind, str, int], NDArray[Any]] = {
        ("sum", name, 0): rows.reduce("sum", table[pattern]) for name, table in tables.items()
    }
    return Part(labels=rows.labels, columns=columns)


_CORNERS = ((0, 0), (1, 0), (0, 1), (1, 1))
"""Steps up and left from the lower right pixel, in the order of the bits 1, 2, 4 and 8."""
