"""What the bands of a spectral image are: one number for each, in a Zarr array beside its levels.

OME-Zarr up to 0.5 has no place for the coordinate of a channel other than its label, which is text and too long to
write thousands of times. So the numbers lie beside the image as ``mz``, ``wavelength`` or ``wavenumber``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import zarr

from scalesr.errors import InputError, OutputError
from scalesr.images.faults import writing
from scalesr.images.inflating import bounded
from scalesr.images.limits import check_sizes
from scalesr.images.locations import Location
from scalesr.images.opening import open_group

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.images.image import Image

Quantity = Literal["m/z", "wavelength", "wavenumber"]
"""What a band is told by."""

SPECTRAL_NAMES: dict[Quantity, str] = {"m/z": "mz", "wavelength": "wavelength", "wavenumber": "wavenumber"}
"""What the array beside an image is called, or a coordinate along its channels."""
_MOST = 2**24


@dataclass(frozen=True, eq=False, kw_only=True)
class SpectralAxis:
    """What the bands of a spectral image are: one number for each.

    Raises
    ------
    InputError
        The values are not a row of finite numbers.
    """

    values: NDArray[np.float64]
    """One number for each band, of shape (C,), in the order of the channel axis."""
    quantity: Quantity
    """What the numbers are."""
    unit: str | None = None
    """UDUNITS-2 name such as ``nanometer`` or ``1/cm``; ``None`` for m/z, whose Th is none."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """What else is known of the bands, in JSON values: the window in ppm, polarity, widths, the source."""

    def __post_init__(self) -> None:
        values = np.asarray(self.values, dtype=np.float64)
        if values.ndim != 1 or not values.size or not np.isfinite(values).all():
            raise InputError(
                f"a {self.quantity} axis of shape {values.shape} is not a row of finite numbers.",
                remedy="Give one finite number for each band.",
            )
        object.__setattr__(self, "values", values)


def write_spectral(
    url: str | os.PathLike[str], axis: SpectralAxis, *, storage_options: Mapping[str, Any] | None = None
) -> None:
    """Write what the bands of an image are beside its levels, in place of what was there.

    The numbers are one chunk, and what is not stored reads as NaN: a write that was cut short is not taken for whole.

    Parameters
    ----------
    url
        The image's group, which must exist; it need not be published yet.
    axis
        One number for each channel of the image.
    storage_options
        Handed to fsspec.

    Raises
    ------
    InputError
        There is no Zarr group.
    OutputError
        No space, no permission, no connection; or an attribute that JSON cannot hold.
    """
    location = Location.parse(url, storage_options)
    _, version = open_group(location)
    where = f"{location}/{SPECTRAL_NAMES[axis.quantity]}"
    with writing(where):
        group = zarr.open_group(location.store("write"), mode="r+", zarr_format=3 if version == "0.5" else 2)
        for path in SPECTRAL_NAMES.values():
            if path in group:
                del group[path]
        attributes = {**axis.attributes, "quantity": axis.quantity, "unit": axis.unit}
        try:
            array = group.create_array(
                SPECTRAL_NAMES[axis.quantity],
                shape=axis.values.shape,
                chunks=axis.values.shape,
                dtype=np.float64,
                fill_value=np.nan,
                attributes=attributes,
                dimension_names=["c"] if version == "0.5" else None,
            )
        except TypeError as error:
            raise OutputError(
                f"{where} cannot be written: {error}.", remedy="Give attributes of text, numbers and lists of them."
            ) from error
        array[...] = axis.values


def read_spectral(image: Image) -> SpectralAxis | None:
    """Return what the bands of an image are, or ``None`` where nothing beside the image says so.

    Raises
    ------
    InputError
        There is not one finite number for each channel.
    """
    location = Location(image.url, image.storage_options)
    for quantity in get_args(Quantity):
        path = SPECTRAL_NAMES[quantity]
        try:
            array = zarr.open_array(
                location.store("read"), path=path, mode="r", zarr_format=3 if image.version == "0.5" else 2
            )
        except (FileNotFoundError, zarr.errors.ArrayNotFoundError, zarr.errors.NodeTypeValidationError):
            continue
        kinds = [axis.kind for axis in image.axes]
        bands = image.shape[kinds.index("channel")] if "channel" in kinds else 1
        attributes = dict(array.attrs)
        if attributes.get("quantity") != quantity:
            # Somebody else's array of that name.
            continue
        check_sizes(array, where=f"{location}/{path}")
        finite = 0
        if prod(map(int, array.shape)) <= _MOST:
            values = np.asarray(bounded(array)[...], dtype=np.float64)
            finite = int(np.isfinite(values).sum())
        if array.shape != (bands,) or finite < bands:
            raise InputError(
                f"{location}/{path} holds {finite} finite numbers in shape {array.shape}, but the image has {bands} "
                "channel(s).",
                remedy="Import the image again, or remove that array.",
            )
        unit = attributes.pop("unit", None)
        del attributes["quantity"]
        return SpectralAxis(
            values=values, quantity=quantity, unit=unit if isinstance(unit, str) else None, attributes=attributes
        )
    return None
