"""Publishing into Icechunk: one commit, the same bytes, and nothing to be seen before it or without it."""

from __future__ import annotations

import json
import sys
import tracemalloc
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from commands import call, only_json, speckle, write_image
from stores.servers import BUCKET, KEY, SECRET, rclone, rclone_path
from zarr.core.buffer import default_buffer_prototype
from zarr.core.sync import sync

import scalesr
from scalesr.errors import InputError, OutputError, ScalesrError
from scalesr.images import Files, Image, begin_image
from scalesr.images import icechunk_repository as repositories
from scalesr.images.locations import Location
from scalesr.images.publishing import publish_image

if TYPE_CHECKING:
    from pathlib import Path

needs_icechunk = pytest.mark.skipif(find_spec("icechunk") is None, reason="needs icechunk: pip install icechunk")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    """The output of a run, with a ledger and several levels."""
    source = write_image(tmp_path / "in.zarr", speckle(150, 170))
    told: dict[str, Any] = {"model": "linear", "scale": 2, "cell": 32, "block": 1, "scheduler": "serial"}
    return scalesr.run(source, tmp_path / "out.zarr", **told).image


def stored(place: Path | str, path: str = "", **options: Any) -> dict[str, bytes]:
    """Return what readers see in a repository: all objects of a group."""
    found = repositories.open_repository(Location.parse(place, options))
    store = found.readonly_session("main").store

    async def read() -> dict[str, bytes]:
        keys = [key async for key in store.list_prefix(path)]
        return {
            key.removeprefix(path).lstrip("/"): (await store.get(key, default_buffer_prototype())).to_bytes()
            for key in keys
        }

    return sync(read())


def own(image: Image) -> dict[str, bytes]:
    """Return all objects of an image but its ledger."""
    files = Files(image.url)
    return {key: files.get(key) or b"" for key in files.list() if not key.startswith("scalesr/")}


def pixels_and_words(objects: dict[str, bytes]) -> dict[str, Any]:
    """Return objects with those of metadata read: Icechunk writes them in its own way."""
    return {key: json.loads(value) if key.endswith("zarr.json") else value for key, value in objects.items()}


@needs_icechunk
@pytest.mark.parametrize("path", ["", "lab/cells"])
def test_readers_see_what_was_published(image: Image, tmp_path: Path, path: str) -> None:
    done = publish_image(image.url, tmp_path / "repository", path=path)
    assert pixels_and_words(stored(tmp_path / "repository", path)) == pixels_and_words(own(image))
    assert (done.objects, done.bytes) == (len(own(image)), sum(map(len, own(image).values())))
    repository = repositories.open_repository(Location.parse(tmp_path / "repository"))
    group = zarr.open_group(repository.readonly_session("main").store, path=path, mode="r", zarr_format=3)
    for level, entry in enumerate(image.levels):
        array = group[entry.path]
        assert isinstance(array, zarr.Array)
        np.testing.assert_array_equal(np.asarray(array[...]), np.asarray(image.array(level)[...]))
    commit, first = repository.ancestry(branch="main")
    assert commit.id == done.snapshot
    assert "in.zarr" in commit.message
    assert "linear" in commit.message
    assert commit.metadata["scalesr"]["scalesr"] == scalesr.__version__
    assert len(commit.metadata["scalesr"]["manifest sha256"]) == 64
    assert first.message == "Repository initialized"


@needs_icechunk
def test_what_is_interrupted_leaves_nothing_to_be_seen(image: Image, tmp_path: Path) -> None:
    other = write_image(tmp_path / "other.zarr", speckle(40, 40))
    publish_image(other.url, tmp_path / "repository")
    before = stored(tmp_path / "repository")

    def interrupt(copied: int, _: int) -> None:
        if copied > 10:
            raise KeyboardInterrupt

    for existing in ("refuse", "replace"):
        how: dict[str, Any] = {"path": "" if existing == "replace" else "cells", "existing": existing}
        with pytest.raises(KeyboardInterrupt):
            publish_image(image.url, tmp_path / "repository", progress=interrupt, **how)
        assert stored(tmp_path / "repository") == before
    publish_image(image.url, tmp_path / "repository", path="cells")
    assert pixels_and_words(stored(tmp_path / "repository", "cells")) == pixels_and_words(own(image))


@needs_icechunk
def test_what_is_there_is_replaced_when_asked_to(image: Image, tmp_path: Path) -> None:
    other = write_image(tmp_path / "other.zarr", speckle(600, 600))
    first = publish_image(other.url, tmp_path / "repository", path="cells")
    with pytest.raises(OutputError, match="holds an image already") as caught:
        publish_image(image.url, tmp_path / "repository", path="cells")
    assert "--replace" in caught.value.remedy
    publish_image(image.url, tmp_path / "repository", path="cells", existing="replace", message="a finer one")
    # Nothing of the larger one is left among the shards.
    assert pixels_and_words(stored(tmp_path / "repository", "cells")) == pixels_and_words(own(image))
    repository = repositories.open_repository(Location.parse(tmp_path / "repository"))
    assert next(iter(repository.ancestry(branch="main"))).message == "a finer one"
    old = repository.readonly_session(snapshot_id=first.snapshot).store
    array = zarr.open_array(old, path="cells/0", mode="r", zarr_format=3)
    np.testing.assert_array_equal(np.asarray(array[...]), speckle(600, 600))


@needs_icechunk
def test_what_cannot_be_published_is_refused(image: Image, tmp_path: Path) -> None:
    begin_image(tmp_path / "begun.zarr")
    with pytest.raises(ScalesrError, match="did not finish"):
        publish_image(tmp_path / "begun.zarr", tmp_path / "repository")
    with pytest.raises(InputError, match="are not known"):
        publish_image(image.url, "gs://bucket/repository")
    assert not (tmp_path / "repository").exists()
    publish_image(image.url, tmp_path / "repository", path="lab/cells")
    with pytest.raises(OutputError, match="is no image"):
        publish_image(image.url, tmp_path / "repository", path="lab", existing="replace")
    with pytest.raises(OutputError, match="no branch 'other'"):
        publish_image(image.url, tmp_path / "repository", path="more", branch="other")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "thesis.txt").write_text("years of work")
    for place in ("notes", "notes/thesis.txt"):
        with pytest.raises(OutputError, match="is no repository"):
            publish_image(image.url, tmp_path / place)
    assert [path.name for path in (tmp_path / "notes").iterdir()] == ["thesis.txt"]


@needs_icechunk
def test_memory_does_not_grow_with_the_image(tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 60000, (4096, 4096), dtype=np.uint16)
    image = write_image(tmp_path / "large.zarr", pixels, chunk=256)
    publish_image(image.url, tmp_path / "warm")
    tracemalloc.start()
    publish_image(image.url, tmp_path / "repository")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # A few shards of 128 kB, of 32 MB in all.
    assert peak < pixels.nbytes / 8


@needs_icechunk
@pytest.mark.slow
def test_into_a_bucket(image: Image, tmp_path: Path) -> None:
    if find_spec("s3fs") is None or rclone_path() is None:
        pytest.skip("needs s3fs and rclone")
    with rclone(tmp_path / "served") as server:
        options = {"endpoint_url": server.endpoint, "key": KEY, "secret": SECRET}
        place = f"s3://{BUCKET}/repository"
        publish_image(image.url, place, path="cells", repository_options=options)
        assert pixels_and_words(stored(place, "cells", **options)) == pixels_and_words(own(image))
        for file in (tmp_path / "served").rglob("*"):
            assert not file.is_file() or SECRET.encode() not in file.read_bytes()


@needs_icechunk
def test_the_command_says_what_it_did(image: Image, tmp_path: Path) -> None:
    result = call("publish", image.url, tmp_path / "repository", "--path", "cells")
    assert result.exit_code == 0, result.stderr
    assert "group cells" in result.stdout
    assert "objects" in result.stdout
    assert call("publish", image.url, tmp_path / "repository", "--path", "cells").exit_code == 4
    told = only_json(call("publish", image.url, tmp_path / "repository", "--path", "cells", "--replace", "--json"))
    assert (told["path"], told["branch"], told["exit_code"]) == ("cells", "main", 0)


def test_who_has_no_icechunk_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(20, 20))
    monkeypatch.setitem(sys.modules, "icechunk", None)
    result = call("publish", image.url, tmp_path / "repository")
    assert result.exit_code == 3
    assert "pip install 'scalesr[icechunk]'" in " ".join(result.stderr.split())
    assert not (tmp_path / "repository").exists()
