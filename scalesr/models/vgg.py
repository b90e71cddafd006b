"""What VGG networks see in images, by local weights under the names of torchvision; nothing is fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.models import checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from scalesr.models.checkpoint import Trust

Kind = Literal["vgg16", "vgg19"]

_STAGES: dict[Kind, tuple[tuple[int, int], ...]] = {
    "vgg16": ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)),
    "vgg19": ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4)),
}
"""Channels and convolutions of each stage (Simonyan and Zisserman, 2015, configurations D and E)."""
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
"""Of the colours of ImageNet, which the published weights were trained on."""


class VGG(nn.Module):
    """The convolutions of a VGG network up to the last place that is asked for; its parameters are frozen.

    Parameters
    ----------
    weights
        A safetensors file, or a pickle if trusted, with ``features.0.weight`` and so on as torchvision names them; what
        else is in it, such as ``classifier.0.weight``, is not needed.
    kind
        Which network.
    places
        Numbers of the layers whose output counts, ascending, as torchvision counts them.
    trust
        Whether a pickle may be read.

    Attributes
    ----------
    sha256
        Hash of the file, to be written down with what was made by it.

    Raises
    ------
    ModelError
        The file is absent, damaged, an untrusted pickle, or of another network.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, weights: Path, *, kind: Kind, places: Sequence[int], trust: Trust = "safe") -> None:
        super().__init__()
        self.places = tuple(places)
        self.sha256 = checkpoint.fingerprint(weights)
        found = checkpoint.read(weights, sha256=self.sha256, trust=trust)
        # On the meta device nothing is drawn for 20 million parameters that the file replaces.
        with torch.device("meta"):
            self.features = nn.Sequential(*list(_layers(kind))[: max(self.places) + 1])
        state = {
            name: found.tensors[f"features.{name}"].float()
            for name in self.features.state_dict()
            if f"features.{name}" in found.tensors
        }
        try:
            self.features.load_state_dict(state, assign=True)
        except RuntimeError as error:
            raise ModelError(
                f"{weights} does not hold the convolutions of {kind.upper()}: {str(error).splitlines()[-1].strip()}",
                remedy=f"Save the state dict of torchvision's {kind} as safetensors and name that file.",
            ) from error
        self.requires_grad_(requires_grad=False)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return the features at the places that count.

        Parameters
        ----------
        images
            Intensities of 0..1, shape (n, 1 or 3, y, x); one channel is shown to the network as grey.
        """
        x = (images.expand(-1, 3, -1, -1) - self.mean) / self.std
        found = []
        for place, layer in enumerate(self.features):
            x = layer(x)
            if place in self.places:
                found.append(x)
        return found


def _layers(kind: Kind) -> Iterator[nn.Module]:
    """Yield the layers at the places that they have in torchvision."""
    channels = 3
    for width, convolutions in _STAGES[kind]:
        if channels > 3:
            yield nn.MaxPool2d(2)
        for _ in range(convolutions):
            yield nn.Conv2d(channels, width, 3, padding=1)
            channels = width
            # Not in place: the features before it are kept.
            yield nn.ReLU()
