"""Blocks that fail: tried again, given up, and made later; the bytes are those of a run without trouble."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from engine.conftest import voxels
from fragile_model import BLEND, TILES, Fragile

import scalesr
from scalesr.engine import BlockDone, BlockGivenUp, BlockLost, BlockRetried, BlockSlow, attempts, lookout, window
from scalesr.errors import FailedBlocksError, ScalesrError
from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage

    from scalesr.engine import Event

SIDE = 80
"""Five cells, and as many blocks, along each axis."""


@pytest.fixture
def image(make_image: MakeImage) -> scalesr.Image:
    return make_image(np.random.default_rng(1).integers(0, 4000, (SIDE, SIDE), dtype=np.uint16))


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fragile:
    return Fragile(tmp_path, monkeypatch)


def pixels_of(folder: Path) -> dict[str, str]:
    """Return all files of an output but those of its ledger, and what they hold in short."""
    return {
        path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest()[:8]
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "scalesr"
    }


def notes(folder: Path) -> dict[int, dict[str, Any]]:
    """Return what the ledger says of blocks that failed."""
    found = (json.loads(path.read_text()) for path in (folder / "scalesr" / "failures").rglob("*.json"))
    return {note["block"]: note for note in found}


@pytest.mark.parametrize("blend", [0, BLEND])
@pytest.mark.parametrize("scheduler", ["serial", "threads"])
def test_a_block_that_fails_twice_leaves_no_trace(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, blend: int, scheduler: str
) -> None:
    options: dict[str, Any] = {**TILES, "blend": blend, "scheduler": scheduler, "model": fragile.model}
    scalesr.run(image, tmp_path / "wanted" / "out.zarr", **options)
    fragile.fail(2, 2, times=2, blend=blend)
    fragile.fail(2, 3, times=1, blend=blend)
    events: list[Event] = []
    scalesr.run(image, tmp_path / "out.zarr", callbacks=[events.append], **options)
    assert pixels_of(tmp_path / "out.zarr") == pixels_of(tmp_path / "wanted" / "out.zarr")
    retried = {(event.block, event.attempt) for event in events if isinstance(event, BlockRetried)}
    # Nobody else is blamed for waiting; a failure beside that of a block that is waited for is not counted.
    assert {(12, 2), (13, 2)} <= retried <= {(12, 2), (12, 3), (13, 2)}
    assert not notes(tmp_path / "out.zarr")


@pytest.mark.parametrize("blend", [0, BLEND])
@pytest.mark.parametrize("scheduler", ["serial", "threads"])
def test_a_poisoned_block_is_left_out_and_made_later(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, blend: int, scheduler: str
) -> None:
    options: dict[str, Any] = {**TILES, "blend": blend, "scheduler": scheduler, "model": fragile.model}
    scalesr.run(image, tmp_path / "wanted" / "out.zarr", **options)
    fragile.fail(2, 2, times=99, blend=blend)
    events: list[Event] = []
    target = tmp_path / "out.zarr"
    with pytest.raises(FailedBlocksError, match=r"block 12 \(ValueError: no luck") as caught:
        scalesr.run(image, target, callbacks=[events.append], **options)
    assert caught.value.exit_code == 11
    assert "--resume" in caught.value.remedy
    assert [event.block for event in events if isinstance(event, BlockGivenUp)] == [12]
    done = {event.report.block for event in events if isinstance(event, BlockDone)}
    # Its three lower neighbours need its strips; theirs were handed over all the same.
    assert set(range(25)) - done == ({12} if blend == 0 else {12, 11, 7, 6})
    assert ("3 could not be made for want of these" in str(caught.value)) == (blend > 0)
    with pytest.raises(ScalesrError, match="did not finish"):
        open_image(target)
    (note,) = notes(target).values()
    assert note["state"] == "given up"
    assert [one["attempt"] for one in note["tries"]] == [1, 2, 3]
    assert "fragile" in note["tries"][0]["where"]
    fragile.fail(2, 2, times=0, blend=blend)
    result = scalesr.run(image, target, mode="resume", **options)
    assert result.blocks == 25 - len(done)
    assert pixels_of(target) == pixels_of(tmp_path / "wanted" / "out.zarr")
    assert not notes(target)


def test_what_is_measured_waits_with_the_voxels_that_it_needs(
    image: scalesr.Image, make_image: MakeImage, fragile: Fragile, tmp_path: Path
) -> None:
    other = make_image(np.full((SIDE, SIDE), 2000, np.uint16), name="other.zarr")
    options: dict[str, Any] = {
        **TILES, "blend": 0, "scheduler": "serial", "model": fragile.model, "reference": other.url, "metrics": ("ssim",)
    }  # fmt: skip
    wanted = scalesr.run(image, tmp_path / "wanted" / "out.zarr", **options)
    fragile.fail(3, 3, times=99, blend=0)
    with pytest.raises(FailedBlocksError, match="for want of"):
        scalesr.run(image, tmp_path / "out.zarr", **options)
    fragile.fail(3, 3, times=0, blend=0)
    result = scalesr.run(image, tmp_path / "out.zarr", mode="resume", **options)
    np.testing.assert_array_equal(voxels(result.image), voxels(wanted.image))
    assert result.measurement is not None
    assert wanted.measurement is not None
    assert result.measurement.measures == wanted.measurement.measures


def test_a_fault_of_all_blocks_ends_the_run(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "HOPELESS", 4)
    for y in range(5):
        for x in range(5):
            fragile.fail(y, x, times=99, blend=0)
    with pytest.raises(FailedBlocksError, match="stopped at so many: 0 of 25 are done"):
        scalesr.run(image, tmp_path / "out.zarr", model=fragile.model, scheduler="serial", **TILES)
    assert len(notes(tmp_path / "out.zarr")) == 4


def test_a_block_that_takes_long_is_told_once(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (window, lookout):
        monkeypatch.setattr(module, "TICK", 0.05)
    monkeypatch.setattr(window, "SLOW_SECONDS", 1.0)
    fragile.fail(1, 1, times=1, blend=BLEND, how="sleep")
    events: list[Event] = []
    options: dict[str, Any] = {**TILES, "blend": BLEND, "scheduler": "threads", "workers": 2, "model": fragile.model}
    scalesr.run(image, tmp_path / "out.zarr", callbacks=[events.append], **options)
    # Those that wait for its strips are not slow.
    (slow,) = [event for event in events if isinstance(event, BlockSlow)]
    assert slow.block == 6
    assert slow.seconds > 6 * slow.usual


def test_secrets_are_not_noted(image: scalesr.Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(*_: Any, **__: Any) -> Any:
        raise ConnectionResetError("https://me:letmein@host/bucket?X-Amz-Signature=abcdef hung up" + 5000 * "!")

    monkeypatch.setattr(scalesr.Image, "read", read)
    with pytest.raises(FailedBlocksError) as caught:
        scalesr.run(image, tmp_path / "out.zarr", model="identity", scheduler="serial", **TILES | {"block": 5})
    noted = json.dumps(notes(tmp_path / "out.zarr")) + str(caught.value)
    assert "hung up" in noted
    assert "letmein" not in noted
    assert "abcdef" not in noted
    assert len(noted) < 8 * attempts.LONGEST


@pytest.mark.slow
def test_a_block_that_kills_its_workers_is_left_out(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "LOSSES", 8)
    blend = BLEND
    options: dict[str, Any] = {
        **TILES, "blend": blend, "scheduler": "processes", "workers": 1, "model": fragile.model
    }  # fmt: skip
    scalesr.run(image, tmp_path / "wanted" / "out.zarr", **options | {"scheduler": "serial"})
    fragile.fail(4, 2, times=99, blend=blend, how="die")
    events: list[Event] = []
    with pytest.raises(FailedBlocksError, match="8 workers died") as caught:
        scalesr.run(image, tmp_path / "out.zarr", callbacks=[events.append], **options)
    assert "1 of 25 blocks failed" in str(caught.value)
    assert 22 in {event.block for event in events if isinstance(event, BlockLost)}
    fragile.fail(4, 2, times=0, blend=blend)
    scalesr.run(image, tmp_path / "out.zarr", mode="resume", **options)
    assert pixels_of(tmp_path / "out.zarr") == pixels_of(tmp_path / "wanted" / "out.zarr")
