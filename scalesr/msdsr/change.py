"""How much the measured planes differ around a voxel: the more, the less is known of what lies between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scalesr.msdsr.bounds import NEAR
from scalesr.msdsr.rows import beside

if TYPE_CHECKING:
    from scalesr.msdsr.slicing import Canvas


def change(canvas: Canvas) -> torch.Tensor:
    """Return the mean magnitude, over 5 x 5 pixels, of the difference of the measured planes before and after a voxel.

    Returns
    -------
    torch.Tensor
        float32 intensities, shape ``(n, C, rows, y, x)``: in measured rows, and beyond the outermost ones, that of the
        nearest rows between two planes; 0 in columns with one measured pixel at most.
    """
    shape = canvas.values.shape
    values, known = canvas.values.flatten(-2), canvas.known.flatten(-2) > 0
    low, high = beside(known)
    before, after = (torch.gather(values, 2, place.expand(values.shape)) for place in (low, high))
    between = (low < high) & known.any(dim=2, keepdim=True)
    nearest = beside(between)[0]
    there = between.any(dim=2, keepdim=True)
    apart = torch.gather((after - before).abs(), 2, nearest.expand(values.shape))
    found = torch.where(there, apart, 0.0).view(shape)
    edge = 2 * NEAR + 1
    images = found.flatten(0, 2)[:, None]
    return functional.avg_pool2d(images, edge, stride=1, padding=NEAR, count_include_pad=False).view(shape)
