"""Files and images in real stores, through each client: the same keys, the same bytes, no request too many."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import speckle, write_image

from scalesr.errors import OutputError, ScalesrError
from scalesr.images import Files, Image, create_image, open_image, remove_image
from scalesr.images.stores import StoreError, traffic

if TYPE_CHECKING:
    from pathlib import Path

    from stores.proxy import Proxy
    from stores.servers import Server


def test_put_get_list_delete(server: Server, client: str, place: str) -> None:
    files = Files(place, server.options(client=client))
    assert files.get("blocks/0.json") is None
    assert files.list() == []
    for number in range(12):
        files.put(f"blocks/{number}.json", str(number).encode())
    files.put("blocks/0.json", b"new")
    files.put("manifest.json", b"")
    again = pickle.loads(pickle.dumps(files))
    assert (again.get("blocks/0.json"), again.get("manifest.json"), again.get("blocks")) == (b"new", b"", None)
    assert again.list("blocks/1") == ["blocks/1.json", "blocks/10.json", "blocks/11.json"]
    assert len(again.list()) == 13
    assert again.list("nothing/") == []
    files.delete("manifest.json")
    files.delete("manifest.json")
    assert "manifest.json" not in files.list()


def test_more_keys_than_one_answer_holds(server: Server, client: str, place: str, monkeypatch: Any) -> None:
    monkeypatch.setattr("scalesr.images.stores.backends.PAGE", 7)
    monkeypatch.setattr("scalesr.images.stores.steady.PAGE", 7)
    files = Files(place, server.options(client=client))
    names = [f"strips/{number:03d}" for number in range(23)]
    for name in names:
        files.put(name, b"x")
    assert files.list("strips/") == names
    assert files.list("strips/00") == names[:10]
    remove_image(place, storage_options=files.storage_options)
    assert files.list() == []


def copy_to(image: Image, url: str, options: dict[str, Any], mode: Any = "create") -> Image:
    """Write an image's finest level to another place."""
    from scalesr.images import pyramid_layout  # noqa: PLC0415

    finest = image.levels[0]
    layout = pyramid_layout(
        axes=image.axes, shape=image.shape, dtype=finest.dtype, scale=finest.scale, translation=finest.translation,
        chunks=finest.chunks, shards=tuple(2 * c for c in finest.chunks), name="copy",
    )  # fmt: skip
    writer = create_image(url, layout, mode=mode, storage_options=options)
    unit = writer.layout.levels[0].unit
    for y in range(0, image.shape[0], unit[0]):
        for x in range(0, image.shape[1], unit[1]):
            region = tuple(slice(i, min(i + u, n)) for i, u, n in zip((y, x), unit, image.shape, strict=True))
            writer.write(0, region, image.read(region))
    writer.publish()
    return open_image(url, storage_options=options)


def test_an_image_goes_there_and_back(server: Server, client: str, place: str, tmp_path: Path) -> None:
    pixels = speckle(96, 70)
    options = server.options(client=client)
    local = write_image(tmp_path / "in.zarr", pixels, chunk=16)
    copy = copy_to(local, f"{place}/copy.zarr", options)
    assert np.array_equal(copy.read((slice(0, 96), slice(0, 70))), pixels)
    assert np.array_equal(copy.read((slice(3, 41), slice(33, 38))), pixels[3:41, 33:38])
    with pytest.raises(OutputError, match="already exists"):
        copy_to(local, f"{place}/copy.zarr", options)
    again = copy_to(local, f"{place}/copy.zarr", options, mode="overwrite")
    assert np.array_equal(again.read((slice(0, 96), slice(0, 70))), pixels)
    remove_image(f"{place}/copy.zarr", storage_options=options)
    with pytest.raises(ScalesrError, match="does not exist"):
        open_image(f"{place}/copy.zarr", storage_options=options)


def test_what_is_counted_is_what_was_sent(trouble: Proxy, client: str, place: str, tmp_path: Path) -> None:
    from stores.servers import KEY, SECRET  # noqa: PLC0415

    options = {"endpoint_url": trouble.endpoint, "key": KEY, "secret": SECRET, "scalesr": {"client": client}}
    local = write_image(tmp_path / "in.zarr", speckle(64, 64), chunk=16)
    before = traffic()
    copy_to(local, f"{place}/counted.zarr", options)
    spent = traffic() - before
    assert (spent.requests, spent.retries) == (trouble.requests, 0)
    # One request for each shard, and none to look at what is replaced.
    shards = [line for line in trouble.lines if "/0/c/" in line]
    assert sorted(line.split()[0] for line in shards) == ["PUT"] * 4


def test_a_server_that_refuses_parts_is_read_as_a_whole(server: Server, place: str, client: str) -> None:
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest  # noqa: PLC0415
    from zarr.core.buffer import default_buffer_prototype  # noqa: PLC0415
    from zarr.core.sync import sync  # noqa: PLC0415

    from scalesr.images import Location  # noqa: PLC0415

    content = bytes(range(200))
    options = server.options(client=client)
    Files(place, options).put("object", content)
    store = Location.parse(place, options).store("read")
    for part, wanted in (
        (RangeByteRequest(10, 30), content[10:30]),
        (OffsetByteRequest(150), content[150:]),
        (SuffixByteRequest(20), content[-20:]),
    ):
        found = sync(store.get("object", default_buffer_prototype(), part))
        assert found is not None
        assert found.to_bytes() == wanted


def test_no_bucket_reads_as_an_error_and_never_as_zero(server: Server, client: str) -> None:
    files = Files("s3://no-such-bucket-here/x", server.options(client=client))
    for act in (lambda: files.get("a"), lambda: files.put("a", b""), files.list):
        with pytest.raises((StoreError, OutputError), match="no such bucket"):
            act()
