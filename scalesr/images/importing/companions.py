"""What is known of each pixel beside its bands, as Zarr arrays beside the levels: ``tic`` and ``mask``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import zarr

from scalesr.images.faults import writing
from scalesr.images.inflating import bounded
from scalesr.images.limits import check_sizes
from scalesr.images.locations import Location

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.images.image import Image
    from scalesr.images.writer import ImageWriter

_EDGE = 512


@runtime_checkable
class Accompanied(Protocol):
    """A source that knows, once all of it was read, more of each pixel than its bands."""

    def companions(self) -> Mapping[str, np.dtype[Any]]:
        """Return the names of what it knows, and their number formats."""

    def companion(self, name: str, region: tuple[slice, ...]) -> NDArray[Any]:
        """Return one of them in a region of the spatial axes, in the source's own order of them."""


def write_companions(writer: ImageWriter, source: Accompanied) -> None:
    """Write what a source knows beside the levels of an image, a chunk at a time.

    The spatial axes of source and image are in the same order.

    Raises
    ------
    OutputError
        No space, no permission, no connection.
    """
    for name, dtype in source.companions().items():
        array = create_companion(writer, name, dtype)
        with writing(f"{writer.url}/{name}"):
            counts = [-(-n // chunk) for n, chunk in zip(array.shape, array.chunks, strict=True)]
            for index in np.ndindex(*counts):
                region = tuple(
                    slice(i * chunk, min((i + 1) * chunk, n))
                    for i, chunk, n in zip(index, array.chunks, array.shape, strict=True)
                )
                array[region] = source.companion(name, region)


def create_companion(writer: ImageWriter, name: str, dtype: np.dtype[Any]) -> zarr.Array[Any]:
    """Make an array of zeros beside the levels of an image that covers its axes of space, in place of what was there.

    Raises
    ------
    OutputError
        No space, no permission, no connection.
    """
    layout = writer.layout
    spatial = [i for i, axis in enumerate(layout.axes) if axis.kind == "space"]
    shape = tuple(layout.levels[0].shape[i] for i in spatial)
    names = [layout.axes[i].name for i in spatial]
    with writing(f"{writer.url}/{name}"):
        array: zarr.Array[Any] = zarr.create_array(
            Location(writer.url, writer.storage_options).store("write"),
            name=name,
            shape=shape,
            chunks=tuple(min(n, _EDGE) if i >= len(shape) - 2 else 1 for i, n in enumerate(shape)),
            dtype=dtype,
            fill_value=0,
            zarr_format=3 if writer.version == "0.5" else 2,
            dimension_names=names if writer.version == "0.5" else None,
            overwrite=True,
        )
    return array


def writable_companion(writer: ImageWriter, name: str) -> zarr.Array[Any]:
    """Return an array beside the levels of an image that is being written."""
    store = Location(writer.url, writer.storage_options).store("write")
    return zarr.open_array(store, path=name, mode="r+", zarr_format=3 if writer.version == "0.5" else 2)


def open_companion(image: Image, name: str) -> zarr.Array[Any] | None:
    """Return an array that lies beside an image's levels and covers its pixels, read-only; ``None`` if none does."""
    store = Location(image.url, image.storage_options).store("read")
    try:
        array: zarr.Array[Any] = zarr.open_array(
            store, path=name, mode="r", zarr_format=3 if image.version == "0.5" else 2
        )
    except (FileNotFoundError, zarr.errors.ArrayNotFoundError, zarr.errors.NodeTypeValidationError):
        return None
    shape = tuple(n for n, axis in zip(image.shape, image.axes, strict=True) if axis.kind == "space")
    if array.shape != shape:
        return None
    check_sizes(array, where=f"{image.url}/{name}")
    return bounded(array)
