"""Gathering equal pieces around the objects of a field, or of all fields of a plate, into one stack."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from scalesr.analysis.objects.crop_stack import MASKS, corners_of, mask_layout, open_crops, stack_layout, write_places
from scalesr.analysis.objects.field import Field, NoObjectError, check_grid, open_label_field
from scalesr.analysis.objects.gathering import TILE, Extents
from scalesr.analysis.objects.label_image import publish_labels
from scalesr.analysis.objects.labelling import CUT
from scalesr.analysis.objects.sites import Missing, Site, Visits, by_name, check_apart, name_in
from scalesr.analysis.objects.telling import steps
from scalesr.analysis.tables.object_table import FIELD, WELL, ObjectTable, stacked
from scalesr.engine import StageAdvanced, StageStarted
from scalesr.errors import InputError, ScalesrError
from scalesr.images import Image, Location, create_image, open_image, remove_image
from scalesr.tiling.reflect import reflect

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.crop_stack import Crops
    from scalesr.analysis.objects.labelling import Cut, Mode
    from scalesr.engine import Callback

Around: TypeAlias = Literal["keep", "zero"]
"""What becomes of pixels around an object in its crop: they are kept, or zero."""
GATHERING = "gathering crops"


def gather_crops(
    source: Source,
    labels: Source | None,
    out: str | os.PathLike[str],
    *,
    edge: int | tuple[int, ...],
    name: str | None = None,
    channels: Sequence[int | str] | None = None,
    cut: Cut = "leave out",
    around: Around = "keep",
    missing: Missing = "stop",
    mode: Mode = "create",
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
) -> Crops:
    """Gather a crop around the centre of every object of an image, or of all fields of a plate, into one stack.

    A crop begins at the centroid, rounded to the next pixel (halves up), less half its edge. Where it reaches past
    the field's edge it is continued by the mirror image, as tiles of a run are, and marked. An object that touches the
    field's edge is not whole: it is left out and counted, or kept and marked. Crops come in the order of the fields, in
    each in that of a fixed lattice over it, and there by label, whatever the chunks are. Memory: a part of the field, a
    shard, and some numbers for each object.

    Parameters
    ----------
    source
        OME-Zarr image or plate. Fields of a plate are alike in pixel size, number format and channels; channels are
        those of the first field, and found by name in the others, whatever their order there.
    labels
        Labels on the same grid; for a plate, a folder with the same paths, or a plate whose fields have labels beside
        them. Beside each image when `None`.
    out
        Where the stack is written, as OME-Zarr: (n, c, y, x), one chunk for each object, with ``labels/own`` (see
        `Crops.masks`).
    edge
        Pixels of a crop along each axis, or along all.
    name
        Name of labels beside an image, in its folder ``labels``; ``objects`` when neither this nor `labels` is given.
    channels
        Numbers or names, in the order of the stack; all when not given.
    cut
        What becomes of objects that touch the field's edge.
    around
        See `Around`.
    missing
        See `Missing`.
    mode
        ``create`` refuses an image that is there, ``overwrite`` replaces it. Who is killed begins again: next to what
        is done with crops, gathering takes little.
    callbacks
        Told of each field that was looked at, and of the crops that are written.
    storage_options
        Handed to fsspec, for all images.

    Raises
    ------
    InputError
        The images do not fit, fields are not alike, or there is no object that is whole.
    OutputError
        The stack exists or cannot be written.
    """
    parts, visits = _parts(
        source, labels, name, edge, channels=channels, cut=cut, missing=missing, callbacks=callbacks,
        storage_options=storage_options,
    )  # fmt: skip
    table = parts[0].table if not parts[0].site.path else stacked([part.placed for part in parts])
    table = table.noted(*visits.notes)
    if not len(table):
        raise InputError(
            f"All objects of {parts[0].site.url if len(parts) == 1 else source} touch their field's edge.",
            remedy="Keep them with --cut keep.",
        )
    first = parts[0]
    check_apart(out, *(field.image for part in parts for field in (part.field, part.names)))
    layout = stack_layout(first.field, first.channels, len(table), first.size, name=_name(source, first))
    writer = create_image(out, layout, mode=mode, storage_options=storage_options)
    try:
        beside = f"{writer.url}/{MASKS}"
        masks = create_image(beside, mask_layout(first.field, layout), storage_options=storage_options)
        start, (unit, *rest) = 0, layout.levels[0].unit
        pixels, own = np.empty((unit, *rest), layout.dtype), np.empty((unit, *rest[1:]), np.uint8)
        whole = tuple(slice(0, n) for n in rest)
        for callback in callbacks:
            callback(StageStarted(name=GATHERING, total=len(table)))
        crops = ((crop, mask) for part in parts for crop, mask in _crops(part, around=around))
        for k, (crop, mask) in enumerate(crops):
            pixels[k - start], own[k - start] = crop, mask
            if k + 1 - start == unit or k + 1 == len(table):
                writer.write(0, (slice(start, k + 1), *whole), pixels[: k + 1 - start])
                masks.write(0, (slice(start, k + 1), *whole[1:]), own[: k + 1 - start])
                for callback in callbacks:
                    callback(StageAdvanced(name=GATHERING, steps=k + 1 - start))
                start = k + 1
        write_places(writer.url, table, storage_options)
        writer.publish(facts={"left_out": dict(table.left_out), "notes": list(table.notes), "origins": _origins(parts)})
        publish_labels(masks, open_image(out, storage_options=storage_options), facts={})
    except BaseException:
        with contextlib.suppress(ScalesrError, OSError):
            remove_image(out, storage_options=storage_options)
        raise
    return open_crops(out, storage_options=storage_options)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Part:
    """A field and the crops that it gives."""

    site: Site
    names: Field
    field: Field
    channels: tuple[int, ...]
    size: tuple[int, ...]
    table: ObjectTable
    """Labels are those of the field."""

    @property
    def placed(self) -> ObjectTable:
        return self.table.with_columns({WELL: self.site.well, FIELD: self.site.field})


def _parts(
    source: Source,
    labels: Source | None,
    name: str | None,
    edge: int | tuple[int, ...],
    *,
    channels: Sequence[int | str] | None,
    cut: Cut,
    missing: Missing,
    callbacks: Sequence[Callback],
    storage_options: Mapping[str, Any] | None,
) -> tuple[list[_Part], Visits]:
    visits, parts = Visits.of(source, missing=missing, storage_options=storage_options), []
    name = name_in(labels, name, storage_options=storage_options)
    first: Field | None = None
    dyes: tuple[str, ...] = ()
    for site in steps(visits.sites, name="looking for objects", callbacks=callbacks):
        try:
            field = Field.open(site.source, storage_options=storage_options)
            names = open_label_field(site.labels(labels, name), storage_options=storage_options)
        except InputError as error:
            visits.lacks(site, error)
            continue
        check_grid(names, field)
        if first is None:
            first = field
            dyes = field.channel_names if channels is None else by_name(channels, field)
        _check_alike(first, field, channels=channels)
        size = (edge,) * len(field.shape) if isinstance(edge, int) else tuple(edge)
        if len(size) != len(field.shape) or min(size) < 1:
            raise InputError(
                f"Crops of {size} pixels were asked for.", remedy=f"Give 1 or {len(field.shape)} numbers from 1."
            )
        try:
            found = Extents.of(names)
        except NoObjectError:
            if not site.path:
                raise
            visits.empty.append(site.path)
            continue
        parts.append(
            _Part(
                site=site,
                names=names,
                field=field,
                channels=field.numbers(dyes),
                size=size,
                table=_table(found, size, cut=cut),
            )
        )
    if not parts:
        raise NoObjectError(
            f"None of the {len(visits.sites)} fields of {source} holds an object.",
            remedy="Label with a lower threshold.",
        )
    return parts, visits


def _check_alike(first: Field, other: Field, *, channels: Sequence[int | str] | None) -> None:
    """Refuse a field that cannot share a stack with the first.

    Raises
    ------
    InputError
        Axes, pixel sizes, number formats or channels differ.
    """
    facts = {
        "axes": (first.names, other.names),
        "pixels of": (first.scale, other.scale),
        "number format": (first.image.dtype.name, other.image.dtype.name),
    }
    if channels is None:
        facts["channels"] = (tuple(sorted(first.channel_names)), tuple(sorted(other.channel_names)))
    for what, (one, two) in facts.items():
        if one != two:
            raise InputError(
                f"Fields cannot share a stack: {what} {one} in {first.image.url}, {two} in {other.image.url}.",
                remedy="Gather them into stacks of their own, or name the channels that all have.",
            )


def _name(source: Source, first: _Part) -> str:
    if isinstance(source, Image) or not first.site.path:
        return first.field.image.name
    return Location.parse(source).url.rpartition("/")[2]


def _origins(parts: list[_Part]) -> list[dict[str, Any]]:
    ends = np.cumsum([len(part.table) for part in parts]).tolist()
    return [
        {"path": part.site.path, "shape": list(part.field.shape), "crops": [end - len(part.table), end]}
        for part, end in zip(parts, ends, strict=True)
    ]


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


def _crops(part: _Part, *, around: Around) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Yield pixels (c, y, x) and mask (y, x) of each crop; those of one place of the lattice are read once."""
    size, shape = part.size, part.field.shape
    corners = corners_of(part.table, axes=len(size))
    tile = corners // TILE[len(shape)]
    starts = np.flatnonzero((np.diff(tile, axis=0, prepend=tile[:1] - 1) != 0).any(axis=1))
    for members in np.split(np.arange(len(corners)), starts[1:]) if len(corners) else []:
        places = {
            int(k): [
                np.array([reflect(i, n) for i in range(first, first + wide)])
                for first, wide, n in zip(corners[k].tolist(), size, shape, strict=True)
            ]
            for k in members
        }
        spans = [[(index[a].min(), index[a].max() + 1) for index in places.values()] for a in range(len(shape))]
        region = tuple(slice(int(min(s[0] for s in span)), int(max(s[1] for s in span))) for span in spans)
        labels = part.names.read_labels(region)
        pixels = [part.field.read(region, number) for number in part.channels]
        for k, index in places.items():
            at = np.ix_(*(i - span.start for i, span in zip(index, region, strict=True)))
            inside = [
                (first + np.arange(wide) >= 0) & (first + np.arange(wide) < n)
                for first, wide, n in zip(corners[k], size, shape, strict=True)
            ]
            # What is mirrored is no second piece of the object.
            mask = (labels[at] == part.table.labels[k]) & reduce(np.logical_and.outer, inside)
            crop = np.stack([plane[at] for plane in pixels])
            yield crop if around == "keep" else np.where(mask, crop, 0), mask
