"""How the channel axis of an image is cut for a network with a fixed number of channels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from scalesr.errors import ModelError

if TYPE_CHECKING:
    import torch

    from scalesr.models.spec import Model, ModelSpec, Precision, Strategy


class Grey:
    """A network of three channels for single ones: the channel is given three times, the three results are averaged."""

    def __init__(self, model: Model) -> None:
        self._model = model
        inner = model.spec
        enlarged = math.prod(inner.scale)
        self._spec = replace(
            inner,
            channels=1,
            out_channels=1,
            # The channel itself and the average are alive beside what the network needs.
            activation_bytes=inner.activation_bytes + 4.0 * float(1 + enlarged),
        )

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return self._spec

    def to(self, *, device: str, precision: Precision) -> Grey:
        """Return the model on a device and in a number format."""
        return Grey(self._model.to(device=device, precision=precision))

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Run one batch; see `Model`."""
        count, _, *edges = tiles.shape
        return self._model(tiles.expand(count, self._model.spec.channels, *edges), origins).mean(dim=1, keepdim=True)


def fitted(model: Model, *, strategy: Strategy, image_channels: int | None) -> Model:
    """Fit a model to the channels of an image.

    Parameters
    ----------
    model
        Any model; `spec.channels` of what is returned is the number of neighbouring channels in one tile.
    strategy
        ``single``: each channel alone, for networks of one channel or, as grey, of three. ``triples``: three neighbours
        at a time. ``auto``: all at once if the numbers are equal, else each alone for networks of one channel; for
        networks of three each alone up to two channels, and triples from three.
    image_channels
        Channels of the image; None if it has no such axis.

    Raises
    ------
    ModelError
        If the network has another number of channels than the strategy can serve.
    """
    spec = model.spec
    image = 1 if image_channels is None else image_channels
    if strategy == "auto":
        strategy = "triples" if spec.channels == 3 and image >= 3 else "single"
        if spec.channels == image:
            return model
    if strategy == "single" and spec.channels == 1 and spec.out_channels == 1:
        return model
    if strategy == "single" and spec.channels == 3:
        return Grey(model)
    if strategy == "triples" and spec.channels == spec.out_channels == 3 and image >= 3:
        return model
    counts = f"{spec.channels} channel{'s' * (spec.channels != 1)} and returns {spec.out_channels}"
    raise ModelError(
        f"The model '{spec.name}' takes {counts}, and the image has {image}; strategy '{strategy}' cannot join them.",
        remedy=f"Select {spec.channels} channels of the image, use --strategy auto, "
        "or take a network of 1 or 3 channels.",
    )
