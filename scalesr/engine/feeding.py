"""Tiles cut out of a block's pixels and normalised, batch by batch: in the machine's memory, or in the device's.

Both ways do the same arithmetic in the same order, float32 of the pixel, minus float32 of the offset, times float32 of
one over the gain, so that they give the same bits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from scalesr.tiling import reflect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.engine.job import Job
    from scalesr.tiling import Index


class Feed(Protocol):
    """Hands out the tiles of a block."""

    def tiles(self, cells: Sequence[Index]) -> torch.Tensor:
        """Return the tiles of some cells, filled up to a whole batch with the last of them.

        Parameters
        ----------
        cells
            As many as a batch has tiles, or fewer.

        Returns
        -------
        torch.Tensor
            float32, shape ``(batch, channels, *axes)``, normalised; the next call takes its memory.
        """


class Cutting:
    """Where the tiles of some cells lie in the pixels that these see, and what normalises them.

    Parameters
    ----------
    job
        What is done.
    cells
        The cells: a range for each axis of the image.
    """

    def __init__(self, job: Job, cells: tuple[range, ...]) -> None:
        self._job = job
        self._axes = axes = job.plan.lattice.axes
        self._corner = tuple(axis.tile_start(some.start) for axis, some in zip(axes, cells, strict=True))
        channels = 1 if job.channel_axis is None else axes[job.channel_axis].tile
        self.shape = (channels, *(axes[a].tile for a in job.spatial_axes))
        """Shape of a tile."""
        self.order = job.tile_order
        """Axes of the image in the order of a tile."""
        channel = job.normalisation.axis
        seen = [0]
        if channel is not None:
            seen = [reflect(i, axes[channel].size) for i in range(*axes[channel].span(cells[channel]))]
        offset, gain = job.normalisation.figures(seen, len(axes))
        self.offset: NDArray[np.float32] = offset.astype(np.float32)
        """What is subtracted; axes along which it does not change are of size 1."""
        self.factor: NDArray[np.float32] = (1 / gain).astype(np.float32)
        """What is multiplied with, likewise."""

    def part(self, cell: Index) -> tuple[slice, ...]:
        """Return where a cell's tile lies in the pixels."""
        starts = (axis.tile_start(i) - start for axis, i, start in zip(self._axes, cell, self._corner, strict=True))
        return tuple(slice(start, start + axis.tile) for start, axis in zip(starts, self._axes, strict=True))

    def figures(self, part: tuple[slice, ...]) -> tuple[slice, ...]:
        """Return where the figures of a part of the pixels lie in `offset` and `factor`."""
        return tuple(slice(None) if n == 1 else one for one, n in zip(part, self.offset.shape, strict=True))

    def gaps(self, cell: Index) -> list[int]:
        """Return which planes of a cell's tile were not measured, and must be NaN for the model."""
        if not self._job.plan.missing_planes:
            return []
        planes = self._job.spatial_axes[0]
        axis = self._axes[planes]
        first = axis.tile_start(cell[planes])
        return [p for p in range(axis.tile) if reflect(first + p, axis.size) in self._job.plan.missing_planes]


class HostFeed:
    """Cuts in the machine's memory, where the model runs too.

    Parameters
    ----------
    cutting
        Where tiles lie.
    pixels
        All that the cells see.
    batch
        Tiles of a batch.
    """

    def __init__(self, cutting: Cutting, pixels: NDArray[Any], *, batch: int) -> None:
        self._cutting = cutting
        self._pixels = pixels
        self._stack = np.empty((batch, *cutting.shape), np.float32)

    def tiles(self, cells: Sequence[Index]) -> torch.Tensor:
        """Return a batch; see `Feed`."""
        cutting, order = self._cutting, self._cutting.order
        for cell, out in zip(cells, self._stack, strict=False):
            part = cutting.part(cell)
            figures = cutting.figures(part)
            tile = self._pixels[part].transpose(order)
            slot = out.reshape(tile.shape)
            offset, factor = (values[figures].transpose(order) for values in (cutting.offset, cutting.factor))
            np.subtract(tile, offset, out=slot, casting="unsafe", dtype=np.float32)
            np.multiply(slot, factor, out=slot)
            for plane in cutting.gaps(cell):
                out[:, plane] = np.nan
        self._stack[len(cells) :] = self._stack[len(cells) - 1]
        return torch.from_numpy(self._stack)


class DeviceFeed:
    """Cuts in the device's memory, where all pixels of the block lie as they are stored; nothing here waits for it.

    Integers of 8 or 16 bits are carried over once, which is half or less of one float32 for each pixel, and tiles
    overlap on top of that.

    Parameters
    ----------
    cutting
        Where tiles lie.
    pixels, offset, factor
        All that the cells see, and the figures of `cutting`, on the device.
    batch
        Tiles of a batch.
    """

    def __init__(
        self, cutting: Cutting, pixels: torch.Tensor, offset: torch.Tensor, factor: torch.Tensor, *, batch: int
    ) -> None:
        self._cutting = cutting
        self._pixels, self._offset, self._factor = pixels, offset, factor
        self._stack = torch.empty((batch, *cutting.shape), dtype=torch.float32, device=pixels.device)

    def tiles(self, cells: Sequence[Index]) -> torch.Tensor:
        """Return a batch; see `Feed`."""
        cutting, order = self._cutting, self._cutting.order
        for cell, out in zip(cells, self._stack, strict=False):
            part = cutting.part(cell)
            figures = cutting.figures(part)
            tile = self._pixels[part].permute(order)
            # Only axes of one pixel come and go, so that this is a view.
            slot = out.view(tile.shape)
            slot.copy_(tile)
            slot.sub_(self._offset[figures].permute(order))
            slot.mul_(self._factor[figures].permute(order))
            for plane in cutting.gaps(cell):
                out[:, plane] = torch.nan
        self._stack[len(cells) :] = self._stack[len(cells) - 1]
        return self._stack
