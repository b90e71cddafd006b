"""Pixels as PNG, in files and inside pages."""

from __future__ import annotations

from base64 import b64encode
from io import BytesIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


def png(pixels: NDArray[np.uint8], *, palette: Sequence[int] = ()) -> bytes:
    """Return pixels as PNG.

    Parameters
    ----------
    pixels
        Grey or entries of the palette, shape (y, x) or (y, x, 1); or red, green and blue, shape (y, x, 3).
    palette
        Red, green and blue of each entry, one after the other.
    """
    from PIL import Image  # noqa: PLC0415 most of what opens images shows none

    image = Image.fromarray(pixels[..., 0] if pixels.shape[2:] == (1,) else pixels)
    if palette:
        image.putpalette(list(palette))
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def png_address(pixels: NDArray[np.uint8], *, palette: Sequence[int] = ()) -> str:
    """Return pixels as a ``data:`` address, by which a page holds the picture itself; see `png`."""
    return "data:image/png;base64," + b64encode(png(pixels, palette=palette)).decode("ascii")
