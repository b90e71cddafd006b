"""A walk through the errors that a command line can meet: each names what was wrong, and says what to do."""

from __future__ import annotations

import errno
import json
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import zarr
from commands import call, only_json, speckle, write_image

import scalesr
from scalesr.images import OWN

if TYPE_CHECKING:
    from pathlib import Path

CUBIC = ("--model", "cubic", "--scale", "2", "--scheduler", "serial")
USAGE, INPUT, OUTPUT, MODEL, PLAN, LEDGER, STORAGE = 2, 3, 4, 5, 6, 7, 8
Step = tuple[tuple[str, ...], int, tuple[str, ...]]
"""A command line, in which ``@name`` is something of the ground; its exit code; and words that must be said.

``%`` is a place where nothing is."""

WALK: dict[str, Step] = {
    # places
    "no such image": (("run", "@nowhere.zarr", "%", *CUBIC), INPUT, ("nowhere.zarr", "does not exist")),
    "a text file": (("run", "@notes.txt", "%", *CUBIC), INPUT, ("notes.txt", "scalesr import")),
    "an empty folder": (("run", "@empty", "%", *CUBIC), INPUT, ("empty", "zarr.json")),
    "a plain array": (("info", "@in.zarr/0"), INPUT, ("in.zarr/0", "plain Zarr array", "--axes")),
    "a bucket without credentials": (
        ("info", "s3://no-such-bucket-of-anybody/in.zarr"),
        STORAGE,
        ("s3://no-such-bucket-of-anybody", "AWS_"),
    ),
    "an address of no kind": (("info", "gopher://host/in.zarr"), INPUT, ("gopher",)),
    "a password in an address": (("info", "s3://me:hidden@host/in.zarr"), INPUT, ("password",)),
    # images that are not whole
    "metadata cut short": (("run", "@torn.zarr", "%", *CUBIC), INPUT, ("torn.zarr",)),
    "an array that is gone": (("run", "@gone.zarr", "%", *CUBIC), INPUT, ("gone.zarr", "'1'", "not there")),
    "a chunk that is damaged": (("run", "@bad.zarr", "%", *CUBIC), STORAGE, ("bad.zarr/0", "--on-bad-block")),
    "an unfinished output as input": (
        ("run", "@unfinished.zarr", "%", *CUBIC),
        INPUT,
        ("unfinished.zarr", "--resume"),
    ),
    "a level that there is not": (("info", "@in.zarr", "--level", "7"), USAGE, ("--level",)),
    "not a number": (("run", "@nan.zarr", "%", *CUBIC), INPUT, ("nan.zarr", "y=3, x=4", "--on-nan")),
    # targets
    "the target is there": (("run", "@in.zarr", "@done.zarr", *CUBIC), OUTPUT, ("done.zarr", "--overwrite")),
    "the target is something else": (
        ("run", "@in.zarr", "@empty-not", *CUBIC, "--overwrite"),
        OUTPUT,
        ("empty-not", "not an OME-Zarr image"),
    ),
    "the target is the input": (("run", "@in.zarr", "@in.zarr", *CUBIC, "--overwrite"), OUTPUT, ("same image",)),
    "the target lies in a file": (("run", "@in.zarr", "@notes.txt/out.zarr", *CUBIC), OUTPUT, ("notes.txt",)),
    "another run to resume": (
        ("run", "@in.zarr", "@unfinished.zarr", "--model", "nearest", "--scale", "3", "--resume"),
        LEDGER,
        ("scale", "--overwrite"),
    ),
    "nothing to resume": (("run", "@in.zarr", "@empty-not", *CUBIC, "--resume"), OUTPUT, ("empty-not",)),
    # models
    "a model with a typing error": (
        ("plan", "@in.zarr", "--model", "cubik", "--scale", "2"),
        MODEL,
        ("cubik", "cubic"),
    ),
    "no weights there": (("plan", "@in.zarr", "--model", "@no.safetensors"), MODEL, ("no.safetensors",)),
    "weights that are none": (("plan", "@in.zarr", "--model", "@false.safetensors"), MODEL, ("false.safetensors",)),
    "a pickle": (("plan", "@in.zarr", "--model", "@net.pth"), MODEL, ("net.pth", "--trust pickle")),
    "a module that there is not": (("plan", "@in.zarr", "--model", "no_such:net"), MODEL, ("no_such",)),
    "a scale that it has not": (("plan", "@in.zarr", "--model", "default", "--scale", "3"), MODEL, ("4 x 4", "3")),
    "a scale of no number": (("plan", "@in.zarr", "--model", "cubic", "--scale", "twice"), USAGE, ("--scale", "twice")),
    "a volume model of a plane": (("plan", "@in.zarr", "--model", "msdsr"), INPUT, ("in.zarr", "z, y and x")),
    "an option of no model": (
        ("plan", "@in.zarr", "--model", "cubic", "--scale", "2", "--set", "steps=3"),
        MODEL,
        ("cubic", "steps"),
    ),
    # sizes and resources
    "too little memory": (("run", "@in.zarr", "%", *CUBIC, "--memory", "1MB"), PLAN, ("1 MB", "--memory")),
    "memory of no size": (("plan", "@in.zarr", *CUBIC[:4], "--memory", "plenty"), USAGE, ("--memory", "plenty")),
    "cells of no size": (("plan", "@in.zarr", *CUBIC[:4], "--cell", "-4"), USAGE, ("--cell", "-4")),
    "a device that is not here": (("plan", "@in.zarr", *CUBIC[:4], "--device", "tpu"), PLAN, ("tpu", "cpu")),
    "a number format of none": (("plan", "@in.zarr", *CUBIC[:4], "--out-dtype", "int3"), PLAN, ("int3", "--out-dtype")),
    "no scheduler there": (
        ("run", "@in.zarr", "%", *CUBIC[:4], "--scheduler", "tcp://127.0.0.1:9"),
        PLAN,
        ("127.0.0.1:9", "scheduler"),
    ),
    "a scheduler of no kind": (
        ("run", "@in.zarr", "%", *CUBIC[:4], "--scheduler", "mainframe"),
        USAGE,
        ("mainframe", "threads"),
    ),
    # measuring
    "a metric of no name": (
        ("measure", "@in.zarr", "--reference", "@in.zarr", "--metrics", "psnrr"),
        USAGE,
        ("psnrr", "Did you mean psnr?"),
    ),
    "a reference of another shape": (
        ("measure", "@done.zarr", "--reference", "@in.zarr"),
        INPUT,
        ("done.zarr", "0.25", "in.zarr", "0.5"),
    ),
    "a mask of another shape": (
        ("measure", "@in.zarr", "--reference", "@in.zarr", "--mask", "@done.zarr"),
        INPUT,
        ("done.zarr", "80 x 80", "in.zarr", "40 x 40"),
    ),
    "a mask for a run of another shape": (
        ("run", "@in.zarr", "%", *CUBIC, "--mask", "@done.zarr"),
        INPUT,
        ("done.zarr",),
    ),
    "an axis that there is not": (
        ("measure", "@in.zarr", "--reference", "@in.zarr", "--by", "q"),
        INPUT,
        ("'q'", "--by"),
    ),
    "a table that is there": (
        ("measure", "@in.zarr", "--reference", "@in.zarr", "--csv", "@notes.txt"),
        OUTPUT,
        ("notes.txt", "--overwrite"),
    ),
    # importing
    "a TIFF that is none": (("import", "@false.tif", "%"), INPUT, ("false.tif",)),
    "axes of another number": (("import", "@plane.npy", "%", "--axes", "tczyx"), INPUT, ("tczyx", "2")),
    "a pattern that fits nothing": (("import", "@*.nope", "%"), INPUT, ("*.nope",)),
    # looking after outputs
    "no ledger": (("verify", "@in.zarr"), LEDGER, ("in.zarr",)),
    "nothing to repair": (("repair", "@nowhere.zarr"), LEDGER, ("nowhere.zarr",)),
    "no run to tell of": (("status", "@in.zarr"), LEDGER, ("in.zarr",)),
    # the command line itself
    "a command of no name": (("ruin", "a", "b"), USAGE, ("ruin",)),
    "an option of no name": (("run", "@in.zarr", "%", "--modle", "cubic"), USAGE, ("--modle",)),
    "a choice that there is not": (("run", "@in.zarr", "%", "--on-nan", "pray"), USAGE, ("pray", "stop")),
}


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make what the walk stumbles over."""
    folder = tmp_path_factory.mktemp("ground")
    image = write_image(folder / "in.zarr", speckle(40, 40))
    scalesr.run(image, folder / "done.zarr", model="cubic", scale=2, scheduler="serial")
    for name in ("torn", "gone", "bad"):
        shutil.copytree(folder / "done.zarr", folder / f"{name}.zarr", ignore=shutil.ignore_patterns(OWN))
    (folder / "torn.zarr" / "zarr.json").write_text('{"zarr_format": 3, "node_ty')
    about = json.loads((folder / "gone.zarr" / "zarr.json").read_text())
    datasets = about["attributes"]["ome"]["multiscales"][0]["datasets"]
    datasets.append({**datasets[0], "path": "1"})
    (folder / "gone.zarr" / "zarr.json").write_text(json.dumps(about))
    shutil.rmtree(folder / "gone.zarr" / "1", ignore_errors=True)
    for shard in (folder / "bad.zarr" / "0" / "c").rglob("*"):
        if shard.is_file():
            content = bytearray(shard.read_bytes())
            content[len(content) // 3] ^= 255
            shard.write_bytes(content)
    shutil.copytree(folder / "done.zarr", folder / "unfinished.zarr")
    about = json.loads((folder / "unfinished.zarr" / "zarr.json").read_text())
    about["attributes"] = {OWN: {"state": "running"}}
    (folder / "unfinished.zarr" / "zarr.json").write_text(json.dumps(about))
    holes = speckle(40, 40).astype(np.float32)
    holes[3, 4] = np.nan
    write_image(folder / "nan.zarr", holes)
    for name, words in {
        "notes.txt": b"years of work",
        "false.safetensors": b"\x08\0\0\0\0\0\0\0{broken}",
        "net.pth": b"\x80\x02}q\0.",
        "false.tif": b"II*\0no picture",
    }.items():
        (folder / name).write_bytes(words)
    np.save(folder / "plane.npy", speckle(8, 9))
    (folder / "empty").mkdir()
    (folder / "empty-not").mkdir()
    (folder / "empty-not" / "thesis.txt").write_text("years of work")
    return folder


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep accounts of whoever runs the tests out of them, and waiting short."""
    for name, value in {
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
        "SCALESR_STORE_PATIENCE": "0.2",
    }.items():
        monkeypatch.setenv(name, value)


def check(result: Any, as_json: Any, code: int, words: tuple[str, ...]) -> None:
    """Look at what a command line that failed said, to people and to programs."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    said = result.stderr
    assert "Traceback" not in said
    assert "Error" in said
    document = only_json(as_json)
    assert as_json.exit_code == document["exit_code"] == code
    text = f"{document['error']} {document['remedy']}"
    if code != USAGE or "Usage" not in said:
        assert said.startswith("Error: ")
        assert len(said.splitlines()) == 1, said
        assert text.replace("again.zarr", "out.zarr") in said.replace("again.zarr", "out.zarr")
    assert not [word for word in words if word not in text], text
    assert document["error"].endswith((".", "?", "!")), text
    assert document["remedy"][:1].isupper() or document["remedy"].startswith("scalesr"), text
    assert not [
        word for word in ("<", "object at 0x", "NoneType", "KeyError(", "..") if word in text.replace("...", "")
    ], text


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "no scheduler there" else []) for name in WALK]
)
@pytest.mark.usefixtures("quick_refusal")
def test_each_step_of_the_walk(ground: Path, tmp_path: Path, name: str) -> None:
    arguments, code, words = WALK[name]
    lines = [
        [part.replace("@", f"{ground}/") if part[0] == "@" else str(out) if part == "%" else part for part in arguments]
        for out in (tmp_path / "out.zarr", tmp_path / "again.zarr")
    ]
    before = sorted(ground.rglob("*"))
    check(call(*lines[0]), call(*lines[1], "--json"), code, words)
    assert sorted(ground.rglob("*")) == before


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, ("the disk is full", "Free space")),
        (errno.EACCES, ("permission is denied", "permissions")),
        (errno.EROFS, ("read-only", "another place")),
        (errno.EDQUOT, ("quota", "Free space")),
    ],
    ids=["full", "denied", "read-only", "quota"],
)
def test_a_disk_that_refuses(
    ground: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: tuple[str, ...]
) -> None:
    target = tmp_path / "out.zarr"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, "simulated")

    monkeypatch.setattr(zarr.storage._local, "_put", refuse)
    line = ("run", str(ground / "in.zarr"), str(target), *CUBIC)
    check(call(*line), call(*line, "--overwrite", "--json"), OUTPUT, (str(target), *words))


def test_a_package_that_is_missing(ground: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    table = str(ground / "figures.parquet")
    line = ("measure", str(ground / "in.zarr"), "--reference", str(ground / "in.zarr"), "--parquet", table)
    check(call(*line), call(*line, "--json"), OUTPUT, ("pyarrow", "scalesr[tables]"))
