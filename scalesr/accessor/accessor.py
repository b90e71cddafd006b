"""The accessor ``array.scalesr``: restore, measure and store any labelled array."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from scalesr.accessor.coordinates import array_of, spectral_of
from scalesr.accessor.saving import save
from scalesr.engine import Options, measure
from scalesr.engine.labelled import image_of
from scalesr.engine.lazy_array import lazily
from scalesr.images import ArrayImage, Image
from scalesr.images.spectral import SPECTRAL_NAMES

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from scalesr.images.writer import Mode
    from scalesr.metrics import Measurement

Other = str | Image | xr.DataArray
"""Another image to compare with: by path or URL, opened, or in an array."""


@xr.register_dataarray_accessor("scalesr")  # type: ignore[no-untyped-call]
class ScalesrAccessor:
    """What scalesr does with an array whose dimensions are the axes of an image: ``t``, ``c``, ``z``, ``y``, ``x``.

    Parameters
    ----------
    array
        Of NumPy or dask within. Even coordinates say how large a pixel is, their attribute ``units`` in what.
    """

    def __init__(self, array: xr.DataArray) -> None:
        self._array = array

    @property
    def image(self) -> ArrayImage:
        """The array as an image: axes, pixel sizes and places from its coordinates.

        Raises
        ------
        InputError
            Coordinates are not even, or the pixels are no numbers.
        """
        return image_of(self._array)

    def super_resolve(self, model: str, *, options: Options | None = None, **changes: Any) -> xr.DataArray:
        """Return the array as a model restores it, as a lazy one: what is selected of it computes its own tiles only.

        The voxels are those that `scalesr.run` writes for the same pixels, bit for bit. One thing is computed at once:
        where intensities are normalised by their percentiles, these are those of the whole array.
        ``normalise="dtype"``, ``"none"`` or ``(low, high)`` spares that pass.

        Parameters
        ----------
        model
            Name, file or factory, as for `scalesr.run`.
        options, **changes
            As for `scalesr.run`: ``scale``, ``device``, ``precision``, ``normalise`` and so on.

        Returns
        -------
        xarray.DataArray
            Dimensions as they were; coordinates in the same units, of the finer pixels. Coordinates along axes that the
            model leaves as they are, such as m/z, are kept. Attributes name model and options.

        Raises
        ------
        ScalesrError
            As `scalesr.lazy`.
        """
        asked = replace(options or Options(), **{**changes, "model": model})
        pixels, layout = lazily(self.image, asked)
        about = {**self._array.attrs, "scalesr_model": model}
        about |= {f"scalesr_{name}": str(value) for name, value in changes.items()}
        made = array_of(
            pixels, layout.axes, layout.levels[0], channels=layout.channels, spectral=None, attributes=about
        )
        kept = {
            name: there
            for name, there in self._array.coords.items()
            if set(there.dims) <= {d for d in made.dims if made.sizes[d] == self._array.sizes[d]}
            and (name not in made.dims or not np.issubdtype(there.dtype, np.number) or name in SPECTRAL_NAMES.values())
        }
        return made.assign_coords(kept).rename(self._array.name)

    def measure(
        self,
        *,
        reference: Other | None = None,
        measured: Other | None = None,
        mask: Other | None = None,
        **options: Any,
    ) -> Measurement:
        """Measure the array against a reference, against what it was made from, or alone; see `scalesr.measure`.

        Parameters
        ----------
        reference, measured, mask
            Arrays, images or places of images, as for `scalesr.measure`.
        **options
            ``metrics``, ``by``, ``axes``, ``scheduler`` and all settings.

        Raises
        ------
        ScalesrError
            As `scalesr.measure`.
        """
        reference, measured, mask = (
            image_of(one) if isinstance(one, xr.DataArray) else one for one in (reference, measured, mask)
        )
        return measure(self.image, reference=reference, measured=measured, mask=mask, **options)

    def to_ome_zarr(
        self,
        target: str | os.PathLike[str],
        *,
        mode: Mode = "create",
        chunks: Mapping[str, int] | None = None,
        shards: Mapping[str, int] | None = None,
        storage_options: Mapping[str, Any] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Image:
        """Write the array as an OME-Zarr 0.5 image with its pyramid, shard by shard, and open it.

        Memory holds one shard, and what dask needs to compute it. Nothing reads as an image before all is written. To
        restore a large image into storage use `scalesr.run`, which computes each tile once and can be resumed.

        Parameters
        ----------
        target
            Path or URL, mostly ``NAME.ome.zarr``.
        mode
            ``create`` refuses what exists, ``overwrite`` replaces it.
        chunks, shards
            Pixels along some dimensions; a shard is a whole number of chunks. The rest is chosen.
        storage_options
            Handed to fsspec.
        progress
            Told how many shards of the full resolution are written, and of how many.

        Raises
        ------
        InputError
            The array is no image, or sizes name a dimension that it has not.
        OutputError
            The place is taken, or storage refuses.
        """
        return save(
            self.image,
            spectral_of(self._array),
            target,
            mode=mode,
            chunks=chunks,
            shards=shards,
            storage_options=storage_options,
            progress=progress,
        )
