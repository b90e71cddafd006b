"""The default network: residual-in-residual dense blocks without batch normalisation, for any channel alone."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from scalesr.errors import ModelError

SLOPE = 0.2
"""Slope of the leaky rectifiers and weight of the residuals, both as in Wang et al. (2018)."""


class ResidualDenseBlock(nn.Module):
    """Five densely connected 3 x 3 convolutions whose sum is added, scaled by 0.2, to the input."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, growth, 3, padding=1)
        self.conv2 = nn.Conv2d(features + growth, growth, 3, padding=1)
        self.conv3 = nn.Conv2d(features + 2 * growth, growth, 3, padding=1)
        self.conv4 = nn.Conv2d(features + 3 * growth, growth, 3, padding=1)
        self.conv5 = nn.Conv2d(features + 4 * growth, features, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, features, y, x)`` to the same shape."""
        x1 = _rectify(self.conv1(x))
        x2 = _rectify(self.conv2(torch.cat((x, x1), 1)))
        x3 = _rectify(self.conv3(torch.cat((x, x1, x2), 1)))
        x4 = _rectify(self.conv4(torch.cat((x, x1, x2, x3), 1)))
        residual: torch.Tensor = self.conv5(torch.cat((x, x1, x2, x3, x4), 1))
        return x + SLOPE * residual


class RRDB(nn.Module):
    """Three residual dense blocks in a row, added, scaled by 0.2, to the input."""

    def __init__(self, features: int, growth: int) -> None:
        super().__init__()
        self.rdb1 = ResidualDenseBlock(features, growth)
        self.rdb2 = ResidualDenseBlock(features, growth)
        self.rdb3 = ResidualDenseBlock(features, growth)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, features, y, x)`` to the same shape."""
        residual: torch.Tensor = self.rdb3(self.rdb2(self.rdb1(x)))
        return x + SLOPE * residual


class RRDBNet(nn.Module):
    """A fully convolutional network that enlarges an image four times or twice; the same weights at every position.

    The parameters carry the names that Real-ESRGAN gave them, so that files of one open in the other.

    Parameters
    ----------
    in_channels, out_channels
        Channels of a tile on input and on output, whatever the scale.
    features
        Channels between the blocks.
    growth
        Channels that each dense convolution adds. Spandrel reads files of 32 only.
    blocks
        Number of residual-in-residual dense blocks.
    scale
        Output pixels for each input pixel and axis. 4 doubles twice by nearest neighbours, each doubling with a
        convolution. 2 first folds each 2 x 2 pixels into four channels and is the same network from there on, as in
        Real-ESRGAN: blocks work on a quarter of the pixels, and edges of tiles are multiples of 2. The names of the
        parameters are the same for both.

    Raises
    ------
    ModelError
        Another scale was asked for.

    References
    ----------
    Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", ECCV workshops (2018).
    Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCV workshops
    (2021).
    """

    def __init__(
        self,
        in_channels: int = 1,
        out_channels: int = 1,
        *,
        features: int = 32,
        growth: int = 32,
        blocks: int = 1,
        scale: int = 4,
    ) -> None:
        super().__init__()
        if scale not in (2, 4):
            raise ModelError(f"An RRDB network enlarges 4 times or twice, not {scale} times.", remedy="Use 4 or 2.")
        self.scale = scale
        self.fold = 4 // scale
        self.conv_first = nn.Conv2d(in_channels * self.fold**2, features, 3, padding=1)
        self.body = nn.Sequential(*(RRDB(features, growth) for _ in range(blocks)))
        self.conv_body = nn.Conv2d(features, features, 3, padding=1)
        self.conv_up1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv_up2 = nn.Conv2d(features, features, 3, padding=1)
        self.conv_hr = nn.Conv2d(features, features, 3, padding=1)
        self.conv_last = nn.Conv2d(features, out_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, in_channels, y, x)`` to ``(n, out_channels, scale * y, scale * x)``.

        Any y and x from 1 upwards where the scale is 4, even ones where it is 2.
        """
        # Folding by 1 changes no value, but perhaps the layout in memory, and with it the last bits.
        first = self.conv_first(x if self.fold == 1 else functional.pixel_unshuffle(x, self.fold))
        deep = first + self.conv_body(self.body(first))
        deep = _rectify(self.conv_up1(functional.interpolate(deep, scale_factor=2.0, mode="nearest")))
        deep = _rectify(self.conv_up2(functional.interpolate(deep, scale_factor=2.0, mode="nearest")))
        out: torch.Tensor = self.conv_last(_rectify(self.conv_hr(deep)))
        return out


def _rectify(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, SLOPE)
