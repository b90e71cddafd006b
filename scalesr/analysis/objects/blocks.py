"""Cutting a field into blocks that are looked at one after the other, each with a margin of its neighbours."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.analysis.objects.field import Region

EDGES = {2: 1024, 3: 128}
"""Edge of a block in pixels, by the number of axes, where the caller says nothing: 1 to 2 million pixels."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A part of a field, and the larger part that is read for it."""

    number: int
    """Place in the order of the blocks, the last axis fastest."""
    core: Region
    """What the block answers for. Cores do not overlap and cover the field."""
    outer: Region
    """The core and up to `margin` pixels on all sides, as far as the field reaches."""

    @property
    def inner(self) -> Region:
        """Where the core lies in an array of the outer part."""
        return tuple(slice(c.start - o.start, c.stop - o.start) for c, o in zip(self.core, self.outer, strict=True))

    @property
    def start(self) -> tuple[int, ...]:
        """First pixel of the outer part."""
        return tuple(part.start for part in self.outer)


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """All blocks of a field."""

    shape: tuple[int, ...]
    """Pixels of the field."""
    edge: tuple[int, ...]
    """Pixels of a block; the last along each axis may have fewer."""
    margin: tuple[int, ...]
    """Pixels around it along each axis."""

    @classmethod
    def of(
        cls, shape: tuple[int, ...], *, edge: int | tuple[int, ...] | None = None, margin: int | tuple[int, ...] = 0
    ) -> Blocks:
        """Return the blocks of a field.

        Raises
        ------
        InputError
            An edge has no pixel, or there is not one for each axis.
        """
        axes = len(shape)
        size = EDGES[axes] if edge is None else edge
        edges = (size,) * axes if isinstance(size, int) else tuple(size)
        if len(edges) != axes or min(edges) < 1:
            raise InputError(
                f"Blocks of {edges} pixels were asked for, of an image of {shape}.",
                remedy="Give one edge, or one for each axis of space, of at least one pixel.",
            )
        return cls(shape=shape, edge=edges, margin=(margin,) * axes if isinstance(margin, int) else margin)

    def __len__(self) -> int:
        return math.prod(-(-n // step) for n, step in zip(self.shape, self.edge, strict=True))

    def __iter__(self) -> Iterator[Block]:
        spans = [
            [slice(start, min(start + step, n)) for start in range(0, n, step)]
            for n, step in zip(self.shape, self.edge, strict=True)
        ]
        for number, core in enumerate(itertools.product(*spans)):
            yield Block(number=number, core=core, outer=grown(core, self.margin, self.shape))


def grown(region: Region, margin: tuple[int, ...], shape: tuple[int, ...]) -> Region:
    """Return a region with a margin on all sides, as far as the field reaches."""
    return tuple(
        slice(max(0, part.start - m), min(n, part.stop + m)) for part, m, n in zip(region, margin, shape, strict=True)
    )
