"""How differently a network for photographs sees two coarse images: the perceptual term of BRGM."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.models.vgg import VGG

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.models.checkpoint import Trust

PLACES = (3, 8, 15, 22, 29)
"""After the last rectifier of each stage of VGG16."""
EDGE = 256
"""Images are shown to the network in so many pixels along each axis."""
_TINY = 1e-10


class PerceptualDistance(nn.Module):
    """Squared distances of VGG16's features, as `scalesr.rls.brgm.brgm` takes them.

    Features of each pixel are brought to unit length, and squares are means over pixels and sums over channels and five
    stages, as in LPIPS (Zhang et al. 2018); divided by the number of features, of which BRGM's code takes the mean.
    Its file of weights holds what LPIPS has learnt of each channel, too, which torchvision's does not: here all
    channels weigh the same, which is our own choice.

    Parameters
    ----------
    weights
        Weights of torchvision's VGG16: a safetensors file, or a pickle if trusted.
    trust
        Whether a pickle may be read; it is read without running code where that is enough.

    Raises
    ------
    ModelError
        The file is absent, damaged, an untrusted pickle, or of another network.
    """

    def __init__(self, weights: Path, *, trust: Trust = "safe") -> None:
        super().__init__()
        self.network = VGG(weights, kind="vgg16", places=PLACES, trust=trust)

    def forward(self, seen: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """Return the distance of each pair of images, shape (n,).

        Parameters
        ----------
        seen, measured
            Intensities of 0..1, shape (n, channels, edge, edge). One channel is shown as grey and three as colours; of
            other numbers each channel is shown as grey, and the mean counts.

        Raises
        ------
        ModelError
            Edges that neither divide 256 nor are its multiples.
        """
        channels = seen.shape[1]
        if channels not in (1, 3):
            apart = self(seen.flatten(0, 1)[:, None], measured.flatten(0, 1)[:, None])
            found: torch.Tensor = apart.view(-1, channels).mean(dim=1)
            return found
        made, real = (self.network(_shown(each)) for each in (seen, measured))
        entries = sum(each[0].numel() for each in made)
        parts = [
            (_turned(a) - _turned(b)).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(made, real, strict=True)
        ]
        mean: torch.Tensor = torch.stack(parts).sum(dim=0) / entries
        return mean


def _shown(images: torch.Tensor) -> torch.Tensor:
    """Return images of 256 px: means over areas, or repeated pixels, whose gradients are the same bits everywhere."""
    count, channels, height, width = images.shape
    if height != width or max(height, EDGE) % min(height, EDGE):
        raise ModelError(
            f"Images of {height} x {width} px cannot be shown to VGG16 in {EDGE} px.",
            remedy=f"Use a factor by which objects have an edge that divides {EDGE}, or leave the perceptual term out.",
        )
    if height <= EDGE:
        times = EDGE // height
        spread = images[:, :, :, None, :, None].expand(-1, -1, -1, times, -1, times)
        return spread.reshape(count, channels, EDGE, EDGE)
    times = height // EDGE
    return images.view(count, channels, EDGE, times, EDGE, times).mean(dim=(3, 5))


def _turned(features: torch.Tensor) -> torch.Tensor:
    return features / (features.square().sum(dim=1, keepdim=True) + _TINY).sqrt()
