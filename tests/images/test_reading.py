from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import zarr

from scalesr.errors import StorageError
from scalesr.images import Axis, Image, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from pathlib import Path

ALL = (slice(0, 60), slice(0, 50))


def make(folder: Path, *, version: Literal["0.4", "0.5"] = "0.5") -> tuple[Image, np.ndarray[Any, Any]]:
    axes = (Axis("y", "space"), Axis("x", "space"))
    layout = pyramid_layout(
        axes=axes, shape=(60, 50), dtype="uint16", scale=(1, 1), translation=(0, 0), chunks=(8, 8), shards=(32, 32)
    )
    pixels = np.random.default_rng(0).integers(1, 999, (60, 50)).astype(np.uint16)
    writer = create_image(folder, layout, version=version)
    writer.write(0, ALL, pixels)
    writer.publish()
    return open_image(folder), pixels


def test_regions(tmp_path: Path) -> None:
    image, pixels = make(tmp_path / "i")
    np.testing.assert_array_equal(image.read((slice(5, 41), slice(None))), pixels[5:41])
    assert image.read((slice(3, 3), slice(0, 5))).shape == (0, 5)
    found, bad = image.read(ALL, on_bad="fill")
    np.testing.assert_array_equal(found, pixels)
    assert bad == ()
    for region in [(slice(0, 61), slice(0, 1)), (slice(-3, 5), slice(0, 1)), (slice(0, 9, 2), slice(0, 1))]:
        with pytest.raises(ValueError, match="not within"):
            image.read(region)
    with pytest.raises(ValueError, match="does not fit"):
        image.read((slice(0, 1),))


def test_big_endian_pixels_come_native(tmp_path: Path) -> None:
    group = zarr.create_group(str(tmp_path / "i"), zarr_format=2)
    array = group.create_array("0", shape=(4, 4), dtype=">u2", chunks=(2, 2))
    array[:] = np.arange(16).reshape(4, 4)
    group.attrs["multiscales"] = [
        {"version": "0.4", "axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "0"}]}
    ]
    image = open_image(tmp_path / "i")
    assert image.levels[0].dtype == "uint16"
    found = image.read((slice(0, 4), slice(0, 4)))
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, np.arange(16).reshape(4, 4))


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_one_flipped_bit_is_found_and_named(tmp_path: Path, place: float) -> None:
    image, pixels = make(tmp_path / "i")
    shard = tmp_path / "i/0/c/1/0"
    content = bytearray(shard.read_bytes())
    content[int(len(content) * place)] ^= 4
    shard.write_bytes(content)
    with pytest.raises(StorageError, match=r"cannot be read: 0/c/1/0 \(chunk \(\d+, \d+\)"):
        image.read(ALL)
    found, bad = image.read(ALL, on_bad="fill")
    expected = pixels.copy()
    for chunk in bad:
        assert chunk.key == "0/c/1/0"
        expected[chunk.region] = 0
    np.testing.assert_array_equal(found, expected)
    # a bit in the pixels harms one chunk, a bit in the index of the shard all of its chunks
    assert len(bad) in (1, 16)
    np.testing.assert_array_equal(image.read((slice(0, 32), slice(0, 50))), pixels[:32])


def test_a_shard_cut_short(tmp_path: Path) -> None:
    image, _ = make(tmp_path / "i")
    shard = tmp_path / "i/0/c/0/1"
    shard.write_bytes(shard.read_bytes()[:40])
    with pytest.raises(StorageError, match=r"0/c/0/1.*and 4 more"):
        image.read(ALL)


def test_unsharded_chunks_are_named_too(tmp_path: Path) -> None:
    image, pixels = make(tmp_path / "i", version="0.4")
    (tmp_path / "i/0/2/3").write_bytes(b"nonsense")
    found, bad = image.read(ALL, on_bad="fill")
    assert [(chunk.key, chunk.index) for chunk in bad] == [("0/2/3", (2, 3))]
    assert (found[16:24, 24:32] == 0).all()
    np.testing.assert_array_equal(found[:16], pixels[:16])


def test_a_chunk_that_is_not_stored_reads_as_the_fill_value(tmp_path: Path) -> None:
    image, pixels = make(tmp_path / "i")
    (tmp_path / "i/0/c/0/0").unlink()
    found = image.read(ALL)
    assert (found[:32, :32] == 0).all()
    np.testing.assert_array_equal(found[32:], pixels[32:])


def test_a_store_that_fails_once_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image, pixels = make(tmp_path / "i")
    array = image.array(0)
    original = type(array).__getitem__
    calls = []

    def flaky(self: Any, region: Any) -> Any:
        calls.append(region)
        if len(calls) == 1:
            raise OSError("connection reset")
        return original(self, region)

    monkeypatch.setattr(type(array), "__getitem__", flaky)
    np.testing.assert_array_equal(image.read(ALL), pixels)
