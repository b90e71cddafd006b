from __future__ import annotations

import errno
import hashlib
import pickle
import shutil
import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import ome_zarr_models
import pytest
import zarr
from ome_zarr.io import parse_url
from ome_zarr.reader import Multiscales, Reader

from scalesr.errors import InputError, OutputError
from scalesr.images import (
    Axis,
    Channel,
    ImageLayout,
    build_pyramid,
    create_image,
    downsample,
    level_steps,
    open_image,
    pyramid_layout,
    remove_image,
    shard_regions,
)

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.images import ImageWriter

Version = Literal["0.4", "0.5"]
AXES = (Axis("c", "channel"), Axis("z", "space", "micrometer"), Axis("y", "space", "micrometer"),
        Axis("x", "space", "micrometer"))  # fmt: skip


def make_layout(**changes: Any) -> ImageLayout:
    facts: dict[str, Any] = {
        "axes": AXES,
        "shape": (2, 9, 70, 61),
        "dtype": "uint16",
        "scale": (1.0, 0.5, 0.2, 0.2),
        "translation": (0.0, 3.0, 0.05, -1.0),
        "chunks": (1, 4, 16, 16),
        "shards": (1, 8, 32, 32),
        "smallest": 16,
        "channels": (Channel("DAPI", 0, 900, "0000FF"), Channel()),
        "name": "cells",
    }
    return pyramid_layout(**{**facts, **changes})


def fill(writer: ImageWriter) -> np.ndarray[Any, Any]:
    level = writer.layout.levels[0]
    pixels = np.random.default_rng(1).integers(0, 999, level.shape).astype(writer.layout.dtype)
    for region in shard_regions(level):
        writer.write(0, region, pixels[region])
    return pixels


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("where", ["local", "memory"])
def test_what_is_written_is_read_back(tmp_path: Path, version: Version, where: str) -> None:
    url = str(tmp_path / "o.zarr") if where == "local" else f"memory://{tmp_path}/o.zarr"
    layout = make_layout()
    writer = pickle.loads(pickle.dumps(create_image(url, layout, version=version)))
    pixels = fill(writer)
    done: list[tuple[int, int]] = []
    build_pyramid(writer, progress=lambda now, total: done.append((now, total)))
    assert done[-1][0] == done[-1][1] == len(done)
    with pytest.raises(InputError, match="--resume"):
        open_image(url)
    writer.publish()
    image = open_image(url)
    assert image.version == version
    assert image.axes == layout.axes
    assert image.name == "cells"
    assert image.channels == (Channel("DAPI", 0, 900, "0000FF"), Channel("channel 1", 0, 65535, "FFFFFF"))
    assert image.metadata["scalesr"] == {"state": "done"}
    expected = pixels
    for number, (found, level) in enumerate(zip(image.levels, layout.levels, strict=True)):
        assert (found.shape, found.scale, found.translation) == (level.shape, level.scale, level.translation)
        assert found.shards == (level.shards if version == "0.5" else None)
        if number:
            expected = downsample(expected, level_steps(layout, number))
        np.testing.assert_array_equal(image.read(tuple(slice(0, n) for n in found.shape), level=number), expected)
    if version == "0.5":
        assert image.array(0).metadata.to_dict()["dimension_names"] == ("c", "z", "y", "x")


def test_one_file_for_each_shard_and_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a", "b"):
        writer = create_image(tmp_path / name, make_layout())
        fill(writer)
        build_pyramid(writer)
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")
    before = hashes(tmp_path / "a")
    assert sum(name.startswith("0/c/") for name in before) == 2 * 2 * 3 * 2
    again = create_image(tmp_path / "a", make_layout(), mode="resume")
    fill(again)
    assert hashes(tmp_path / "a") == before


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_other_readers_take_it_without_a_warning(tmp_path: Path, version: Version) -> None:
    writer = create_image(tmp_path / "o.zarr", make_layout(), version=version)
    fill(writer)
    build_pyramid(writer)
    files = writer.files()
    files.put("manifest.json", b"{}")
    files.put("blocks/0/1.json", b"{}")
    assert set(writer.files().list()) >= {"blocks/0/1.json", "manifest.json"}
    writer.publish()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        group = zarr.open_group(str(tmp_path / "o.zarr"), mode="r")
        members = dict(group.members())
        assert set(members) == {"scalesr", *(level.path for level in writer.layout.levels)}
        model = ome_zarr_models.open_ome_zarr(group)
        assert model.ome_zarr_version == version
        location = parse_url(str(tmp_path / "o.zarr"))
        assert location is not None
        node = next(iter(Reader(location)()))
        assert any(isinstance(spec, Multiscales) for spec in node.specs)
        assert [level.shape for level in node.data] == [level.shape for level in writer.layout.levels]
        np.testing.assert_array_equal(node.data[0].compute(), open_image(tmp_path / "o.zarr").array(0)[:])


@pytest.mark.parametrize("mode", ["create", "overwrite", "resume"])
def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, mode: Literal["create", "overwrite", "resume"]
) -> None:
    (tmp_path / "thesis.txt").write_text("years")
    with pytest.raises(OutputError, match="not an OME-Zarr image"):
        create_image(tmp_path, make_layout(), mode=mode)
    with pytest.raises(OutputError, match="not an OME-Zarr image"):
        create_image(tmp_path / "thesis.txt", make_layout(), mode=mode)
    assert (tmp_path / "thesis.txt").read_text() == "years"


@pytest.mark.parametrize("where", ["local", "memory"])
def test_create_refuses_and_overwrite_removes(tmp_path: Path, where: str) -> None:
    url = str(tmp_path / "o.zarr") if where == "local" else f"memory://{tmp_path}/over.zarr"
    writer = create_image(url, make_layout())
    fill(writer)
    writer.publish()
    with pytest.raises(OutputError, match=r"already exists\..*--overwrite or --resume"):
        create_image(url, make_layout())
    writer = create_image(url, make_layout(shape=(2, 9, 70, 40)), mode="overwrite")
    assert not np.asarray(writer.array(0)[:]).any()
    assert writer.array(0).shape == (2, 9, 70, 40)
    with pytest.raises(InputError, match="did not finish"):
        open_image(url)
    remove_image(url)
    remove_image(url)
    with pytest.raises(InputError, match="not exist"):
        open_image(url)


@pytest.mark.parametrize("kind", ["image", "plate", "group"])
def test_what_others_wrote(tmp_path: Path, kind: str) -> None:
    ome = {"image": {"multiscales": []}, "plate": {"plate": {}}, "group": {}}[kind]
    zarr.create_group(str(tmp_path / "o"), zarr_format=3, attributes={"ome": ome})
    with pytest.raises(OutputError, match=r"not written by scalesr|not an image"):
        create_image(tmp_path / "o", make_layout(), mode="resume")
    if kind == "image":
        create_image(tmp_path / "o", make_layout(), mode="overwrite")
        return
    with pytest.raises(OutputError, match="a Zarr group, but not an image"):
        create_image(tmp_path / "o", make_layout(), mode="overwrite")
    assert (tmp_path / "o/zarr.json").is_file()


def test_an_array_without_an_image(tmp_path: Path) -> None:
    url = f"memory://{tmp_path}/left.zarr"
    zarr.create_array(f"{url}/1", shape=(3,), dtype="u1")
    with pytest.raises(OutputError, match="holds an array 1"):
        create_image(url, make_layout())


def test_resume(tmp_path: Path) -> None:
    folder = tmp_path / "o.zarr"
    writer = create_image(folder, make_layout(), mode="resume")
    pixels = fill(writer)
    (folder / "0/c/0/0/0/1.0123.partial").write_bytes(b"half")
    shutil.rmtree(folder / "2")
    writer = create_image(folder, make_layout(), mode="resume")
    assert not list(folder.rglob("*.partial"))
    np.testing.assert_array_equal(writer.array(0)[:], pixels)
    assert writer.array(2).shape == writer.layout.levels[2].shape
    for change, fact in (
        ({"dtype": "float32"}, "dtype"),
        ({"shape": (2, 9, 70, 60)}, "shape"),
        ({"chunks": (1, 8, 16, 16)}, "chunks"),
        ({"shards": (1, 8, 64, 32)}, "shards"),
    ):
        with pytest.raises(OutputError, match=f"cannot be resumed: {fact} of level 0"):
            create_image(folder, make_layout(**change), mode="resume")


def test_only_whole_shards_are_written(tmp_path: Path) -> None:
    writer = create_image(tmp_path / "o", make_layout())
    good = (slice(0, 1), slice(0, 8), slice(32, 64), slice(32, 61))
    writer.write(0, good, np.ones((1, 8, 32, 29), np.uint16))
    for region, problem in (
        ((slice(0, 1), slice(0, 8), slice(16, 64), slice(32, 61)), "whole shards"),
        ((slice(0, 1), slice(0, 8), slice(32, 60), slice(32, 61)), "whole shards"),
        ((slice(0, 1), slice(0, 8), slice(32, 96), slice(32, 61)), "whole shards"),
        (good[:3], "does not fit"),
    ):
        with pytest.raises(ValueError, match=problem):
            writer.write(0, region, np.ones((1, 8, 32, 29), np.uint16))
    with pytest.raises(ValueError, match="do not fit a region"):
        writer.write(0, good, np.ones((1, 8, 32, 29), np.uint8))


@pytest.mark.parametrize(
    ("number", "problem"),
    [
        (errno.ENOSPC, "the disk is full. Free space, then run again with --resume"),
        (errno.EDQUOT, "quota.*--resume"),
        (errno.EACCES, "permission is denied"),
        (errno.EIO, "OSError: .*Mend the storage"),
    ],
)
def test_a_failing_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, problem: str) -> None:
    writer = create_image(tmp_path / "o", make_layout())
    region = next(iter(shard_regions(writer.layout.levels[0])))
    data = np.ones([piece.stop - piece.start for piece in region], np.uint16)
    writer.array(0)

    def fail(*args: object, **options: object) -> None:
        raise OSError(number, "it failed")

    monkeypatch.setattr(zarr.storage._local, "_put", fail)
    with pytest.raises(OutputError, match=problem):
        writer.write(0, region, data)
    with pytest.raises(OutputError, match=problem):
        writer.publish()
    with pytest.raises(OutputError, match=problem):
        create_image(tmp_path / "p", make_layout())


def test_a_store_puts_a_shard_by_renaming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What the engine relies on, and zarr does since 3.1.5: a reader never meets half a shard.
    writer = create_image(tmp_path / "o", make_layout())
    region = next(iter(shard_regions(writer.layout.levels[0])))
    data = np.ones([piece.stop - piece.start for piece in region], np.uint16)
    writer.write(0, region, data)
    before = hashes(tmp_path / "o")

    def crash(*args: object) -> None:
        raise OSError(errno.EIO, "power")

    monkeypatch.setattr(type(tmp_path), "replace", crash)
    with pytest.raises(OutputError):
        writer.write(0, region, data * 2)
    assert hashes(tmp_path / "o") == before


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "float32", "float64"])
def test_number_formats(tmp_path: Path, dtype: str) -> None:
    writer = create_image(tmp_path / "o", make_layout(dtype=dtype))
    pixels = fill(writer)
    writer.publish()
    image = open_image(tmp_path / "o")
    assert image.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(image.read(tuple(slice(0, n) for n in image.shape)), pixels)
