"""A stack of object crops in storage: equal pieces of one field or many, and where each comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from scalesr.analysis.tables.object_table import ObjectTable
from scalesr.engine.pairing import OBJECTS
from scalesr.errors import InputError
from scalesr.images import Axis, Image, Location, open_image, pyramid_layout
from scalesr.images.faults import writing

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source
    from scalesr.analysis.objects.field import Field
    from scalesr.images import ImageLayout

MASKS = "labels/own"
"""Where a stack keeps which pixels of a crop belong to its object."""
_PLACES = "objects"
_SHARD_BYTES = 2**24


@dataclass(frozen=True, kw_only=True)
class Origin:
    """A field that crops come from."""

    path: str
    """Where it lies in its plate, such as ``A/1/0``; empty of an image by itself."""
    shape: tuple[int, ...]
    """Pixels along its axes of space."""
    crops: tuple[int, int]
    """Its first crop in the stack, and the one after its last."""

    def __len__(self) -> int:
        return self.crops[1] - self.crops[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Crops:
    """A stack of crops and where each comes from."""

    stack: Image
    """The crops, (n, c, y, x) or (n, c, z, y, x)."""
    table: ObjectTable
    """One row for each crop in the order of the stack: ``label``, ``corner`` (first pixel of the crop in the field; may
    be negative), ``centroid``, ``touches_edge`` (the object is cut by the field's edge), ``mirrored`` (the crop reaches
    past the edge and has mirrored pixels). Of a plate also ``well``, ``field`` and ``label in image``; crops are then
    numbered from 1 on."""
    origins: tuple[Origin, ...]
    """The fields, in the order of the stack; those without crops too."""

    @property
    def corners(self) -> NDArray[np.int64]:
        """First pixel of each crop in the field, shape (n, axes)."""
        return corners_of(self.table, axes=self.axes)

    @property
    def edge(self) -> tuple[int, ...]:
        """Pixels of a crop along each axis of space."""
        return self.stack.shape[-self.axes :]

    @property
    def axes(self) -> int:
        """How many axes of space there are."""
        return self.stack.ndim - 2

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
    texts: Any = group.attrs["texts"]
    for name in group.attrs["columns"]:  # type: ignore[union-attr]
        array: Any = group[str(name)]
        values = np.asarray(array[...])
        columns[str(name)] = np.array(texts[name])[values] if name in texts else values
    notes = tuple(str(note) for note in facts["notes"])
    table = ObjectTable(columns=columns, left_out=facts["left_out"], notes=notes)
    origins = tuple(
        Origin(path=each["path"], shape=tuple(each["shape"]), crops=(each["crops"][0], each["crops"][1]))
        for each in facts["origins"]
    )
    return Crops(stack=stack, table=table, origins=origins)


def write_places(url: str, table: ObjectTable, options: Mapping[str, Any] | None) -> None:
    """Write beside the pixels of a stack where its crops come from, one array for each column.

    Texts, of which there are few different ones, are numbered, and told in the attribute ``texts``.
    """
    with writing(f"{url}/{_PLACES}"):
        store = Location(url, options or {}).store("write")
        columns, texts = dict(table.columns), {}
        for name, values in table.columns.items():
            if values.dtype.kind == "U":
                different, columns[name] = np.unique(values, return_inverse=True)
                texts[name] = different.tolist()
        facts = {"columns": list(columns), "texts": texts}
        group = zarr.create_group(store, path=_PLACES, attributes=facts, zarr_format=3)
        for name, values in columns.items():
            group.create_array(name, data=np.ascontiguousarray(values), chunks=(min(len(values), 2**16),))


def stack_layout(
    field: Field, numbers: tuple[int, ...], objects: int, size: tuple[int, ...], *, name: str
) -> ImageLayout:
    """Return the layout of a stack: a chunk for each object, shards of some 16 MiB."""
    dtype = field.image.dtype
    channel = Axis("c", "channel") if field.channel is None else field.image.axes[field.channel]
    bytes_of_one = int(np.prod(size)) * len(numbers) * dtype.itemsize
    unit = max(1, min(objects, _SHARD_BYTES // bytes_of_one))
    known = field.image.channels
    return pyramid_layout(
        axes=(Axis(OBJECTS, "other"), Axis(channel.name, "channel"), *(field.image.axes[axis] for axis in field.space)),
        shape=(objects, len(numbers), *size),
        dtype=dtype.name,
        scale=(1.0, 1.0, *field.scale),
        translation=(0.0,) * (2 + len(size)),
        chunks=(1, len(numbers), *size),
        shards=(unit, len(numbers), *size),
        smallest=max(size),
        channels=tuple(known[number] for number in numbers) if len(known) == field.channels else (),
        name=f"objects of {name}",
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
