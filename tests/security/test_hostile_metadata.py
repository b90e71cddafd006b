"""Metadata written by somebody else: a clear error or an image, no memory on its word, nothing outside its folder."""

from __future__ import annotations

import copy
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import speckle, write_image
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import InputError, ScalesrError
from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

PLENTY = 64 * 2**20
"""Bytes that reading a small image may take."""

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=8),
    st.sampled_from(["..", "../../secret", "/etc", "zarr.json", "0/../../x", "uint64", "NaN", 10**400]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4)
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where something lies in a JSON document."""
    found = [at] if at else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        found += places(item, (*at, key))
    return found


def replaced(document: Any, at: tuple[Any, ...], new: Any) -> Any:
    """Return a document with something else in one place."""
    changed = copy.deepcopy(document)
    inner = changed
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = new
    return changed


@pytest.fixture(scope="module")
def hostage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image, and something beside it that nobody shall read."""
    folder = tmp_path_factory.mktemp("hostile")
    write_image(folder / "secret", speckle(8, 8))
    write_image(folder / "in.zarr", speckle(40, 40), chunk=16)
    return folder / "in.zarr"


@pytest.mark.parametrize("file", ["zarr.json", "0/zarr.json"])
@given(data=st.data())
def test_one_changed_value(hostage: Path, file: str, data: st.DataObject) -> None:
    original = (hostage / file).read_text()
    document = json.loads(original)
    at = data.draw(st.sampled_from(places(document)), label="at")
    new = data.draw(VALUES, label="new")
    (hostage / file).write_text(json.dumps(replaced(document, at, new)))
    tracemalloc.start()
    said = None
    try:
        image = open_image(hostage)
        region = tuple(slice(0, min(8, size)) for size in image.shape)
        pixels = image.read(region)
        assert pixels.size <= 8**5
    except ScalesrError as error:
        said = error
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        (hostage / file).write_text(original)
    assert peak < PLENTY
    assert said is None or said.remedy


@given(content=st.one_of(st.binary(max_size=64), VALUES.map(lambda value: json.dumps(value).encode())))
def test_anything_in_place_of_the_metadata(hostage: Path, content: bytes) -> None:
    original = (hostage / "zarr.json").read_bytes()
    (hostage / "zarr.json").write_bytes(content)
    try:
        with pytest.raises(ScalesrError):
            open_image(hostage)
    finally:
        (hostage / "zarr.json").write_bytes(original)


def test_json_nested_without_end(hostage: Path) -> None:
    original = (hostage / "zarr.json").read_bytes()
    (hostage / "zarr.json").write_bytes(b"[" * 200_000)
    try:
        with pytest.raises(ScalesrError):
            open_image(hostage)
    finally:
        (hostage / "zarr.json").write_bytes(original)


def declare(hostage: Path, target: Path, **changes: Any) -> Path:
    """Copy an image and change the metadata of its array."""
    write_image(target, np.ones((40, 40), np.uint16), chunk=16)
    document = json.loads((target / "0" / "zarr.json").read_text())
    for name, value in changes.items():
        if name == "chunks":
            document["codecs"][0]["configuration"]["chunk_shape"] = value
            document["chunk_grid"]["configuration"]["chunk_shape"] = value
        elif name == "shards":
            document["chunk_grid"]["configuration"]["chunk_shape"] = value
            document["codecs"][0]["configuration"]["chunk_shape"] = [1, 1]
        else:
            document[name] = value
    (target / "0" / "zarr.json").write_text(json.dumps(document))
    return target


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shape": [2**20, 2**20], "chunks": [2**20, 2**19]}, "1,099,511,627,776 bytes"),
        ({"chunks": [2**20, 2**19]}, "1,099,511,627,776 bytes"),
        ({"shards": [2**16, 2**16], "shape": [2**16, 2**16]}, "4,294,967,296 chunks in a shard"),
        ({"shape": [2**60, 40]}, "an axis of"),
    ],
)
def test_a_terabyte_on_its_word(hostage: Path, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    target = declare(hostage, tmp_path / "huge.zarr", **changes)
    tracemalloc.start()
    with pytest.raises(InputError, match=words):
        open_image(target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < PLENTY


@pytest.mark.parametrize(
    "path",
    ["../secret/0", "0/../../secret/0", "..", ".", "", "/", "s3://other/bucket", "x::y", "..\\secret\\0", "a\0b"],
)
def test_datasets_stay_inside(hostage: Path, path: str) -> None:
    original = (hostage / "zarr.json").read_text()
    document = json.loads(original)
    document["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = path
    (hostage / "zarr.json").write_text(json.dumps(document))
    try:
        with pytest.raises(InputError, match="does not lie within it"):
            open_image(hostage)
    finally:
        (hostage / "zarr.json").write_text(original)


def test_a_container_keeps_to_its_own_series(tmp_path: Path) -> None:
    import zarr  # noqa: PLC0415

    write_image(tmp_path / "secret", speckle(8, 8))
    layout = {"ome": {"version": "0.5", "bioformats2raw.layout": 3}}
    group = zarr.create_group(str(tmp_path / "many.zarr"), attributes=layout)
    group.create_group("OME", attributes={"ome": {"version": "0.5", "series": ["../secret"]}})
    with pytest.raises(InputError, match="does not lie within it"):
        open_image(tmp_path / "many.zarr")


def test_thousands_of_levels(hostage: Path) -> None:
    original = (hostage / "zarr.json").read_text()
    document = json.loads(original)
    multiscale = document["attributes"]["ome"]["multiscales"][0]
    multiscale["datasets"] = multiscale["datasets"][:1] * 5000
    (hostage / "zarr.json").write_text(json.dumps(document))
    try:
        with pytest.raises(InputError, match="5,000 datasets"):
            open_image(hostage)
    finally:
        (hostage / "zarr.json").write_text(original)
