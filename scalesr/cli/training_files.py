"""Images to train on: OME-Zarr, read by region, and small TIFF and PNG files, read as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesr.cli.training import open_sources
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

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


def open_objects(urls: Sequence[str]) -> tuple[list[Source], int]:
    """Return stacks of objects or fields of many to train or validate on, and how many channels they have.

    Beside OME-Zarr images, (n, c, y, x), (n, y, x) or fields, these are TIFF files, whose channels are the axis C or
    the colours, and folders of PNG files of one size, each an object. Intensities of each channel of an image become
    about 0..1 by its 0.1 and 99.9 percentiles over all objects.

    Raises
    ------
    InputError
        A file is too large or cannot be read, pictures of a folder differ, or images have different channels.
    """
    found = [_objects(url) for url in urls]
    for url, (_, channels) in zip(urls, found, strict=True):
        if channels != found[0][1]:
            raise InputError(
                f"{urls[0]} has {found[0][1]} channel(s), and {url} has {channels}.",
                remedy="Train on images of the same channels, in the same order.",
            )
    return [source for source, _ in found], found[0][1] if found else 1


def _objects(url: str) -> tuple[Source, int]:
    if url.lower().endswith(SUFFIXES):
        return _together(*_pixels_of_tiff(Path(url)), name=url)
    pictures = sorted(Path(url).glob("*.png")) if "://" not in url else []
    if pictures:
        return _together(*_pixels_of_pictures(pictures), name=url)
    source = open_sources([url])[0]
    names, shape = source.image.axis_names, source.image.shape
    return source, shape[names.index("c")] if "c" in names else 1


def _together(pixels: NDArray[Any], channels: int, *, name: str) -> tuple[Source, int]:
    """Return planes whose channels are normalised over all objects; neighbouring planes are those of an object."""
    from scalesr.learning import ArraySource  # noqa: PLC0415 torch takes seconds

    planes, height, width = pixels.shape
    by_channel = pixels.reshape(-1, channels, height, width).swapaxes(0, 1).reshape(channels, -1, width)
    normalised = ArraySource(by_channel, name=name).pixels.reshape(channels, -1, height, width)
    return ArraySource(normalised.swapaxes(0, 1).reshape(planes, height, width), name=name, normalise="none"), channels


def _tiff(path: Path) -> Source:
    from scalesr.learning import ArraySource  # noqa: PLC0415 torch takes seconds

    return ArraySource(_pixels_of_tiff(path)[0], name=str(path))


def _pixels_of_tiff(path: Path) -> tuple[NDArray[Any], int]:
    """Return the planes of a TIFF file, and how many neighbours among them are channels of one place."""
    import numpy as np  # noqa: PLC0415 help texts need none of it
    import tifffile  # noqa: PLC0415  # a TIFF file is not always there

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
        pixels, axes = np.moveaxis(pixels, -1, -3), axes[:-3] + "CYX"  # samples, such as colours, become planes
    if pixels.ndim < 2:
        raise InputError(f"{path} has the shape {pixels.shape}.", remedy="Give images of planes.")
    channels = 1
    if "C" in axes[:-2]:
        # The channels of a place become neighbours.
        pixels = np.moveaxis(pixels, axes.index("C"), -3)
        channels = pixels.shape[-3]
    return pixels.reshape(-1, *pixels.shape[-2:]), channels


def _pixels_of_pictures(paths: Sequence[Path]) -> tuple[NDArray[Any], int]:
    """Return the planes of PNG files of one size, those of a file's colours beside one another, and how many colours.

    Raises
    ------
    InputError
        They differ in size or colours, or are too large together.
    """
    import numpy as np  # noqa: PLC0415 help texts need none of it
    from PIL import Image  # noqa: PLC0415 as above

    found: list[NDArray[Any]] = []
    for path in paths:
        try:
            with Image.open(path) as picture:
                # Palettes and transparency are ways to store colours, not measurements.
                colours = picture.convert("RGB") if picture.mode in ("P", "PA", "RGBA") else picture
                pixels = np.atleast_3d(np.asarray(colours)).transpose(2, 0, 1)
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as PNG: {error}.", remedy="Check the file.") from error
        if found and pixels.shape != found[0].shape:
            channels, height, width = pixels.shape
            raise InputError(
                f"{path} has {channels} channel(s) of {height} x {width} px, and {paths[0].name} has "
                f"{found[0].shape[0]} of {found[0].shape[1]} x {found[0].shape[2]} px.",
                remedy="Put pictures of one size and the same channels into a folder.",
            )
        if pixels.nbytes * len(paths) > LARGEST:
            raise InputError(
                f"{path.parent} holds {pixels.nbytes * len(paths) / 2**30:.1f} GB of pixels, which are not read at "
                "once.",
                remedy="Make a stack of them that is read by region: a TIFF file, then scalesr import.",
            )
        found.append(pixels)
    return np.concatenate(found), len(found[0])
