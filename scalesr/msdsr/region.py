"""Which slices of a tile are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from scalesr.msdsr.slicing import Slicing

CONTEXT, BLEND = 4, 4
"""Pixels of the output that are context on either side of a tile, and half-width of the cross-fade inside of them; our
own choice: a tile of 48 px has a cell of 32."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """Which slices of tiles are drawn, and where the two orientations are fused; all counted from a tile's first pixel.

    The second is the same whatever is drawn, as it decides the outcome.
    """

    y: range
    """XZ slices that are drawn."""
    x: range
    """YZ slices that are drawn."""
    core_y: range
    """Part of `y`."""
    core_x: range
    """Part of `x`."""

    @classmethod
    def within(cls, size: tuple[int, int], margins: tuple[int, int], *, fused: bool) -> Region:
        """Return what is drawn of tiles of so many pixels along y and x, with margins that are only context.

        Orientations that are `fused` at all steps exchange all but what is context in tiles cut as recommended,
        whatever the margins are; so much is drawn at least.
        """
        cores, parts = [], []
        for edge, margin in zip(size, margins, strict=True):
            core, part = _inner(edge, CONTEXT), _inner(edge, margin)
            cores.append(core)
            parts.append(range(min(part.start, core.start), max(part.stop, core.stop)) if fused else part)
        return cls(y=parts[0], x=parts[1], core_y=cores[0], core_x=cores[1])

    def slicings(
        self, tiles: int, *, rows: int, size: tuple[int, int], multiple: int, orientations: Literal["both", "xz", "yz"]
    ) -> tuple[Slicing, ...]:
        """Return the XZ slices, the YZ slices or both of so many tiles, of so many rows and pixels along y and x."""
        slicing = partial(Slicing, tiles=tiles, rows=rows, multiple=multiple)
        both = (
            slicing(orientation="xz", part=self.y, columns=size[1]),
            slicing(orientation="yz", part=self.x, columns=size[0]),
        )
        return tuple(each for each in both if orientations in ("both", each.orientation))


def _inner(edge: int, margin: int) -> range:
    """Return what lies between the margins, or all where they leave nothing."""
    return range(margin, edge - margin) if 2 * margin < edge else range(edge)
