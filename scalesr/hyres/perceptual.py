"""The perceptual loss: two images are compared by what a network for photographs sees in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from scalesr.errors import ModelError
from scalesr.models.vgg import VGG

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.models.checkpoint import Trust

LAYERS: dict[int, tuple[str, float]] = {
    2: ("conv1_2", 0.1),
    7: ("conv2_2", 0.1),
    16: ("conv3_4", 1.0),
    25: ("conv4_4", 1.0),
    34: ("conv5_4", 1.0),
}
"""Places in the network, before the rectifier, with their names and weights: those of Real-ESRGAN."""

_SMALLEST = 16


class PerceptualLoss(nn.Module):
    """The mean absolute difference of features of VGG19 between prediction and target, summed over five layers.

    Layers, weights and the place before the rectifier are those of Real-ESRGAN (Wang et al., 2018 and 2021), without a
    loss of style. Whether HyReS uses it, and how, is not published. VGG19 was trained on photographs: on ion images it
    rewards what resembles them, and is therefore off unless asked for.

    No weights are fetched: they come from a local file under the names of torchvision, ``features.0.weight`` to
    ``features.34.bias``; what else is in it, such as ``classifier.0.weight``, is not needed. The parameters are frozen.

    Parameters
    ----------
    weights
        A safetensors file, or a pickle if trusted.
    trust
        Whether a pickle may be read.

    Attributes
    ----------
    sha256
        Hash of the file, to be written down with what was trained by it.

    Raises
    ------
    ModelError
        If the file is absent, damaged, an untrusted pickle, or not of VGG19.

    References
    ----------
    Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", ICLR (2015).
    Johnson et al., "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", ECCV (2016).
    """

    def __init__(self, weights: Path, *, trust: Trust = "safe") -> None:
        super().__init__()
        self.network = VGG(weights, kind="vgg19", places=tuple(LAYERS), trust=trust)
        self.sha256 = self.network.sha256

    def forward(self, prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch, one number; gradients go to the prediction alone.

        Parameters
        ----------
        prediction, target
            Shape (n, channels, y, x), intensities normalised to 0..1, at least 16 px along each axis. One channel is
            shown to the network as grey; three as red, green and blue. Bands of a spectrum are no colours: fold them
            into n.

        Raises
        ------
        ModelError
            If the shapes differ, or there are other numbers of channels or fewer pixels.
        """
        channels, *edges = prediction.shape[1:]
        if prediction.shape != target.shape or channels not in (1, 3) or min(edges) < _SMALLEST:
            raise ModelError(
                f"The perceptual loss was given shapes {tuple(prediction.shape)} and {tuple(target.shape)}.",
                remedy=f"Use equal shapes (n, 1 or 3, y, x) of at least {_SMALLEST} px; fold bands into n.",
            )
        loss = prediction.new_zeros((), dtype=torch.float32)
        with torch.no_grad():
            wanted = self.network(target)
        for made, real, (_, weight) in zip(self.network(prediction), wanted, LAYERS.values(), strict=True):
            loss = loss + weight * functional.l1_loss(made.float(), real.float())
        return loss
