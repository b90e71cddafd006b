"""What lies beside a spectral image lies beside the output too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from commands import call, only_json
from engine.conftest import voxels
from engine.test_flux import means
from engine.test_masks import disc, grown, put_mask

import scalesr
from scalesr.engine import BlockDone
from scalesr.errors import InputError, InterruptedRunError
from scalesr.images import (
    Channel,
    SpectralAxis,
    create_image,
    import_image,
    open_image,
    pyramid_layout,
    read_spectral,
    write_spectral,
)
from scalesr.images.importing.companions import open_companion

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage

    from scalesr.engine import Event
    from scalesr.images import Image

SMALL: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": 16, "scheduler": "serial"}
MZ = np.array([150.0, 600.5, 864.6])


@pytest.fixture
def cube(make_image: MakeImage) -> Image:
    """Return an image of three bands with all that an importer keeps."""
    image = make_image(np.random.default_rng(1).random((3, 40, 52)).astype(np.float32), "cyx")
    write_spectral(image.url, SpectralAxis(values=MZ, quantity="m/z", attributes={"ppm": 5.0, "polarity": "positive"}))
    put_mask(image, disc((40, 52)))
    zarr.create_array(image.url, name="tic", shape=(40, 52), dtype="float64")[...] = 1.0
    return open_image(image.url)


@pytest.mark.parametrize("scheduler", ["serial", "threads"])
def test_they_are_carried_over(cube: Image, tmp_path: Path, scheduler: str) -> None:
    out = scalesr.run(cube, tmp_path / "out.zarr", **SMALL | {"scheduler": scheduler}).image
    axis = read_spectral(out)
    assert axis is not None
    np.testing.assert_array_equal(axis.values, MZ)
    assert (axis.quantity, axis.unit) == ("m/z", None)
    assert dict(axis.attributes) == {"ppm": 5.0, "polarity": "positive"}
    mask = open_companion(out, "mask")
    assert mask is not None
    np.testing.assert_array_equal(np.asarray(mask[...]), grown(disc((40, 52))))
    np.testing.assert_array_equal(np.isnan(voxels(out)[0]), np.asarray(mask[...]) == 0)
    assert open_companion(out, "tic") is None
    document = only_json(call("info", "--json", out.url))
    assert document["beside"] == ["mask"]
    assert document["spectral"]["values"] == MZ.tolist()
    shown = call("info", out.url).stdout
    assert "mask" in shown
    assert "m/z" in shown


def test_an_output_is_an_input(cube: Image, tmp_path: Path) -> None:
    once = scalesr.run(cube, tmp_path / "once.zarr", **SMALL).image
    twice = scalesr.run(once, tmp_path / "twice.zarr", **SMALL | {"scale": "3/2"}).image
    mask = open_companion(twice, "mask")
    assert mask is not None
    assert mask.shape == (120, 156)
    np.testing.assert_array_equal(np.isnan(voxels(twice)[1]), np.asarray(mask[...]) == 0)
    axis = read_spectral(twice)
    assert axis is not None
    np.testing.assert_array_equal(axis.values, MZ)


def test_masks_of_many_parts(make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesr.engine.companions.CHUNKS", 1)
    image = make_image(np.random.default_rng(1).random((3, 300, 310)).astype(np.float32), "zyx", chunk=64)
    mask = np.random.default_rng(2).random((3, 300, 310)) > 0.5
    put_mask(image, mask)
    out = scalesr.run(image, tmp_path / "out.zarr", **SMALL | {"cell": 128}).image
    found = open_companion(out, "mask")
    assert found is not None
    np.testing.assert_array_equal(np.asarray(found[...]), np.repeat(np.repeat(mask, 2, 1), 2, 2))


def test_a_resumed_run_writes_them_too(cube: Image, tmp_path: Path) -> None:
    def stop(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        scalesr.run(cube, tmp_path / "out.zarr", callbacks=[stop], block=1, **SMALL | {"scheduler": "threads"})
    # What stopped the threads of this process does not stop the next run in it.
    out = scalesr.run(cube, tmp_path / "out.zarr", mode="resume", block=1, **SMALL).image
    again = scalesr.run(cube, tmp_path / "out.zarr", mode="resume", block=1, **SMALL).image
    for image in (out, again):
        assert open_companion(image, "mask") is not None
        assert read_spectral(image) is not None


def test_what_does_not_fit_is_refused_before_anything_is_written(cube: Image, tmp_path: Path) -> None:
    write_spectral(cube.url, SpectralAxis(values=MZ[:2], quantity="m/z"))
    with pytest.raises(InputError, match="2 finite numbers"):
        scalesr.run(cube, tmp_path / "out.zarr", **SMALL)
    assert not (tmp_path / "out.zarr").exists()


def test_labels_are_kept(cube: Image, tmp_path: Path) -> None:
    layout = pyramid_layout(
        axes=cube.axes,
        shape=cube.shape,
        dtype="float32",
        scale=(1.0, 1.0, 1.0),
        translation=(0.0, 0.0, 0.0),
        channels=tuple(Channel(f"m/z {value:.1f}") for value in MZ),
        name="labelled",
    )
    writer = create_image(tmp_path / "in.zarr", layout)
    writer.array(0)[...] = voxels(cube)
    writer.publish()
    out = scalesr.run(tmp_path / "in.zarr", tmp_path / "out.zarr", **SMALL).image
    assert [channel.label for channel in out.channels] == ["m/z 150.0", "m/z 600.5", "m/z 864.6"]


def test_a_real_region_that_is_no_rectangle(data: Path, tmp_path: Path) -> None:
    cube = import_image(data / "msi" / "thyra_imzml_quirks" / "iontof_sparse.imzML", tmp_path / "in.zarr")
    result = scalesr.run(cube, tmp_path / "out.zarr", model="cubic", scale=4, flux="conserved", scheduler="serial")
    mask = open_companion(cube, "mask")
    assert mask is not None
    inside = np.asarray(mask[...]) != 0
    assert result.masked == cube.shape[0] * np.count_nonzero(~inside)
    out = voxels(result.image)
    np.testing.assert_array_equal(np.isnan(out), np.broadcast_to(~grown(inside, 4), out.shape))
    assert np.abs(means(np.nan_to_num(out), (1, 4, 4)) - voxels(cube))[:, inside].max() < 1e-4
    axis = read_spectral(result.image)
    assert axis is not None
    np.testing.assert_array_equal(axis.values, [105.0, 205.0, 305.0, 405.0, 505.0])
