"""Pictures of many images side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import OutputError
from scalesr.images.png import png

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from numpy.typing import NDArray


def tiled(images: torch.Tensor, *, columns: int) -> NDArray[np.uint8]:
    """Return images side by side, shape (y, x, 1 or 3), dark where there is none.

    One channel is grey, two are red and green, and of three or more the first are red, green and blue.

    Parameters
    ----------
    images
        Intensities of 0..1, clipped to them, shape (n, channels, y, x).
    columns
        Images of a row.
    """
    values = images.detach().float().clamp(0, 1).mul(255).round().cpu().numpy().astype(np.uint8)
    count, channels, height, width = values.shape
    shown = 1 if channels == 1 else 3
    rows = -(-count // columns)
    grid = np.zeros((rows, columns, shown, height, width), np.uint8)
    for place, image in enumerate(values):
        grid[place // columns, place % columns, : min(channels, 3)] = image[:3]
    return np.ascontiguousarray(grid.transpose(0, 3, 1, 4, 2).reshape(rows * height, columns * width, shown))


def write_png(pixels: NDArray[np.uint8], path: Path) -> None:
    """Write an image of shape (y, x, 1 or 3) as PNG.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(pixels))
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error}.", remedy="Check the folder.") from error
