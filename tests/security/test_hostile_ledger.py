"""A ledger written by somebody else: the run refuses, or ends with the right voxels; it never trips over it."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

import google_crc32c
import numpy as np
import pytest
from commands import call, speckle, write_image
from hypothesis import given, settings
from hypothesis import strategies as st
from security.test_hostile_metadata import VALUES, places, replaced

import scalesr
from scalesr.engine import BlockDone, Options
from scalesr.engine.ledger import (
    Manifest,
    check_manifest,
    kept_normalisation,
    read_manifest,
    read_records,
    take_measured,
)
from scalesr.engine.settling import settle
from scalesr.engine.tally import Tally
from scalesr.errors import LedgerError, ScalesrError
from scalesr.images import Files, open_image

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.engine import Event

SMALL: dict[str, Any] = {"model": "cubic", "scale": 2, "cell": 16, "halo": 8, "blend": 4, "scheduler": "serial"}
MEASURED: dict[str, Any] = {"metrics": ("consistency",)}


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image, an output that was stopped in the middle, and one that is whole."""
    folder = tmp_path_factory.mktemp("ledger")
    image = write_image(folder / "in.zarr", speckle(40, 40), chunk=16)

    def stop(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(scalesr.errors.InterruptedRunError):
        scalesr.run(image, folder / "out.zarr", block=1, callbacks=[stop], **MEASURED, **SMALL)
    scalesr.run(image, folder / "whole.zarr", block=1, **MEASURED, **SMALL)
    return folder


def resumed(stopped: Path, key: str, content: bytes) -> str:
    """Go on with a copy of the output in which one file of the ledger is another; say how it ended."""
    target = stopped / "copy.zarr"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(stopped / "out.zarr", target)
    place = Files(str(target / "scalesr"))
    place.put(key, content)
    try:
        scalesr.run(open_image(stopped / "in.zarr"), target, block=1, mode="resume", **MEASURED, **SMALL)
    except ScalesrError as error:
        return type(error).__name__
    wanted = np.asarray(open_image(stopped / "whole.zarr").array()[...])
    assert np.array_equal(np.asarray(open_image(target).array()[...]), wanted)
    return "done"


def keys(stopped: Path, folder: str) -> list[str]:
    """Return what a folder of the ledger holds."""
    return Files(str(stopped / "out.zarr" / "scalesr")).list(folder)


def copied(stopped: Path, key: str) -> Any:
    """Return a document of the ledger."""
    return json.loads(Files(str(stopped / "out.zarr" / "scalesr")).get(key) or b"")


class Memory:
    """A ledger of one file."""

    url = "/output/scalesr"

    def __init__(self, content: bytes) -> None:
        self.content = content

    def get(self, key: str, *, at_most: int | None = None) -> bytes:
        """Return it, whatever is asked for."""
        return self.content


def read(content: bytes) -> None:
    """Read a manifest as a run does that is to be resumed."""
    with suppress(LedgerError):
        manifest = read_manifest(cast("Files", Memory(content)))
        assert manifest is not None
        check_manifest(manifest, Manifest(identity={"plan": {"lattice": []}}, provenance={}))
    with suppress(LedgerError):
        manifest = read_manifest(cast("Files", Memory(content)))
        assert manifest is not None
        kept = kept_normalisation(manifest)
        assert np.isfinite([*kept.offset, *kept.gain]).all()


@given(data=st.data())
def test_one_changed_value_of_a_manifest(stopped: Path, data: st.DataObject) -> None:
    document = copied(stopped, "manifest.json")
    at = data.draw(st.sampled_from(places(document)), label="at")
    read(json.dumps(replaced(document, at, data.draw(VALUES, label="new"))).encode())


@given(content=st.one_of(st.binary(max_size=40), VALUES.map(lambda value: json.dumps(value).encode())))
def test_anything_in_place_of_a_manifest(content: bytes) -> None:
    with pytest.raises(LedgerError):
        read_manifest(cast("Files", Memory(content)))
    with pytest.raises(LedgerError):
        list(read_records(cast("Files", Memory(content)), bytearray(b"\1")))


def test_json_nested_without_end() -> None:
    with pytest.raises(LedgerError):
        read_manifest(cast("Files", Memory(b"[" * 200_000)))
    with pytest.raises(LedgerError):
        list(read_records(cast("Files", Memory(b"[" * 200_000)), bytearray(b"\1")))


@pytest.fixture(scope="module")
def ride(stopped: Path) -> Any:
    """What the run measures."""
    options = Options(block=1, **MEASURED, **SMALL)
    return settle(
        open_image(stopped / "in.zarr"), stopped / "new.zarr", options, target_options=None, tell=lambda _: None
    ).job.ride


@given(data=st.data())
def test_one_changed_value_of_a_record(stopped: Path, ride: Any, data: st.DataObject) -> None:
    key = keys(stopped, "blocks/")[0]
    block = int(key.rsplit("/", 1)[1].removesuffix(".json"))
    document = copied(stopped, key)
    at = data.draw(st.sampled_from(places(document)), label="at")
    content = json.dumps(replaced(document, at, data.draw(VALUES, label="new"))).encode()
    with suppress(LedgerError):
        take_measured(Tally(ride), cast("Files", Memory(content)), bytearray(block) + b"\1")


@pytest.mark.parametrize(("file", "at"), [("manifest.json", ("identity", "normalisation")), ("blocks/", ("gathered",))])
def test_a_run_refuses_what_is_damaged(stopped: Path, file: str, at: tuple[str, ...]) -> None:
    key = file if file.endswith("json") else keys(stopped, file)[0]
    document = replaced(copied(stopped, key), at, "nothing")
    assert resumed(stopped, key, json.dumps(document).encode()) == "LedgerError"


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0", b"x" * 60, b"short" + google_crc32c.value(b"short").to_bytes(4, "big")]
)
def test_anything_in_place_of_strips(stopped: Path, content: bytes) -> None:
    assert resumed(stopped, keys(stopped, "strips/")[0], content) in ("LedgerError", "done")


@pytest.mark.parametrize("name", ["²", "9" * 100, "0 (copy)"])
def test_records_of_no_block(stopped: Path, name: str) -> None:
    assert resumed(stopped, f"blocks/000000/{name}.json", b"{}") == "done"


@pytest.mark.parametrize("name", ["x", "9" * 100])
def test_strips_of_no_block(stopped: Path, name: str) -> None:
    assert resumed(stopped, f"strips/000000/{name}", b"") == "done"


@settings(max_examples=20)
@given(data=st.data())
def test_info_of_a_changed_manifest(stopped: Path, data: st.DataObject) -> None:
    target = stopped / "info.zarr"
    shutil.copytree(stopped / "whole.zarr", target, dirs_exist_ok=True)
    files = Files(str(target / "scalesr"))
    document = json.loads(files.get("manifest.json") or b"")
    at = data.draw(st.sampled_from(places(document)), label="at")
    files.put("manifest.json", json.dumps(replaced(document, at, data.draw(VALUES, label="new"))).encode())
    shown = call("info", target)
    assert shown.exit_code in (0, 3), shown.output


def test_a_ledger_of_gigabytes_is_not_read(stopped: Path) -> None:
    target = stopped / "large.zarr"
    shutil.copytree(stopped / "out.zarr", target)
    with (target / "scalesr" / "manifest.json").open("ab") as file:
        file.truncate(2**40)
    with pytest.raises(LedgerError, match="1,099,511,627,776 bytes"):
        scalesr.run(open_image(stopped / "in.zarr"), target, block=1, mode="resume", **MEASURED, **SMALL)
