"""How xarray itself opens an image: ``xarray.open_dataset(url, engine="scalesr")``, without loading pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from dask.array.core import normalize_chunks
from xarray.backends import BackendArray, BackendEntrypoint
from xarray.core import indexing

from scalesr.accessor.coordinates import coordinates
from scalesr.errors import InputError
from scalesr.images import Image, Plate, read_spectral
from scalesr.images.plates import open_any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

CHUNK_BYTES = 16 * 2**20
"""Bytes of a chunk of dask, about: smaller ones of storage are put together."""


class Pixels(BackendArray):
    """The pixels of one resolution, which are read when they are asked for.

    Parameters
    ----------
    image, level
        What is read.
    """

    def __init__(self, image: Image, level: int) -> None:
        self.image, self.level = image, level
        self.shape = image.levels[level].shape
        self.dtype = np.dtype(image.levels[level].dtype)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[Any]:
        """Return a region."""
        found: NDArray[Any] = indexing.explicit_indexing_adapter(
            key, self.shape, indexing.IndexingSupport.BASIC, self._region
        )
        return found

    def _region(self, key: tuple[int | slice, ...]) -> NDArray[Any]:
        """Return what whole numbers and slices, which may have steps, select."""
        region: list[slice] = []
        after: list[slice | int] = []
        for part, size in zip(key, self.shape, strict=True):
            if isinstance(part, slice):
                places = range(*part.indices(size))
                low, high = (min(places), max(places) + 1) if places else (0, 0)
                region.append(slice(low, high))
                after.append(slice(None, None, places.step))
            else:
                place = int(part) % size
                region.append(slice(place, place + 1))
                after.append(0)
        if any(part.start == part.stop for part in region):
            empty = np.empty([part.stop - part.start for part in region], self.dtype)
            return empty[tuple(after)]
        return self.image.read(tuple(region), level=self.level)[tuple(after)]


class ScalesrBackend(BackendEntrypoint):
    """OME-Zarr images as datasets, pyramids and plates as trees of them."""

    description = "OME-Zarr 0.4 and 0.5 images and plates, with coordinates in physical units"
    url = "https://github.com/scalesr/scalesr"
    open_dataset_parameters = ("filename_or_obj", "drop_variables", "level", "storage_options")
    supports_groups = True

    def open_dataset(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        level: int = 0,
        storage_options: Mapping[str, Any] | None = None,
    ) -> xr.Dataset:
        """Return one resolution of an image; see `scalesr.open_xarray`."""
        found = open_any(filename_or_obj, storage_options=storage_options)
        if isinstance(found, Plate):
            raise InputError(
                f"{filename_or_obj} is a plate of many images.",
                remedy="Use scalesr.open_datatree, or name one field, for example PLATE.ome.zarr/B/3/0.",
            )
        return dataset_of(found, level=level).drop_vars(drop_variables or (), errors="ignore")

    def open_datatree(self, filename_or_obj: Any, **options: Any) -> xr.DataTree:
        """Return a pyramid or a plate; see `scalesr.open_datatree`."""
        return xr.DataTree.from_dict(self.open_groups_as_dict(filename_or_obj, **options))

    def open_groups_as_dict(
        self,
        filename_or_obj: Any,
        *,
        drop_variables: str | Iterable[str] | None = None,
        fields: Iterable[str] = (),
        storage_options: Mapping[str, Any] | None = None,
    ) -> dict[str, xr.Dataset]:
        """Return the datasets of a pyramid or a plate by their paths."""
        found = open_any(filename_or_obj, storage_options=storage_options)
        about = {"name": found.name, "source": found.url}
        if isinstance(found, Image):
            datasets = {f"/scale{n}": dataset_of(found, level=n) for n in range(len(found.levels))}
        else:
            datasets = {f"/{path}": dataset_of(found.open_field(path)) for path in found.select(*fields)}
        datasets = {path: some.drop_vars(drop_variables or (), errors="ignore") for path, some in datasets.items()}
        return {"/": xr.Dataset(attrs=about), **datasets}

    def guess_can_open(self, filename_or_obj: Any) -> bool:
        """Return whether a name says that it is an OME-Zarr image."""
        return str(filename_or_obj).rstrip("/").endswith((".ome.zarr", ".ome.zarr.zip"))


def dataset_of(image: Image, *, level: int = 0) -> xr.Dataset:
    """Return one resolution of an image as a dataset with the variable ``image``; no pixel is read.

    Raises
    ------
    InputError
        It has no such level.
    """
    one = image.level(level)
    where = coordinates(image.axes, one, channels=image.channels, spectral=read_spectral(image))
    sizes = [
        max(some)
        for some in normalize_chunks(  # type: ignore[no-untyped-call]
            "auto", shape=one.shape, limit=CHUNK_BYTES, dtype=np.dtype(one.dtype), previous_chunks=one.chunks
        )
    ]
    pixels = xr.Variable(
        image.axis_names,
        indexing.LazilyIndexedArray(Pixels(image, level)),
        {"long_name": image.name},
        {"source": image.url, "preferred_chunks": dict(zip(image.axis_names, sizes, strict=True))},
    )
    found = xr.Dataset({"image": pixels}, coords=where)
    found.encoding["source"] = image.url
    return found
