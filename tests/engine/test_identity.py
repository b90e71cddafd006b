"""Stitching proved with a model that changes nothing: whatever goes in comes out."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import write_image
from engine.conftest import voxels

import scalesr
from scalesr.images import downsample

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32", "float64"])
@pytest.mark.parametrize("blend", [0, 3])
def test_every_data_type_comes_back(make_image: MakeImage, tmp_path: Path, dtype: str, blend: int) -> None:
    rng = np.random.default_rng(0)
    pixels: Any = rng.normal(100, 30, (61, 47)).clip(0, 250).astype(dtype)
    image = make_image(pixels)
    result = scalesr.run(
        image, tmp_path / "out.zarr", model="identity", cell=16, halo=4, blend=blend, block=2, scheduler="serial"
    )
    out = voxels(result.image)
    assert out.dtype == pixels.dtype
    if pixels.dtype.kind == "f":
        np.testing.assert_allclose(out, pixels, atol=2e-5)
    else:
        np.testing.assert_array_equal(out, pixels)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((1, 1), "yx"),
        ((1, 37), "yx"),
        ((2, 3), "yx"),
        ((3, 31, 29), "cyx"),
        ((2, 3, 5, 17, 13), "tczyx"),
        ((5, 17, 13), "zyx"),
        ((3, 13, 17), "cxy"),
    ],
)
def test_every_shape_comes_back(make_image: MakeImage, tmp_path: Path, shape: tuple[int, ...], axes: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 65535, shape, dtype=np.uint16)
    image = make_image(pixels, axes)
    result = scalesr.run(
        image, tmp_path / "out.zarr", model="identity", cell=8, halo=2, blend=2, block=2, scheduler="serial"
    )
    np.testing.assert_array_equal(voxels(result.image), pixels)


def test_blends_in_three_dimensions(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(2).integers(0, 4095, (23, 41, 37), dtype=np.uint16)
    image = make_image(pixels, "zyx", chunk=16)
    result = scalesr.run(
        image, tmp_path / "out.zarr", model="identity", axes="zyx", cell=8, halo=3, blend=3, block=2, scheduler="serial"
    )
    np.testing.assert_array_equal(voxels(result.image), pixels)


def test_each_level_is_the_mean_of_the_one_below(make_image: MakeImage, tmp_path: Path) -> None:
    pixels = np.random.default_rng(3).integers(0, 65535, (700, 833), dtype=np.uint16)
    image = make_image(pixels, chunk=256)
    result = scalesr.run(image, tmp_path / "out.zarr", model="identity", cell=96, halo=4, block=4, scheduler="serial")
    levels = [voxels(result.image, level=n) for n in range(len(result.image.levels))]
    assert len(levels) >= 3
    assert {level.made for level in result.plan.levels} == {"in pass", "at end"}
    for fine, coarse in pairwise(levels):
        np.testing.assert_array_equal(coarse, downsample(fine, (0, 1)))
    assert result.image.levels[0].translation == image.levels[0].translation
    assert result.image.levels[1].scale == (1.0, 1.0)


@pytest.mark.parametrize("scheduler", ["serial", "threads"])
def test_an_input_that_is_written_anew_in_another_shape_is_read_anew(tmp_path: Path, scheduler: str) -> None:
    for edge in (40, 64):
        pixels = np.arange(edge * edge, dtype=np.uint16).reshape(edge, edge)
        write_image(tmp_path / "in.zarr", pixels)
        result = scalesr.run(
            tmp_path / "in.zarr",
            tmp_path / "out.zarr",
            model="identity",
            cell=16,
            halo=4,
            scheduler=scheduler,
            mode="overwrite",
        )
        np.testing.assert_array_equal(voxels(result.image), pixels)
