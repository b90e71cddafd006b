"""Labels and images of objects for the tests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from analysis.samples import stored
from scipy import ndimage

from scalesr.images import Axis, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.images import Image

__all__ = ["blobs", "patches", "stored", "volume"]


def blobs(shape: tuple[int, ...], seed: int, *, sigma: float = 1.2) -> NDArray[np.float32]:
    """Return smooth noise around 0.5."""
    return np.asarray(ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), sigma), np.float32)


def patches(shape: tuple[int, ...], seed: int) -> NDArray[np.int32]:
    """Return labels with gaps in their numbers: objects that touch, lie in pieces, have holes, or are one pixel."""
    rng = np.random.default_rng(seed)
    labels, _ = ndimage.label(blobs(shape, seed) > 0.5)
    labels = labels.astype(np.int32) * 7
    labels[tuple(slice(n // 3, n // 2) for n in shape)] = 5
    labels[rng.random(shape) < 0.05] = 0
    labels[rng.random(shape) < 0.02] = 3
    return np.asarray(labels, np.int32)


def volume(target: Path, pixels: NDArray[Any], *, scale: tuple[float, ...] = (1.0, 1.0, 1.0)) -> Image:
    """Write (z, y, x) as an image."""
    layout = pyramid_layout(
        axes=tuple(Axis(name, "space", "micrometer") for name in "zyx"),
        shape=pixels.shape,
        dtype=pixels.dtype.name,
        scale=scale,
        translation=(0.0, 0.0, 0.0),
        smallest=max(pixels.shape),
    )
    writer = create_image(target, layout, mode="overwrite")
    writer.write(0, tuple(slice(0, n) for n in pixels.shape), np.ascontiguousarray(pixels))
    writer.publish()
    return open_image(target)
