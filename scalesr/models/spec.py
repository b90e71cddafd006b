"""The contract between a model and the engine: what a model says of itself, and how it is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from scalesr.tiling import round_up

if TYPE_CHECKING:
    from fractions import Fraction

    import torch

Precision = Literal["fp32", "bf16", "fp16"]
"""Number format of the network's arithmetic. Input and output of a model are float32 whatever it is."""

Flux = Literal["free", "conserved"]
"""Whether a run keeps, over the area of each input pixel, the mean of the output at what was measured there."""

Sampling = Literal["area", "point"]
"""What a pixel along an axis stands for. ``area``: the mean over its extent; output pixel j lies at (j + 1/2)/s - 1/2.
``point``: the value at its centre, as optical sections have it; output pixel j lies at j/s, so that the first pixels
coincide."""

Strategy = Literal["auto", "single", "triples"]
"""How the channel axis of an image is cut for a model: each channel alone, or three neighbours at a time."""


Percentiles = tuple[tuple[float, float], ...]
"""A lower and an upper percentile of intensities for each channel."""


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """What a model says of itself. The plan is made from it; the weights are not needed for that."""

    name: str
    """Short name for tables and manifests."""
    axes: str
    """Spatial axes that the model mixes, slowest first: ``"yx"`` or ``"zyx"``. All other axes are independent."""
    scale: tuple[Fraction, ...]
    """Output pixels for each input pixel, for each of `axes`."""
    channels: int
    """Channels of one tile on input; 1 means that each channel is a tile of its own."""
    out_channels: int
    """Channels of one tile on output."""
    multiple: int = 1
    """Edges of a tile must be multiples of this (window attention, pixel shuffles, strides)."""
    receptive: tuple[int, ...] | None
    """For each of `axes`, how many input pixels away an input pixel can still change an output pixel; measured, not
    believed. ``None``: without bound (global attention), so that no halo makes tiles exact."""
    minimum: int = 1
    """Smallest edge of a tile that the model accepts."""
    randomness: Literal["deterministic", "seeded"] = "deterministic"
    """Seeded models draw noise as a function of (seed, global voxel, step)."""
    precisions: tuple[Precision, ...] = ("fp32",)
    """Number formats the model can run in."""
    values: Literal["any", "unit"] = "unit"
    """``unit``: trained on intensities normalised to about 0..1. ``any``: linear, the normalisation does not matter."""
    activation_bytes: float
    """Peak bytes of live tensors for each input pixel of a tile in fp32, beyond the weights; counted, not believed."""
    weight_bytes: int = 0
    """Bytes of the parameters in fp32."""
    tile: int | tuple[int, ...] | None = None
    """Edge of the tile that the author recommends, if any; one for all of `axes`, or one for each."""
    halo: tuple[int, ...] | None = None
    """Context, for each of `axes`, that the author recommends where the receptive field has no bound."""
    blend: tuple[int, ...] | None = None
    """Half-width of the cross-fade between tiles that the author recommends, for each of `axes`; none: 0."""
    sampling: tuple[Sampling, ...] | None = None
    """What pixels along each of `axes` stand for; none: the mean over their area."""
    verbatim: Literal["none", "planes"] = "none"
    """``planes``: the measured planes, the first of `axes`, are to be found unchanged in the output, plane k at row
    ``row_of(k, scale)``."""
    deviation: Literal["none", "returned"] = "none"
    """``returned``: the model returns ``2 * out_channels`` channels, the second half of which are standard deviations
    of the first."""
    holes: Literal["filled", "inpainted"] = "filled"
    """What the model wants where nothing was measured: a plausible value, or NaN, which it makes up for itself."""
    extent: tuple[int | None, ...] | None = None
    """Input pixels that an image has along each of `axes`, where the model takes images of one size, such as objects of
    a stack; ``None``: any."""
    percentiles: Percentiles | None = None
    """What the 0.1 and the 99.9 percentile of each channel become when a run normalises by them; none: 0 and 1. Coarse
    images have a narrower range than the fine ones whose range is 0..1 for the model."""
    flux: Flux = "free"
    """What its author recommends for runs: ``conserved`` for measurements that are sums over a pixel's area."""

    def edge(self, pixels: int) -> int:
        """Return the smallest edge of a tile that the model accepts and that has at least so many pixels."""
        return round_up(max(self.minimum, pixels), self.multiple)


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """Names a model so that any process can load it: this, not the weights, travels with a task."""

    source: str
    """``builtin:cubic``, ``file:/path/net.safetensors`` or ``factory:package.module:function``."""
    sha256: str
    """Hash of the weights, or of the source of a model that has none. Loading refuses another hash."""
    options: tuple[tuple[str, Any], ...] = ()
    """Sorted (name, value) pairs given to the loader: scale, axes, strategy."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a model does for one tile."""

    passes: int
    """Passes of a network, each of one image of a batch."""
    flops: float
    """Floating-point operations, two for each multiplication with addition."""


@runtime_checkable
class Model(Protocol):
    """A callable with a spec. Each process loads it once and calls it for every batch of tiles."""

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""

    def to(self, *, device: str, precision: Precision) -> Model:
        """Return the model on a device (``cpu``, ``cuda``, ``cuda:1``) and in a number format."""

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        """Run one batch.

        Parameters
        ----------
        tiles
            float32, shape ``(n, channels, *axes)``, normalised; on the model's device.
        origins
            int64, shape ``(n, len(axes))``: position of each tile's first pixel in the image, in input pixels;
            negative where the tile begins in the reflection. Only seeded models look at it.

        Returns
        -------
        torch.Tensor
            float32, shape ``(n, out_channels, *(axes * scale))``.
        """


@runtime_checkable
class Tailored(Protocol):
    """A model whose work on a tile depends on how much of the tile is asked for."""

    def tailored(self, margins: tuple[int, ...]) -> Model:
        """Return the same model for tiles of which so many input pixels at either end of each axis are only context.

        What it returns there is anything finite; the rest is, bit for bit, what it would be without margins.
        """

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:
        """Return what one tile of so many input pixels costs."""


def row_of(plane: int, scale: Fraction) -> int:
    """Return the output row at which a plane lies where planes are points: that nearest to plane x scale, halves up."""
    return (2 * plane * scale.numerator + scale.denominator) // (2 * scale.denominator)
