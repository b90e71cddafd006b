"""Importing: from any source to an OME-Zarr image with its pyramid, a shard at a time."""

from __future__ import annotations

import contextlib
import math
import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import zarr

from scalesr.errors import InputError, ScalesrError
from scalesr.images.axes import Channel
from scalesr.images.importing.arrays import NumpySource, ZarrSource
from scalesr.images.importing.companions import Accompanied, write_companions
from scalesr.images.importing.envi import EnviSource, is_envi
from scalesr.images.importing.imzml import PPM, ImzMLSource
from scalesr.images.importing.matlab import MatlabSource
from scalesr.images.importing.sequence import SequenceSource
from scalesr.images.importing.source import Source, orient
from scalesr.images.importing.spacing import MissingPlanes, evened, noted
from scalesr.images.importing.tiff import SUFFIXES, TiffSource
from scalesr.images.layout import ImageLayout, auto_chunks, auto_shards, pyramid_layout
from scalesr.images.locations import Location
from scalesr.images.opening import open_image
from scalesr.images.pyramid import build_pyramid, count_shards, shard_regions
from scalesr.images.removing import remove_image
from scalesr.images.spectral import write_spectral
from scalesr.images.statistics import StatisticsAccumulator
from scalesr.images.writer import create_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalesr.images.image import Image, Version
    from scalesr.images.importing.source import Oriented
    from scalesr.images.statistics import Statistics
    from scalesr.images.writer import ImageWriter

_PATTERN = set("*?[")
_SPECTRA_BYTES = 16 << 20
_SMALLEST = 64
_MANY = 64  # beyond it, the channels are a spectrum, and nobody sets a window for each


def import_image(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    axes: str | None = None,
    pixel_size: float | Mapping[str, float] | None = None,
    unit: str | None = None,
    series: int = 0,
    variable: str | None = None,
    peaks: str | os.PathLike[str] | Sequence[float] | None = None,
    ppm: float | None = None,
    missing_planes: MissingPlanes = "refuse",
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
        TIFF in any dialect, imzML, an ENVI cube (its header or its pixels), a MATLAB file, ``.npy``, a Zarr array, a
        folder of numbered TIFF planes, or a pattern such as ``'folder/*.tif'``.
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
    variable
        Which variable of a MATLAB file; ``None`` takes the only numeric one of three dimensions.
    peaks
        m/z that become the bands of an imzML file, or a text or CSV file of them; ``None`` takes the 200 highest peaks
        of the mean spectrum.
    ppm
        Half the width of the window around each m/z of an imzML file; ``None`` is 10.
    missing_planes
        ``keep``: zeros take the place of planes that numbers of files or positions in OME-TIFF show to be missing.
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
        The source is absent, damaged, ambiguous, lacks planes or holds no intensities.
    OutputError
        The target exists, or cannot be written.
    """
    reader = open_source(
        source,
        series=series,
        variable=variable,
        axes=axes,
        peaks=peaks,
        ppm=ppm,
        sized="file" if pixel_size is None else "given",
        missing_planes=missing_planes,
    )
    try:
        reader = evened(reader, axes, missing=missing_planes, pixel_size=pixel_size)
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
            if isinstance(reader, Accompanied):
                write_companions(writer, reader)
            build_pyramid(writer, progress=None if progress is None else lambda done, _: progress(first + done, total))
            spectral = oriented.source.facts.spectral
            if spectral is not None and spectral.values.size == _bands(oriented):
                write_spectral(target, spectral, storage_options=storage_options)
            writer.publish(channels=_windowed(writer), facts=noted(oriented.source.facts))
        except BaseException:
            with contextlib.suppress(ScalesrError, OSError):
                remove_image(target, storage_options=storage_options)
            raise
    finally:
        reader.close()
    return open_image(target, storage_options=storage_options)


def open_source(
    source: str | os.PathLike[str],
    *,
    series: int = 0,
    variable: str | None = None,
    axes: str | None = None,
    peaks: str | os.PathLike[str] | Sequence[float] | None = None,
    ppm: float | None = None,
    sized: Literal["file", "given"] = "file",
    missing_planes: MissingPlanes = "refuse",
) -> Source:
    """Return the reader for a file, a folder or a pattern; the options are those of `import_image`.

    Raises
    ------
    InputError
        There is nothing, or nothing that can be imported.
    """
    text = os.fspath(source)
    path = Path(text).expanduser().absolute()
    ending = path.suffix.lower()
    _check_options(text, ending, variable=variable, peaks=peaks, ppm=ppm)
    if _PATTERN & set(text) and not path.exists():
        matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        return SequenceSource(matches, where=text, axes=axes, missing=missing_planes)
    location = Location.parse(text)
    if location.path is not None and not location.path.exists():
        raise InputError(
            f"{path} does not exist; the nearest folder that does is {location.nearest_parent()}.",
            remedy="Check the path.",
        )
    if location.path is None or path.is_dir():
        return _folder_source(location, axes=axes, missing=missing_planes)
    named: dict[str, Callable[[Path], Source]] = {
        ".imzml": partial(_imzml_source, axes=axes, peaks=peaks, ppm=ppm, sized=sized),
        ".mat": partial(MatlabSource, variable=variable, axes=axes),
        ".npy": NumpySource,
    }
    if ending in named:
        return named[ending](path)
    if ending not in SUFFIXES and is_envi(path):
        return EnviSource(path)
    return TiffSource(path, series=series)


def _check_options(
    where: str,
    ending: str,
    *,
    variable: str | None,
    peaks: str | os.PathLike[str] | Sequence[float] | None,
    ppm: float | None,
) -> None:
    if ending == ".ibd":
        raise InputError(f"{where} holds the spectra of an imzML file.", remedy="Name the .imzML beside it.")
    if variable is not None and ending != ".mat":
        raise InputError(f"{where} is not a MATLAB file, which could have variables.", remedy="Leave --variable out.")
    if (peaks is not None or ppm is not None) and ending != ".imzml":
        raise InputError(f"{where} is not imzML, of which peaks could be taken.", remedy="Leave --peaks and --ppm out.")


def _imzml_source(
    path: Path,
    *,
    axes: str | None,
    peaks: str | os.PathLike[str] | Sequence[float] | None,
    ppm: float | None,
    sized: Literal["file", "given"],
) -> Source:
    source = ImzMLSource(path, peaks=peaks, ppm=PPM if ppm is None else ppm, pixel_size=sized)
    known = "".join(source.facts.letters)
    if axes not in (None, known):
        raise InputError(f"{path} has the axes {known}, not {axes}.", remedy="Leave --axes out.")
    return source


def _folder_source(location: Location, *, axes: str | None, missing: MissingPlanes) -> Source:
    for zarr_format in (3, 2):
        try:
            array = zarr.open_array(location.store("read"), mode="r", zarr_format=zarr_format)
        except (FileNotFoundError, ValueError):
            continue
        return ZarrSource(array, where=str(location))
    path = location.path
    planes = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path is not None else []
    if planes:
        return SequenceSource(planes, where=str(location), axes=axes, missing=missing)
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
    colours = [i for i, axis in enumerate(axes) if axis.kind == "channel"]
    together = colours if facts.colours == "together" else []
    chunks = chunks or _fitting(auto_chunks(axes, shape), oriented, together)
    count = _bands(oriented)
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
            together=together,
        ),
        channels=facts.channels if len(facts.channels) == count else (Channel(),) * count,
        name=facts.name,
    )


def _bands(oriented: Oriented) -> int:
    return next((n for axis, n in zip(oriented.axes, oriented.shape, strict=True) if axis.kind == "channel"), 1)


def _fitting(chunks: tuple[int, ...], oriented: Oriented, together: list[int]) -> tuple[int, ...]:
    """Return chunks of a smaller ground where whole spectra of the given ones would make too large a shard."""
    spatial = [i for i, axis in enumerate(oriented.axes) if axis.kind == "space"]
    size = oriented.source.facts.dtype.itemsize * math.prod(oriented.shape[i] for i in together)
    while together and size * math.prod(chunks[i] for i in spatial) > _SPECTRA_BYTES and max(chunks) > _SMALLEST:
        chunks = tuple(-(-n // 2) if i in spatial and n > _SMALLEST else n for i, n in enumerate(chunks))
    return chunks


def _windowed(writer: ImageWriter) -> tuple[Channel, ...]:
    """Return the channels with the window that a viewer should begin with, from the coarsest level."""
    layout = writer.layout
    if len(layout.channels) > _MANY:
        return _ranged(writer) if any(channel.label for channel in layout.channels) else ()
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


def _ranged(writer: ImageWriter) -> tuple[Channel, ...]:
    """Return many channels with the range of each in the coarsest level, which is read once."""
    layout = writer.layout
    place = next(i for i, axis in enumerate(layout.axes) if axis.kind == "channel")
    others = tuple(i for i in range(len(layout.axes)) if i != place)
    low, high = np.full(len(layout.channels), np.inf), np.full(len(layout.channels), -np.inf)
    for region in shard_regions(layout.levels[-1]):
        pixels = np.asarray(writer.array(len(layout.levels) - 1)[region], dtype=np.float64)
        fine = np.isfinite(pixels)
        part = region[place]
        low[part] = np.minimum(low[part], pixels.min(axis=others, initial=np.inf, where=fine))
        high[part] = np.maximum(high[part], pixels.max(axis=others, initial=-np.inf, where=fine))
    return tuple(
        replace(channel, start=float(a), end=float(b)) if a <= b and channel.start is None else channel
        for channel, a, b in zip(layout.channels, low, high, strict=True)
    )


def _with_window(channel: Channel, statistics: Statistics) -> Channel:
    if statistics.min is None or channel.start is not None or channel.end is not None:
        return channel
    return replace(channel, start=statistics.percentile(0.1), end=statistics.percentile(99.9))
