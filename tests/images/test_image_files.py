from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from scalesr.errors import InputError, OutputError
from scalesr.images import Files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["local", "disk", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "memory":
        return Files(f"memory://{tmp_path}/place")
    return Files(str(tmp_path / "place"), sync="disk" if request.param == "disk" else "system")


def test_put_get_list_delete(place: Files) -> None:
    assert place.get("blocks/0.json") is None
    assert place.list() == []
    place.put("blocks/0.json", b"old")
    place.put("blocks/0.json", b"new")
    place.put("blocks/10.json", b"")
    place.put("manifest.json", b"{}")
    again = pickle.loads(pickle.dumps(place))
    assert again.get("blocks/0.json") == b"new"
    assert again.get("blocks/10.json") == b""
    assert again.get("blocks") is None
    assert again.list() == ["blocks/0.json", "blocks/10.json", "manifest.json"]
    assert again.list("blocks/") == ["blocks/0.json", "blocks/10.json"]
    assert again.list("blocks/1") == ["blocks/10.json"]
    assert again.list("nothing/") == []
    place.delete("blocks/0.json")
    place.delete("blocks/0.json")
    assert place.list() == ["blocks/10.json", "manifest.json"]


def test_a_crash_before_the_rename_leaves_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Files(str(tmp_path))
    place.put("record", b"old")

    def crash(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(tmp_path), "replace", crash)
    with pytest.raises(KeyboardInterrupt):
        place.put("record", b"new")
    assert place.get("record") == b"old"
    assert place.list() == ["record"]
    assert [path.name for path in tmp_path.iterdir()] == ["record"]


def test_a_half_written_file_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "record.0123.partial").write_bytes(b"ha")
    assert Files(str(tmp_path)).list() == []


def test_what_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="record cannot be written"):
        Files(str(tmp_path / "file")).put("record", b"")
    with pytest.raises(InputError, match="nowhere"):
        Files("nowhere://x").put("record", b"")
