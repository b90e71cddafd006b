"""The discriminator of StyleGAN2: residual, and told how much the images of a batch differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from scalesr.rls.layers import TINY, EqualConv, EqualLinear

if TYPE_CHECKING:
    from scalesr.rls.settings import GeneratorSettings

GROUP = 4
"""Images whose deviations are taken together; fewer where a batch has no such number."""


class Residual(nn.Module):
    """Two convolutions, the second to half the resolution, beside a short cut; the variance is kept."""

    def __init__(self, inner: int, outer: int) -> None:
        super().__init__()
        self.first, self.second = EqualConv(inner, inner, 3), EqualConv(inner, outer, 3, down=2)
        self.short = EqualConv(inner, outer, 1, down=2, rectify="no")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return shape (n, outer, y / 2, x / 2)."""
        found: torch.Tensor = (self.second(self.first(x)) + self.short(x)) / math.sqrt(2)
        return found


def levels(settings: GeneratorSettings) -> tuple[EqualConv, nn.Sequential]:
    """Return what brings images of a generator to 4 x 4 pixels: the first layer, and one residual block a level."""
    widths = settings.widths
    blocks = (Residual(fine, coarse) for fine, coarse in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True))
    return EqualConv(settings.channels, widths[-1], 1), nn.Sequential(*blocks)


class Discriminator(nn.Module):
    """One number for each image: high where it looks real.

    Parameters
    ----------
    settings
        Sizes of the generator that it judges; it has as many features at each resolution.
    """

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        widths = settings.widths
        self.entry, self.levels = levels(settings)
        self.last = EqualConv(widths[0] + 1, widths[0], 3)
        self.head = nn.Sequential(EqualLinear(widths[0] * 16, widths[0], rectify="yes"), EqualLinear(widths[0], 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return shape (n,) for images of shape (n, channels, size, size), intensities of -1..1."""
        x = with_deviation(self.levels(self.entry(images)))
        found: torch.Tensor = self.head(self.last(x).flatten(1))
        return found[:, 0]


def with_deviation(x: torch.Tensor) -> torch.Tensor:
    """Return features with one more: the mean standard deviation over a group of images (Karras et al. 2018).

    Image i is in a group with i + n/GROUP, i + 2 n/GROUP and so on; n is divided by the largest number up to `GROUP`
    that divides it.
    """
    group = next(size for size in range(min(GROUP, len(x)), 0, -1) if len(x) % size == 0)
    grouped = x.view(group, -1, *x.shape[1:])
    deviation = (grouped.var(dim=0, unbiased=False) + TINY).sqrt().mean(dim=(1, 2, 3))
    told = deviation.repeat(group).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
    return torch.cat([x, told], dim=1)
