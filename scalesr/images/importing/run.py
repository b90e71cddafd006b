"""Importing: from any source to an OME-Zarr image with its pyramid, a shard at a time."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr

from scalesr.errors import InputError, ScalesrError
from scalesr.images.axes import Channel
from scalesr.images.importing.arrays import NumpySource, ZarrSource
from scalesr.images.importing.sequence import SequenceSource
from scalesr.images.importing.source import Source, orient
from scalesr.images.importing.tiff import TiffSource
from scalesr.images.layout import ImageLayout, auto_chunks, auto_shards, pyramid_layout
from scalesr.images.locations import Location
from scalesr.images.opening import open_image
from scalesr.images.pyramid import build_pyramid, count_shards, shard_regions
from scalesr.images.statistics import StatisticsAccumulator
from scalesr.images.writer import create_image, remove_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scalesr.images.image import Image, Version
    from scalesr.images.importing.source import Oriented
    from scalesr.images.statistics import Statistics
    from scalesr.images.writer import ImageWriter

_PATTERN = set("*?[")
_TIFF = {".tif", ".tiff"}
_MANY = 64  # beyond it, the channels are a spectrum, and nobody sets a window for each


def import_image(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    axes: str | None = None,
    pixel_size: float | Mapping[str, float] | None = None,
    unit: str | None = None,
    series: int = 0,
    chunks: tuple[int, ...] | None = None,
    shards: tuple[int, ...] | None = None,
    mode: Literal["create", "overwrite"] = "create",
    version: Version = "0.5",
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Image:
    """Make an OME-Zarr image with its pyramid; memory stays at a few shards, whatever the size of the source.

    The target counts as an image only when all of it is written. If anything fails it is removed.

    Parameters
    ----------
    source
        TIFF in any dialect, ``.npy``, a Zarr array, a folder of numbered TIFF planes, or a pattern such as
        ``'folder/*.tif'``.
    target
        Local path or fsspec URL.
    axes
        One letter for each dimension of the source, in its order; needed only where the source does not say.
    pixel_size
        For all spatial axes, or by name of the axis; over what the source says.
    unit
        Unit of the spatial axes; over what the source says.
    series
        Which image of a file that holds several.
    chunks, shards
        In the order of the written axes (time, channel, space); ``None`` chooses some 16 MiB for a shard.
    mode
        ``overwrite`` removes an image that is there.
    version
        Version of OME-Zarr to write.
    storage_options
        Handed to fsspec for the target.
    progress
        Called with shards done and shards in all.

    Raises
    ------
    InputError
        The source is absent, damaged, ambiguous, or holds no intensities.
    OutputError
        The target exists, or cannot be written.
    """
    reader = open_source(source, series=series)
    try:
        oriented = orient(reader, axes, unit=unit)
        layout = _layout(oriented, pixel_size=pixel_size, unit=unit, chunks=chunks, shards=shards)
        writer = create_image(target, layout, mode=mode, version=version, storage_options=storage_options)
        total = sum(count_shards(level) for level in writer.layout.levels)
        first = count_shards(writer.layout.levels[0])
        try:
            for done, region in enumerate(shard_regions(writer.layout.levels[0])):
                writer.write(0, region, oriented.read(region))
                if progress is not None:
                    progress(done + 1, total)
            build_pyramid(writer, progress=None if progress is None else lambda done, _: progress(first + done, total))
            writer.publish(channels=_windowed(writer))
        except BaseException:
            with contextlib.suppress(ScalesrError, OSError):
                remove_image(target, storage_options=storage_options)
            raise
    finally:
        reader.close()
    return open_image(target, storage_options=storage_options)


def open_source(source: str | os.PathLike[str], *, series: int = 0) -> Source:
    """Return the reader for a file, a folder or a pattern.

    Raises
    ------
    InputError
        There is nothing, or nothing that can be imported.
    """
    text = os.fspath(source)
    path = Path(text).expanduser().absolute()
    if _PATTERN & set(text) and not path.exists():
        return SequenceSource(sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor)))), where=text)
    location = Location.parse(text)
    if location.path is not None and not location.path.exists():
        raise InputError(
            f"{path} does not exist; the nearest folder that does is {location.nearest_parent()}.",
            remedy="Check the path.",
        )
    if location.path is None or path.is_dir():
        return _folder_source(location)
    if path.suffix.lower() == ".npy":
        return NumpySource(path)
    return TiffSource(path, series=series)


def _folder_source(location: Location) -> Source:
    for zarr_format in (3, 2):
        try:
            array = zarr.open_array(location.store("read"), mode="r", zarr_format=zarr_format)
        except (FileNotFoundError, ValueError):
            continue
        return ZarrSource(array, where=str(location))
    path = location.path
    planes = sorted(p for p in path.iterdir() if p.suffix.lower() in _TIFF) if path is not None else []
    if planes:
        return SequenceSource(planes, where=str(location))
    raise InputError(
        f"{location} holds neither a Zarr array nor TIFF planes.",
        remedy="Name a local file or folder; files of other addresses must be copied here first.",
    )


def _layout(
    oriented: Oriented,
    *,
    pixel_size: float | Mapping[str, float] | None,
    unit: str | None,
    chunks: tuple[int, ...] | None,
    shards: tuple[int, ...] | None,
) -> ImageLayout:
    facts, axes, shape = oriented.source.facts, oriented.axes, oriented.shape
    sizes = {} if unit is not None else dict(facts.sizes)
    if isinstance(pixel_size, int | float):
        sizes |= {axis.name: float(pixel_size) for axis in axes if axis.kind == "space"}
    elif pixel_size is not None:
        unknown = sorted(set(pixel_size) - {axis.name for axis in axes})
        if unknown:
            raise InputError(
                f"a pixel size is given for {', '.join(unknown)}, but the axes are "
                f"{', '.join(axis.name for axis in axes)}.",
                remedy="Name only axes of the image.",
            )
        sizes |= dict(pixel_size)
    bad = {name: size for name, size in sizes.items() if not 0 < size < float("inf")}
    if bad:
        raise InputError(f"pixel sizes {bad} are not positive.", remedy="Give positive numbers.")
    chunks = chunks or auto_chunks(axes, shape)
    colours = [i for i, axis in enumerate(axes) if axis.kind == "channel"]
    count = shape[colours[0]] if colours else 1
    return pyramid_layout(
        axes=axes,
        shape=shape,
        dtype=facts.dtype.name,
        scale=tuple(sizes.get(axis.name, 1.0) for axis in axes),
        translation=(0.0,) * len(axes),
        chunks=chunks,
        shards=shards
        or auto_shards(
            axes,
            shape,
            chunks,
            itemsize=facts.dtype.itemsize,
            grow="rows" if facts.reads == "rows" else "evenly",
            together=colours if facts.colours == "together" else (),
        ),
        channels=facts.channels if len(facts.channels) == count else (Channel(),) * count,
        name=facts.name,
    )


def _windowed(writer: ImageWriter) -> tuple[Channel, ...]:
    """Return the channels with the window that a viewer should begin with, from the coarsest level."""
    layout = writer.layout
    if len(layout.channels) > _MANY:
        return ()
    kinds = [axis.kind for axis in layout.axes]
    coarsest = len(layout.levels) - 1
    place = kinds.index("channel") if "channel" in kinds else None
    found = []
    for number, channel in enumerate(layout.channels):
        accumulator = StatisticsAccumulator(layout.dtype)
        for region in shard_regions(layout.levels[coarsest]):
            if place is None:
                accumulator.update(np.asarray(writer.array(coarsest)[region]))
            elif region[place].start <= number < region[place].stop:
                single = (*region[:place], slice(number, number + 1), *region[place + 1 :])
                accumulator.update(np.asarray(writer.array(coarsest)[single]))
        found.append(_with_window(channel, accumulator.finalize()))
    return tuple(found)


def _with_window(channel: Channel, statistics: Statistics) -> Channel:
    if statistics.min is None or channel.start is not None or channel.end is not None:
        return channel
    return replace(channel, start=statistics.percentile(0.1), end=statistics.percentile(99.9))
