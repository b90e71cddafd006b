"""How the channel axis of an image is cut for a network with a fixed number of channels."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import torch

from scalesr.errors import ModelError
from scalesr.models.spec import Model, Tailored

if TYPE_CHECKING:
    from scalesr.models.spec import Cost, ModelSpec, Precision, Strategy


class Grey:
    """A network of three channels for single ones: the channel is given three times, the three results are averaged.

    So are the standard deviations that it returns, as the three err alike.
    """

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
        return grey(self._model.to(device=device, precision=precision))

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Run one batch; see `Model`."""
        count, _, *edges = tiles.shape
        inner = self._model.spec
        results = self._model(tiles.expand(count, inner.channels, *edges), origins)
        # One mean for each kind of channels: values, and perhaps their standard deviations.
        kinds = results.chunk(results.shape[1] // inner.out_channels, dim=1)
        return torch.cat([kind.mean(dim=1, keepdim=True) for kind in kinds], dim=1)


class TailoredGrey(Grey):
    """The same around a network whose work on a tile depends on how much of it is asked for."""

    def __init__(self, model: TailoredModel) -> None:
        super().__init__(model)
        self._inner = model

    def tailored(self, margins: tuple[int, ...]) -> Grey:
        """Return the same model for tiles with margins; see `Tailored`."""
        return grey(self._inner.tailored(margins))

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:
        """Return what one tile costs."""
        return self._inner.cost(tile, margins)


@runtime_checkable
class TailoredModel(Model, Tailored, Protocol):
    """Both at once."""


def grey(model: Model) -> Grey:
    """Return a network of three channels as one of single channels."""
    return TailoredGrey(model) if isinstance(model, TailoredModel) else Grey(model)


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
        return grey(model)
    if strategy == "triples" and spec.channels == spec.out_channels == 3 and image >= 3:
        return model
    counts = f"{spec.channels} channel{'s' * (spec.channels != 1)} and returns {spec.out_channels}"
    raise ModelError(
        f"The model '{spec.name}' takes {counts}, and the image has {image}; strategy '{strategy}' cannot join them.",
        remedy=f"Select {spec.channels} channels of the image, use --strategy auto, "
        "or take a network of 1 or 3 channels.",
    )
