"""Gathering equal pieces of a field around its objects' centres."""

from __future__ import annotations

import contextlib
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from scalesr.analysis.objects.crop_stack import MASKS, corners_of, mask_layout, open_crops, stack_layout, write_places
from scalesr.analysis.objects.field import Field, check_grid, open_label_field
from scalesr.analysis.objects.gathering import TILE, Extents
from scalesr.analysis.objects.label_image import publish_labels
from scalesr.analysis.objects.labelling import CUT
from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.errors import InputError, ScalesrError
from scalesr.images import create_image, open_image, remove_image
from scalesr.tiling.reflect import reflect

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.crop_stack import Crops
    from scalesr.analysis.objects.labelling import Cut, Mode

Around: TypeAlias = Literal["keep", "zero"]
"""What becomes of pixels around an object in its crop: they are kept, or zero."""


def gather_crops(
    image: Source,
    labels: Source,
    out: str | os.PathLike[str],
    *,
    edge: int | tuple[int, ...],
    channels: Sequence[int | str] | None = None,
    cut: Cut = "leave out",
    around: Around = "keep",
    mode: Mode = "create",
    storage_options: Mapping[str, Any] | None = None,
) -> Crops:
    """Gather a crop around the centre of every object into one stack, as OME-Zarr.

    A crop begins at the centroid, rounded to the next pixel (halves up), less half its edge. Where it reaches past
    the field's edge it is continued by the mirror image, as tiles of a run are, and marked. An object that touches the
    field's edge is not whole: it is left out and counted, or kept and marked. Objects come in the order of a fixed
    lattice over the field and in it by label, whatever the chunks are. Memory: a part of the field and a shard.

    Parameters
    ----------
    image
        OME-Zarr image.
    labels
        Labels on the same grid.
    out
        Where the stack is written: (n, c, y, x), one chunk for each object, with ``labels/own`` (see `Crops.masks`).
    edge
        Pixels of a crop along each axis, or along all.
    channels
        Numbers or names, in the order of the stack; all when not given.
    cut
        What becomes of objects that touch the field's edge.
    around
        See `Around`.
    mode
        ``create`` refuses an image that is there, ``overwrite`` replaces it.
    storage_options
        Handed to fsspec, for all images.

    Raises
    ------
    InputError
        The images do not fit, hold no object, or none that is whole.
    OutputError
        The stack exists or cannot be written.
    """
    names, field = (
        open_label_field(labels, storage_options=storage_options),
        Field.open(image, storage_options=storage_options),
    )
    check_grid(names, field)
    axes = len(field.shape)
    size = (edge,) * axes if isinstance(edge, int) else tuple(edge)
    if len(size) != axes or min(size) < 1:
        raise InputError(f"Crops of {size} pixels were asked for.", remedy=f"Give 1 or {axes} numbers from 1.")
    numbers = field.numbers(channels)
    table = _table(Extents.of(names), size, cut=cut)
    if not len(table):
        raise InputError(
            f"All objects of {names.image.url} touch the field's edge.", remedy="Keep them with cut='keep'."
        )
    layout = stack_layout(field, numbers, len(table), size)
    writer = create_image(out, layout, mode=mode, storage_options=storage_options)
    try:
        beside = f"{writer.url}/{MASKS}"
        masks = create_image(beside, mask_layout(field, layout), storage_options=storage_options)
        start, (unit, *rest) = 0, layout.levels[0].unit
        pixels, own = np.empty((unit, *rest), layout.dtype), np.empty((unit, *rest[1:]), np.uint8)
        whole = tuple(slice(0, n) for n in rest)
        for k, crop, mask in _crops(names, field, numbers, table, size=size, around=around):
            pixels[k - start], own[k - start] = crop, mask
            if k + 1 - start == unit or k + 1 == len(table):
                writer.write(0, (slice(start, k + 1), *whole), pixels[: k + 1 - start])
                masks.write(0, (slice(start, k + 1), *whole[1:]), own[: k + 1 - start])
                start = k + 1
        write_places(writer.url, table, storage_options)
        writer.publish(facts={"left_out": dict(table.left_out), "field": list(field.shape)})
        publish_labels(masks, open_image(out, storage_options=storage_options), facts={})
    except BaseException:
        with contextlib.suppress(ScalesrError, OSError):
            remove_image(out, storage_options=storage_options)
        raise
    return open_crops(out, storage_options=storage_options)


def _table(found: Extents, size: tuple[int, ...], *, cut: Cut) -> ObjectTable:
    corner = np.floor(found.centre + 0.5).astype(np.int64) - np.array(size) // 2
    axes = range(len(size))
    mirrored = ((corner < 0) | (corner + size > np.array(found.shape))).any(axis=1)
    columns: dict[str, NDArray[Any]] = {"label": found.labels}
    columns |= {f"corner-{a}": corner[:, a] for a in axes} | {f"centroid-{a}": found.centre[:, a] for a in axes}
    columns |= {"touches_edge": found.touches_edge, "mirrored": mirrored}
    order = found.order(corner)
    table = ObjectTable(columns={name: values[order] for name, values in columns.items()})
    return table.where(~table["touches_edge"], reason=CUT) if cut == "leave out" else table


def _crops(
    names: Field,
    field: Field,
    numbers: tuple[int, ...],
    table: ObjectTable,
    *,
    size: tuple[int, ...],
    around: Around,
) -> Iterator[tuple[int, NDArray[Any], NDArray[np.bool_]]]:
    """Yield number, pixels (c, y, x) and mask (y, x) of each crop; those of one place of the lattice are read once."""
    corners, shape = corners_of(table, axes=len(size)), field.shape
    tile = corners // TILE[len(shape)]
    starts = np.flatnonzero((np.diff(tile, axis=0, prepend=tile[:1] - 1) != 0).any(axis=1))
    for members in np.split(np.arange(len(corners)), starts[1:]):
        places = {
            int(k): [
                np.array([reflect(i, n) for i in range(first, first + wide)])
                for first, wide, n in zip(corners[k].tolist(), size, shape, strict=True)
            ]
            for k in members
        }
        spans = [[(index[a].min(), index[a].max() + 1) for index in places.values()] for a in range(len(shape))]
        region = tuple(slice(int(min(s[0] for s in span)), int(max(s[1] for s in span))) for span in spans)
        labels = names.read_labels(region)
        pixels = [field.read(region, number) for number in numbers]
        for k, index in places.items():
            at = np.ix_(*(i - part.start for i, part in zip(index, region, strict=True)))
            inside = [
                (first + np.arange(wide) >= 0) & (first + np.arange(wide) < n)
                for first, wide, n in zip(corners[k], size, shape, strict=True)
            ]
            # What is mirrored is no second piece of the object.
            mask = (labels[at] == table.labels[k]) & reduce(np.logical_and.outer, inside)
            crop = np.stack([plane[at] for plane in pixels])
            yield k, crop if around == "keep" else np.where(mask, crop, 0), mask
