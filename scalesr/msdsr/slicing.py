"""Between a tile of measured planes and the 2-D slices across them that a network works on.

A *row canvas* is a tile on the output's grid: measured plane k of the tile lies at row ``row_of(k, scale)``, all other
rows are unknown. It is cut across the planes into XZ images, one for each y, and YZ images, one for each x; rows are
the vertical axis of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from scalesr.errors import ModelError
from scalesr.models import row_of
from scalesr.tiling import reflect, round_up

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from fractions import Fraction

Orientation = Literal["xz", "yz"]
"""Which way a volume is cut: ``xz`` has an image for each y, ``yz`` one for each x."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Canvas:
    """Tiles on the grid of the output, with the measured planes in their rows."""

    values: torch.Tensor
    """float32, shape ``(n, channels, rows, y, x)``: what was measured; zero where nothing was."""
    known: torch.Tensor
    """float32, shape ``(n, 1, rows, y, x)``: 1 where all channels were measured, else 0."""


def canvas(tiles: torch.Tensor, *, scale: Fraction) -> Canvas:
    """Place the planes of tiles in the rows of the output.

    Parameters
    ----------
    tiles
        float32, shape ``(n, channels, planes, y, x)``; NaN where nothing was measured. A pixel that lacks a channel is
        unknown in all of them.
    scale
        Rows for each plane, above 1.

    Raises
    ------
    ModelError
        The tiles do not end at a whole row.
    """
    count, channels, planes, height, width = tiles.shape
    rows = planes * scale
    if rows.denominator != 1:
        raise ModelError(
            f"{planes} planes become {rows} rows at a scale of {scale}.",
            remedy=f"Use tiles of a multiple of {scale.denominator} planes.",
        )
    places = torch.tensor([row_of(plane, scale) for plane in range(planes)], device=tiles.device)
    measured = tiles.isfinite().all(dim=1, keepdim=True)
    values = tiles.new_zeros(count, channels, int(rows), height, width)
    values[:, :, places] = torch.where(measured, tiles, 0.0)
    known = tiles.new_zeros(count, 1, int(rows), height, width)
    known[:, :, places] = measured.to(known.dtype)
    return Canvas(values=values, known=known)


@dataclass(frozen=True, kw_only=True)
class Slicing:
    """Which slices of a batch of tiles there are, in one orientation; slices are ordered by tile, then by position.

    Where rows or columns are no multiple of `multiple`, slices are continued by reflection below and to the right.
    """

    orientation: Orientation
    tiles: int
    """How many tiles."""
    part: range
    """Which y (of ``xz``) or x (of ``yz``) of each tile are cut out, counted from the tile's first."""
    rows: int
    """Rows of a tile."""
    columns: int
    """Pixels of a tile across the slices' rows: along x (of ``xz``) or y (of ``yz``)."""
    multiple: int = 1
    """What the network needs rows and columns to be multiples of."""

    @property
    def count(self) -> int:
        """How many slices there are."""
        return self.tiles * len(self.part)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of a slice, with what is reflected."""
        return round_up(self.rows, self.multiple), round_up(self.columns, self.multiple)

    def cut(self, volume: torch.Tensor) -> torch.Tensor:
        """Cut tiles ``(n, channels, rows, y, x)`` into slices ``(count, channels, *shape)``, a copy."""
        across = slice(self.part.start, self.part.stop)
        if self.orientation == "xz":
            images = volume[:, :, :, across].permute(0, 3, 1, 2, 4)
        else:
            images = volume[..., across].permute(0, 4, 1, 2, 3)
        return _padded(images.flatten(0, 1), self.shape)

    def join(self, slices: torch.Tensor) -> torch.Tensor:
        """Put slices ``(count, channels, *shape)`` together to ``(n, channels, rows, y, x)``, of which `part` is there.

        The axis along which slices follow each other is as long as `part`, the other one is `columns` long; what was
        reflected is cut off.
        """
        images = slices[:, :, : self.rows, : self.columns]
        images = images.reshape(self.tiles, len(self.part), *images.shape[1:])
        return images.permute(0, 2, 3, 1, 4) if self.orientation == "xz" else images.permute(0, 2, 3, 4, 1)


def jointly(restore: Callable[..., torch.Tensor], *given: Sequence[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Yield what a function makes of the slices of each orientation.

    It is asked once for all where their images are of one shape: fewer groups have to be filled up.

    Parameters
    ----------
    restore
        Maps slices, and what goes with them, to as many slices; each is worked on by itself.
    given
        What it takes, for each orientation, of shape ``(slices, ...)``.
    """
    first = given[0]
    if len({each.shape[1:] for each in first}) > 1:
        yield from map(restore, *given)
        return
    found, done = restore(*(torch.cat(list(each)) for each in given)), 0
    for each in first:
        yield found[done : done + len(each)]
        done += len(each)


def _padded(images: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    for axis, (size, wanted) in zip((-2, -1), zip(images.shape[-2:], shape, strict=True), strict=True):
        if wanted > size:
            index = torch.tensor([reflect(place, size) for place in range(wanted)], device=images.device)
            images = images.index_select(axis, index)
    return images.contiguous()
