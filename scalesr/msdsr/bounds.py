"""How far a drawn voxel may go beyond what was measured around it: no noise where the planes show none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scalesr.msdsr.rows import beside

if TYPE_CHECKING:
    from scalesr.msdsr.slicing import Canvas

NEAR = 2
"""Pixels to either side, along y and x, that are looked at in the planes next to a voxel; within the context of tiles,
so that neighbouring tiles find the same bounds."""
MARGIN = 1.0
"""How far beyond their least and largest intensity a voxel may go, relative to the difference of both."""


def bounds_of(canvas: Canvas) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the least and largest intensities that the measured planes let a drawn voxel have.

    A voxel is held between the extremes of 5 x 5 pixels of the measured planes before and after it, each of these moved
    outwards by their difference. Where something is to be seen this is wide, and hardly any voxel is touched; where
    both planes are one and the same value, so is what lies between them, and the little noise that a short diffusion
    leaves in empty space is gone. The idea is that of limiters of interpolation in numerical weather prediction
    (Bermejo & Staniforth 1992), the margin is our own choice.

    Parameters
    ----------
    canvas
        What was measured.

    Returns
    -------
    tuple of torch.Tensor
        float32, shape ``(n, C, rows, y, x)``; infinite for voxels with nothing measured around them.
    """
    known = canvas.known > 0
    there = _widest(canvas.known) > 0
    low = -_widest(torch.where(known, -canvas.values, -torch.inf))
    high = _widest(torch.where(known, canvas.values, -torch.inf))
    places = [place.view(there.shape) for place in beside(there.flatten(-2))]
    least, most = (
        pick(*(torch.gather(values, 2, place.expand(values.shape)) for place in places))
        for pick, values in ((torch.minimum, low), (torch.maximum, high))
    )
    margin = MARGIN * (most - least)
    found = least <= most
    return torch.where(found, least - margin, -torch.inf), torch.where(found, most + margin, torch.inf)


def _widest(volume: torch.Tensor) -> torch.Tensor:
    """Return the largest of 5 x 5 pixels around each in its row, in as many as there are at the edges."""
    edge = 2 * NEAR + 1
    return functional.max_pool2d(volume.flatten(0, 2)[:, None], edge, stride=1, padding=NEAR).view(volume.shape)
