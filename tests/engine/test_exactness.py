"""Tiles give what the network gives on the whole image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from engine.conftest import voxels

import scalesr
from scalesr.engine import BlockDone, Event
from scalesr.engine.inference import infer_cells
from scalesr.models import load, resolve

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

FIELD = 9
"""More than the receptive field of the EDSR of two blocks."""


def whole(model: Path, pixels: NDArray[Any], low: float, high: float) -> NDArray[np.float64]:
    """Return what the network makes of the whole image in one pass."""
    ref = resolve(str(model), image_channels=None, image_axes="yx")
    tiles = torch.from_numpy((pixels.astype(np.float32) - np.float32(low)) / np.float32(high - low))[None, None]
    with torch.inference_mode():
        result = load(ref)(tiles, torch.zeros((1, 2), dtype=torch.int64))
    return result[0, 0].numpy().astype(np.float64) * (high - low) + low


@pytest.mark.parametrize(("blend", "bound"), [(0, 1e-6), (4, 2e-6)])
def test_tiles_equal_the_whole_image(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path, blend: int, bound: float
) -> None:
    pixels = speckle.astype(np.float32)
    low, high = float(pixels.min()), float(pixels.max())
    result = scalesr.run(
        make_image(pixels),
        tmp_path / "out.zarr",
        model=str(edsr),
        cell=20,
        halo=FIELD + blend,
        blend=blend,
        normalise=(low, high),
        scheduler="serial",
        block=2,
    )
    inner = (slice(2 * FIELD, -2 * FIELD),) * 2
    difference = np.abs(voxels(result.image) - whole(edsr, pixels, low, high))[inner]
    assert difference.max() <= bound * (high - low)


def test_the_default_halo_is_the_receptive_field(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path
) -> None:
    ref = resolve(str(edsr), image_channels=None, image_axes="yx")
    field = load(ref).spec.receptive
    assert field is not None
    result = scalesr.run(make_image(speckle), tmp_path / "out.zarr", model=str(edsr), cell=32, scheduler="serial")
    assert [axis.halo for axis in result.plan.lattice.axes] == list(field)


def test_lazy_gives_the_same_voxels_and_computes_only_its_tiles(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = make_image(speckle)
    tiles: dict[str, Any] = {"model": str(edsr), "cell": 16, "halo": 8, "blend": 4}
    result = scalesr.run(image, tmp_path / "out.zarr", scheduler="serial", **tiles)
    expected = voxels(result.image)
    array = scalesr.lazy(image, **tiles)
    assert array.shape == expected.shape
    np.testing.assert_array_equal(array.compute(scheduler="sync"), expected)

    counted: list[int] = []
    original = infer_cells

    def counting(job: Any, cells: Any, context: Any) -> Any:
        counted.append(int(np.prod([len(some) for some in cells])))
        return original(job, cells, context)

    monkeypatch.setattr("scalesr.engine.lazy_array.infer_cells", counting)
    part = array[40:60, 40:60].compute(scheduler="sync")
    np.testing.assert_array_equal(part, expected[40:60, 40:60])
    # Output pixels 40 to 60 lie in one cell of 32 output pixels; three neighbours fade into it.
    assert counted == [4]


def test_every_tile_is_computed_once(make_image: MakeImage, speckle: NDArray[np.uint16], tmp_path: Path) -> None:
    seen: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, BlockDone):
            seen.append(event.report.tiles)

    result = scalesr.run(
        make_image(speckle),
        tmp_path / "out.zarr",
        model="cubic",
        scale=4,
        cell=16,
        halo=4,
        blend=4,
        scheduler="serial",
        callbacks=[count],
    )
    assert sum(seen) == result.plan.tiles == 10 * 11
    assert result.image.shape == (600, 684)
    assert result.image.pixel_sizes == (0.125, 0.125)
    assert result.image.levels[0].translation == (3.0 - 0.1875, 3.0 - 0.1875)
