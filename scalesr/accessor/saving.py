"""Writing an image that lies in an array, shard by shard."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from scalesr.errors import InputError, PlanError
from scalesr.images import (
    build_pyramid,
    count_shards,
    create_image,
    open_image,
    pyramid_layout,
    shard_regions,
    write_spectral,
)
from scalesr.images.layout import auto_chunks, auto_shards

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping

    from scalesr.images import ArrayImage, Image, SpectralAxis
    from scalesr.images.writer import Mode


def save(
    image: ArrayImage,
    spectral: SpectralAxis | None,
    target: str | os.PathLike[str],
    *,
    mode: Mode,
    chunks: Mapping[str, int] | None,
    shards: Mapping[str, int] | None,
    storage_options: Mapping[str, Any] | None,
    progress: Callable[[int, int], None] | None,
) -> Image:
    """Write an image with its pyramid and open it; see `ScalesrAccessor.to_ome_zarr`."""
    level = image.levels[0]
    sizes = _sizes(image, auto_chunks(image.axes, level.shape), chunks)
    units = _sizes(image, auto_shards(image.axes, level.shape, sizes, itemsize=image.dtype.itemsize), shards)
    if any(unit % size for unit, size in zip(units, sizes, strict=True)):
        raise PlanError(f"Shards of {units} are not whole numbers of chunks of {sizes}.", remedy="Give multiples.")
    layout = pyramid_layout(
        axes=image.axes,
        shape=level.shape,
        dtype=level.dtype,
        scale=level.scale,
        translation=level.translation,
        chunks=sizes,
        shards=units,
        channels=image.channels,
        name=PurePath(str(target).rstrip("/")).name.removesuffix(".zarr").removesuffix(".ome"),
    )
    writer = create_image(target, layout, mode=mode, storage_options=storage_options)
    total = count_shards(layout.levels[0])
    for number, region in enumerate(shard_regions(layout.levels[0]), 1):
        writer.write(0, region, image.read(region))
        if progress is not None:
            progress(number, total)
    build_pyramid(writer)
    if spectral is not None:
        write_spectral(target, spectral, storage_options=storage_options)
    writer.publish()
    return open_image(target, storage_options=storage_options)


def _sizes(image: ArrayImage, chosen: tuple[int, ...], asked: Mapping[str, int] | None) -> tuple[int, ...]:
    """Return sizes along all axes, with those that were asked for by name in place of what was chosen."""
    wrong = [name for name in asked or {} if name not in image.axis_names]
    if wrong:
        raise InputError(f"The array has no dimension {wrong[0]!r}.", remedy=f"It has {', '.join(image.axis_names)}.")
    return tuple((asked or {}).get(name, size) for name, size in zip(image.axis_names, chosen, strict=True))
