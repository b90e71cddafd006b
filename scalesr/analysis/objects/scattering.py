"""Putting crops back to where they come from, in fields of the crops' resolution."""

from __future__ import annotations

import contextlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from scalesr.analysis.objects.blocks import Blocks
from scalesr.analysis.objects.crop_stack import Crops, Origin, open_crops
from scalesr.analysis.objects.field import Field
from scalesr.analysis.objects.sites import Site, Visits, check_apart
from scalesr.analysis.objects.telling import steps
from scalesr.errors import InputError, ScalesrError
from scalesr.images import (
    Axis,
    Image,
    Location,
    create_image,
    create_plate,
    mark_plate,
    open_image,
    open_plate,
    pyramid_layout,
    remove_image,
    scaled_geometry,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.labelling import Mode
    from scalesr.engine import Callback
    from scalesr.images import ImageLayout

Paste: TypeAlias = Literal["whole", "own"]
"""``whole``: all pixels of a crop are put back. ``own``: those of its object alone."""
_CHUNK = 512


def scatter_crops(
    stack: Source,
    out: str | os.PathLike[str],
    *,
    crops: Crops | Source,
    field: Source,
    paste: Paste = "whole",
    mode: Mode = "create",
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> tuple[Image, ...]:
    """Put the crops of a stack, restored ones say, back into their field or plate, at their own resolution.

    Where crops overlap a pixel is taken from the one whose middle is nearest, and of equally near ones from the lower
    label; nothing is averaged, since each crop is a solution of its own. Pixels that no crop covers are 0. The same for
    all blocks. Memory: a block of the field, and the crops that meet it one after the other.

    Parameters
    ----------
    stack
        Crops in the order of those that were gathered, (n, c, y, x), their axes of space a whole number of times as
        long.
    out
        Where the field is written; of a plate, a plate of those fields that have crops.
    crops
        The stack that was gathered, which knows the places and the masks.
    field
        The image or the plate that it was gathered from; its pixels are not read.
    paste
        See `Paste`. Masks of objects are enlarged by repeating their pixels.
    mode
        ``create`` refuses an image that is there, ``overwrite`` replaces it.
    callbacks
        Told of each field that is done.
    storage_options
        Handed to fsspec, for all images.

    Returns
    -------
    tuple of Image
        The fields, in the order of the stack.

    Raises
    ------
    InputError
        The stack has another number of crops, or edges that are no whole multiple, or the fields are others.
    OutputError
        A field exists or cannot be written.
    """
    found = crops if isinstance(crops, Crops) else open_crops(crops, storage_options=storage_options)
    restored = stack if isinstance(stack, Image) else open_image(stack, storage_options=storage_options)
    times = _times(restored, found)
    visits = Visits.of(field, missing="leave out", storage_options=storage_options)
    sites = {site.path: site for site in visits.sites}
    grounds = [(origin, _ground(origin, sites, storage_options)) for origin in found.origins if len(origin)]
    check_apart(out, restored, found.stack, *(ground.image for _, ground in grounds))
    plate = None
    if grounds[0][0].path:
        assert not isinstance(field, Image)  # an image has no fields, and was refused
        like = open_plate(field, storage_options=storage_options).layout
        some = like.of_fields(origin.path for origin, _ in grounds)
        plate = create_plate(out, some, mode=mode, storage_options=storage_options)
    made = []
    for origin, ground in steps(grounds, name="putting crops back", callbacks=callbacks):
        target = (Location.parse(out, storage_options) / origin.path).url
        layout = _layout(restored, ground, times)
        writer = create_image(target, layout, mode=mode, storage_options=storage_options)
        try:
            for block in Blocks.of(layout.levels[0].shape[1:], edge=layout.levels[0].unit[1:]):
                pixels = _block(restored, found, origin, block.core, times=times, paste=paste)
                if pixels is not None:
                    writer.write(0, (slice(0, restored.shape[1]), *block.core), pixels)
            writer.publish()
        except BaseException:
            with contextlib.suppress(ScalesrError, OSError):
                remove_image(target, storage_options=storage_options)
            raise
        made.append(open_image(target, storage_options=storage_options))
    if plate is not None:
        mark_plate(plate, state="done")
    return tuple(made)


def _ground(origin: Origin, sites: Mapping[str, Site], storage_options: Mapping[str, Any] | None) -> Field:
    """Return the field that crops come from.

    Raises
    ------
    InputError
        It is not there, or has another shape.
    """
    if origin.path not in sites:
        what = f"field {origin.path} of a plate" if origin.path else "an image by itself"
        raise InputError(
            f"The crops come from {what}, and there is none among the {len(sites)} that were given.",
            remedy="Give the very image or plate that they were gathered from.",
        )
    found = Field.open(sites[origin.path].source, storage_options=storage_options)
    if found.shape != origin.shape:
        raise InputError(
            f"Crops were gathered from a field of {origin.shape} pixels; {found.image.url} has {found.shape}.",
            remedy="Give the very image or plate that they were gathered from.",
        )
    return found


def _block(
    stack: Image, found: Crops, origin: Origin, core: tuple[slice, ...], *, times: tuple[int, ...], paste: Paste
) -> NDArray[Any] | None:
    """Return the pixels of a block of a field, (c, y, x); `None` where no crop meets it."""
    low = found.corners * times
    high = low + np.array(found.edge) * times
    start, stop = ([getattr(part, end) for part in core] for end in ("start", "stop"))
    own = np.arange(*origin.crops)
    meeting = own[((low[own] < stop) & (high[own] > start)).all(axis=1)]
    if not len(meeting):
        return None
    shape = tuple(part.stop - part.start for part in core)
    pixels = np.zeros((stack.shape[1], *shape), stack.dtype)
    nearest = np.full(shape, np.iinfo(np.int64).max)
    masks = found.masks if paste == "own" else None
    for k in meeting[np.argsort(found.table.labels[meeting], kind="stable")].tolist():
        inside = tuple(
            slice(max(a, part.start), min(b, part.stop)) for a, b, part in zip(low[k], high[k], core, strict=True)
        )
        here = tuple(slice(p.start - c.start, p.stop - c.start) for p, c in zip(inside, core, strict=True))
        there = tuple(slice(int(p.start - a), int(p.stop - a)) for p, a in zip(inside, low[k], strict=True))
        # Twice the distance from the middle, in whole numbers.
        away = [
            np.square(2 * np.arange(p.start, p.stop) + 1 - a - b)
            for p, a, b in zip(inside, low[k], high[k], strict=True)
        ]
        distance = np.asarray(sum(np.ix_(*away)))
        mine = distance < nearest[here]
        if masks is not None:
            small = masks.read((slice(k, k + 1), *(slice(0, n) for n in found.edge)))[0]
            at = np.ix_(*(np.arange(p.start, p.stop) // n for p, n in zip(there, times, strict=True)))
            mine &= small[at] > 0
        crop = stack.read((slice(k, k + 1), slice(0, stack.shape[1]), *there))[0]
        nearest[here][mine] = distance[mine]
        pixels[(slice(None), *here)][:, mine] = crop[:, mine]
    return pixels


def _times(stack: Image, found: Crops) -> tuple[int, ...]:
    ratio = [Fraction(n, m) for n, m in zip(stack.shape[-found.axes :], found.edge, strict=True)]
    if (
        stack.ndim != found.axes + 2
        or any(times.denominator != 1 for times in ratio)
        or stack.shape[0] != len(found.table)
    ):
        raise InputError(
            f"{stack.url} has the shape {stack.shape}, and {len(found.table)} crops of {found.edge} pixels were "
            "gathered.",
            remedy="Give the restored stack of these very crops, enlarged a whole number of times.",
        )
    return tuple(int(times) for times in ratio)


def _layout(stack: Image, field: Field, times: tuple[int, ...]) -> ImageLayout:
    level, axes = field.image.levels[0], field.image.axes
    factors = tuple(
        Fraction(times[field.space.index(axis)]) if axis in field.space else Fraction(1) for axis in range(len(axes))
    )
    scale, origin = scaled_geometry(level, axes, factors)
    shape = tuple(n * t for n, t in zip(field.shape, times, strict=True))
    chunks = tuple(min(n, _CHUNK if len(shape) == 2 else 64) for n in shape)
    return pyramid_layout(
        axes=(Axis("c", "channel"), *(axes[axis] for axis in field.space)),
        shape=(stack.shape[1], *shape),
        dtype=stack.dtype.name,
        scale=(1.0, *(scale[axis] for axis in field.space)),
        translation=(0.0, *(origin[axis] for axis in field.space)),
        chunks=(1, *chunks),
        shards=(stack.shape[1], *chunks),
        smallest=max(shape),
        channels=stack.channels if len(stack.channels) == stack.shape[1] else (),
        name=f"{field.image.name} restored",
    )
