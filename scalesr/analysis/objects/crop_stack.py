"""A stack of object crops in storage: equal pieces of a field, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.errors import InputError
from scalesr.images import Axis, Image, Location, open_image, pyramid_layout
from scalesr.images.faults import writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.field import Field
    from scalesr.images import ImageLayout

OBJECTS = Axis("n", "other")
"""The axis of a stack along which objects lie. They have nothing to do with each other: no model mixes them."""
MASKS = "labels/own"
"""Where a stack keeps which pixels of a crop belong to its object."""
_PLACES = "objects"
_SHARD_BYTES = 2**24


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """A stack of crops and where each comes from."""

    stack: Image
    """The crops, (n, c, y, x) or (n, c, z, y, x)."""
    table: ObjectTable
    """One row for each crop in the order of the stack: ``label``, ``corner`` (first pixel of the crop in the field; may
    be negative), ``centroid``, ``touches_edge`` (the object is cut by the field's edge), ``mirrored`` (the crop reaches
    past the edge and has mirrored pixels)."""
    shape: tuple[int, ...]
    """Pixels of the field along its axes of space."""

    @property
    def corners(self) -> NDArray[np.int64]:
        """First pixel of each crop in the field, shape (n, axes)."""
        return corners_of(self.table, axes=len(self.shape))

    @property
    def edge(self) -> tuple[int, ...]:
        """Pixels of a crop along each axis of space."""
        return self.stack.shape[-len(self.shape) :]

    @property
    def masks(self) -> Image:
        """Which pixels belong to the crop's own object, 1 or 0, shape (n, y, x) or (n, z, y, x)."""
        return open_image(f"{self.stack.url}/{MASKS}", storage_options=self.stack.storage_options)


def corners_of(table: ObjectTable, *, axes: int) -> NDArray[np.int64]:
    """Return the first pixel of each crop in the field, shape (n, axes)."""
    return np.stack([table[f"corner-{a}"] for a in range(axes)], axis=1).astype(np.int64)


def open_crops(source: Source, *, storage_options: Mapping[str, Any] | None = None) -> Crops:
    """Open a stack that `gather_crops` wrote; only metadata and the table are read.

    Raises
    ------
    InputError
        There is no image, or nothing beside it says where its crops come from.
    """
    stack = source if isinstance(source, Image) else open_image(source, storage_options=storage_options)
    facts = stack.metadata.get("scalesr", {})
    try:
        group = zarr.open_group(Location(stack.url, stack.storage_options).store("read"), path=_PLACES, mode="r")
    except (zarr.errors.GroupNotFoundError, FileNotFoundError) as error:
        raise InputError(
            f"{stack.url} does not say where its crops come from.", remedy="Name a stack that was gathered."
        ) from error
    columns: dict[str, NDArray[Any]] = {}
    for name in group.attrs["columns"]:  # type: ignore[union-attr]
        array: Any = group[str(name)]
        columns[str(name)] = np.asarray(array[...])
    table = ObjectTable(columns=columns, left_out=facts.get("left_out", {}))
    return Crops(stack=stack, table=table, shape=tuple(facts["field"]))


def write_places(url: str, table: ObjectTable, options: Mapping[str, Any] | None) -> None:
    """Write beside the pixels of a stack where its crops come from, one array for each column."""
    with writing(f"{url}/{_PLACES}"):
        store = Location(url, options or {}).store("write")
        columns = table.columns
        group = zarr.create_group(store, path=_PLACES, attributes={"columns": list(columns)}, zarr_format=3)
        for name, values in columns.items():
            group.create_array(name, data=np.ascontiguousarray(values), chunks=(min(len(values), 2**16),))


def stack_layout(field: Field, numbers: tuple[int, ...], objects: int, size: tuple[int, ...]) -> ImageLayout:
    """Return the layout of a stack: a chunk for each object, shards of some 16 MiB."""
    dtype = field.image.dtype
    channel = Axis("c", "channel") if field.channel is None else field.image.axes[field.channel]
    bytes_of_one = int(np.prod(size)) * len(numbers) * dtype.itemsize
    unit = max(1, min(objects, _SHARD_BYTES // bytes_of_one))
    known = field.image.channels
    return pyramid_layout(
        axes=(OBJECTS, Axis(channel.name, "channel"), *(field.image.axes[axis] for axis in field.space)),
        shape=(objects, len(numbers), *size),
        dtype=dtype.name,
        scale=(1.0, 1.0, *field.scale),
        translation=(0.0,) * (2 + len(size)),
        chunks=(1, len(numbers), *size),
        shards=(unit, len(numbers), *size),
        smallest=max(size),
        channels=tuple(known[number] for number in numbers) if len(known) == field.channels else (),
        name=f"{field.image.name} objects",
    )


def mask_layout(field: Field, layout: ImageLayout) -> ImageLayout:
    """Return the layout of the masks of a stack."""
    level = layout.levels[0]

    def apart(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return (values[0], *values[2:])

    assert level.shards is not None
    return pyramid_layout(
        axes=apart(layout.axes),
        shape=apart(level.shape),
        dtype="uint8",
        scale=apart(level.scale),
        translation=apart(level.translation),
        chunks=apart(level.chunks),
        shards=apart(level.shards),
        smallest=max(level.shape),
        name=f"{field.image.name} own pixels",
    )
