"""What models of networks on slices have in common: their tiles, their costs, and how they move between devices."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, Self

from scalesr.errors import ModelError
from scalesr.models import Cost, ModelSpec, determinism
from scalesr.models.network import checked_precision, parameter_bytes, torch_device
from scalesr.msdsr.groups import Groups
from scalesr.msdsr.region import BLEND, CONTEXT, Region
from scalesr.tiling import round_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.models import Precision
    from scalesr.msdsr.network import Denoiser
    from scalesr.msdsr.slicing import Slicing


class SliceModel:
    """A network that restores XZ and YZ slices of stacks; what it does to them is up to the class below.

    Parameters
    ----------
    denoiser
        The network. It is taken over.
    name
        Of the model, for tables.
    scale
        Rows for each plane, above 1.
    group
        Slices that go through the network at a time.
    orientations
        Which slices are restored.
    passes
        How often the network sees each slice.
    margins
        Input pixels at either end of each axis of a tile that are only context.
    device
        Where it runs.
    said
        Further fields of the spec.

    Raises
    ------
    ModelError
        The scale is 1 or below, or the device is absent.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        *,
        name: str,
        scale: Fraction,
        group: int,
        orientations: Literal["both", "xz", "yz"],
        passes: int,
        margins: tuple[int, ...],
        device: str,
        **said: Any,
    ) -> None:
        determinism.settle()
        if scale <= 1:
            raise ModelError(
                f"Planes at a distance of {float(scale):g} pixels are no fewer than those of the output.",
                remedy="Give --scale above 1: the distance between planes over the size of a pixel.",
            )
        self._groups = Groups(denoiser, group=group, device=torch_device(device), precision="fp32")
        self._orientations: Literal["both", "xz", "yz"] = orientations
        self._scale, self._passes, self._margins = scale, passes, margins
        self._spec = _spec(denoiser, name=name, scale=scale, **said)

    @property
    def spec(self) -> ModelSpec:
        """What the model says of itself."""
        return self._spec

    def to(self, *, device: str, precision: Precision) -> Self:
        """Return the model on a device and in a number format; this one stays as it is."""
        where = torch_device(device)
        checked_precision(precision, spec=self._spec, device=where)
        return self._with(groups=self._groups.moved(device=where, precision=precision))

    def tailored(self, margins: tuple[int, ...]) -> Self:
        """Return the model for tiles with margins; see `Tailored`."""
        return self._with(margins=margins)

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:
        """Return what one tile costs, those images included that fill up the last group of slices."""
        counts: Counter[tuple[int, int]] = Counter()
        for stack in self._slicings(1, tile, margins):
            counts[stack.shape] += stack.count
        passes = {shape: round_up(count, self._groups.group) * self._passes for shape, count in counts.items()}
        return Cost(
            passes=sum(passes.values()), flops=sum(count * self._groups.flops(shape) for shape, count in passes.items())
        )

    def _region(self, size: tuple[int, int], margins: tuple[int, ...]) -> Region:
        """Return what of tiles of a size along y and x is restored."""
        return Region.within(size, (margins[1], margins[2]), fused=False)

    def _slicings(self, tiles: int, tile: Sequence[int], margins: tuple[int, ...]) -> tuple[Slicing, ...]:
        """Return the slices of so many tiles that lie in what is asked for, of one orientation or both."""
        planes, height, width = tile
        return self._region((height, width), margins).slicings(
            tiles,
            rows=int(planes * self._scale),
            size=(height, width),
            multiple=self._groups.denoiser.settings.multiple,
            orientations=self._orientations,
        )

    def _settled(self, counted: float, *, precision: Precision) -> None:
        """Take the number format, and the bytes that are alive at the peak beside the network, for a whole tile."""
        self._groups.precision = checked_precision(precision, spec=self._spec, device=self._groups.device)
        tile = self._spec.tile
        assert isinstance(tile, tuple)
        network = max(self._groups.peak_bytes(stack.shape) for stack in self._slicings(1, tile, self._margins))
        self._spec = replace(self._spec, activation_bytes=(counted + network) / math.prod(tile))

    def _with(self, **changes: Any) -> Self:
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__, **{f"_{name}": value for name, value in changes.items()})
        return other


def scale_along_z(scale: tuple[Fraction, ...] | None, *, name: str) -> Fraction:
    """Return the rows for each plane that were asked for.

    Raises
    ------
    ModelError
        There is no scale, or it is not of z alone.
    """
    if scale is None or len(scale) != 3 or set(scale[1:]) - {Fraction(1)}:
        given = "no scale" if scale is None else " x ".join(map(str, scale))
        raise ModelError(
            f"The model '{name}' makes rows between planes, and {given} was asked for.",
            remedy="Give --scale for z alone, such as --scale 4: the distance between planes over the size of a pixel. "
            "--scale isotropic takes it from the image.",
        )
    return scale[0]


def _spec(denoiser: Denoiser, *, name: str, scale: Fraction, **said: Any) -> ModelSpec:
    settings, unit = denoiser.settings, scale.denominator
    planes = max(math.floor(settings.tile / scale / unit), 1) * unit
    return ModelSpec(
        name=name,
        axes="zyx",
        scale=(scale, Fraction(1), Fraction(1)),
        channels=settings.channels,
        out_channels=settings.channels,
        # The network's normalisation is over whole slices.
        receptive=None,
        precisions=("fp32", "bf16", "fp16"),
        activation_bytes=0.0,
        weight_bytes=parameter_bytes(denoiser),
        tile=(planes, settings.tile, settings.tile),
        # The cross-fade comes on top; along z it is a plane at least, which is enough where they are far apart.
        halo=(max(round_up(math.ceil((CONTEXT + BLEND) / scale), unit) - unit, 0), CONTEXT, CONTEXT),
        blend=(unit, BLEND, BLEND),
        sampling=("point", "area", "area"),
        **said,
    )
