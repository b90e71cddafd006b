"""Between a layer of napari and an image: axes, sizes of pixels, places, and the pixels where they are."""

from __future__ import annotations

from typing import Any, Protocol

from dask.base import tokenize

from scalesr.errors import InputError
from scalesr.images import ArrayImage
from scalesr.images.axes import axis_named, canonical_unit

USUAL = "tczyx"
"""Axes that a layer has whose labels say nothing: the last of these."""


class ImageLayer(Protocol):
    """What of an image layer of napari is looked at."""

    data: Any
    """An array of NumPy, dask or Zarr; several where `multiscale`."""
    multiscale: bool
    """Whether there are coarser resolutions."""
    rgb: bool
    """Whether the last dimension is colours."""
    name: str
    """As it is listed."""
    scale: Any
    """Size of a pixel along each dimension."""
    translate: Any
    """Centre of the first pixel along each dimension."""


def image_of(layer: ImageLayer, *, axes: str = "") -> ArrayImage:
    """Return the image that a layer shows, at full resolution; no pixel is copied.

    Parameters
    ----------
    layer
        An image layer.
    axes
        One letter of ``tczyx`` for each dimension. When it is empty, the labels of the layer's axes, if they are such
        letters, else the last of ``tczyx``.

    Raises
    ------
    InputError
        The layer has colours along its last axis, letters do not fit its dimensions, or its pixels are no numbers.
    """
    if layer.rgb:
        raise InputError(
            f"The layer {layer.name} has colours in its last dimension, of which a model knows nothing.",
            remedy='Split it into channels first (right click, "Split RGB").',
        )
    pixels = levels_of(layer)[0]
    names = _names(layer, axes, len(pixels.shape))
    units = getattr(layer, "units", None) or [None] * len(names)
    return ArrayImage.of(
        pixels,
        axes=[
            axis_named(name, unit=None if name == "c" else canonical_unit(None if unit is None else str(unit)))
            for name, unit in zip(names, units, strict=True)
        ],
        scale=[float(step) for step in layer.scale],
        translation=[float(start) for start in layer.translate],
        name=layer.name,
        token=tokenize(pixels),
    )


def levels_of(layer: ImageLayer) -> list[Any]:
    """Return the resolutions of a layer, finest first."""
    return list(layer.data) if layer.multiscale else [layer.data]


def _names(layer: ImageLayer, axes: str, count: int) -> list[str]:
    labels = [str(label).lower() for label in getattr(layer, "axis_labels", ())]
    names = list(axes.strip().lower()) or (labels if set(labels) <= set(USUAL) else []) or list(USUAL[-count:])
    if len(names) != count or not set(names) <= set(USUAL) or len(set(names)) != count:
        raise InputError(
            f"The axes {''.join(names)!r} do not fit the layer {layer.name}, which has {count} dimensions.",
            remedy=f"Give {count} different letters of {USUAL}, such as {USUAL[-count:]}.",
        )
    return names
