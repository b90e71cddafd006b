"""What other software writes opens in scalesr, with the same pixels, sizes, places and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from interoperability.exchanged import SAMPLES, VERSIONS
from interoperability.known import TROUBLE
from interoperability.writers import ONLY_HERE, WITH_PLACES, WITHOUT_NAMES, WRITERS

import scalesr

if TYPE_CHECKING:
    from pathlib import Path

    from interoperability.exchanged import Version

# ome-zarr-py makes one of its own deprecated objects while it is imported.
pytestmark = pytest.mark.filterwarnings("ignore:Call to deprecated class Scaler")


def cells() -> list[Any]:
    """Return a cell of the table for each writer, sample and version."""
    return [
        pytest.param(
            writer,
            name,
            version,
            marks=[pytest.mark.xfail(strict=True, reason=TROUBLE[writer, name, version])]
            if (writer, name, version) in TROUBLE
            else [],
        )
        for writer in WRITERS
        for name in SAMPLES
        for version in VERSIONS
        if version in ONLY_HERE.get(writer, VERSIONS)
    ]


@pytest.mark.parametrize(("writer", "name", "version"), cells())
def test_images_of_others_open(tmp_path: Path, writer: str, name: str, version: Version) -> None:
    sample = SAMPLES[name]
    place = WRITERS[writer](sample, version, tmp_path / "theirs.ome.zarr")
    image = scalesr.open_image(place)
    assert image.version == version
    # What was not in the sample has one entry.
    extra = tuple(n for n, axis in enumerate(image.axis_names) if axis not in sample.axes)
    pixels = image.read(tuple(slice(0, size) for size in image.shape))
    assert {image.shape[n] for n in extra} <= {1}
    assert "".join(axis for axis in image.axis_names if axis in sample.axes) == sample.axes
    np.testing.assert_array_equal(pixels.squeeze(extra), sample.pixels)
    first = image.levels[0]
    assert dict(zip(image.axis_names, first.scale, strict=True)) | sample.pixel_sizes == pytest.approx(
        dict(zip(image.axis_names, first.scale, strict=True))
    )
    if writer in WITH_PLACES:
        assert [first.translation[image.axis_names.index(axis)] for axis in sample.axes] == pytest.approx(
            list(sample.translation)
        )
    assert {axis.name: axis.unit for axis in image.axes if axis.name in sample.units} == sample.units
    if writer not in WITHOUT_NAMES:
        assert [channel.label for channel in image.channels][: len(sample.labels)] == list(sample.labels)
    for number, level in enumerate(image.levels):
        assert image.read(tuple(slice(0, size) for size in level.shape), level=number).shape == level.shape


@pytest.mark.parametrize("writer", ["ome-zarr", "ngff-zarr", "bioformats2raw"])
def test_images_of_others_go_through_a_run(tmp_path: Path, writer: str) -> None:
    sample = SAMPLES["volume (c, z, y, x)"]
    place = WRITERS[writer](sample, "0.4", tmp_path / "theirs.ome.zarr")
    result = scalesr.run(place, tmp_path / "out.ome.zarr", model="nearest", scale=2, scheduler="serial")
    pixels = result.image.read(tuple(slice(0, size) for size in result.image.shape))
    np.testing.assert_array_equal(pixels.squeeze()[..., ::2, ::2], sample.pixels)


def test_a_container_of_two_images_opens_by_series(tmp_path: Path) -> None:
    sample = SAMPLES["plane (y, x)"]
    place = WRITERS["bioformats2raw"](sample, "0.4", tmp_path / "theirs.ome.zarr").parent
    whole = tuple(slice(0, 1) for _ in "tcz") + tuple(slice(0, size) for size in sample.shape)
    assert not scalesr.open_image(place).read(whole).any()
    np.testing.assert_array_equal(scalesr.open_image(place, series=1).read(whole)[0, 0, 0], sample.pixels)
