"""Images to train on: OME-Zarr, read by region, and small TIFF files, read as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from scalesr.cli.training import open_sources
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.learning import Source

SUFFIXES = (".tif", ".tiff")
LARGEST = 2**30
"""Bytes of a TIFF file's pixels that are read into memory."""


def open_planes(urls: Sequence[str]) -> list[Source]:
    """Return images as planes to train or validate on; of TIFF files all but the last two axes are planes.

    Raises
    ------
    InputError
        A TIFF file is too large, or cannot be read.
    """
    return [_tiff(Path(url)) if url.lower().endswith(SUFFIXES) else open_sources([url])[0] for url in urls]


def _tiff(path: Path) -> Source:
    import tifffile  # noqa: PLC0415  # a TIFF file is not always there

    from scalesr.learning import ArraySource  # noqa: PLC0415 torch takes seconds

    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            if series.nbytes > LARGEST:
                raise InputError(
                    f"{path} has {series.nbytes / 2**30:.1f} GB of pixels, which are not read at once.",
                    remedy=f"Make an image of it that is read by region: scalesr import {path} {path.stem}.ome.zarr.",
                )
            pixels, axes = series.asarray(), series.axes
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"{path} cannot be read as TIFF: {error}.", remedy="Check the file.") from error
    if axes.endswith("YXS"):
        pixels = pixels.swapaxes(-1, -2).swapaxes(-2, -3)  # samples, such as colours, become planes
    if pixels.ndim < 2:
        raise InputError(f"{path} has the shape {pixels.shape}.", remedy="Give images of planes.")
    return ArraySource(pixels.reshape(-1, *pixels.shape[-2:]), name=str(path))
