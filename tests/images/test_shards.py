"""Shards decoded without Zarr: the same pixels as with it, and no damage that goes unseen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from scalesr.images.reading import decode_into, read_region
from scalesr.images.shards import ShardReader

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Made = tuple[zarr.Array[Any], ShardReader]

SHAPE = (3, 50, 70)
CODECS: dict[str, Any] = {
    "blosc": [zarr.codecs.BloscCodec(cname="zstd", shuffle="bitshuffle"), zarr.codecs.Crc32cCodec()],
    "zstd": [zarr.codecs.ZstdCodec(level=1)],
    "none": [zarr.codecs.Crc32cCodec()],
    "bare": [],
}


def make(folder: Path, codecs: str, dtype: str = "uint16") -> Made:
    array = zarr.create_array(
        folder,
        shape=SHAPE,
        chunks=(1, 16, 16),
        shards=(2, 32, 64),
        dtype=dtype,
        compressors=CODECS[codecs],
        fill_value=7,
    )
    pixels = (np.random.default_rng(1).random(SHAPE) * 60000).astype(dtype)
    array[:, :32] = pixels[:, :32]  # of the lower shards only some chunks are written, and of the last band none
    array[:2, 32:40, :20] = pixels[:2, 32:40, :20]
    reader = ShardReader.of(array, folder)
    assert reader is not None
    return array, reader


@pytest.fixture(scope="module", params=CODECS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("shards") / "a", request.param)


def spans(size: int) -> st.SearchStrategy[tuple[int, int]]:
    return st.tuples(st.integers(0, size), st.integers(0, size)).map(lambda ends: (min(ends), max(ends)))


@given(bounds=st.tuples(*(spans(size) for size in SHAPE)))
@settings(max_examples=60, deadline=None)
def test_any_region_is_what_zarr_reads(made: Made, bounds: tuple[tuple[int, int], ...]) -> None:
    array, reader = made
    out = np.empty([stop - start for start, stop in bounds], array.dtype)
    reader.read_into(bounds, out)
    np.testing.assert_array_equal(out, np.asarray(array[tuple(slice(*b) for b in bounds)]).reshape(out.shape))


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32", "float64"])
def test_number_formats(tmp_path: Path, dtype: str) -> None:
    array, reader = make(tmp_path / "a", "blosc", dtype)
    out = np.empty(SHAPE, dtype)
    reader.read_into([(0, n) for n in SHAPE], out)
    np.testing.assert_array_equal(out, np.asarray(array[:]))


def test_memory_of_any_strides_is_filled(made: Made) -> None:
    array, reader = made
    room: NDArray[np.uint16] = np.zeros((3, 60, 80), np.uint16)
    region = (slice(0, 3), slice(4, 44), slice(9, 69))
    assert decode_into(array, region, room[:, 5:45, 3:63], shards=reader)
    np.testing.assert_array_equal(room[:, 5:45, 3:63], np.asarray(array[region]))
    assert not room[:, :5].any()
    assert not room[:, 45:].any()
    assert not decode_into(array, region, np.zeros((3, 40, 60), np.float32), shards=reader)


@pytest.mark.parametrize("codecs", ["blosc", "none"])
@pytest.mark.parametrize("whole", ["whole", "part"])
def test_every_flipped_bit_is_seen(tmp_path: Path, codecs: str, whole: str) -> None:
    array, reader = make(tmp_path / "a", codecs)
    good = np.asarray(array[:])
    shard = tmp_path / "a" / "c" / "0" / "0" / "0"
    content = shard.read_bytes()
    region = (slice(0, 3), slice(0, 50), slice(0, 70)) if whole == "whole" else (slice(0, 1), slice(3, 9), slice(2, 30))
    seen = 0
    for place in np.linspace(0, len(content) - 1, 40).astype(int):
        broken = bytearray(content)
        broken[place] ^= 16
        shard.write_bytes(broken)
        out = np.empty([piece.stop - piece.start for piece in region], array.dtype)
        if decode_into(array, region, out, shards=reader):
            np.testing.assert_array_equal(out, good[region])  # it lies in a chunk that was not asked for
        else:
            seen += 1
            _, bad = read_region(array, region, shards=reader, name="a", on_bad="fill")
            assert bad
    assert seen == 40 if whole == "whole" else seen > 5


def test_what_only_zarr_knows_is_left_to_it(tmp_path: Path) -> None:
    plain = zarr.create_array(tmp_path / "plain", shape=(8, 8), chunks=(4, 4), dtype="uint8")
    assert ShardReader.of(plain, tmp_path / "plain") is None
    old = zarr.create_array(tmp_path / "old", shape=(8, 8), chunks=(4, 4), dtype="uint8", zarr_format=2)
    assert ShardReader.of(old, tmp_path / "old") is None
    swapped = zarr.create_array(tmp_path / "big", shape=(8, 8), chunks=(4, 4), shards=(8, 8), dtype=">u2")
    assert ShardReader.of(swapped, tmp_path / "big") is None
    packed = zarr.create_array(
        tmp_path / "gzip", shape=(8, 8), chunks=(4, 4), shards=(8, 8), dtype="u1", compressors=[zarr.codecs.GzipCodec()]
    )
    assert ShardReader.of(packed, tmp_path / "gzip") is None
    array, _ = make(tmp_path / "here", "blosc")
    assert ShardReader.of(array, None) is None


def test_a_truncated_shard_is_seen(tmp_path: Path) -> None:
    array, reader = make(tmp_path / "a", "blosc")
    shard = next(path for path in Path(tmp_path / "a" / "c").rglob("*") if path.is_file())
    for keep in (0, 10, len(shard.read_bytes()) // 2):
        shard.write_bytes(shard.read_bytes()[:keep])
        out = np.empty(SHAPE, array.dtype)
        assert not decode_into(array, tuple(slice(0, n) for n in SHAPE), out, shards=reader)
