"""Images in storage for the tests of the analyses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zarr

from scalesr.images import Axis, create_image, open_image, pyramid_layout
from scalesr.phantoms import spectral_cube

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image


def stored(
    target: Path,
    pixels: NDArray[Any],
    *,
    pixel: float = 1.0,
    edge: tuple[float, float] = (0.0, 0.0),
    unit: str = "micrometer",
    chunks: tuple[int, ...] | None = None,
    mask: NDArray[np.bool_] | None = None,
) -> Image:
    """Write (bands, y, x) or (y, x) as an image whose outer edge begins at a place, and open it."""
    space = (Axis("y", "space", unit), Axis("x", "space", unit))
    banded = pixels.ndim == 3
    layout = pyramid_layout(
        axes=(Axis("c", "channel"), *space) if banded else space,
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=((1.0,) if banded else ()) + (pixel, pixel),
        translation=((0.0,) if banded else ()) + tuple(e + pixel / 2 for e in edge),
        chunks=chunks,
        smallest=max(pixels.shape),
    )
    writer = create_image(target, layout, mode="overwrite")
    writer.write(0, tuple(slice(0, n) for n in pixels.shape), np.ascontiguousarray(pixels))
    writer.publish()
    if mask is not None:
        array = zarr.create_array(target, name="mask", shape=mask.shape, chunks=mask.shape, dtype="uint8")
        array[...] = mask.astype(np.uint8)
    return open_image(target)


def phantom(edge: int = 128, *, bands: int = 24, seed: int = 3) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return a spectral cube (bands, y, x) and its regions (y, x), from 1."""
    made = spectral_cube((bands, edge, edge), seed=seed, tissues=3, pitch=edge / 3)
    plane = [slice(0, edge)] * 2
    return made.region([slice(0, bands), *plane]), made.labels(plane) + 1


def coarse(pixels: NDArray[Any], times: int) -> NDArray[np.float32]:
    """Return block means along y and x."""
    *rest, y, x = pixels.shape
    means = pixels.reshape(*rest, y // times, times, x // times, times).mean(axis=(-3, -1))
    return np.asarray(means, np.float32)
