"""What scalesr writes opens in other software, with the same pixels, sizes, places and names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from interoperability.exchanged import SAMPLES, VERSIONS, write_ours
from interoperability.known import TROUBLE
from interoperability.readers import READERS, SAYS, said

from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

    from interoperability.exchanged import Version


def cells() -> list[Any]:
    """Return a cell of the table for each reader, sample and version."""
    return [
        pytest.param(
            reader,
            name,
            version,
            marks=[pytest.mark.xfail(strict=True, reason=TROUBLE[reader, name, version])]
            if (reader, name, version) in TROUBLE
            else [],
        )
        for reader in READERS
        for name in SAMPLES
        for version in VERSIONS
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write each sample in each version, once for all readers."""
    made = tmp_path_factory.mktemp("ours")
    for name in SAMPLES:
        for version in VERSIONS:
            write_ours(name, version, made / f"{SAMPLES[name].axes}-{version}.ome.zarr")
    return made


@pytest.mark.parametrize(("reader", "name", "version"), cells())
def test_our_images_open(
    folder: Path, monkeypatch: pytest.MonkeyPatch, reader: str, name: str, version: Version
) -> None:
    sample = SAMPLES[name]
    place = folder / f"{sample.axes}-{version}.ome.zarr"
    ours = open_image(place)
    found = READERS[reader](place, monkeypatch)
    expected = set(SAYS[reader]) - (set() if sample.labels else {"labels"})
    assert said(found) == expected - ({"axes"} if (reader, version) == ("tensorstore", "0.4") else set())
    axes = sample.axes if found.axes is None else found.axes
    # Some have always five axes; those that the image has not are one pixel wide.
    added = tuple(number for number, axis in enumerate(axes) if axis not in sample.axes)
    assert "".join(axis for axis in axes if axis in sample.axes) == sample.axes
    np.testing.assert_array_equal(found.levels[0].squeeze(added), sample.pixels)
    for number, pixels in enumerate(found.levels[1:], start=1):
        np.testing.assert_array_equal(pixels.squeeze(added), ours.array(number)[...])
    assert len(found.levels) == len(ours.levels) > 1
    for told, true in ((found.scale, sample.scale), (found.translation, sample.translation)):
        if told is not None:
            known = dict(zip(axes, told, strict=True))
            assert [known[axis] for axis in sample.axes] == pytest.approx(list(true))
    if found.units:
        assert found.units == sample.units
    if found.labels:
        assert found.labels == sample.labels
