"""The network that tells real images from made ones, pixel by pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from scalesr.errors import ModelError

if TYPE_CHECKING:
    import torch

SLOPE = 0.2
"""Slope of the leaky rectifiers, as in Wang et al. (2021)."""

_MULTIPLE = 8


class UNetDiscriminator(nn.Module):
    """A U-Net that judges each pixel of an image: the higher its logit, the more likely the pixel is real.

    Layers, widths and skip connections are those of Real-ESRGAN: three convolutions that halve, three that follow a
    bilinear doubling and whose results are added to those of the way down, three at full size. All but the first and
    the last are divided by their largest singular value (Miyato et al., 2018) and have no bias. What HyReS itself uses
    is not published; that it is this one is our choice.

    Parameters
    ----------
    channels
        Channels of the image.
    features
        Channels at full size; 64 in Real-ESRGAN, and half of it here, as in the generator that ships with scalesr.

    Notes
    -----
    In training each pass also moves the estimate of the singular values by one power iteration, so that the outcome
    depends on how many passes there were. In evaluation it stays.

    References
    ----------
    Wang et al., "Real-ESRGAN: Training Real-World Blind Super-Resolution with Pure Synthetic Data", ICCV workshops
    (2021).
    Miyato et al., "Spectral Normalization for Generative Adversarial Networks", ICLR (2018).
    """

    def __init__(self, channels: int = 1, *, features: int = 32) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(channels, features, 3, padding=1)
        self.conv1 = _halving(features, 2 * features)
        self.conv2 = _halving(2 * features, 4 * features)
        self.conv3 = _halving(4 * features, 8 * features)
        self.conv4 = _normalised(8 * features, 4 * features)
        self.conv5 = _normalised(4 * features, 2 * features)
        self.conv6 = _normalised(2 * features, features)
        self.conv7 = _normalised(features, features)
        self.conv8 = _normalised(features, features)
        self.conv9 = nn.Conv2d(features, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map ``(n, channels, y, x)`` to logits ``(n, 1, y, x)``.

        Raises
        ------
        ModelError
            If y or x is no multiple of 8: the way up would end beside the way down.
        """
        if any(edge % _MULTIPLE for edge in x.shape[-2:]):
            raise ModelError(
                f"The discriminator halves images three times, and was given {x.shape[-2]} x {x.shape[-1]} px.",
                remedy=f"Use patches whose edges are multiples of {_MULTIPLE}.",
            )
        x0 = _rectify(self.conv0(x))
        x1 = _rectify(self.conv1(x0))
        x2 = _rectify(self.conv2(x1))
        x3 = _rectify(self.conv3(x2))
        up2 = _rectify(self.conv4(_double(x3))) + x2
        up1 = _rectify(self.conv5(_double(up2))) + x1
        up0 = _rectify(self.conv6(_double(up1))) + x0
        logits: torch.Tensor = self.conv9(_rectify(self.conv8(_rectify(self.conv7(up0)))))
        return logits


def _normalised(before: int, after: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(before, after, 3, padding=1, bias=False))


def _halving(before: int, after: int) -> nn.Module:
    return spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1, bias=False))


def _double(x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def _rectify(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, SLOPE)
