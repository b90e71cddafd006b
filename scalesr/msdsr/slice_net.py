"""Networks that restore slices in one pass, trained end to end: what diffusion is compared with.

Both are the U-Net of the diffusion network, its time step held at 0, and see the same patches. ``e2e`` fills the rows
between measured ones, wherever these are. ``care`` is isotropic restoration after Weigert et al. (2018): a stack that
was enlarged linearly is restored as a whole, and XZ and YZ slices are combined by their geometric mean.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch

from scalesr.errors import ModelError
from scalesr.models.memory import peak_bytes
from scalesr.msdsr.network import denoiser_of, save_denoiser, to_span
from scalesr.msdsr.rows import guide
from scalesr.msdsr.slice_model import SliceModel, scale_along_z
from scalesr.msdsr.slicing import canvas, jointly

if TYPE_CHECKING:
    from collections.abc import Mapping
    from fractions import Fraction
    from pathlib import Path

    from scalesr.models import Precision
    from scalesr.models.checkpoint import Checkpoint
    from scalesr.msdsr.network import Denoiser
    from scalesr.msdsr.settings import Conditioning

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


class SliceNet(SliceModel):
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
        self._kind: Kind = kind
        super().__init__(
            denoiser,
            name=f"{ARCHITECTURE}-{kind}",
            scale=scale,
            group=GROUP,
            orientations=orientations,
            passes=1,
            margins=margins,
            device=device,
            verbatim="planes" if kind == "e2e" else "none",
            holes="inpainted" if kind == "e2e" else "filled",
        )
        self._settled(self._restoring_bytes(), precision=precision)

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:  # noqa: ARG002  # same everywhere
        """Restore one batch; see `Model`."""
        with torch.inference_mode():
            return self._restored(tiles.to(self._groups.device, torch.float32), self._changes)

    def _restored(self, tiles: torch.Tensor, changes: Changes) -> torch.Tensor:
        placed = canvas(tiles, scale=self._scale)
        values, known = placed.values, placed.known
        between = guide(values.flatten(-2), known.flatten(-2)).view_as(values)
        stacks = self._slicings(len(tiles), tiles.shape[2:], self._margins)
        images, masks = ([stack.cut(whole) for stack in stacks] for whole in (between, known))
        changed = jointly(changes, images, masks)
        found = [stack.join(image + each) for stack, image, each in zip(stacks, images, changed, strict=True)]
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

    def _restoring_bytes(self) -> float:
        """Count what is alive at the peak of restoring a tile, beside the network at work on a group of slices."""
        assert isinstance(self._spec.tile, tuple)
        sample = torch.zeros(1, self._spec.channels, *self._spec.tile, device=self._groups.device)
        return peak_bytes(lambda tiles: self._restored(tiles, lambda image, _: image.clone()), sample)


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
    rows = scale_along_z(scale, name=f"{ARCHITECTURE}-{kind}")
    return SliceNet(denoiser, kind=kind, scale=rows, orientations=orientations)
