"""What an output looks like before a byte of it is written: levels, chunks, shards, pixel sizes and origins."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.images.axes import Axis, Channel, metres

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from scalesr.images.image import Level

_SMALLEST = 256
_SHARD_BYTES = 16 << 20
_FLAT_CHUNK = 512
_DEEP_CHUNK = (64, 128, 128)


@dataclass(frozen=True, kw_only=True)
class LevelLayout:
    """One resolution of an output."""

    path: str
    """Path of the array below the image."""
    shape: tuple[int, ...]
    """Pixels along each axis."""
    chunks: tuple[int, ...]
    """What can be read on its own."""
    shards: tuple[int, ...] | None
    """What is written as one object, a multiple of the chunks; ``None``: each chunk is its own object."""
    scale: tuple[float, ...]
    """Size of a pixel in the unit of each axis."""
    translation: tuple[float, ...]
    """Centre of the first pixel in the unit of each axis."""

    @property
    def unit(self) -> tuple[int, ...]:
        """Pixels of one object in storage, which has one writer."""
        return self.shards or self.chunks


@dataclass(frozen=True, kw_only=True)
class ImageLayout:
    """An output as a whole; it goes to JSON and comes back equal."""

    axes: tuple[Axis, ...]
    """One for each dimension, slowest first."""
    dtype: str
    """Name of the number format, such as ``uint16``."""
    levels: tuple[LevelLayout, ...]
    """Resolutions, finest first; at least one."""
    channels: tuple[Channel, ...] = ()
    """One for each channel, or none at all."""
    name: str = ""
    """Name of the image."""

    def to_json(self) -> str:
        """Return the layout as JSON with sorted keys: equal layouts give equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ImageLayout:
        """Return the layout that `to_json` wrote."""
        facts = json.loads(text)
        return cls(
            axes=tuple(Axis(**axis) for axis in facts["axes"]),
            dtype=facts["dtype"],
            levels=tuple(LevelLayout(**{key: _tupled(v) for key, v in level.items()}) for level in facts["levels"]),
            channels=tuple(Channel(**channel) for channel in facts["channels"]),
            name=facts["name"],
        )


def scaled_geometry(
    level: Level | LevelLayout,
    axes: tuple[Axis, ...],
    factors: tuple[Fraction, ...],
    *,
    sampling: Sequence[Literal["area", "point"]] | None = None,
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return pixel size and centre of the first pixel after each axis got `factors` times as many pixels.

    The pixel size is divided by s. Where pixels stand for areas, an image covers the same ground before and after: its
    outer edge stays where it is, and the first centre moves by (1/(2s) - 1/2) old pixels. Where they stand for points,
    the first centre stays.

    Parameters
    ----------
    level, axes
        The image as it was.
    factors
        s for each axis.
    sampling
        What pixels stand for along each axis; areas along all when not given.
    """
    kinds = sampling or ("area",) * len(axes)
    if not len(axes) == len(factors) == len(level.scale) == len(kinds):
        raise ValueError(f"{len(factors)} factors do not fit {len(axes)} axes")
    scale = tuple(size * f.denominator / f.numerator for size, f in zip(level.scale, factors, strict=True))
    origin = tuple(
        start if kind == "point" else start + size * (f.denominator - f.numerator) / (2 * f.numerator)
        for start, size, f, kind in zip(level.translation, level.scale, factors, kinds, strict=True)
    )
    return scale, origin


def halved_axes(axes: tuple[Axis, ...], shape: tuple[int, ...], scale: tuple[float, ...]) -> tuple[int, ...]:
    """Return which axes the next level halves, so that pixels become isotropic and then shrink together.

    These are the spatial axes of more than one pixel whose pixel is smaller than twice the smallest one. Where not all
    units are known lengths, sizes are compared as plain numbers.
    """
    spatial = [i for i, axis in enumerate(axes) if axis.kind == "space" and shape[i] > 1]
    units = [metres(axes[i].unit) for i in spatial]
    sizes = [scale[i] * unit if unit and all(units) else scale[i] for i, unit in zip(spatial, units, strict=True)]
    return tuple(i for i, size in zip(spatial, sizes, strict=True) if size < 2 * min(sizes))


def level_steps(layout: ImageLayout, level: int) -> tuple[int, ...]:
    """Return which axes were halved to make a level from the one below it."""
    fine, coarse = layout.levels[level - 1], layout.levels[level]
    return tuple(
        i for i, (a, b, n) in enumerate(zip(fine.scale, coarse.scale, fine.shape, strict=True)) if b > 1.5 * a and n > 1
    )


def pyramid_layout(
    *,
    axes: tuple[Axis, ...],
    shape: tuple[int, ...],
    dtype: str,
    scale: tuple[float, ...],
    translation: tuple[float, ...],
    chunks: tuple[int, ...] | None = None,
    shards: tuple[int, ...] | None = None,
    block_levels: int = 0,
    smallest: int = _SMALLEST,
    channels: tuple[Channel, ...] = (),
    name: str = "",
) -> ImageLayout:
    """Return an output with its pyramid: each level halves the axes that `halved_axes` names.

    A halved axis of n pixels gets ceil(n / 2), twice the pixel size, and a first centre half a finer pixel further on.
    Levels end when every spatial axis has at most `smallest` pixels.

    Parameters
    ----------
    axes, shape, dtype, scale, translation
        The full resolution.
    chunks, shards
        Of the full resolution; ``None`` chooses. Shards must be multiples of chunks.
    block_levels
        So many levels after the first have shards that are halved with the image, so that who writes a shard of the
        first level can write its part of these too. All other levels have shards of the same size in pixels.
    smallest
        Where the pyramid ends.
    channels, name
        Kept as they are.

    Raises
    ------
    ValueError
        Shards are not multiples of chunks, or cannot be halved `block_levels` times.
    """
    chunks = chunks or auto_chunks(axes, shape)
    shards = shards or auto_shards(axes, shape, chunks, itemsize=np.dtype(dtype).itemsize)
    if any(shard % chunk for shard, chunk in zip(shards, chunks, strict=True)):
        raise ValueError(f"shards {shards} are not multiples of chunks {chunks}")
    levels = [LevelLayout(path="0", shape=shape, chunks=chunks, shards=shards, scale=scale, translation=translation)]
    unit, piece = shards, chunks
    while any(axis.kind == "space" and n > smallest for axis, n in zip(axes, levels[-1].shape, strict=True)):
        last = levels[-1]
        halved = halved_axes(axes, last.shape, last.scale)
        steps = [2 if i in halved else 1 for i in range(len(axes))]
        if len(levels) <= block_levels:
            if any(u % s for u, s in zip(unit, steps, strict=True)):
                raise ValueError(f"shards {shards} cannot be halved {block_levels} times")
            unit = tuple(u // s for u, s in zip(unit, steps, strict=True))
            piece = tuple(_divisor(u, at_most=c) for u, c in zip(unit, chunks, strict=True))
        elif len(levels) == block_levels + 1:
            unit, piece = shards, chunks
        levels.append(
            LevelLayout(
                path=str(len(levels)),
                shape=tuple(-(-n // s) for n, s in zip(last.shape, steps, strict=True)),
                chunks=piece,
                shards=unit,
                scale=tuple(size * s for size, s in zip(last.scale, steps, strict=True)),
                translation=tuple(
                    start + (s - 1) / 2 * size
                    for start, size, s in zip(last.translation, last.scale, steps, strict=True)
                ),
            )
        )
    return ImageLayout(axes=axes, dtype=dtype, levels=tuple(levels), channels=channels, name=name)


def auto_chunks(axes: tuple[Axis, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return chunks of half a million to a million pixels: 512 x 512, or 64 x 128 x 128 where there is depth.

    All axes but the spatial ones are cut into single planes.
    """
    spatial = [i for i, axis in enumerate(axes) if axis.kind == "space"]
    deep = len(spatial) > 2 and shape[spatial[0]] > 1
    edges = dict(zip(spatial[-3:], _DEEP_CHUNK, strict=True)) if deep else dict.fromkeys(spatial[-2:], _FLAT_CHUNK)
    return tuple(min(edges.get(i, 1), n) for i, n in enumerate(shape))


def auto_shards(
    axes: tuple[Axis, ...],
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    *,
    itemsize: int,
    grow: Literal["evenly", "rows"] = "evenly",
    together: Sequence[int] = (),
) -> tuple[int, ...]:
    """Return shards of at most some 16 MiB in memory, made of whole chunks.

    Parameters
    ----------
    axes, shape, chunks
        The array.
    itemsize
        Bytes of a pixel.
    grow
        ``rows``: along the fastest axis first, for sources that can only be read in full rows.
    together
        Axes that a shard spans as a whole, for sources that hold the colours of a pixel side by side.
    """
    shards = [
        -(-n // chunk) * chunk if i in together else chunk
        for i, (n, chunk) in enumerate(zip(shape, chunks, strict=True))
    ]
    order = [i for i, axis in reversed(list(enumerate(axes))) if axis.kind == "space"]
    size = itemsize
    for edge in shards:
        size *= edge
    growing = True
    while growing:
        growing = False
        for i in order:
            while shards[i] < shape[i] and size * 2 <= _SHARD_BYTES:
                shards[i] *= 2
                size *= 2
                growing = True
                if grow == "evenly":
                    break
    return tuple(shards)


def _divisor(number: int, *, at_most: int) -> int:
    return next(d for d in range(min(number, at_most), 0, -1) if number % d == 0)


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
