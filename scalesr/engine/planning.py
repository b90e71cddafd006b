"""From an image, a model and options to a plan: which axes are mixed, what sizes everything has."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, log2, prod
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.engine.extents import check_extent
from scalesr.engine.flux import choose_flux
from scalesr.engine.planes import check_planes, missing_planes
from scalesr.engine.verbatim import choose_verbatim
from scalesr.errors import InputError, ModelError, PlanError
from scalesr.images import halved_axes
from scalesr.tiling import (
    AxisLattice,
    Lattice,
    Plan,
    choose_block,
    choose_cell,
    choose_unit,
    plan_levels,
    round_up,
)
from scalesr.tiling.choose import choose_bands, choose_tile, fitting_tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.engine.options import Options, Sizes
    from scalesr.images import Axis
    from scalesr.models import ModelSpec

UNBOUNDED_HALO = {1: 256, 2: 32, 3: 16}
"""Context for models whose receptive field has no bound, by the number of axes that they mix: no halo makes their tiles
exact, so that this is a matter of quality, and blending hides what remains."""
SMALLEST_LEVEL = 256
"""A pyramid ends where no spatial axis is longer."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What a plan must know of an image: enough to plan for one that does not exist yet."""

    axes: tuple[Axis, ...]
    """One for each dimension, slowest first."""
    shape: tuple[int, ...]
    """Pixels along each axis."""
    dtype: str
    """NumPy name of the data type."""
    chunk: tuple[int, ...]
    """What one request to storage delivers."""
    pixel_sizes: tuple[float, ...]
    """Size of a pixel in the unit of each axis."""
    name: str
    """What to call it in an error."""
    missing_planes: tuple[int, ...] = ()
    """Planes along z that are known not to have been measured."""


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Which axes of an image go into a tile of the model."""

    channel: int | None
    """Axis that holds the channels of a tile."""
    spatial: tuple[int, ...]
    """Axes that the model mixes, in the model's order."""


def channel_axis(axes: Sequence[Axis]) -> int | None:
    """Return which axis holds channels, or None where none does."""
    return next((a for a, axis in enumerate(axes) if axis.kind == "channel"), None)


def mixing(subject: Subject, spec: ModelSpec) -> Mixing:
    """Return which axes of the image the model mixes.

    Raises
    ------
    InputError
        An axis that the model needs is absent.
    ModelError
        The model needs more channels than the image has.
    """
    names = [axis.name for axis in subject.axes]
    absent = [name for name in spec.axes if name not in names]
    if absent:
        raise InputError(
            f"{subject.name} has axes {''.join(names)!r}; the model {spec.name!r} needs {' and '.join(absent)}.",
            remedy="Use a model for fewer axes, or import the image with --axes.",
        )
    channel = channel_axis(subject.axes)
    available = 1 if channel is None else subject.shape[channel]
    if spec.channels > available:
        raise ModelError(
            f"The model {spec.name!r} takes {spec.channels} channels; {subject.name} has {available}.",
            remedy="Use --strategy single, or a model for that many channels.",
        )
    return Mixing(channel=channel, spatial=tuple(names.index(name) for name in spec.axes))


def make_plan(subject: Subject, spec: ModelSpec, options: Options, *, eigenimages: int | None = None) -> Plan:
    """Return the plan of a run.

    Parameters
    ----------
    subject, spec, options
        The image, the model and what the caller asks for.
    eigenimages
        How many of these stand for the image's bands; the model is then one that takes all bands.

    Raises
    ------
    InputError, ModelError, PlanError
        They do not fit each other; the message names the axis or the option.
    """
    found = mixing(subject, spec)
    check_planes(subject, spec)
    check_extent(subject, spec)
    dtype = _out_dtype(options.out_dtype or subject.dtype)
    axes = _axes(subject, spec, options, found, eigenimages)
    mixed = tuple(a in found.spatial for a in range(len(axes)))
    block = choose_block(
        [axis.cells for axis in axes], [axis.out_cell for axis in axes], mixed, itemsize=dtype.itemsize
    )
    block = _given(options.block, block, found, "block")
    shard = _given(options.shard, block, found, "shard")
    lattice = Lattice(
        tuple(
            AxisLattice(
                name=axis.name,
                size=axis.size,
                scale=axis.scale,
                cell=axis.cell,
                halo=axis.halo,
                ramp=axis.ramp,
                block=k,
                sampling=axis.sampling,
            )
            for axis, k in zip(axes, block, strict=True)
        )
    )
    bands = None
    if eigenimages is not None:
        assert found.channel is not None
        pixels = prod(axis.out_block for a, axis in enumerate(lattice.axes) if a != found.channel)
        bands = choose_bands(spec.channels, band_bytes=pixels * dtype.itemsize)
    return Plan(
        lattice=lattice,
        in_dtype=subject.dtype,
        out_dtype=dtype.name,
        in_itemsize=np.dtype(subject.dtype).itemsize,
        out_itemsize=dtype.itemsize,
        in_chunk=subject.chunk,
        levels=plan_levels(
            lattice,
            halvings(subject, lattice),
            mixed=mixed,
            itemsize=dtype.itemsize,
            shard_cells=shard,
            bands=None if bands is None or found.channel is None else (found.channel, bands),
        ),
        batch=batch_of(options),
        precision=options.precision,
        threads=options.threads,
        fraction_bits=40 if dtype.kind == "f" or eigenimages is not None else 24,
        mixed=mixed,
        deviation="kept" if spec.deviation == "returned" and options.deviation != "none" else "none",
        components=None if eigenimages is None or found.channel is None else (found.channel, eigenimages),
        flux=_flux(options, spec, lattice),
        verbatim=choose_verbatim(spec, lattice),
        missing_planes=missing_planes(subject, spec, options),
    )


def _flux(options: Options, spec: ModelSpec, lattice: Lattice) -> Literal["free", "conserved"]:
    points = [axis.name for axis in lattice.axes if axis.sampling == "point" and axis.scale != 1]
    if points and options.flux == "conserved":
        raise PlanError(
            f"Along {points[0]!r} the pixels are points between which the output is filled: their flux is no mean.",
            remedy="Use --flux free, or --sampling area with a model that knows it.",
        )
    scale, names = [axis.scale for axis in lattice.axes], [axis.name for axis in lattice.axes]
    return choose_flux("free" if points else options.flux, spec, scale, names=names)


def batch_of(options: Options) -> int:
    """Return how many tiles, or eigenimages of one, go through the network at once on the device of the options."""
    return options.batch or (8 if options.device.startswith("cuda") else 1)


def _out_dtype(name: str) -> np.dtype[Any]:
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "iuf":
        raise PlanError(f"Images of {name} cannot be written.", remedy="Use --out-dtype uint8, uint16 or float32.")
    return dtype


def _axes(
    subject: Subject, spec: ModelSpec, options: Options, found: Mixing, eigenimages: int | None
) -> list[AxisLattice]:
    """Return the axes with their cells, in blocks of one cell."""
    axes = []
    for a, (axis, size) in enumerate(zip(subject.axes, subject.shape, strict=True)):
        if a == found.channel and (spec.channels > 1 or spec.out_channels > 1):
            scale = Fraction(1) if eigenimages is not None else Fraction(spec.out_channels, spec.channels)
            axes.append(AxisLattice(name=axis.name, size=size, scale=scale, cell=spec.channels))
            continue
        if a not in found.spatial:
            axes.append(AxisLattice(name=axis.name, size=size, cell=1))
            continue
        place = found.spatial.index(a)
        scale = spec.scale[place]
        unit = choose_unit(scale, spec.multiple)
        sizes = _cell_sizes(size, place, unit, spec, options, bands=1 if eigenimages is None else spec.channels)
        if options.cell is not None:
            _check_unit(sizes[0], unit, axis.name, spec)
        sampling = "area" if spec.sampling is None else spec.sampling[place]
        cell, halo, ramp = sizes
        axes.append(
            AxisLattice(name=axis.name, size=size, scale=scale, cell=cell, halo=halo, ramp=ramp, sampling=sampling)
        )
        if axes[-1].tile < spec.minimum:
            raise PlanError(
                f"Tiles of {axes[-1].tile} px on axis {axis.name!r} are smaller than the {spec.minimum} px that "
                f"{spec.name!r} needs.",
                remedy="Raise --cell or --halo.",
            )
    return axes


def _cell_sizes(
    size: int, place: int, unit: int, spec: ModelSpec, options: Options, *, bands: int
) -> tuple[int, int, int]:
    """Return cell, halo and ramp along one axis that the model mixes."""
    field, axes = _field(spec, place), len(spec.axes)
    recommended = spec.tile[place] if isinstance(spec.tile, tuple) else spec.tile

    def sizes(ramp: int) -> tuple[int, int, int]:
        # What is blended reaches beyond the cell by the ramp, and needs its context there too.
        wanted = field + ramp if options.halo is None else _one(options.halo, place, spec, "halo")
        halo = round_up(max(wanted, ramp), unit)
        if options.cell is not None:
            return _one(options.cell, place, spec, "cell"), halo, ramp
        tile = recommended or choose_tile(halo, axes=axes, pixel_bytes=spec.activation_bytes)
        tile = fitting_tile(tile, bands=bands, axes=axes) if bands > 1 else tile
        cell = choose_cell(size, unit=unit, halo=halo, ramp=ramp, tile=max(tile, spec.minimum))
        return max(cell, round_up(max(1, spec.minimum - 2 * halo), unit)), halo, ramp

    if options.blend is not None:
        return sizes(round_up(_one(options.blend, place, spec, "blend"), unit))
    cropped = sizes(0)
    if spec.blend is None or cropped[0] >= size:
        return cropped
    ramp = round_up(spec.blend[place], unit)
    faded = sizes(ramp if options.cell is None else min(ramp, cropped[0] // (2 * unit) * unit))
    # One cell has nobody to fade to.
    return faded if faded[0] < size else (faded[0], cropped[1], 0)


def _field(spec: ModelSpec, place: int) -> int:
    """Return how much context a tile needs: as far as the model sees, or what its author recommends."""
    if spec.receptive is not None:
        return spec.receptive[place]
    return UNBOUNDED_HALO[len(spec.axes)] if spec.halo is None else spec.halo[place]


def _check_unit(cell: int, unit: int, name: str, spec: ModelSpec) -> None:
    if cell % unit:
        raise PlanError(
            f"A cell of {cell} px on axis {name!r} does not fit the model {spec.name!r} at its scale.",
            remedy=f"Use a multiple of {unit}, for example {round_up(cell, unit)}.",
        )


def _one(sizes: Sizes, place: int, spec: ModelSpec, option: str) -> int:
    if isinstance(sizes, int):
        return sizes
    if len(sizes) != len(spec.axes):
        raise PlanError(
            f"--{option} has {len(sizes)} sizes; the model {spec.name!r} mixes {len(spec.axes)} axes, {spec.axes!r}.",
            remedy="Give one size, or one for each of these axes, slowest first.",
        )
    return sizes[place]


def _given(sizes: Sizes | None, chosen: Sequence[int], found: Mixing, option: str) -> tuple[int, ...]:
    """Return cells along each axis of the image, those of the mixed axes replaced by what the caller gave."""
    if sizes is None:
        return tuple(chosen)
    wanted = (sizes,) * len(found.spatial) if isinstance(sizes, int) else sizes
    if len(wanted) != len(found.spatial) or min(wanted) < 1:
        raise PlanError(
            f"--{option} is {sizes}; it counts cells along each of the {len(found.spatial)} axes that the model mixes.",
            remedy="Give one positive number, or one for each of these axes, slowest first.",
        )
    cells = list(chosen)
    for a, k in zip(found.spatial, wanted, strict=True):
        cells[a] = k
    return tuple(cells)


def out_geometry(subject: Subject, lattice: Lattice) -> tuple[float, ...]:
    """Return the pixel sizes of the output."""
    channel = channel_axis(subject.axes)
    return tuple(
        size if a == channel else size / float(axis.scale)
        for a, (size, axis) in enumerate(zip(subject.pixel_sizes, lattice.axes, strict=True))
    )


def halvings(subject: Subject, lattice: Lattice) -> list[tuple[int, ...]]:
    """Return, for each level of the output's pyramid, how often each axis was halved since the finest."""
    shape, sizes = list(lattice.out_shape), list(out_geometry(subject, lattice))
    times = [0] * len(shape)
    levels = [tuple(times)]
    while any(axis.kind == "space" and n > SMALLEST_LEVEL for axis, n in zip(subject.axes, shape, strict=True)):
        halved = halved_axes(subject.axes, tuple(shape), tuple(sizes))
        for a in halved:
            shape[a] = -(-shape[a] // 2)
            sizes[a] *= 2
            times[a] += 1
        levels.append(tuple(times))
    return levels


def needed_fraction_bits(dtype: Any, gain: Sequence[float], offset: Sequence[float]) -> int:
    """Return the resolution of sums at which no value of an integer data type leaves the range of an int32.

    A dim image on a wide data type is normalised by a small gain; a bright pixel then lies far above 1.
    """
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return 40
    limits = np.iinfo(dtype)
    farthest = max(max(abs(limits.max - o), abs(limits.min - o)) / abs(g) for g, o in zip(gain, offset, strict=True))
    # Half of the range is left for what the network overshoots.
    return min(24, 30 - max(0, ceil(log2(max(farthest, 1.0)))))
