"""A plain U-Net from coarse objects to fine ones: what a search has to be compared with, learnt from pairs.

Its sizes, loss and training are our own choice; the operator that makes its input is that of the search.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from scalesr.errors import ModelError, PlanError
from scalesr.models import ModelSpec
from scalesr.models.filling import filled
from scalesr.models.memory import peak_bytes
from scalesr.models.network import Network, parameter_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scalesr.models import Percentiles
    from scalesr.models.checkpoint import Checkpoint
    from scalesr.rls.degradation import Degradation

ARCHITECTURE = "rls-unet"
"""Name in the metadata of a file."""
GROUP = 16
"""Objects of a tile."""
_SLOPE = 0.2


class UNet(nn.Module):
    """Cubic interpolation, and what the network adds to it.

    Two convolutions on each level, means of 2 x 2 pixels between levels on the way down, and nearest neighbours on the
    way up, beside what was there on the way down.

    Parameters
    ----------
    size
        Edge of its images in pixels.
    factor
        Pixels of an image for each measured one along y and x.
    channels
        Channels of its images; all are seen together.
    widths
        Features on each level, from the finest.

    Raises
    ------
    PlanError
        Sizes that do not fit each other.
    """

    def __init__(
        self, *, size: int = 64, factor: int = 16, channels: int = 1, widths: tuple[int, ...] = (32, 64, 128)
    ) -> None:
        super().__init__()
        if min(size, factor, channels, *widths, len(widths)) < 1 or size % factor or size % 2 ** (len(widths) - 1):
            raise PlanError(
                f"A network for images of {size} px and {channels} channel(s), a factor of {factor} and the widths "
                f"{widths} cannot be built.",
                remedy="Give a size that the factor divides, and that halves once for each width after the first.",
            )
        self.size, self.factor, self.channels, self.widths = size, factor, channels, tuple(widths)
        self.down = nn.ModuleList(
            _Twice(inner, outer) for inner, outer in zip((channels, *widths), widths, strict=False)
        )
        self.up = nn.ModuleList(
            _Twice(below + width, width) for width, below in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.last = nn.Conv2d(widths[0], channels, 1)
        # It begins as interpolation.
        nn.init.zeros_(self.last.weight)
        assert self.last.bias is not None
        nn.init.zeros_(self.last.bias)

    def forward(self, coarse: torch.Tensor) -> torch.Tensor:
        """Return images, shape (n, channels, size, size), of coarse ones."""
        enlarged = self.enlarged(coarse)
        x, kept = enlarged, []
        for level, block in enumerate(self.down):
            x = block(functional.avg_pool2d(x, 2) if level else x)
            kept.append(x)
        for block, beside in zip(self.up, kept[-2::-1], strict=True):
            x = block(torch.cat([functional.interpolate(x, scale_factor=2.0), beside], dim=1))
        found: torch.Tensor = enlarged + self.last(x)
        return found

    def enlarged(self, coarse: torch.Tensor) -> torch.Tensor:
        """Return the cubic interpolation (Keys, a = -1/2) of coarse images."""
        # With torch's filter the kernel is that of Keys, and without one of a = -3/4; it filters nothing on enlarging.
        return functional.interpolate(coarse, scale_factor=float(self.factor), mode="bicubic", antialias=True)

    def to_json(self) -> dict[str, Any]:
        """Return its sizes as what JSON can hold."""
        return {"size": self.size, "factor": self.factor, "channels": self.channels, "widths": list(self.widths)}


class _Twice(nn.Sequential):
    def __init__(self, inner: int, outer: int) -> None:
        super().__init__(
            nn.Conv2d(inner, outer, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(outer, outer, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
        )


class _Stack(nn.Module):
    """The network on objects along an axis of their own."""

    def __init__(self, network: UNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        count, _, depth = tiles.shape[:3]
        found: torch.Tensor = self.network(tiles.movedim(2, 1).flatten(0, 1))
        return found.unflatten(0, (count, depth)).movedim(1, 2)  # type: ignore[no-untyped-call,no-any-return]


def save_unet(
    network: UNet,
    path: Path,
    *,
    degradation: Degradation,
    percentiles: Percentiles,
    title: str,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a network as safetensors that ``scalesr run --model`` takes.

    Parameters
    ----------
    network
        What is written.
    path
        The file, which is replaced.
    degradation
        What its input was made by.
    percentiles
        The 0.1 and the 99.9 percentile of each channel of coarse objects, in intensities of fine ones; see `ModelSpec`.
    title
        One line on it.
    extra
        Further notes; names get ``training.`` in front.
    """
    notes = {f"training.{name}": value for name, value in (extra or {}).items()}
    metadata = {**network.to_json(), "degradation": degradation.to_json(), "percentiles": percentiles, **notes}
    save_file(
        {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()},
        path,
        metadata={
            "architecture": ARCHITECTURE,
            "title": title,
            "scale": f"1,{network.factor},{network.factor}",
            **{name: json.dumps(value) for name, value in metadata.items()},
        },
    )


def unet_of(weights: Checkpoint) -> UNet:
    """Return the network that a file holds.

    Raises
    ------
    ModelError
        It holds another network, or tensors and settings do not go together.
    """
    said = weights.metadata
    if said.get("architecture") != ARCHITECTURE:
        raise ModelError(f"{weights.path} holds no U-Net of objects.", remedy="Make one by `scalesr train rls-unet`.")
    try:
        sizes = {name: json.loads(said[name]) for name in ("size", "factor", "channels", "widths")}
        network = filled(lambda: UNet(**{**sizes, "widths": tuple(sizes["widths"])}), weights.tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"The metadata and the weights of {weights.path} do not go together: {error}",
            remedy="Write it by scalesr.rls.save_unet.",
        ) from error
    return network.eval()


def build(
    weights: Checkpoint,
    *,
    scale: tuple[Fraction, ...] | None,
    image_channels: int | None,
    options: Mapping[str, Any],
) -> Network:
    """Return the model of stacks of objects (n, c, y, x) that a file of weights holds; it takes no options.

    Raises
    ------
    ModelError
        The image has other channels than the network, an option is given, or the file holds another network.
    """
    del scale  # the file says its own
    network = unet_of(weights)
    there = image_channels or 1
    if network.channels != there:
        raise ModelError(
            f"The network {weights.path.name} takes {network.channels} channel(s), and the image has {there}.",
            remedy="Select the channels that it was trained on, in their order.",
        )
    if options:
        raise ModelError(
            f"A U-Net of objects has no option '{sorted(options)[0]}'.",
            remedy="Leave it out: what it undoes was decided when it was trained.",
        )
    edge, finer = network.size // network.factor, Fraction(network.factor)
    found: Percentiles = tuple((low, high) for low, high in json.loads(weights.metadata["percentiles"]))
    module = _Stack(network)
    spec = ModelSpec(
        name=weights.metadata.get("name", weights.path.stem),
        axes="nyx",
        scale=(Fraction(1), finer, finer),
        channels=network.channels,
        out_channels=network.channels,
        receptive=None,
        precisions=("fp32", "bf16", "fp16"),
        activation_bytes=peak_bytes(network, torch.zeros(1, network.channels, edge, edge)) / (edge * edge),
        weight_bytes=parameter_bytes(network),
        tile=(GROUP, edge, edge),
        halo=(0, 0, 0),
        blend=(0, 0, 0),
        extent=(None, edge, edge),
        percentiles=found,
    )
    return Network(module, spec)
