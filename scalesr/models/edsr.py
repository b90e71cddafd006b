"""EDSR: Lim et al., Enhanced Deep Residual Networks for Single Image Super-Resolution (2017), in two dimensions.

Layers carry the names of the published PyTorch checkpoints (``conv_first``, ``body.0.conv1``, ``upsample.0``,
``conv_last``), so that these load once converted to safetensors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from scalesr.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence


class EDSR(nn.Module):
    """Residual blocks without normalisation, then sub-pixel convolutions; purely convolutional.

    Parameters
    ----------
    in_channels, out_channels
        Channels of the image before and after.
    features
        Channels inside.
    blocks
        Number of residual blocks of two 3 x 3 convolutions.
    scale
        1, 3 or a power of 2.
    residual_scale
        What each block's correction is multiplied with; 0.1 keeps the widest published networks stable.
    image_range, mean
        The network sees ``(image - mean) * image_range``, one mean for all channels or one for each. Published networks
        were trained on 0..255 around the mean of their images.
    """

    def __init__(
        self,
        *,
        in_channels: int = 1,
        out_channels: int = 1,
        features: int = 64,
        blocks: int = 16,
        scale: int = 2,
        residual_scale: float = 1.0,
        image_range: float = 1.0,
        mean: Sequence[float] = (0.0,),
    ) -> None:
        super().__init__()
        self.image_range = image_range
        self.mean: torch.Tensor
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.conv_first = nn.Conv2d(in_channels, features, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(features, residual_scale) for _ in range(blocks)))
        self.conv_after_body = nn.Conv2d(features, features, 3, padding=1)
        self.upsample = nn.Sequential(*upsampling(features, scale))
        self.conv_last = nn.Conv2d(features, out_channels, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Enlarge a batch of images ``(n, in_channels, y, x)``."""
        shallow = self.conv_first((image - self.mean) * self.image_range)
        deep = self.conv_after_body(self.body(shallow)) + shallow
        enlarged: torch.Tensor = self.conv_last(self.upsample(deep)) / self.image_range + self.mean
        return enlarged


class ResidualBlock(nn.Module):
    """Two convolutions whose result is added to the input."""

    def __init__(self, features: int, residual_scale: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(features, features, 3, padding=1)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1)
        self.residual_scale = residual_scale

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the input and its correction."""
        correction = self.conv2(torch.relu(self.conv1(image)))
        return torch.add(image, correction, alpha=self.residual_scale)


def upsampling(features: int, scale: int) -> list[nn.Module]:
    """Sub-pixel convolutions (Shi et al. 2016) for a scale of 3 or for each factor of 2 of a power of 2."""
    if scale == 3:
        factors = [3]
    elif scale >= 1 and scale & (scale - 1) == 0:
        factors = [2] * (scale.bit_length() - 1)
    else:
        raise ModelError(f"EDSR cannot enlarge by {scale}.", remedy="Use a scale of 1, 3 or a power of 2.")
    layers: list[nn.Module] = []
    for factor in factors:
        layers += [nn.Conv2d(features, features * factor**2, 3, padding=1), nn.PixelShuffle(factor)]
    return layers
