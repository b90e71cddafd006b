"""The server of images: the bytes that are stored, to those who know where, and nothing else."""

from __future__ import annotations

import shutil
import threading
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from served_images import ask, put_image, scene

from scalesr.images import Image, open_image
from scalesr.images.stores import traffic
from scalesr.viewer import Viewing, view
from scalesr.viewer.exhibit import belongs

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARD = "0/c/0/0"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """An image with shards, with things beside it that are none of its."""
    folder = tmp_path_factory.mktemp("served")
    found = put_image(folder / "cells.ome.zarr", scene(300))
    inside = Path(found.url)
    (folder / "secret.txt").write_text("secret")
    (inside / "notes.txt").write_text("secret")
    (inside / "scalesr" / "blocks").mkdir(parents=True)
    (inside / "scalesr" / "manifest.json").write_text("{}")
    (inside / "0" / "c" / "9").mkdir()
    (inside / "0" / "c" / "9" / "9").symlink_to(folder / "secret.txt")
    (inside / "0" / "c" / "9" / "8").symlink_to(inside / SHARD)
    return found


@pytest.fixture(scope="module")
def shown(image: Image) -> Iterator[Viewing]:
    """The same, served."""
    with view(image) as viewing:
        yield viewing


@pytest.fixture(scope="module")
def address(shown: Viewing) -> str:
    """Where the image is served."""
    return shown.images[0].address


def test_objects_are_served_as_they_are_stored(image: Image, address: str) -> None:
    assert len(image.levels) > 1
    for key in ("zarr.json", *(f"{level.path}/{key}" for level in image.levels for key in ("zarr.json", "c/0/0"))):
        stored = Path(image.url, key).read_bytes()
        found = ask(f"{address}/{key}")
        assert (found.status, found.body) == (200, stored)
        assert found.headers["accept-ranges"] == "bytes"
        kind = "application/json" if key.endswith("json") else "application/octet-stream"
        assert found.headers["content-type"] == kind
        head = ask(f"{address}/{key}", "HEAD")
        assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(stored)))


@given(data=st.data())
@settings(max_examples=60)
def test_parts_are_those_of_the_file(image: Image, address: str, data: st.DataObject) -> None:
    stored = Path(image.url, SHARD).read_bytes()
    first = data.draw(st.integers(0, len(stored) - 1))
    count = data.draw(st.integers(1, len(stored)))
    header, wanted = data.draw(
        st.sampled_from(
            [
                (f"bytes={first}-{first + count - 1}", stored[first : first + count]),
                (f"bytes={first}-", stored[first:]),
                (f"bytes=-{count}", stored[-count:]),
            ]
        )
    )
    found = ask(f"{address}/{SHARD}", Range=header)
    assert (found.status, found.body) == (206, wanted)
    begin = stored.index(wanted) if header.startswith("bytes=-") else first
    assert found.headers["content-range"].endswith(f"/{len(stored)}")
    assert int(found.headers["content-length"]) == len(wanted)
    assert begin <= int(found.headers["content-range"].removeprefix("bytes ").partition("-")[0])


def test_a_part_that_is_not_there_is_refused(image: Image, address: str) -> None:
    size = Path(image.url, SHARD).stat().st_size
    found = ask(f"{address}/{SHARD}", Range=f"bytes={size}-")
    assert (found.status, found.headers["content-range"]) == (416, f"bytes */{size}")


def test_what_is_known_already_is_not_sent_again(address: str) -> None:
    tag = ask(f"{address}/{SHARD}").headers["etag"]
    for known in (tag, f'"other", W/{tag}', "*"):
        again = ask(f"{address}/{SHARD}", If_None_Match=known)
        assert (again.status, again.body) == (304, b"")
    assert ask(f"{address}/{SHARD}", If_None_Match='"other"').status == 200
    # A part of an older object must not be put to that of a newer one.
    assert ask(f"{address}/{SHARD}", Range="bytes=0-1", If_Range='"other"').status == 200
    assert ask(f"{address}/{SHARD}", Range="bytes=0-1", If_Range=tag).status == 206


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "/0", "/0/c", "/notes.txt", "/scalesr/manifest.json", "/0/c/7/7", "//zarr.json", "/./zarr.json"),
        *(
            "/../secret.txt",
            "/..%2fsecret.txt",
            "/%2e%2e/secret.txt",
            "/%252e%252e/zarr.json",
            "/0/..%5c..%5csecret.txt",
        ),
        *("/0/c/9/9", "/0%00/zarr.json", "/etc/passwd", "/%2fetc%2fpasswd"),
    ],
)
def test_nothing_else_is_served(address: str, path: str) -> None:
    found = ask(f"{address}{path}")
    assert found.status in (400, 404)
    assert b"secret" not in found.body
    assert b"root" not in found.body


def test_links_within_the_image_are_followed(image: Image, address: str) -> None:
    assert ask(f"{address}/0/c/9/8").body == Path(image.url, SHARD).read_bytes()


def test_the_secret_must_be_known(shown: Viewing, address: str) -> None:
    origin, secret = address.split("/")[2], address.split("/")[3]
    assert len(secret) >= 22
    assert ask(f"http://{origin}/").status == 404
    assert ask(f"http://{origin}/{secret[:-1]}x/state.json").status == 404
    assert ask(f"http://{origin}/{secret}/7/cells.ome.zarr/zarr.json").status == 404
    assert ask(f"http://{origin}/{secret}/state.json").status == 200
    with view(shown.images[0].image) as other:
        assert other.url.split("/")[3] != secret


def test_names_that_point_here_are_not_enough(address: str) -> None:
    """DNS rebinding: a page of evil.example whose name has become that of this machine."""
    port = address.split(":")[2].split("/")[0]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1", f"127.0.0.1.evil.example:{port}"):
        for place in (f"{address}/zarr.json", f"http://127.0.0.1:{port}/", f"{address}/../../v/neuroglancer/"):
            assert ask(place, Host=host).status == 403
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert ask(f"{address}/zarr.json", Host=host).status == 200


def test_every_page_may_read(address: str) -> None:
    asked = ask(
        f"{address}/{SHARD}",
        "OPTIONS",
        Origin="https://viewer.example",
        Access_Control_Request_Method="GET",
        Access_Control_Request_Headers="range",
        Access_Control_Request_Private_Network="true",
    )
    assert asked.status == 204
    assert asked.headers["access-control-allow-origin"] == "*"
    assert asked.headers["access-control-allow-headers"] == "*"
    assert asked.headers["access-control-allow-private-network"] == "true"
    assert {"GET", "HEAD"} <= set(asked.headers["access-control-allow-methods"].split(", "))
    for found in (ask(f"{address}/{SHARD}", Range="bytes=0-3"), ask(f"{address}/0/c/7/7")):
        assert found.headers["access-control-allow-origin"] == "*"
        assert "Content-Range" in found.headers["access-control-expose-headers"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_written(address: str, method: str) -> None:
    assert ask(f"{address}/zarr.json", method).status == 405


@given(key=st.text(alphabet="abc./c0123%\\", max_size=12))
def test_keys_stay_within_their_image(key: str) -> None:
    if belongs(key):
        assert not Path(key).is_absolute()
        assert ".." not in Path(key).parts
        assert not set("%\\") & set(key)


def test_several_requests_are_answered_side_by_side(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight reads that wait for each other all end."""
    together = threading.Barrier(8)
    original = Path.open

    def waiting(self: Path, *args: Any, **options: Any) -> Any:
        if self.as_posix().endswith(SHARD):
            together.wait(timeout=30)
        return original(self, *args, **options)

    monkeypatch.setattr(Path, "open", waiting)
    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(ask(f"{address}/{SHARD}", Range="bytes=0-9").status))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [206] * 8


def test_zarr_opens_what_is_served(image: Image, address: str) -> None:
    for level in range(len(image.levels)):
        there = zarr.open_array(f"{address}/{level}", mode="r", zarr_format=3)
        np.testing.assert_array_equal(there[...], image.array(level)[...])


def test_scalesr_opens_what_is_served(image: Image, address: str) -> None:
    again = open_image(address)
    assert (again.axes, again.shape, again.levels) == (image.axes, image.shape, image.levels)
    everything = tuple(slice(0, size) for size in image.shape)
    np.testing.assert_array_equal(again.read(everything), image.read(everything))


def test_the_reader_of_napari_opens_what_is_served(image: Image, address: str) -> None:
    """What napari-ome-zarr, which the link for napari names, reads with: sharded OME-Zarr 0.5."""
    io, reader = pytest.importorskip("ome_zarr.io"), pytest.importorskip("ome_zarr.reader")
    place = io.parse_url(address, mode="r")
    assert place is not None
    node = next(iter(reader.Reader(place)()))
    np.testing.assert_array_equal(np.asarray(node.data[0]), image.array(0)[...])
    assert node.metadata["coordinateTransformations"][0][0]["scale"] == list(image.pixel_sizes)


def test_zarr_2_is_served_too(tmp_path: Path) -> None:
    image = put_image(tmp_path / "old.ome.zarr", scene(64), version="0.4")
    with view(image) as viewing:
        address = viewing.images[0].address
        assert ask(f"{address}/.zattrs").headers["content-type"] == "application/json"
        np.testing.assert_array_equal(open_image(address).array(0)[...], scene(64))
        assert viewing._server.state["layers"][0]["source"]["url"].endswith("|zarr2:")


def test_zip_files_are_served_from_within(image: Image, tmp_path: Path) -> None:
    target = tmp_path / "cells.ome.zarr.zip"
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(Path(image.url).rglob("*")):
            if path.is_file() and "scalesr" not in path.parts and "9" not in path.parts:
                archive.write(path, path.relative_to(image.url))
    stored = Path(image.url, SHARD).read_bytes()
    with view(target) as viewing:
        address = viewing.images[0].address
        assert address.endswith(".ome.zarr")
        assert ask(f"{address}/{SHARD}", Range="bytes=-100").body == stored[-100:]
        assert ask(f"{address}/{SHARD}").body == stored
        assert ask(f"{address}/0/c/7/7").status == 404
        np.testing.assert_array_equal(open_image(address).array(0)[...], image.array(0)[...])


def test_object_stores_are_asked_for_no_more_than_is_wanted(image: Image) -> None:
    stored = Path(image.url, SHARD).read_bytes()
    store = put_image("memory://viewer/cells.ome.zarr", scene(300))
    with view(store) as viewing:
        address = viewing.images[0].address
        before = traffic()
        head = ask(f"{address}/{SHARD}", "HEAD")
        assert int(head.headers["content-length"]) == len(stored)
        assert traffic().read == before.read
        assert ask(f"{address}/{SHARD}", Range="bytes=7-16").body == stored[7:17]
        assert traffic().read - before.read == 10
        asked = traffic().requests
        ask(f"{address}/{SHARD}", Range="bytes=0-9")
        assert traffic().requests == asked + 1  # its size is known
        assert ask(f"{address}/0/c/7/7").status == 404


def test_large_objects_go_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesr.viewer.server.PIECE", 1000)
    image = put_image(tmp_path / "cells.ome.zarr", scene(128))
    stored = Path(image.url, SHARD).read_bytes()
    assert len(stored) > 3000
    with view(image) as viewing:
        sizes: list[int] = []
        exhibit = viewing._server._exhibits[0]
        read = exhibit.read

        def noting(key: str, part: range) -> bytes:
            sizes.append(len(part))
            return read(key, part)

        monkeypatch.setattr(exhibit, "read", noting)
        assert ask(f"{viewing.images[0].address}/{SHARD}").body == stored
        assert max(sizes) == 1000
        assert sum(sizes) == len(stored)


def test_an_object_that_shrinks_is_not_taken_for_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = put_image(tmp_path / "cells.ome.zarr", scene(128))
    with view(image) as viewing:
        monkeypatch.setattr(viewing._server._exhibits[0], "read", lambda key, part: b"x")
        found = ask(f"{viewing.images[0].address}/{SHARD}")
        assert found.status == 502


def test_it_ends(tmp_path: Path) -> None:
    image = put_image(tmp_path / "cells.ome.zarr", scene(64))
    viewing = view(image)
    assert ask(viewing.url).status == 302
    viewing.stop()
    viewing.stop()
    with pytest.raises(ConnectionRefusedError):
        ask(viewing.url)
    shutil.rmtree(tmp_path / "cells.ome.zarr")
