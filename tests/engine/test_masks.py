"""Regions that are not rectangles: what was not measured is no zero, and decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from engine.conftest import voxels

import scalesr
from scalesr.engine.masks import find_mask, nearest
from scalesr.errors import InputError, LedgerError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

    from scalesr.images import Image

SMALL: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": 16, "scheduler": "serial"}


def put_mask(image: Image, mask: NDArray[Any]) -> None:
    """Write a mask beside an image, as importers do."""
    zarr.create_array(
        image.url, name="mask", shape=mask.shape, chunks=(32,) * mask.ndim, dtype="uint8", fill_value=0, overwrite=True
    )[...] = mask.astype(np.uint8)


def disc(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a disc that touches the left edge."""
    y, x = np.indices(shape)
    inside: NDArray[np.bool_] = (y - shape[0] / 2) ** 2 + (x - shape[1] / 3) ** 2 < (shape[1] / 3) ** 2
    return inside


@pytest.fixture
def masked(make_image: MakeImage) -> tuple[Image, NDArray[np.float32], NDArray[np.bool_]]:
    """Return an image of three bands with its pixels and its mask; outside it is garbage."""
    pixels = np.random.default_rng(5).normal(100, 10, (3, 61, 74)).astype(np.float32)
    inside = disc((61, 74))
    pixels[:, ~inside] = 1e6
    image = make_image(pixels, "cyx")
    put_mask(image, inside)
    return image, pixels, inside


def grown(inside: NDArray[np.bool_], scale: int = 2) -> NDArray[np.bool_]:
    """Return a mask on the finer grid."""
    return np.kron(inside, np.ones((scale, scale), bool))


@pytest.mark.parametrize("blend", [0, 4])
@pytest.mark.parametrize("flux", ["free", "conserved"])
def test_what_was_not_measured_becomes_nan(masked: Any, tmp_path: Path, blend: int, flux: str) -> None:
    image, pixels, inside = masked
    result = scalesr.run(image, tmp_path / "out.zarr", blend=blend, flux=flux, **SMALL)
    out = voxels(result.image)
    np.testing.assert_array_equal(np.isnan(out), np.broadcast_to(~grown(inside), out.shape))
    assert result.masked == 3 * np.count_nonzero(~inside)
    assert result.not_finite == 0
    # Garbage outside reaches neither the normalisation nor the network.
    assert max(result.normalisation.gain) < 100
    assert "mask" in result.normalisation.origin
    assert np.nanmax(out) < 200
    lazily = scalesr.lazy(image, blend=blend, flux=flux, **SMALL).compute(scheduler="sync")
    np.testing.assert_array_equal(lazily, out)
    if flux == "conserved":
        means = out.reshape(3, 61, 2, 74, 2).mean(axis=(2, 4))
        assert np.abs(means[:, inside] / pixels[:, inside] - 1).max() < 1e-6


def test_integers_become_zero(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).integers(1000, 2000, (61, 74), dtype=np.uint16)
    inside = disc((61, 74))
    image = make_image(pixels)
    put_mask(image, inside)
    for flux in ("free", "conserved"):
        result = scalesr.run(image, tmp_path / f"{flux}.zarr", flux=flux, **SMALL)
        np.testing.assert_array_equal(voxels(result.image) == 0, ~grown(inside))
        assert result.clipped == 0


def test_the_same_bytes_for_any_block(masked: Any, tmp_path: Path) -> None:
    image, _, _ = masked
    ways: list[dict[str, Any]] = [{"block": 1}, {"block": 9}, {"scheduler": "threads", "workers": 3}]
    outs = [
        voxels(scalesr.run(image, tmp_path / f"{k}.zarr", **SMALL | {"blend": 3} | way).image)
        for k, way in enumerate(ways)
    ]
    assert outs[0].tobytes() == outs[1].tobytes() == outs[2].tobytes()


def test_none_takes_all_pixels(masked: Any, tmp_path: Path) -> None:
    image, _, _ = masked
    result = scalesr.run(image, tmp_path / "out.zarr", mask="none", **SMALL)
    assert result.masked == 0
    assert np.isfinite(voxels(result.image)).all()


def test_nan_outside_the_mask_is_no_trouble_and_inside_is(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).normal(100, 10, (61, 74)).astype(np.float32)
    inside = disc((61, 74))
    pixels[~inside] = np.nan
    image = make_image(pixels)
    put_mask(image, inside)
    result = scalesr.run(image, tmp_path / "a.zarr", **SMALL)
    assert result.not_finite == 0
    np.testing.assert_array_equal(np.isnan(voxels(result.image)), ~grown(inside))
    image.array(0)
    pixels[30, 25] = np.nan
    image = make_image(pixels, name="b.zarr")
    put_mask(image, inside)
    with pytest.raises(InputError, match="1 NaN or infinite voxels, the first at y=30, x=25"):
        scalesr.run(image, tmp_path / "c.zarr", **SMALL)
    result = scalesr.run(image, tmp_path / "d.zarr", on_nan="fill", **SMALL)
    assert result.not_finite == 1
    np.testing.assert_array_equal(np.isnan(voxels(result.image)), ~grown(inside & np.isfinite(pixels)))


def test_a_mask_of_another_place(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).normal(100, 10, (2, 61, 74)).astype(np.float32)
    inside = disc((61, 74))
    image = make_image(pixels, "cyx")
    # Its own order of axes, and one of size 1 that the image does not have.
    mask = make_image(inside.T[None].astype(np.uint8), "txy", name="mask.zarr")
    result = scalesr.run(image, tmp_path / "out.zarr", mask=mask.url, **SMALL)
    np.testing.assert_array_equal(np.isnan(voxels(result.image)), np.broadcast_to(~grown(inside), (2, 122, 148)))


def test_masks_that_do_not_fit(masked: Any, make_image: MakeImage, tmp_path: Path) -> None:
    image, _, inside = masked
    small = make_image(np.ones((60, 74), np.uint8), name="small.zarr")
    bands = make_image(np.ones((3, 61, 74), np.uint8), "cyx", name="bands.zarr")
    line = make_image(np.ones((1, 74), np.uint8), "zx", name="line.zarr")
    for mask, words in ((small, "60 pixels along 'y'"), (bands, "3 entries along 'c'"), (line, "no axis 'y'")):
        with pytest.raises(InputError, match=words):
            scalesr.run(image, tmp_path / "out.zarr", mask=mask.url, **SMALL)
    put_mask(image, np.zeros_like(inside))
    with pytest.raises(InputError, match="zero everywhere"):
        scalesr.run(image, tmp_path / "out.zarr", **SMALL)
    assert not (tmp_path / "out.zarr").exists()


def test_a_mask_belongs_to_level_0(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(5).integers(0, 9, (600, 300), dtype=np.uint8)
    image = scalesr.run(make_image(pixels), tmp_path / "levels.zarr", model="identity", scheduler="serial").image
    assert len(image.levels) > 1
    put_mask(image, pixels > 0)
    with pytest.raises(InputError, match="level 0"):
        scalesr.run(image, tmp_path / "out.zarr", level=1, **SMALL)
    assert scalesr.run(image, tmp_path / "out.zarr", level=1, mask="none", **SMALL).masked == 0


def test_another_mask_is_another_run(masked: Any, tmp_path: Path) -> None:
    image, _, inside = masked
    scalesr.run(image, tmp_path / "out.zarr", **SMALL)
    changed = inside.copy()
    changed[30, 20] = not changed[30, 20]
    put_mask(image, changed)
    with pytest.raises(LedgerError, match="mask"):
        scalesr.run(image, tmp_path / "out.zarr", mode="resume", **SMALL)


def test_a_mask_counts_what_was_measured(masked: Any) -> None:
    image, _, inside = masked
    found = find_mask(image, level=0, how="auto", tell=lambda _: None)
    assert found is not None
    assert [found.measured, found.pixels] == [int(inside.sum()), inside.size]


@pytest.mark.parametrize("scale", ["1", "4", "3/2", "48/13", "49"])
def test_each_voxel_lies_in_one_pixel(scale: str) -> None:
    from fractions import Fraction  # noqa: PLC0415 used once

    factor = Fraction(scale)
    found = nearest(range(500), factor)
    assert all(pixel <= voxel / factor < pixel + 1 for voxel, pixel in enumerate(found.tolist()))
