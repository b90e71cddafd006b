"""OME-Zarr as what xarray works with: a dataset, or a tree of them for pyramids and plates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import xarray as xr

from scalesr.accessor.backend import ScalesrBackend
from scalesr.images.spectral import SPECTRAL_NAMES

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

Chunks = int | dict[str, int] | str | None
"""As for `xarray.open_dataset`: ``{}`` takes chunks of storage, some together; `None` reads without dask."""


def open_xarray(
    source: str | os.PathLike[str],
    *,
    level: int = 0,
    chunks: Chunks | Mapping[str, int] = "storage",
    storage_options: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """Open one resolution of an OME-Zarr image as a dataset with the variable ``image``; no pixel is read.

    Coordinates along space and time are the centres of pixels in the image's units (attribute ``units``), so that
    ``.sel(x=slice(10, 20))`` takes ten micrometres. Channels have their labels, and bands of spectra one more
    coordinate: ``mz``, ``wavelength`` or ``wavenumber``; ``.set_xindex("mz")`` makes these selectable.

    Parameters
    ----------
    source
        Path or URL of an OME-Zarr image, or anything else that `scalesr.open_image` opens.
    level
        Resolution; 0 is the finest.
    chunks
        Of the dask array: as for `xarray.open_dataset`; ``"storage"`` takes those of storage, some 16 MB together.
    storage_options
        Handed to fsspec.

    Raises
    ------
    InputError
        It is no image, or has no such level; of a plate use `open_datatree`.
    """
    found = xr.open_dataset(
        source,
        engine=ScalesrBackend,
        level=level,
        chunks={} if chunks == "storage" else chunks,
        storage_options=storage_options,
    )
    return _told(found)


def open_datatree(
    source: str | os.PathLike[str],
    *,
    fields: Iterable[str] = (),
    chunks: Chunks | Mapping[str, int] = "storage",
    storage_options: Mapping[str, Any] | None = None,
) -> xr.DataTree:
    """Open a whole OME-Zarr image or plate as a tree of datasets, each with the variable ``image``; no pixel is read.

    An image has a node for each resolution, ``scale0`` being the finest; a plate one for each field by its path, such
    as ``B/3/0``, at full resolution.

    Parameters
    ----------
    source
        Path or URL.
    fields
        Of a plate, those that patterns name (``B/*``, ``*/3/*``, ``B3``); all when not given. The metadata of each are
        read.
    chunks, storage_options
        As for `open_xarray`.

    Raises
    ------
    InputError
        It is neither an image nor a plate, or a pattern fits no field.
    """
    found = xr.open_datatree(
        source,
        engine=ScalesrBackend,
        fields=tuple(fields),
        chunks={} if chunks == "storage" else chunks,
        storage_options=storage_options,
    )
    return found.map_over_datasets(_told)


def _told(dataset: xr.Dataset) -> xr.Dataset:
    """Return a dataset that knows what its bands are: a few numbers, which are not worth a task."""
    there = {name: dataset[name].compute() for name in SPECTRAL_NAMES.values() if name in dataset.coords}
    return dataset.assign_coords(there)
