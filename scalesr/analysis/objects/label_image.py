"""An image of labels in storage: OME-Zarr, one level, listed beside the image that it labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr

from scalesr.engine.targets import begun, exists
from scalesr.errors import OutputError
from scalesr.images import Location, open_image, pyramid_layout
from scalesr.images.faults import writing

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from scalesr.analysis.objects.blocks import Blocks
    from scalesr.analysis.objects.field import Field
    from scalesr.images import Image, ImageLayout, ImageWriter

_CHUNK = 512
LARGEST = 2**32 - 1
"""Labels are stored as 32-bit integers without a sign."""


def label_layout(field: Field, blocks: Blocks) -> ImageLayout:
    """Return the layout of labels on a field's grid; a block is a shard. Means of labels mean nothing: one level."""
    shards = tuple(min(edge, n) for edge, n in zip(blocks.edge, blocks.shape, strict=True))
    chunks = tuple(edge // 2 if edge % 2 == 0 and edge > _CHUNK else edge for edge in shards)
    return pyramid_layout(
        axes=tuple(field.image.axes[axis] for axis in field.space),
        shape=field.shape,
        dtype="uint32",
        scale=field.scale,
        translation=field.origin,
        chunks=chunks,
        shards=shards,
        smallest=max(field.shape),
        name=f"{field.image.name} labels",
    )


def publish_labels(writer: ImageWriter, image: Image, *, facts: Mapping[str, Any]) -> None:
    """Publish an image of labels as OME-Zarr labels (``image-label``), and list it where it lies in ``labels/``.

    Labels that lie in the folder ``labels`` of the image that they label name it as their source and are listed
    there, so that viewers show both. Anywhere else they are an image of labels by itself.

    Raises
    ------
    OutputError
        Storage refuses.
    """
    writer.publish(facts=facts)
    folder, _, name = writer.url.rpartition("/")
    beside = folder == f"{image.url}/labels"
    with writing(writer.url):
        group = zarr.open_group(Location(writer.url, writer.storage_options).store("write"), mode="r+")
        ome: Any = group.attrs["ome"]
        group.attrs["ome"] = {**ome, "image-label": {"source": {"image": "../../"}} if beside else {}}
    if beside and image.version == "0.5":
        location = Location(folder, writer.storage_options)
        with writing(folder):
            labels = zarr.open_group(location.store("write"), mode="a", zarr_format=3)
            known: Any = labels.attrs.get("ome", {})
            names = [each for each in known.get("labels", []) if each != name]
            labels.attrs["ome"] = {**known, "version": "0.5", "labels": [*names, name]}


def finished(
    url: str | os.PathLike[str], *, way: Mapping[str, Any], storage_options: Mapping[str, Any] | None
) -> Mapping[str, Any] | None:
    """Return what labels tell of themselves that are whole; `None` where there are none, or half-made ones of scalesr.

    Parameters
    ----------
    url
        Where they would lie.
    way
        How they are to be made.
    storage_options
        Handed to fsspec.

    Raises
    ------
    OutputError
        There is something else, or they were made in another way; the message says in what.
    """
    location = Location.parse(url, storage_options)
    if not exists(location) or begun(location):
        return None
    facts = open_image(url, storage_options=storage_options).metadata.get("scalesr", {})
    made = facts.get("way", {})
    other = [f"{name} was {made.get(name)}, now {value}" for name, value in way.items() if made.get(name) != value]
    if other:
        raise OutputError(
            f"The labels {location} were made in another way: {'; '.join(other)}.",
            remedy="Repeat the command that made them, or replace them with --overwrite.",
        )
    return dict(facts)


def check_number(labels: int, *, where: str) -> None:
    """Refuse more labels than can be stored.

    Raises
    ------
    OutputError
        There are more than 32 bits hold.
    """
    if labels > LARGEST:
        raise OutputError(
            f"{where} would have {labels} labels, which is more than 32 bits hold.",
            remedy="Smooth more, or leave out small objects by a higher threshold.",
        )
