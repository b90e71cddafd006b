"""Arrays in memory are restored lazily: a slice reads its chunks and runs its tiles, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np
import pytest
import xarray as xr
from commands import speckle, write_image

import scalesr
from scalesr.engine import lazy
from scalesr.engine.inference import infer_cells
from scalesr.engine.labelled import as_image
from scalesr.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

MODEL: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": 16, "normalise": "dtype"}


def test_an_array_gives_the_voxels_that_a_run_writes(tmp_path: Path) -> None:
    pixels = speckle(2, 40, 53)
    image = write_image(tmp_path / "in.zarr", pixels, "zyx")
    result = scalesr.run(image, tmp_path / "out.zarr", scheduler="serial", **MODEL)
    written = result.image.read(tuple(slice(0, n) for n in result.image.shape))
    labelled = xr.DataArray(pixels, dims=("z", "y", "x"))
    for source, dims in (
        (pixels, "zyx"),
        (da.from_array(pixels, chunks=(1, 17, 19)), "zyx"),
        (image.array(), "zyx"),
        (labelled, None),
        (labelled.chunk({"y": 11}), None),
        (image, None),
        (image.url, None),
    ):
        np.testing.assert_array_equal(lazy(source, dims=dims, **MODEL).compute(), written)


def test_a_slice_reads_its_chunks_and_runs_its_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[tuple[int, ...]] = []
    run: list[int] = []

    def chunk(block_info: Any = None) -> Any:
        place = block_info[None]["chunk-location"]
        read.append(place)
        return np.full((32, 32), 32 * place[0] + place[1], np.uint16)

    # Far more than is asked for, in chunks of 32 x 32.
    pixels = da.map_blocks(chunk, chunks=((32,) * 256, (32,) * 4), dtype=np.uint16)

    def counting(job: Any, cells: Any, tiles: Any) -> Any:
        run.append(sum(1 for _ in np.ndindex(*map(len, cells))))
        return infer_cells(job, cells, tiles)

    monkeypatch.setattr("scalesr.engine.lazy_array.infer_cells", counting)
    made = lazy(pixels, dims="yx", **MODEL)
    assert (read, run) == ([], [])
    assert made.shape == (2 * 8192, 256)
    # Output pixels 80..95 of each axis are cell 2 of 16 px, whose tile of 36 px begins at 30: chunks 0 and 1.
    part = made[80:90, 80:90].compute(scheduler="synchronous")
    assert part.shape == (10, 10)
    assert run == [1]
    assert sorted(set(read)) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_pixel_sizes_say_how_far_apart_planes_are() -> None:
    pixels = speckle(4, 20, 20)
    told: dict[str, Any] = {"model": "linear", "scale": "isotropic", "normalise": "dtype"}
    assert lazy(pixels, dims="zyx", pixel_sizes={"z": 1.5, "y": 0.5, "x": 0.5}, **told).shape == (12, 20, 20)
    image = as_image(pixels, dims="zyx", pixel_sizes=0.25)
    assert image.pixel_sizes == (0.25,) * 3
    assert {axis.unit for axis in image.axes} == {"micrometer"}
    assert {axis.unit for axis in as_image(pixels, dims="cyx").axes} == {None}


def test_arrays_are_measured_as_images_are(tmp_path: Path) -> None:
    truth, coarse = speckle(40, 60), speckle(20, 30)
    output = (truth * 0.9).astype(np.uint16)
    names = ["psnr", "consistency"]
    labelled = xr.DataArray(output, dims=("y", "x"), coords={"y": np.arange(40) * 0.5, "x": np.arange(60) * 0.5})
    stored = write_image(tmp_path / "out.zarr", output), write_image(tmp_path / "truth.zarr", truth)
    figures = [
        [
            figure.value
            for figure in scalesr.measure(made, reference=other, measured=coarse, metrics=names, **told).measures
        ]
        for made, other, told in (
            (*stored, {}),
            (output, truth, {"dims": "yx"}),
            (output, da.from_array(truth, chunks=7), {"dims": "yx", "pixel_sizes": 0.5}),
            (labelled, truth, {}),
        )
    ]
    assert figures[1:] == figures[:1] * 3
    assert len(figures[0]) > 5
    with pytest.raises(InputError, match="is compared with an image of the axes y, x"):
        scalesr.measure(output, reference=truth[None], dims="yx")


@pytest.mark.parametrize(
    ("source", "given", "words"),
    [
        (np.zeros((3, 4, 5)), {}, "3 dimensions, of 3, 4, 5 pixels; it is not said what they are"),
        (np.zeros((3, 4)), {"dims": "zyx"}, "'zyx' does not name them"),
        (np.zeros((3, 4)), {"dims": "yy"}, "'yy' does not name them"),
        (np.zeros((3, 4)), {"dims": "yq"}, "'yq' does not name them"),
        (np.zeros((3, 4)), {"dims": "yx", "pixel_sizes": {"z": 1.0}}, "1.0 for 'z'"),
        (np.zeros((3, 4)), {"dims": "yx", "pixel_sizes": 0}, "0 for 'y'"),
        (np.zeros((3, 4), bool), {"dims": "yx"}, "of type bool"),
        (xr.DataArray(np.zeros((3, 4)), dims=("y", "x")), {"dims": "yx"}, "are known of DataArray"),
        (xr.Dataset(), {}, "Dataset is no image"),
        ([[1, 2]], {"dims": "yx"}, "list is no image"),
    ],
)
def test_what_is_no_image_is_told(source: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as caught:
        lazy(source, model="cubic", scale=2, **given)
    assert words in str(caught.value)
