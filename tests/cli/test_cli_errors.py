"""What bad input gets: one message that names what is wrong and what to do, an exit code, and nothing written."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from commands import call, only_json, speckle, write_image

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A small image, 40 x 40 px."""
    write_image(tmp_path / "in.zarr", speckle(40, 40))
    return tmp_path / "in.zarr"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--model", "nope"], 5, ["nope", "cubic"]),
        (["--model", "absent.safetensors"], 5, ["absent.safetensors"]),
        (["--model", "absent.package:model"], 5, ["absent.package"]),
        (["--model", "cubic"], 5, ["scale"]),
        (["--model", "cubic", "--scale", "many"], 2, ["--scale", "many", "48/13"]),
        (["--model", "cubic", "--scale", "2,2,2,2"], 5, ["4 scales", "yx"]),
        (["--model", "cubic", "--scale", "2", "--model-axes", "zyx"], 5, ["z"]),
        (["--model", "cubic", "--scale", "2", "--cell", "huge"], 2, ["--cell", "huge"]),
        (["--model", "cubic", "--scale", "2", "--cell", "8,8,8"], 6, ["--cell", "yx"]),
        (["--model", "cubic", "--scale", "3/2", "--cell", "9"], 6, ["cell", "multiple of 2"]),
        (["--model", "cubic", "--scale", "2", "--blend", "20", "--cell", "16"], 6, ["--cell", "--blend"]),
        (["--model", "cubic", "--scale", "2", "--block", "4", "--shard", "3"], 6, ["--block", "--shard"]),
        (["--model", "cubic", "--scale", "2", "--memory", "lots"], 2, ["--memory", "8GB"]),
        (["--model", "cubic", "--scale", "2", "--memory", "10MB"], 6, ["10 MB", "--memory"]),
        (["--model", "cubic", "--scale", "2", "--device", "abacus"], 6, ["abacus", "cpu"]),
        (["--model", "cubic", "--scale", "2", "--level", "3"], 3, ["level 3"]),
        (["--model", "cubic", "--scale", "2", "--out-dtype", "complex64"], 6, ["complex64", "--out-dtype"]),
        (["--model", "cubic", "--scale", "2", "--out-dtype", "colourful"], 6, ["colourful", "--out-dtype"]),
        (["--model", "cubic", "--scale", "2", "--normalise", "loud"], 2, ["--normalise", "loud"]),
        (["--model", "cubic", "--scale", "2", "--resume", "--overwrite"], 2, ["--resume", "--overwrite"]),
        (["--model", "cubic", "--scale", "2", "--resume"], 4, ["--resume"]),
        (["--model", "cubic", "--scale", "2", "--log", "no/such/folder/log"], 4, ["--log"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_run_that_cannot_be(image: Path, tmp_path: Path, options: list[str], code: int, words: list[str]) -> None:
    target = tmp_path / "out.zarr"
    if options[-1] == "--resume":
        target.mkdir()
        (target / "notes.txt").write_text("not a run")
    before = sorted(path for path in tmp_path.rglob("*"))
    result = call("run", image, target, "--scheduler", "serial", *options)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert len(result.stderr.splitlines()) == 1
    assert not [word for word in words if word not in result.stderr], result.stderr
    assert sorted(path for path in tmp_path.rglob("*")) == before
    as_json = call("run", image, target, "--scheduler", "serial", *options, "--json")
    document = only_json(as_json)
    assert as_json.exit_code == document["exit_code"] == code
    assert document["error"]
    assert document["remedy"]


def test_a_missing_image(tmp_path: Path) -> None:
    for command in (["run", "absent/in.zarr", "out.zarr"], ["info", "absent/in.zarr"], ["plan", "absent/in.zarr"]):
        result = call(*command)
        assert result.exit_code == 3
        assert "absent/in.zarr does not exist" in result.stderr
    result = call("import", tmp_path / "absent.tif", tmp_path / "out.zarr")
    assert result.exit_code == 3
    assert "absent.tif does not exist" in result.stderr
    assert not (tmp_path / "out.zarr").exists()


def test_an_output_that_exists_is_left_alone(image: Path, tmp_path: Path) -> None:
    options = ("--model", "nearest", "--scale", "2", "--scheduler", "serial")
    arguments = ("run", str(image), str(tmp_path / "out.zarr"), *options)
    assert call(*arguments).exit_code == 0
    result = call(*arguments)
    assert result.exit_code == 4
    assert "--overwrite or --resume" in result.stderr
    other = call("run", image, tmp_path / "out.zarr", "--model", "nearest", "--scale", "3", "--resume")
    assert other.exit_code == 7
    assert "scale" in other.stderr


def test_the_input_is_never_the_output(image: Path) -> None:
    result = call("run", image, image, "--model", "nearest", "--scale", "2", "--overwrite")
    assert result.exit_code == 4
    assert "same image" in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_folder_without_permission(image: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    result = call("run", image, locked / "out.zarr", "--model", "nearest", "--scale", "2")
    assert result.exit_code == 4
    assert str(locked) in result.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "IN, or --shape"),
        (["--shape", "10,20", "--axes", "qx"], "--axes 'qx'"),
        (["--shape", "10,20", "--axes", "xx"], "--axes 'xx'"),
        (["--shape", "10,many"], "--shape"),
        (["--shape", "10,20", "--dtype", "text"], "--dtype 'text'"),
    ],
)
def test_a_plan_of_nothing(options: list[str], words: str) -> None:
    result = call("plan", *options, "--model", "cubic", "--scale", "2")
    if options:
        assert result.exit_code == 2
        assert words in result.stderr


@pytest.mark.parametrize("shape", ["10,20,30,40", "0,20"])
def test_shapes_that_do_not_fit_the_axes(shape: str) -> None:
    result = call("plan", "--shape", shape, "--axes", "yx", "--model", "cubic", "--scale", "2")
    assert result.exit_code == 3
    assert "--axes" in result.stderr


def test_an_image_and_a_shape_are_one_too_many(image: Path) -> None:
    assert call("plan", image, "--shape", "10,20", "--model", "cubic", "--scale", "2").exit_code == 2
    assert call("plan", "--model", "cubic", "--scale", "2").exit_code == 2


@pytest.mark.parametrize(
    "arguments", [["rnu"], ["run", "--fast"], ["run", "only-one"], ["run", "a", "b", "--batch", "0"]]
)
def test_mistyped_commands(arguments: list[str]) -> None:
    result = call(*arguments)
    assert result.exit_code == 2
    assert "Error" in result.stderr
    document = only_json(call(*arguments, "--json"))
    assert document["exit_code"] == 2
    assert "--help" in document["remedy"]


def test_the_unforeseen_is_short_and_can_be_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("the moon is full")

    monkeypatch.setattr(sys.modules["scalesr.cli.plan"], "asked", broken)
    arguments = ["plan", "--shape", "10,20"]
    result = call(*arguments)
    assert result.exit_code == 1
    assert "RuntimeError: the moon is full" in result.stderr
    assert "--traceback" in result.stderr
    assert "Traceback" not in result.stderr
    assert "Traceback" in call(*arguments, "--traceback").stderr


def test_an_import_that_fails_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.tif").write_bytes(b"II*\0 this is no picture")
    result = call("import", tmp_path / "broken.tif", tmp_path / "out.zarr")
    assert result.exit_code == 3
    assert "broken.tif" in result.stderr
    assert not (tmp_path / "out.zarr").exists()
