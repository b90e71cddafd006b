"""Between the axes of an image and the coordinates of an array of xarray: the same places, in the same units."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from dask.base import tokenize

from scalesr.errors import InputError
from scalesr.images import ArrayImage, Axis, Channel, SpectralAxis
from scalesr.images.axes import KINDS, canonical_unit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.images import AxisKind, Level, LevelLayout
    from scalesr.images.spectral import Quantity

EVEN = 1e-3
"""Part of a pixel by which a coordinate may be off an even grid: files round their numbers."""
SPECTRAL: dict[Quantity, str] = {"m/z": "mz", "wavelength": "wavelength", "wavenumber": "wavenumber"}
"""Coordinates along the channels that say what a band is."""
_STEP, _KIND = "step", "kind"


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
        about: dict[str, Any] = {_KIND: axis.kind}
        if axis.kind == "channel":
            labels = [channel.label for channel in channels]
            named = len(labels) == size and all(labels) and len(set(labels)) == size
            found[axis.name] = xr.Variable(axis.name, np.array(labels) if named else np.arange(size), about)
            if spectral is not None and len(spectral.values) == size:
                told = {"long_name": spectral.quantity} | ({"units": spectral.unit} if spectral.unit else {})
                found[SPECTRAL[spectral.quantity]] = xr.Variable(axis.name, spectral.values, told)
            continue
        about |= {_STEP: step} | ({"units": axis.unit} if axis.unit else {})
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


def image_of(array: xr.DataArray) -> ArrayImage:
    """Return the image that an array of xarray is, with its pixels where they are.

    Dimensions are axes by their names, as ``t``, ``c``, ``z``, ``y`` and ``x``, or by the attribute ``kind`` of their
    coordinate. Coordinates of space and time say where pixels lie, and in which ``units``; without them a pixel is of
    size 1.

    Raises
    ------
    InputError
        Pixels do not lie at even distances, or are no numbers.
    """
    axes, steps, starts = [], [], []
    channels: tuple[Channel, ...] = ()
    for name, size in zip(map(str, array.dims), array.shape, strict=True):
        there = array.coords.get(name)
        about = {} if there is None else there.attrs
        kind: AxisKind = about.get(_KIND, KINDS.get(name, "other"))
        axes.append(Axis(name, kind, canonical_unit(about.get("units"))))
        if kind == "channel":
            if there is not None and there.dtype.kind in "UO":
                channels = tuple(Channel(label=str(label)) for label in there.values)
            start, step = 0.0, 1.0
        elif there is None or there.dtype.kind not in "iuf":
            start, step = 0.0, 1.0
        else:
            start, step = _even(name, there.values.astype(np.float64), about.get(_STEP), size)
        starts.append(start)
        steps.append(step)
    return ArrayImage.of(
        array.data,
        axes=axes,
        scale=steps,
        translation=starts,
        channels=channels,
        name="array" if array.name is None else str(array.name),
        token=tokenize(array.data),
    )


def spectral_of(array: xr.DataArray) -> SpectralAxis | None:
    """Return what the bands of an array are, by a coordinate along its channels; None where none says so."""
    for quantity, name in SPECTRAL.items():
        there = array.coords.get(name)
        if there is not None and there.ndim == 1 and str(there.dims[0]) in map(str, array.dims):
            return SpectralAxis(values=there.values, quantity=quantity, unit=there.attrs.get("units"))
    return None


def _even(name: str, places: NDArray[np.float64], told: float | None, size: int) -> tuple[float, float]:
    """Return the first of evenly spaced places and their distance: that which was told where it is the same."""
    start = float(places[0])
    if size == 1:
        return start, float(told or 1.0)
    step = float(places[-1] - places[0]) / (size - 1)
    off = np.abs(places - (start + step * np.arange(size))).max()
    if not step > 0 or off > EVEN * step:
        raise InputError(
            f"The coordinates along {name!r} do not rise in even steps: they are off by up to {off:.3g} from steps of "
            f"{step:.6g}.",
            remedy=f"Interpolate to an even grid first, or drop them by .drop_vars({name!r}).",
        )
    same = told is not None and abs(told - step) * size <= EVEN * step
    return start, float(told) if same and told is not None else step
