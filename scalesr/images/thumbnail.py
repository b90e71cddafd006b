"""A small picture of an image, from its coarsest level alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import ScalesrError
from scalesr.images.colours import colours_of, is_photograph, rgb
from scalesr.images.png import png_address
from scalesr.images.showing import Picture

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.images.image import Image

LARGEST = 512
"""Pixels of the longest edge that is read for a picture."""
TOGETHER = 4
"""Most channels that are shown in one picture; of more, the first is shown alone."""
PERCENTILES = (0.1, 99.9)


def thumbnail(image: Image) -> Picture | None:
    """Return a picture of an image, or None where its coarsest level is too large, or is no plane, or cannot be read.

    One plane of the coarsest level is read, the middle one along z and the first of any other axis but channels, of up
    to `TOGETHER` channels. Each is stretched from its 0.1 to its 99.9 percentile.
    """
    level = image.levels[-1]
    names = image.axis_names
    if not {"y", "x"} <= set(names) or max(level.shape[names.index("y")], level.shape[names.index("x")]) > LARGEST:
        return None
    channel = next((a for a, axis in enumerate(image.axes) if axis.kind == "channel"), None)
    several = channel is not None and 1 < level.shape[channel] <= TOGETHER
    region, where = [], []
    for a, (name, size) in enumerate(zip(names, level.shape, strict=True)):
        if name in ("y", "x") or (a == channel and several):
            region.append(slice(0, size))
            continue
        place = size // 2 if name == "z" else 0
        region.append(slice(place, place + 1))
        where += [f"{name} {place:,} of {size:,}"] if size > 1 else []
    try:
        pixels = image.read(tuple(region), level=len(image.levels) - 1)
    except (ScalesrError, OSError):
        # A picture is an extra: what is wrong is told by whoever asks for the pixels.
        return None
    order = ([channel] if several and channel is not None else []) + [names.index("y"), names.index("x")]
    rest = [a for a in range(len(names)) if a not in order]
    planes = pixels.transpose(*rest, *order).reshape(-1, *(level.shape[names.index(name)] for name in "yx"))
    shown = np.stack([_stretched(plane) for plane in planes])
    whole = "level " + str(len(image.levels) - 1) if len(image.levels) > 1 else "the image"
    how = "0.1 to 99.9 %"
    if len(shown) == 1:
        mixed = np.repeat(shown[0][..., None], 3, axis=2)
    elif is_photograph(image):
        mixed, how = np.moveaxis(planes.astype(np.float64) / 255, 0, 2), "as stored"
    else:
        mixed = np.einsum("cyx,cn->yxn", shown, np.stack([rgb(colour) for colour in colours_of(image)]))
    return Picture(
        address=png_address(np.rint(255 * np.clip(mixed, 0, 1)).astype(np.uint8)),
        width=mixed.shape[1],
        caption=", ".join([whole, *where, how]),
    )


def _stretched(plane: NDArray[np.generic]) -> NDArray[np.float64]:
    """Return intensities of 0..1; what is not finite is 0."""
    values = plane.astype(np.float64)
    there = np.isfinite(values)
    if not there.any():
        return np.zeros_like(values)
    low, high = np.percentile(values[there], PERCENTILES)
    values[~there] = low
    return np.clip((values - low) / (high - low), 0, 1) if high > low else np.zeros_like(values)
