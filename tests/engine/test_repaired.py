"""Outputs that were damaged: what is wrong is found, and made again with the bytes of the undisturbed run."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
from engine.stack_model import MODELS
from engine.stack_model import TILES as STACK_TILES
from engine.test_eigen_runs import mixture
from fragile_model import TILES as FRAGILE_TILES
from fragile_model import Fragile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_plates import write_plate

import scalesr
from scalesr.engine import StageAdvanced, repair, verify, verify_plate
from scalesr.engine.executors import SerialExecutor
from scalesr.errors import FailedBlocksError, InputError, LedgerError, ModelError
from scalesr.images import open_image, open_plate

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage

    from scalesr.engine import Event

TILES: dict[str, Any] = {
    "model": "cubic", "scale": 2, "cell": 8, "halo": 4, "blend": 2, "block": 2, "normalise": (0.0, 4000.0)
}  # fmt: skip
DAMAGE = ("delete", "truncate", "flip", "empty", "plant")


@pytest.fixture(autouse=True)
def small_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the blocks write two levels, and the end of the run the others, of images of a few kilobytes."""
    monkeypatch.setattr("scalesr.tiling.plan.LEAST_SHARD_BYTES", 2**9)
    monkeypatch.setattr("scalesr.engine.planning.SMALLEST_LEVEL", 16)


def pixels() -> Any:
    """Return an image whose lower right is zero, so that some blocks of its output are not stored at all."""
    found = np.random.default_rng(5).integers(1, 4000, (60, 72), dtype=np.uint16)
    found[20:, 40:] = 0
    return found


def content(folder: Path) -> dict[str, str]:
    """Return all files of an output, and what they hold in short; of its ledger only which records there are."""
    return {
        path.relative_to(folder).as_posix(): ""
        if path.relative_to(folder).parts[0] == "scalesr"
        else sha256(path.read_bytes()).hexdigest()[:8]
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def hurt(path: Path, how: str, *, instead: Path) -> None:
    """Damage a file, or put one there."""
    if how == "plant":
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(instead, path)
        return
    stored = bytearray(path.read_bytes())
    if how == "delete":
        path.unlink()
    elif how == "flip":
        stored[len(stored) // 2] ^= 0x55
        path.write_bytes(bytes(stored))
    else:
        path.write_bytes(bytes(stored[: len(stored) // 2 if how == "truncate" else 0]))


@pytest.fixture
def whole(make_image: MakeImage, tmp_path: Path) -> Path:
    """Return an output that is as the run left it."""
    image = make_image(pixels())
    result = scalesr.run(image, tmp_path / "whole" / "out.zarr", scheduler="serial", **TILES)
    made = [level.made for level in result.plan.levels]
    assert made.count("in pass") == 2
    assert made.count("at end") >= 1
    assert verify(result.image.url, scheduler="serial").whole
    return tmp_path / "whole" / "out.zarr"


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_is_damaged_is_found_and_mended(whole: Path, tmp_path: Path, data: st.DataObject) -> None:
    target = tmp_path / "hurt" / "out.zarr"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(whole, target)
    files = sorted(path for path in target.rglob("*") if path.is_file())
    shards = [path for path in files if "c" in path.relative_to(target).parts]
    others = [
        path
        for path in files
        if (path.name == "zarr.json" and path.parent.name != "scalesr") or path.parent.parent.name == "blocks"
    ]
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(shards + others))
        how = data.draw(st.sampled_from(DAMAGE if path in shards else DAMAGE[:4]))
        if how == "plant":
            level, _, *grid = path.relative_to(target).parts
            path = target.joinpath(level, "c", *(str(int(n) + data.draw(st.integers(0, 3))) for n in grid))
            instead = data.draw(st.sampled_from(shards))
        else:
            instead = path
        if path.exists() or how == "plant":
            hurt(path, how, instead=instead if instead.exists() else whole / instead.relative_to(target))
    changed = content(target) != content(whole) or records(target) != records(whole)
    found = verify(target, scheduler="serial")
    assert found.whole == (not changed), found.faults
    repair(target, scheduler="serial")
    assert content(target) == content(whole)
    assert verify(target, scheduler="serial").whole


def records(folder: Path) -> list[Any]:
    """Return the checksums of all records; None where one is damaged."""
    found = []
    for path in sorted((folder / "scalesr" / "blocks").rglob("*.json")):
        try:
            found.append(json.loads(path.read_text())["checksums"])
        except (ValueError, KeyError):
            found.append(None)
    return found


@pytest.mark.parametrize("scheduler", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_who_verifies_does_not_show(whole: Path, scheduler: str) -> None:
    shard = whole / "1" / "c" / "0" / "0"
    hurt(shard, "truncate", instead=shard)
    found, here = (verify(whole, scheduler=name, workers=2) for name in (scheduler, "serial"))
    assert (found.counts, found.faults, found.bad) == (here.counts, here.faults, here.bad)
    (fault,) = [fault for fault in found.faults if fault.level == 1]
    assert (fault.kind, fault.block, fault.keys) == ("unreadable", 0, ("1/c/0/0",))


def test_only_what_is_bad_is_computed_again(whole: Path) -> None:
    before = content(whole)
    (whole / "0" / "c" / "1" / "1").unlink()
    mended = repair(whole, scheduler="serial")
    assert mended.blocks == 1
    assert mended.before.counts["missing"] == 1
    assert content(whole) == before
    assert repair(whole, scheduler="serial").result is None


def test_a_cluster_is_opened_once(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the output is verified twice before anything is computed."""
    opened: list[SerialExecutor] = []
    closed: list[str] = []

    class Remote(SerialExecutor):
        def close(self, *, how: Literal["finished", "stopped"]) -> None:
            closed.append(how)

    def open_remote(scheduler: object, **_: object) -> SerialExecutor:
        assert scheduler == "tcp://head:8786"
        opened.append(Remote())
        return opened[-1]

    for module in ("repairing", "verifying", "running"):
        monkeypatch.setattr(f"scalesr.engine.{module}.open_executor", open_remote)
    before = content(whole)
    (whole / "zarr.json").write_text("{")
    (whole / "0" / "c" / "1" / "1").unlink()
    assert repair(whole, scheduler="tcp://head:8786").blocks == 1
    assert content(whole) == before
    assert (len(opened), closed) == (1, ["finished"])


def test_deviations_are_verified_and_mended_too(
    make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, scale = MODELS["whole"]
    image = make_image(np.random.default_rng(2).integers(0, 900, (9, 30, 34), dtype=np.uint16), "zyx")
    options: dict[str, Any] = {**STACK_TILES["whole"], "model": model, "scale": scale, "scheduler": "serial"}
    target = tmp_path / "out.zarr"
    scalesr.run(image, target, **options)
    assert verify(target, scheduler="serial").whole
    before = content(target)
    shard = next(path for path in sorted((target / "deviation" / "0" / "c").rglob("*")) if path.is_file())
    hurt(shard, "flip", instead=shard)
    found = verify(target, scheduler="serial")
    assert [fault.image for fault in found.faults if fault.block is not None] == ["deviation"]
    # The output alone asks for this function to be called.
    with pytest.raises(ModelError, match="code that would run") as caught:
        repair(target, scheduler="serial")
    assert "--trust pickle" in caught.value.remedy
    assert repair(target, scheduler="serial", trust="pickle").blocks == 1
    assert content(target) == before


def test_bands_that_were_written_in_groups_are_verified(
    make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scalesr.tiling.plan.BANDS_TOGETHER", 2)
    image = make_image(mixture((40, 44)), "cyx")
    target = tmp_path / "out.zarr"
    scalesr.run(image, target, model="cubic", scale=2, strategy="eigen:2", cell=16, halo=4, scheduler="serial")
    before = content(target)
    assert verify(target, scheduler="serial").whole
    shard = next(path for path in sorted((target / "0" / "c").rglob("*")) if path.is_file())
    shard.unlink()
    assert repair(target, scheduler="serial").blocks >= 1
    assert content(target) == before


def test_an_input_that_changed_is_told(whole: Path, tmp_path: Path) -> None:
    (whole / "0" / "c" / "0" / "0").unlink()
    image = open_image(tmp_path / "input.zarr")
    other = pixels()[::-1].copy()
    shutil.rmtree(tmp_path / "input.zarr" / "0" / "c")
    from zarr import open_array  # noqa: PLC0415 nobody else needs it

    open_array(tmp_path / "input.zarr" / "0", mode="r+")[...] = other
    assert image.shape == other.shape
    with pytest.raises(LedgerError, match="came out otherwise"):
        repair(whole, scheduler="serial")


def test_what_a_repair_needs_must_be_there(whole: Path, make_image: MakeImage, tmp_path: Path) -> None:
    (whole / "0" / "c" / "0" / "0").unlink()
    shutil.move(tmp_path / "input.zarr", tmp_path / "moved.zarr")
    with pytest.raises(InputError, match=r"input\.zarr"):
        repair(whole, scheduler="serial")
    another = make_image(pixels()[:50], name="another.zarr")
    with pytest.raises(LedgerError, match="something else"):
        repair(whole, scheduler="serial", source=another.url)
    with pytest.raises(LedgerError, match=r"built in was \"cubic\" and is now \"linear\""):
        repair(whole, scheduler="serial", source=tmp_path / "moved.zarr", model="linear")
    # Nothing was touched so far: the records are all there.
    assert verify(whole, scheduler="serial").checked == verify(whole, scheduler="serial").blocks
    assert repair(whole, scheduler="serial", source=tmp_path / "moved.zarr").blocks == 1


def test_a_manifest_that_does_not_say_how_is_refused(whole: Path) -> None:
    path = whole / "scalesr" / "manifest.json"
    values = json.loads(path.read_text())
    options = values["provenance"].pop("options")
    path.write_text(json.dumps(values))
    with pytest.raises(LedgerError, match="earlier version"):
        repair(whole, scheduler="serial")
    for wrong in ({"model": 7}, {"scheduler": "tcp://elsewhere:8786"}, {"settings": [1]}, {"settings": {"x": 1}}):
        values["provenance"]["options"] = options | wrong
        path.write_text(json.dumps(values))
        with pytest.raises(LedgerError, match="damaged"):
            repair(whole, scheduler="serial")
    path.unlink()
    with pytest.raises(LedgerError, match="no ledger"):
        verify(whole, scheduler="serial")


def test_an_unfinished_run_is_verified_as_far_as_it_is_and_finished(
    make_image: MakeImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fragile = Fragile(tmp_path, monkeypatch)
    image = make_image(np.random.default_rng(1).integers(0, 4000, (80, 80), dtype=np.uint16))
    options: dict[str, Any] = {**FRAGILE_TILES, "model": fragile.model, "scheduler": "serial"}
    scalesr.run(image, tmp_path / "wanted" / "out.zarr", **options)
    target = tmp_path / "out.zarr"
    fragile.fail(2, 2, times=99, blend=0)
    with pytest.raises(FailedBlocksError):
        scalesr.run(image, target, **options)
    found = verify(target, scheduler="serial")
    assert (found.state, found.checked, found.whole) == ("unfinished", 24, False)
    assert not found.counts
    (target / "0" / "c" / "4" / "4").unlink()
    fragile.fail(2, 2, times=0, blend=0)
    assert repair(target, scheduler="serial", model=fragile.model).blocks == 2
    assert content(target) == content(tmp_path / "wanted" / "out.zarr")


def test_the_fields_of_a_plate_are_verified_and_mended_one_by_one(tmp_path: Path) -> None:
    plate = write_plate(tmp_path / "in.zarr")
    scalesr.run(plate, tmp_path / "out.zarr", model="cubic", scale=2, scheduler="serial")
    target = tmp_path / "out.zarr"
    before = content(target / "A/1/1")
    shard = next(path for path in sorted((target / "A/1/1/0/c").rglob("*")) if path.is_file())
    shard.unlink()
    shutil.rmtree(target / "A/2/0")
    events: list[Event] = []
    found = verify_plate(open_plate(target), scheduler="serial", callbacks=[events.append])
    assert list(found) == list(plate.fields)
    assert isinstance(found["A/2/0"], str)
    bad = {path for path, one in found.items() if not isinstance(one, str) and not one.whole}
    assert bad == {"A/1/1"}
    assert sum(event.steps for event in events if isinstance(event, StageAdvanced)) >= len(found)
    assert repair(target / "A/1/1", scheduler="serial").blocks == 1
    assert content(target / "A/1/1") == before
