"""Differentiable changes to real and made images alike, so that few images last longer (Zhao et al. 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from scalesr.rls.teaching import Augmentation

MOVED = 8
"""Images are moved by up to one in so many of their pixels; what comes in is the darkest intensity, -1."""
BRIGHTER, CONTRAST = 0.2, 0.5
"""Largest change of brightness, of intensities of -1..1, and of contrast about the mean of an image."""


def augmented(images: torch.Tensor, random: torch.Generator, *, kind: Augmentation) -> torch.Tensor:
    """Return images changed at random; gradients go through.

    Parameters
    ----------
    images
        Shape (n, channels, y, x), intensities of -1..1.
    random
        On the CPU; how often it is asked does not depend on the images.
    kind
        What is done.
    """
    if kind == "none":
        return images
    count, _, height, width = images.shape
    for axis in (2, 3):
        mirrored = _each(torch.rand(count, generator=random) < 0.5, images)
        images = torch.where(mirrored, images.flip(axis), images)
    if kind == "flips":
        return images
    brightness = _each(BRIGHTER * (2 * torch.rand(count, generator=random) - 1), images)
    contrast = _each(1 + CONTRAST * (2 * torch.rand(count, generator=random) - 1), images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * contrast + mean + brightness
    places = []
    for size in (height, width):
        most = size // MOVED
        move = torch.randint(-most, most + 1, (count, 1), generator=random)
        places.append((torch.arange(size)[None] + move).to(images.device))
    rows, columns = places
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None]
    which = torch.arange(count, device=images.device)[:, None, None]
    moved = images.movedim(1, 3)[which, rows.clamp(0, height - 1)[:, :, None], columns.clamp(0, width - 1)[:, None]]
    return torch.where(inside[:, None], moved.movedim(3, 1), images.new_tensor(-1.0))


def _each(values: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    return values.view(-1, 1, 1, 1).to(images.device)
