"""How differently a network for photographs sees two coarse images: the perceptual term of BRGM."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import ref

import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.models.vgg import VGG

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
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
        self._real: tuple[Callable[[], torch.Tensor | None], int, Sequence[torch.Tensor]] | None = None

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
        made, real = self.network(_shown(_pictures(seen))), self._features(measured)
        entries = sum(each[0].numel() for each in made)
        parts = [(_turned(a) - b).square().sum(dim=1).mean(dim=(1, 2)) for a, b in zip(made, real, strict=True)]
        mean: torch.Tensor = torch.stack(parts).sum(dim=0) / entries
        return mean if len(mean) == len(seen) else mean.view(-1, channels).mean(dim=1)

    def _features(self, measured: torch.Tensor) -> Sequence[torch.Tensor]:
        """Return the features of measurements, which are worked out once for all steps of a search.

        They are kept as long as the measurements are, and nobody writes to these.
        """
        if measured.requires_grad or measured.is_inference():
            # Gradients may be wanted, or nobody counts who writes to them.
            return [_turned(each) for each in self.network(_shown(_pictures(measured)))]
        kept, written = self._real, measured._version  # noqa: SLF001  # torch has no other name for how often
        if kept is None or kept[0]() is not measured or kept[1] != written:
            with torch.no_grad():
                features = [_turned(each) for each in self.network(_shown(_pictures(measured)))]
            gone = ref(measured, lambda _: setattr(self, "_real", None))
            self._real = kept = (gone, written, features)
        return kept[2]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what belongs to measurements of this process."""
        return {**self.__dict__, "_real": None}


def _pictures(images: torch.Tensor) -> torch.Tensor:
    """Return one picture for each object, or for each channel where these are no colours."""
    return images if images.shape[1] in (1, 3) else images.flatten(0, 1)[:, None]


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
