"""Between the axes of an image and the coordinates of an array of xarray: the same places, in the same units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from scalesr.engine.labelled import KIND, STEP
from scalesr.images import SpectralAxis
from scalesr.images.spectral import SPECTRAL_NAMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.images import Axis, Channel, Level, LevelLayout


def coordinates(
    axes: Sequence[Axis],
    level: Level | LevelLayout,
    *,
    channels: Sequence[Channel] = (),
    spectral: SpectralAxis | None = None,
) -> dict[str, xr.Variable]:
    """Return the coordinates of one resolution of an image.

    Axes of space and time have the centres of their pixels, with ``units`` and the distance of pixels (``step``) as
    attributes. Channels have their labels, or their numbers; bands of spectra also ``mz``, ``wavelength`` or
    ``wavenumber``.

    Parameters
    ----------
    axes, level
        What the axes mean, and where the pixels of this resolution lie.
    channels
        One for each channel, or none.
    spectral
        What the bands are.
    """
    found: dict[str, xr.Variable] = {}
    for axis, size, step, start in zip(axes, level.shape, level.scale, level.translation, strict=True):
        about: dict[str, Any] = {KIND: axis.kind}
        if axis.kind == "channel":
            labels = [channel.label for channel in channels]
            named = len(labels) == size and all(labels) and len(set(labels)) == size
            found[axis.name] = xr.Variable(axis.name, np.array(labels) if named else np.arange(size), about)
            if spectral is not None and len(spectral.values) == size:
                told = {"long_name": spectral.quantity} | ({"units": spectral.unit} if spectral.unit else {})
                found[SPECTRAL_NAMES[spectral.quantity]] = xr.Variable(axis.name, spectral.values, told)
            continue
        about |= {STEP: step} | ({"units": axis.unit} if axis.unit else {})
        found[axis.name] = xr.Variable(axis.name, start + step * np.arange(size), about)
    return found


def array_of(
    pixels: Any,
    axes: Sequence[Axis],
    level: Level | LevelLayout,
    *,
    channels: Sequence[Channel] = (),
    spectral: SpectralAxis | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Return pixels with the coordinates of one resolution of an image, named ``image``; see `coordinates`."""
    found = coordinates(axes, level, channels=channels, spectral=spectral)
    dims = [axis.name for axis in axes]
    return xr.DataArray(pixels, dims=dims, coords=found, name="image", attrs=dict(attributes or {}))


def spectral_of(array: xr.DataArray) -> SpectralAxis | None:
    """Return what the bands of an array are, by a coordinate along its channels; None where none says so."""
    for quantity, name in SPECTRAL_NAMES.items():
        there = array.coords.get(name)
        if there is not None and there.ndim == 1 and str(there.dims[0]) in map(str, array.dims):
            return SpectralAxis(values=there.values, quantity=quantity, unit=there.attrs.get("units"))
    return None
