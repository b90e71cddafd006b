"""Networks that restore slices in one pass, trained end to end: what diffusion is compared with.

Both are the U-Net of the diffusion network, its time step held at 0, and see the same patches. ``e2e`` fills the rows
between measured ones, wherever these are. ``care`` is isotropic restoration after Weigert et al. (2018): a stack that
was enlarged linearly is restored as a whole, and XZ and YZ slices are combined by their geometric mean.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from scalesr.errors import ModelError
from scalesr.models import Cost, ModelSpec, determinism
from scalesr.models.memory import peak_bytes
from scalesr.models.network import checked_precision, parameter_bytes, torch_device
from scalesr.msdsr.groups import Groups
from scalesr.msdsr.network import denoiser_of, save_denoiser, to_span
from scalesr.msdsr.region import BLEND, CONTEXT, Region
from scalesr.msdsr.rows import guide
from scalesr.msdsr.slicing import canvas
from scalesr.tiling import round_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scalesr.models import Precision
    from scalesr.models.checkpoint import Checkpoint
    from scalesr.msdsr.network import Denoiser
    from scalesr.msdsr.settings import Conditioning
    from scalesr.msdsr.slicing import Slicing

Kind = Literal["e2e", "care"]
"""``e2e``: between measured rows; ``care``: all rows of a stack that was enlarged linearly."""
Orientations = Literal["both", "xz", "yz"]
"""Which slices are restored: of ``both`` orientations, which are then combined, or of one."""
Changes = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""What is added to interpolated slices, of these and of which pixels are known."""

ARCHITECTURE = "msdsr-slices"
"""Name in the metadata of a file."""
CONDITIONING: dict[Kind, Conditioning] = {"e2e": "mask", "care": "rows"}
"""What the network sees beside the linear interpolation: which pixels of it are measured, or nothing."""
GROUP = 16
"""Slices that go through the network at a time."""
KIND = "slices.kind"
_KINDS: tuple[Kind, ...] = get_args(Kind)
_ORIENTATIONS: tuple[Orientations, ...] = get_args(Orientations)


class SliceNet:
    """The same tile gives the same bits whatever batch it is in; see `scalesr.models.Model` and `Tailored`.

    Tiles are cut as for the diffusion network. Of those with margins only the slices that lie in the rest are made.

    Parameters
    ----------
    denoiser
        The network. It is taken over.
    kind
        What it was trained for.
    scale
        Rows for each plane, above 1.
    orientations
        Which slices are restored.
    margins
        Input pixels at either end of each axis of a tile that are only context.
    device, precision
        Where and in which number format it runs.

    Raises
    ------
    ModelError
        The scale is 1 or below, the device is absent or cannot run in that format.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        kind: Kind,
        scale: Fraction,
        orientations: Orientations = "both",
        margins: tuple[int, ...] = (0, 0, 0),
        device: str = "cpu",
        precision: Precision = "fp32",
    ) -> None:
        if scale <= 1:
            raise ModelError(
                f"Planes at a distance of {float(scale):g} pixels are no fewer than those of the output.",
                remedy="Give --scale above 1: the distance between planes over the size of a pixel.",
            )
        determinism.settle()
        where = torch_device(device)
        self._groups = Groups(denoiser, group=GROUP, device=where, precision="fp32")
        self._kind: Kind = kind
        self._orientations: Orientations = orientations
        self._scale, self._margins = scale, margins
        self._spec = self._said()
        self._groups.precision = checked_precision(precision, spec=self._spec, device=where)
        self._spec = replace(self._spec, activation_bytes=self._activation_bytes())

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return self._spec

    def to(self, *, device: str, precision: Precision) -> SliceNet:
        """Return the model on a device and in a number format; this one stays as it is."""
        where = torch_device(device)
        checked_precision(precision, spec=self._spec, device=where)
        return self._with(groups=self._groups.moved(device=where, precision=precision))

    def tailored(self, margins: tuple[int, ...]) -> SliceNet:
        """Return the model for tiles with margins; see `Tailored`."""
        return self._with(margins=margins)

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:
        """Return what one tile costs, those images included that fill up the last group of slices."""
        stacks = self._slicings(1, tile, margins)
        passes = [round_up(stack.count, GROUP) for stack in stacks]
        flops = sum(many * self._groups.flops(stack.shape) for many, stack in zip(passes, stacks, strict=True))
        return Cost(passes=sum(passes), flops=flops)

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:  # noqa: ARG002  # same everywhere
        """Restore one batch; see `Model`."""
        with torch.inference_mode():
            return self._restored(tiles.to(self._groups.device, torch.float32), self._changes)

    def _restored(self, tiles: torch.Tensor, changes: Changes) -> torch.Tensor:
        placed = canvas(tiles, scale=self._scale)
        values, known = placed.values, placed.known
        between = guide(values.flatten(-2), known.flatten(-2)).view_as(values)
        stacks = self._slicings(len(tiles), tiles.shape[2:], self._margins)
        found = [
            stack.join(image + changes(image, stack.cut(known))) for stack in stacks for image in [stack.cut(between)]
        ]
        whole = between.clone()
        if self._orientations == "both":
            y, x = (slice(stack.part.start, stack.part.stop) for stack in stacks)
            xz, yz = found[0][..., x], found[1][:, :, :, y]
            # As IsotropicCARE has it, where nothing may be negative.
            care = self._kind == "care"
            whole[:, :, :, y, x] = (xz.clamp(min=0) * yz.clamp(min=0)).sqrt() if care else (xz + yz) / 2
        else:
            axis = 3 if self._orientations == "xz" else 4
            whole.narrow(axis, stacks[0].part.start, len(stacks[0].part)).copy_(found[0])
        return torch.where(known > 0, values, whole) if self._kind == "e2e" else whole

    def _changes(self, between: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        image = to_span(between, self._groups.denoiser.settings.span)
        return self._groups(image, 0, known, image)

    def _slicings(self, tiles: int, tile: Sequence[int], margins: tuple[int, ...]) -> tuple[Slicing, ...]:
        """Return the slices of so many tiles that lie in what is asked for, of one orientation or both."""
        planes, height, width = tile
        return Region.within((height, width), (margins[1], margins[2]), fused=False).slicings(
            tiles,
            rows=int(planes * self._scale),
            size=(height, width),
            multiple=self._groups.denoiser.settings.multiple,
            orientations=self._orientations,
        )

    def _said(self) -> ModelSpec:
        settings, scale = self._groups.denoiser.settings, self._scale
        unit = scale.denominator
        return ModelSpec(
            name=f"{ARCHITECTURE}-{self._kind}",
            axes="zyx",
            scale=(scale, Fraction(1), Fraction(1)),
            channels=settings.channels,
            out_channels=settings.channels,
            # Its normalisation is over whole slices.
            receptive=None,
            precisions=("fp32", "bf16", "fp16"),
            activation_bytes=0.0,
            weight_bytes=parameter_bytes(self._groups.denoiser),
            tile=(max(math.floor(settings.tile / scale / unit), 1) * unit, settings.tile, settings.tile),
            # As for diffusion.
            halo=(max(round_up(math.ceil((CONTEXT + BLEND) / scale), unit) - unit, 0), CONTEXT, CONTEXT),
            blend=(unit, BLEND, BLEND),
            sampling=("point", "area", "area"),
            verbatim="planes" if self._kind == "e2e" else "none",
            holes="inpainted" if self._kind == "e2e" else "filled",
        )

    def _activation_bytes(self) -> float:
        """Count what is alive at the peak for each input pixel: all slices, and the network at work on a group."""
        tile = self._spec.tile
        assert isinstance(tile, tuple)
        stacks = self._slicings(1, tile, (0, 0, 0))
        network = max(self._groups.peak_bytes(stack.shape) for stack in stacks)
        sample = torch.zeros(1, self._spec.channels, *tile, device=self._groups.device)
        counted = peak_bytes(lambda tiles: self._restored(tiles, lambda image, _: image.clone()), sample)
        return (counted + network) / math.prod(tile)

    def _with(self, **changes: Any) -> SliceNet:
        other = object.__new__(SliceNet)
        other.__dict__.update(self.__dict__, **{f"_{name}": value for name, value in changes.items()})
        return other


def restore(denoiser: Denoiser, between: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return images with what the network adds to them.

    Parameters
    ----------
    denoiser
        Conditioned as `CONDITIONING` says.
    between
        Intensities of 0..1, float32 of shape (n, C, rows, columns): the linear interpolation.
    known
        Shape (n, 1, rows, columns), 1 where measured.
    """
    image = to_span(between, denoiser.settings.span)
    steps = torch.zeros(len(between), dtype=torch.int64, device=between.device)
    found: torch.Tensor = denoiser(image, steps, known, image)
    return between + found.float()


def save_slice_net(
    denoiser: Denoiser, path: Path, *, kind: Kind, title: str, extra: Mapping[str, Any] | None = None
) -> None:
    """Write a network as safetensors that ``scalesr run --model`` takes; see `save_denoiser`."""
    save_denoiser(denoiser, path, title=title, extra={**(extra or {}), KIND: kind}, architecture=ARCHITECTURE)


def build(
    weights: Checkpoint,
    *,
    scale: tuple[Fraction, ...] | None,
    image_channels: int | None,
    options: Mapping[str, Any],
) -> SliceNet:
    """Make the model of a file, as `scalesr.models.architectures` wants it.

    Raises
    ------
    ModelError
        There is no scale, the image has other channels, or an option that there is not was given.
    """
    given = dict(options)
    orientations = given.pop("orientations", "both")
    if given:
        raise ModelError(
            f"Networks on slices have no option '{next(iter(given))}'.", remedy="Their only option is orientations."
        )
    if orientations not in _ORIENTATIONS:
        raise ModelError(f"orientations is {orientations!r}.", remedy=f"Give one of: {', '.join(_ORIENTATIONS)}.")
    if scale is None:
        raise ModelError(
            "The distance between planes is not known.", remedy="Give it in pixels, such as --scale 4, or isotropic."
        )
    if len(scale) != 3 or any(factor != 1 for factor in scale[1:]):
        raise ModelError(
            f"Networks on slices enlarge along z alone, and {' x '.join(map(str, scale))} was asked for.",
            remedy="Give the scale along z, such as --scale 4.",
        )
    kind = json.loads(weights.metadata.get(KIND, "null"))
    if kind not in _KINDS:
        raise ModelError(f"{weights.path} does not say what it is for.", remedy="Write it by `save_slice_net`.")
    denoiser = denoiser_of(weights, architecture=ARCHITECTURE)
    channels = denoiser.settings.channels
    if channels not in (1, image_channels):
        raise ModelError(
            f"The network takes {channels} channels together, and the image has {image_channels or 1}.",
            remedy="Use a network of one channel.",
        )
    return SliceNet(denoiser, kind=kind, scale=scale[0], orientations=orientations)
