"""Images of the samples as other software writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import ngff_zarr
import numpy as np
import pytest
import tifffile
import zarr
from ome_zarr.format import FormatV04, FormatV05

from scalesr.images import import_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from interoperability.exchanged import Sample, Version


def ome_zarr_py(sample: Sample, version: Version, target: Path) -> Path:
    """Write with ome-zarr-py, with its own pyramid."""
    # Here, as importing it warns.
    write_image = pytest.importorskip("ome_zarr.writer").write_image
    fmt = FormatV04() if version == "0.4" else FormatV05()
    group = zarr.open_group(str(target), mode="w", zarr_format=fmt.zarr_format)
    own = {"omero": {"channels": [_channel(label) for label in sample.labels]}} if sample.labels else {}
    write_image(
        sample.pixels,
        group,
        axes=sample.axes,
        fmt=fmt,
        scale_factors=[2],
        scale=dict(zip(sample.axes, sample.scale, strict=True)),
        axes_units=sample.units,
        **own,
    )
    return target


def with_ngff_zarr(sample: Sample, version: Version, target: Path) -> Path:
    """Write with ngff-zarr; 0.5 with shards."""
    dims: Any = tuple(sample.axes)
    image = ngff_zarr.to_ngff_image(
        sample.pixels,
        dims=dims,
        scale=dict(zip(sample.axes, sample.scale, strict=True)),
        translation=dict(zip(sample.axes, sample.translation, strict=True)),
        name="exchanged",
        axes_units=sample.units,
        channel_names=list(sample.labels) or None,
    )
    # One resolution: its own way to make others is compiled for half a minute on first use.
    scales = ngff_zarr.to_multiscales(image, scale_factors=[], chunks=32)
    if sample.labels:
        window = ngff_zarr.OmeroWindow(min=0, max=65535, start=0, end=4000)
        channels = [ngff_zarr.OmeroChannel(color="FFFFFF", window=window, label=label) for label in sample.labels]
        scales.metadata.omero = ngff_zarr.Omero(channels=channels)
    more: dict[str, Any] = {"chunks_per_shard": 2} if version == "0.5" else {}
    ngff_zarr.to_ngff_zarr(str(target), scales, version=version, **more)
    return target


def bioio(sample: Sample, version: Version, target: Path) -> Path:
    """Write with the writer of bioio-ome-zarr; 0.5 with shards."""
    library = pytest.importorskip("bioio_ome_zarr.writers")
    half = tuple(size // 2 if axis in "yx" else size for axis, size in zip(sample.axes, sample.shape, strict=True))
    kinds = {"t": "time", "c": "channel"}
    writer = library.OMEZarrWriter(
        str(target),
        [sample.shape, half],
        sample.dtype,
        chunk_shape=[sample.shape, half] if version == "0.4" else tuple(min(16, size) for size in sample.shape),
        shard_shape=tuple(min(16, size) * 8 for size in sample.shape) if version == "0.5" else None,
        zarr_format=3 if version == "0.5" else 2,
        image_name="exchanged",
        channels=[library.Channel(label=label, color="FFFFFF") for label in sample.labels] or None,
        axes_names=list(sample.axes),
        axes_types=[kinds.get(axis, "space") for axis in sample.axes],
        axes_units=[sample.units.get(axis) for axis in sample.axes],
        physical_pixel_size=list(sample.scale),
    )
    writer.write_full_volume(sample.pixels)
    return target


def tifffile_ngff_zarr(sample: Sample, version: Version, target: Path) -> Path:
    """Write OME-TIFF with tifffile and convert it with ngff-zarr, which reads it with tifffile."""
    ((_, image),) = ngff_zarr.tiff_file_to_ngff_images(_ome_tiff(sample, target))
    assert isinstance(image, ngff_zarr.NgffImage)
    scales = ngff_zarr.to_multiscales(image, scale_factors=[], chunks=32)
    ngff_zarr.to_ngff_zarr(str(target), scales, version=version)
    return target


def tifffile_scalesr(sample: Sample, _: Version, target: Path) -> Path:
    """Write OME-TIFF with tifffile and convert it with ``scalesr import``, which reads it with tifffile."""
    import_image(_ome_tiff(sample, target), target)
    return target


def bioformats2raw(sample: Sample, version: Version, target: Path) -> Path:
    """Lay two images out as bioformats2raw documents it: the sample is the second; its axes are always tczyx.

    A group with ``bioformats2raw.layout`` 3, one image for each series, named 0, 1 ..., and the metadata of all in
    ``OME/METADATA.ome.xml``.
    """
    style: Literal[2, 3] = 2 if version == "0.4" else 3
    about: dict[str, Any] = {"bioformats2raw.layout": 3}
    root = zarr.create_group(
        str(target), zarr_format=style, attributes=about if style == 2 else {"ome": {"version": "0.5", **about}}
    )
    listed: dict[str, Any] = {"series": ["0", "1"]}
    root.create_group("OME", attributes=listed if style == 2 else {"ome": {"version": "0.5", **listed}})
    (target / "OME" / "METADATA.ome.xml").write_text(_ome_xml(2))
    full = tuple(axis not in sample.axes for axis in "tczyx")
    pixels = np.expand_dims(sample.pixels, tuple(place for place, absent in enumerate(full) if absent))
    sizes = dict(zip(sample.axes, sample.scale, strict=True))
    for series in ("0", "1"):
        levels, datasets = [pixels, pixels[..., ::2, ::2]], []
        group = root.create_group(series)
        for number, level in enumerate(levels):
            made: dict[str, Any] = {"chunk_key_encoding": {"name": "v2", "separator": "/"}} if style == 2 else {}
            array = group.create_array(
                str(number), shape=level.shape, dtype=level.dtype, chunks=(1, 1, 1, *level.shape[-2:]), **made
            )
            array[...] = level if series == "1" else 0
            step = [sizes.get(axis, 1.0) * (2**number if axis in "yx" else 1) for axis in "tczyx"]
            datasets.append({"path": str(number), "coordinateTransformations": [{"type": "scale", "scale": step}]})
        kinds = {"t": "time", "c": "channel"}
        axes = [
            {"name": axis, "type": kinds.get(axis, "space"), **({"unit": "micrometer"} if axis in sample.units else {})}
            for axis in "tczyx"
        ]
        scales: dict[str, Any] = {"axes": axes, "datasets": datasets, "name": series}
        omero = {"channels": [_channel(label) for label in sample.labels]}
        ome: dict[str, Any] = {"multiscales": [scales | ({"version": "0.4"} if style == 2 else {})]}
        ome |= {"omero": omero} if sample.labels else {}
        group.attrs.put(ome if style == 2 else {"ome": {"version": "0.5", **ome}})
    return target / "1"


def _channel(label: str) -> dict[str, Any]:
    window = {"min": 0, "max": 65535, "start": 0, "end": 4000}
    return {"label": label, "color": "FFFFFF", "active": True, "window": window}


def _ome_tiff(sample: Sample, target: Path) -> Path:
    path = target.with_name("exchanged.ome.tif")
    names = {"z": "PhysicalSizeZ", "y": "PhysicalSizeY", "x": "PhysicalSizeX"}
    about: dict[str, Any] = {"axes": sample.axes.upper()}
    for axis, size in sample.pixel_sizes.items():
        about |= {names[axis]: size, f"{names[axis]}Unit": "µm"}
    if sample.labels:
        about["Channel"] = {"Name": list(sample.labels)}
    tifffile.imwrite(path, sample.pixels, ome=True, photometric="minisblack", metadata=about)
    return path


def _ome_xml(images: int) -> str:
    """Return the metadata of so many images, each with what the schema demands."""
    each = "".join(
        f'<Image ID="Image:{number}"><Pixels ID="Pixels:{number}" DimensionOrder="XYZCT" Type="uint16" SizeX="1"'
        f' SizeY="1" SizeZ="1" SizeC="1" SizeT="1"><MetadataOnly/></Pixels></Image>'
        for number in range(images)
    )
    return f'<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{each}</OME>'


WRITERS: dict[str, Callable[[Sample, Version, Path], Path]] = {
    "ome-zarr": ome_zarr_py,
    "ngff-zarr": with_ngff_zarr,
    "bioio-ome-zarr": bioio,
    "tifffile and ngff-zarr": tifffile_ngff_zarr,
    "tifffile and scalesr import": tifffile_scalesr,
    "bioformats2raw": bioformats2raw,
}
"""By the name that stands in the table."""
ONLY_HERE = {"tifffile and scalesr import": ("0.5",)}
"""Writers of one version of OME-Zarr."""
WITH_PLACES = ("ngff-zarr",)
"""Writers that say where the first pixel lies."""
WITHOUT_NAMES = ("tifffile and ngff-zarr",)
"""Writers that leave the names of channels out."""
