"""Chunks that inflate far beyond the size that is declared: refused, and no memory on their word."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import pytest
import tifffile
import zarr
from commands import speckle, write_image
from hypothesis import given
from hypothesis import strategies as st
from numcodecs import blosc, bz2, lz4, lzma, zstd
from numcodecs import gzip as of_gzip
from numcodecs import zlib as of_zlib
from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

from scalesr.errors import InputError, ScalesrError, StorageError
from scalesr.images import import_image, open_image, read_spectral
from scalesr.images.importing.arrays import ZarrSource
from scalesr.images.inflating import KINDS, inflated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BOMB = bytes(2**27)
PLENTY = 2**24
"""Bytes that reading a chunk of 512 may take, beside the bytes that are stored of it."""
PACK: dict[str, Callable[[bytes], bytes]] = {
    "blosc": lambda raw: bytes(blosc.compress(raw, b"zstd", 1)),
    "bz2": bz2.BZ2(1).encode,
    "gzip": of_gzip.GZip(1).encode,
    "lz4": lambda raw: bytes(lz4.compress(raw)),
    "lzma": lzma.LZMA(preset=0).encode,
    "zlib": of_zlib.Zlib(1).encode,
    "zstd": lambda raw: bytes(zstd.compress(raw, 1)),
}
UNSAID = bytes.fromhex("28b52ffd04584d00001000000100e32b80055a074479")
"""A thousand zeros as `zstd --no-content-size` packs them: the header does not say how many they are."""


@given(raw=st.binary(max_size=3000), kind=st.sampled_from(sorted(KINDS)))
def test_what_fits_comes_back(raw: bytes, kind: str) -> None:
    raw = raw or b"-"
    assert bytes(inflated(kind, PACK[kind](raw), most=len(raw))) == raw
    with pytest.raises(ValueError, match=r"more than the|too small"):
        inflated(kind, PACK[kind](raw + b"+"), most=len(raw))


@pytest.mark.parametrize("kind", ["gzip", "zlib", "bz2", "lzma", "zstd"])
def test_a_second_stream_behind_the_first_counts_as_well(kind: str) -> None:
    twice = PACK[kind](b"one") + PACK[kind](bytes(10**6))
    with pytest.raises(ValueError, match=r"more than the|too small"):
        inflated(kind, twice, most=1000)


def test_zstd_that_does_not_say_its_size_must_have_the_declared_one() -> None:
    assert bytes(inflated("zstd", UNSAID, most=1000)) == bytes(1000)
    for other in (999, 1001):
        with pytest.raises(RuntimeError):
            inflated("zstd", UNSAID, most=other)


@given(content=st.binary(max_size=80), kind=st.sampled_from(sorted(KINDS)))
def test_nonsense_takes_no_memory(content: bytes, kind: str) -> None:
    tracemalloc.start()
    try:
        assert len(inflated(kind, content, most=1000)) <= 1000
    except Exception:  # noqa: BLE001 decoders raise what they like
        assert tracemalloc.get_traced_memory()[1] < PLENTY
    finally:
        tracemalloc.stop()


def refused(read: Callable[[], Any], *, stored: int, error: type[ScalesrError] = StorageError) -> str:
    """Return what is said of a bomb, which must take no memory."""
    tracemalloc.start()
    try:
        with pytest.raises(error) as caught:
            read()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < PLENTY + 3 * stored
    assert caught.value.remedy
    return str(caught.value)


CORNER = (slice(0, 8), slice(0, 8))


@pytest.mark.parametrize("kind", ["blosc", "gzip", "zstd"])
@pytest.mark.parametrize("layout", ["chunks", "shards"])
@pytest.mark.parametrize("checksum", ["none", "crc32c"])
def test_a_bomb_in_an_image(tmp_path: Path, kind: str, layout: str, checksum: str) -> None:
    write_image(tmp_path / "in.zarr", speckle(32, 32), chunk=16)
    codec: Any = {"blosc": BloscCodec(cname="zstd"), "gzip": GzipCodec(), "zstd": ZstdCodec()}[kind]
    array = zarr.create_array(
        tmp_path / "in.zarr" / "0", shape=(32, 32), dtype="uint16", chunks=(16, 16), overwrite=True,
        shards=(32, 32) if layout == "shards" else None,
        compressors=[codec, zarr.codecs.Crc32cCodec()] if checksum == "crc32c" else [codec],
    )  # fmt: skip
    array[...] = speckle(32, 32)
    image = open_image(tmp_path / "in.zarr")
    np.testing.assert_array_equal(image.read(CORNER), speckle(32, 32)[CORNER])
    body = PACK[kind](BOMB)
    if checksum == "crc32c":
        body += google_crc32c.value(body).to_bytes(4, "little")
    if layout == "shards":
        index = np.array([[0, len(body)], *[[2**64 - 1] * 2] * 3], "<u8").tobytes()
        body += index + google_crc32c.value(index).to_bytes(4, "little")
    (tmp_path / "in.zarr" / "0" / "c" / "0" / "0").write_bytes(body)
    words = refused(lambda: open_image(tmp_path / "in.zarr").read(CORNER), stored=len(body))
    assert "more than the 512 bytes" in words
    filled, bad = open_image(tmp_path / "in.zarr").read(CORNER, on_bad="fill")
    assert len(bad) == 1
    assert not filled.any()


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("filters", ["none", "delta"])
def test_a_bomb_in_an_array_of_zarr_2(tmp_path: Path, kind: str, filters: str) -> None:
    import numcodecs  # noqa: PLC0415

    array = zarr.create_array(
        tmp_path / "in.zarr", shape=(32, 32), dtype="uint16", chunks=(16, 16), zarr_format=2,
        compressors=numcodecs.get_codec({"id": kind}),
        filters=[numcodecs.Delta(dtype="u2")] if filters == "delta" else None,
    )  # fmt: skip
    array[...] = speckle(32, 32)
    source = ZarrSource(zarr.open_array(tmp_path / "in.zarr", mode="r"), where="in.zarr")
    np.testing.assert_array_equal(source.read(CORNER), speckle(32, 32)[CORNER])
    body = PACK[kind](BOMB)
    (tmp_path / "in.zarr" / "0.0").write_bytes(body)
    assert "inflates to more than" in refused(lambda: source.read(CORNER), stored=len(body))


def write_tiled(path: Path, shape: tuple[int, int], tiles: list[bytes]) -> None:
    """Write a TIFF of tiles that are compressed already."""
    side = min(shape[0], 32) if len(tiles) > 1 else shape[0]
    tile = (side, side) if len(tiles) > 1 else shape
    tifffile.imwrite(
        path, iter(tiles), shape=shape, dtype="u2", tile=tile, compression="zlib", predictor=False, bigtiff=True
    )


def test_a_bomb_in_a_tiff(tmp_path: Path) -> None:
    # Small enough for the field of 16 bits that tifffile keeps the length of such a tile in.
    good, body = zlib.compress(bytes(2048)), zlib.compress(bytes(2**25), 9)
    write_tiled(tmp_path / "in.tif", (64, 64), [good, body, good, good])
    # The decoder is told how much there is room for; what is more is not written, or is an error.
    tracemalloc.start()
    try:
        with suppress(InputError):
            import_image(tmp_path / "in.tif", tmp_path / "out.zarr")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < PLENTY + 3 * len(body)


def test_a_tiff_that_declares_a_terabyte(tmp_path: Path) -> None:
    write_tiled(tmp_path / "in.tif", (2**19, 2**20), [zlib.compress(bytes(2048))])
    words = refused(lambda: import_image(tmp_path / "in.tif", tmp_path / "out.zarr"), stored=0, error=InputError)
    assert "1,099,511,627,776 bytes each" in words


def test_bands_of_a_terabyte_are_not_read(tmp_path: Path) -> None:
    write_image(tmp_path / "in.zarr", speckle(3, 32, 32), "cyx")
    zarr.create_array(tmp_path / "in.zarr" / "mz", data=np.arange(3.0), attributes={"quantity": "m/z"})
    found = tmp_path / "in.zarr" / "mz" / "zarr.json"
    document = json.loads(found.read_text())
    document["shape"] = [2**40]
    found.write_text(json.dumps(document))
    image = open_image(tmp_path / "in.zarr")
    assert "mz holds 0 finite numbers" in refused(lambda: read_spectral(image), stored=0, error=InputError)


def test_an_imzml_whose_entities_multiply(tmp_path: Path) -> None:
    pytest.importorskip("pyimzml")
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 10))
    text = f'<?xml version="1.0"?><!DOCTYPE mzML [<!ENTITY e0 "{"z" * 10}">{entities}]><mzML>&e9;</mzML>'
    (tmp_path / "in.imzML").write_text(text)
    (tmp_path / "in.ibd").write_bytes(bytes(16))
    with pytest.raises(InputError, match="amplification"):
        import_image(tmp_path / "in.imzML", tmp_path / "out.zarr")
