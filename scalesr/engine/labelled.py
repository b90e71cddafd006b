"""Arrays of NumPy, dask and xarray as images: what their dimensions mean, and where their pixels lie."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from dask.base import tokenize

from scalesr.errors import InputError
from scalesr.images import ArrayImage, Axis, Channel, Image, open_image
from scalesr.images.axes import KINDS, axis_named, canonical_unit

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dask.array as da
    import xarray as xr
    import zarr
    from numpy.typing import NDArray

    from scalesr.images import AxisKind

    Source = str | os.PathLike[str] | Image | xr.DataArray | da.Array | zarr.Array[Any] | NDArray[Any]

EVEN = 1e-3
"""Part of a pixel by which a coordinate may be off an even grid: files round their numbers."""
STEP, KIND = "step", "kind"
"""Attributes of a coordinate: the distance of pixels, and what the axis runs along."""


def as_image(
    source: Any,
    *,
    dims: str | None = None,
    pixel_sizes: float | Mapping[str, float] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Image:
    """Return what a caller names, or holds in an array, as an image.

    Parameters
    ----------
    source
        A path or URL, an opened image, an array of xarray, or any array of NumPy, dask or Zarr.
    dims
        Of an array without names: one letter of ``tczyx`` for each dimension, slowest first.
    pixel_sizes
        Of such an array: micrometres of a pixel, of all axes of space or by axis; without unit, and 1, when not given.
    storage_options
        Handed to fsspec where `source` is a path or URL.

    Raises
    ------
    InputError
        There is no image, it is not said what the dimensions are, or twice.
    """
    labelled = hasattr(source, "coords") and hasattr(source, "data")
    if labelled or isinstance(source, str | os.PathLike | Image):
        if dims is not None or pixel_sizes is not None:
            what = source if isinstance(source, str) else type(source).__name__
            raise InputError(
                f"Its axes and pixel sizes are known of {what}.",
                remedy="Leave out what is said of dimensions and pixel sizes.",
            )
        if isinstance(source, Image):
            return source
        if isinstance(source, str | os.PathLike):
            return open_image(source, storage_options=storage_options)
        return image_of(source)
    if not (hasattr(source, "shape") and hasattr(source, "dtype")):
        raise InputError(
            f"{type(source).__name__} is no image.", remedy="Give a path, an opened image, or an array of pixels."
        )
    return _of_array(source, dims=dims, pixel_sizes=pixel_sizes)


def _of_array(pixels: Any, *, dims: str | None, pixel_sizes: float | Mapping[str, float] | None) -> ArrayImage:
    shape = tuple(pixels.shape)
    if dims is None or len(dims) != len(shape) or len(set(dims)) != len(dims) or not set(dims) <= set(KINDS):
        said = "it is not said what they are" if dims is None else f"{dims!r} does not name them"
        raise InputError(
            f"The array has {len(shape)} dimensions, of {', '.join(map(str, shape))} pixels; {said}.",
            remedy='Give one letter of t, c, z, y, x for each, slowest first, such as dims="zyx".',
        )
    space = [name for name in dims if KINDS[name] == "space"]
    sizes = dict.fromkeys(space, pixel_sizes) if isinstance(pixel_sizes, float | int) else dict(pixel_sizes or {})
    for name, size in sizes.items():
        if name not in space or not 0 < float(size or 0) < np.inf:
            raise InputError(
                f"The size of pixels cannot be {size} for {name!r}.",
                remedy=f"Give a positive number for axes of space of the array: {', '.join(space)}.",
            )
    return ArrayImage.of(
        pixels,
        axes=[axis_named(name, unit="micrometer" if name in sizes else None) for name in dims],
        scale=[float(sizes.get(name) or 1) for name in dims],
        token=tokenize(pixels),
    )


def as_other(source: Any, like: Image, *, storage_options: Mapping[str, Any] | None = None) -> Image:
    """Return what another image is measured with; of an array without names, one of the same axes and the same field.

    Its pixels cover what those of `like` cover, so that with half as many along an axis of space each is twice as wide.

    Raises
    ------
    InputError
        As `as_image`; or the array has other dimensions.
    """
    if isinstance(source, str | os.PathLike | Image) or hasattr(source, "coords") or not hasattr(source, "dtype"):
        return as_image(source, storage_options=storage_options)
    shape = tuple(map(int, source.shape))
    if len(shape) != like.ndim or not all(shape):
        raise InputError(
            f"An array of shape {shape} is compared with an image of the axes {', '.join(like.axis_names)}.",
            remedy="Give an array of the same dimensions.",
        )
    level = like.levels[0]
    wider = [
        n / own if axis.kind == "space" else 1.0 for axis, n, own in zip(like.axes, like.shape, shape, strict=True)
    ]
    return ArrayImage.of(
        source,
        axes=like.axes,
        scale=[size * ratio for size, ratio in zip(level.scale, wider, strict=True)],
        translation=[
            start + (ratio - 1) / 2 * size
            for start, size, ratio in zip(level.translation, level.scale, wider, strict=True)
        ],
        token=tokenize(source),
    )


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
        kind: AxisKind = about.get(KIND, KINDS.get(name, "other"))
        axes.append(Axis(name, kind, canonical_unit(about.get("units"))))
        if kind == "channel":
            if there is not None and there.dtype.kind in "UO":
                channels = tuple(Channel(label=str(label)) for label in there.values)
            start, step = 0.0, 1.0
        elif there is None or there.dtype.kind not in "iuf":
            start, step = 0.0, 1.0
        else:
            start, step = _even(name, there.values.astype(np.float64), about.get(STEP), size)
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
