"""Files of weights: what is read, what is refused, and what is said about it."""

from __future__ import annotations

import json
import os
import pickle
import struct
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file

from scalesr.errors import ModelError
from scalesr.models import checkpoint, convert

if TYPE_CHECKING:
    from pathlib import Path

WEIGHTS = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.ones(2)}


class Trap:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.mark}",)


def test_safetensors_and_their_metadata_are_read(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(WEIGHTS, path, metadata={"architecture": "edsr"})
    found = checkpoint.read(path, sha256=checkpoint.fingerprint(path))
    assert found.metadata == {"architecture": "edsr"}
    assert torch.equal(found.tensors["a.weight"], WEIGHTS["a.weight"])


@pytest.mark.parametrize("name", ["net.pth", "net.pt", "net.ckpt", "net.bin", "net.safetensors", "net"])
@pytest.mark.parametrize("zipped", [True, False])
def test_pickles_are_refused_whatever_they_are_called(tmp_path: Path, name: str, *, zipped: bool) -> None:
    path = tmp_path / name
    torch.save(WEIGHTS, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(ModelError, match="can run any program") as caught:
        checkpoint.refuse_pickle(path, trust="safe")
    assert "convert" in caught.value.remedy
    assert "--trust pickle" in caught.value.remedy
    with pytest.raises(ModelError, match="can run any program"):
        checkpoint.read(path, sha256=checkpoint.fingerprint(path))


@pytest.mark.parametrize("wrapper", [None, "params_ema", "params", "state_dict", "model"])
def test_a_trusted_pickle_is_read(tmp_path: Path, wrapper: str | None) -> None:
    path = tmp_path / "net.pth"
    torch.save({wrapper: WEIGHTS, "step": 3} if wrapper else WEIGHTS, path)
    found = checkpoint.read(path, sha256=checkpoint.fingerprint(path), trust="pickle")
    assert set(found.tensors) == set(WEIGHTS)


def test_converting_runs_nothing(tmp_path: Path) -> None:
    path, mark = tmp_path / "net.pth", tmp_path / "mark"
    path.write_bytes(pickle.dumps({"a": Trap(mark)}))
    with pytest.raises(ModelError, match="cannot be read as plain tensors"):
        convert(path, tmp_path / "net.safetensors")
    assert not mark.exists()
    assert not (tmp_path / "net.safetensors").exists()


def test_converting_keeps_names_values_and_shared_storage(tmp_path: Path) -> None:
    shared = torch.rand(4, 4)
    torch.save({"params": {**WEIGHTS, "b": shared, "c": shared.T}}, tmp_path / "net.pth")
    goal = convert(tmp_path / "net.pth", tmp_path / "net.safetensors", metadata={"architecture": "edsr"})
    found = load_file(goal)
    assert set(found) == {*WEIGHTS, "b", "c"}
    assert torch.equal(found["c"], shared.T)
    assert checkpoint.read(goal, sha256=checkpoint.fingerprint(goal)).metadata == {"architecture": "edsr"}
    with pytest.raises(ModelError, match="exists"):
        convert(tmp_path / "net.pth", goal)


def test_a_pickle_without_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"step": 3}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match="no state dict"):
        convert(tmp_path / "net.pth", tmp_path / "net.safetensors")


def test_another_file_than_the_hashed_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(WEIGHTS, path)
    before = checkpoint.fingerprint(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="has changed"):
        checkpoint.read(path, sha256=before)


def header(length: int, text: bytes) -> bytes:
    return struct.pack("<Q", length) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"short",
        header(10, b"{not json}"),
        header(1 << 62, b"{"),
        header(200_000_000, b"{" + b" " * 64),
        header(2, b"{}")[:9],
        header(90, json.dumps({"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 4 << 40]}}).encode()),
    ],
    ids=["empty", "short", "no json", "endless header", "header bomb", "cut", "tensor bomb"],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        checkpoint.read(path, sha256=checkpoint.fingerprint(path))


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    save_file(WEIGHTS, path)
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match="damaged"):
        checkpoint.read(path, sha256=checkpoint.fingerprint(path))


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no file"):
        checkpoint.fingerprint(tmp_path / "net.safetensors")
    with pytest.raises(ModelError, match="is a folder"):
        checkpoint.fingerprint(tmp_path)


def test_a_trusted_pickle_may_hold_a_whole_network(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3)), path)
    with pytest.raises(ModelError, match="cannot be read as plain tensors"):
        convert(path, tmp_path / "net.safetensors")
    found = checkpoint.read(path, sha256=checkpoint.fingerprint(path), trust="pickle")
    assert set(found.tensors) == {"0.weight", "0.bias"}
    path.write_bytes(b"\x80nonsense")
    with pytest.raises(ModelError, match="cannot be read as a pickle"):
        checkpoint.read(path, sha256=checkpoint.fingerprint(path), trust="pickle")
