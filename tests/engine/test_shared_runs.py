"""Processes that work at one output with nobody to deal out the work: the bytes are those of one process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from commands import program
from engine.conftest import voxels
from engine.test_poisoned import pixels_of
from fragile_model import BLEND, TILES, Fragile

import scalesr
from scalesr.engine import BlockDone, StageStarted
from scalesr.engine.claiming import LEAVE
from scalesr.engine.claiming.alone import STAGE
from scalesr.engine.claiming.claims import block_name
from scalesr.engine.claiming.holders import Heart
from scalesr.engine.executors import SerialExecutor
from scalesr.errors import FailedBlocksError, InterruptedRunError, LedgerError, OutputError, PlanError, ScalesrError
from scalesr.images import Files, begin_image, open_image

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from engine.conftest import MakeImage

    from scalesr.engine import Event

SIDE = 80
"""Five cells, and as many blocks, along each axis."""
SHARED: dict[str, Any] = {**TILES, "blend": BLEND, "scheduler": "serial", "share": "claims"}


@pytest.fixture
def image(make_image: MakeImage) -> scalesr.Image:
    return make_image(np.random.default_rng(1).integers(0, 4000, (SIDE, SIDE), dtype=np.uint16))


@pytest.fixture
def fragile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fragile:
    return Fragile(tmp_path, monkeypatch)


@pytest.fixture(autouse=True)
def short_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALESR_LEASE", "1")


@pytest.fixture
def wanted(image: scalesr.Image, fragile: Fragile, tmp_path: Path) -> dict[str, str]:
    """What an ordinary run writes."""
    scalesr.run(image, tmp_path / "wanted" / "out.zarr", model=fragile.model, **(SHARED | {"share": "nothing"}))
    return pixels_of(tmp_path / "wanted" / "out.zarr")


def at_once(*jobs: Callable[[], Any]) -> list[Any]:
    """Do all at the same time, and return what comes of each: a result or an error."""
    found: list[Any] = [None] * len(jobs)

    def do(number: int) -> None:
        try:
            found[number] = jobs[number]()
        except ScalesrError as error:
            found[number] = error

    threads = [threading.Thread(target=do, args=(number,)) for number in range(len(jobs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


@pytest.mark.parametrize("blend", [0, BLEND])
def test_three_at_one_output(image: scalesr.Image, fragile: Fragile, tmp_path: Path, blend: int) -> None:
    options = SHARED | {"model": fragile.model, "blend": blend}
    scalesr.run(image, tmp_path / "wanted" / "out.zarr", **(options | {"share": "nothing"}))
    target = tmp_path / "out.zarr"
    told: list[list[Event]] = [[], [], []]
    results = at_once(
        *(lambda heard=heard: scalesr.run(image, target, callbacks=[heard.append], **options) for heard in told)
    )
    assert sum(result.blocks for result in results) == 25
    assert pixels_of(target) == pixels_of(tmp_path / "wanted" / "out.zarr")
    # What is kept of the work itself is gone with it.
    assert not Files(str(target / "scalesr")).list("claims/")
    assert not Files(str(target / "scalesr")).list("strips/")
    # One that comes when all is done is told of nothing.
    assert sum(isinstance(event, BlockDone) for heard in told for event in heard) == 25


def test_one_alone_is_an_ordinary_run_that_may_be_repeated(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str]
) -> None:
    first = scalesr.run(image, tmp_path / "out.zarr", model=fragile.model, **SHARED)
    assert first.blocks == 25
    assert pixels_of(tmp_path / "out.zarr") == wanted
    assert scalesr.run(image, tmp_path / "out.zarr", model=fragile.model, **SHARED).blocks == 0
    # A record that is gone makes the output one that is not whole, until it is made again.
    (tmp_path / "out.zarr" / "scalesr" / "blocks" / "000000" / "7.json").unlink()
    assert scalesr.run(image, tmp_path / "out.zarr", model=fragile.model, **SHARED).blocks == 1
    assert pixels_of(tmp_path / "out.zarr") == wanted


def records(target: Path) -> int:
    """Return how many blocks are done."""
    return len(Files(str(target / "scalesr")).list("blocks/"))


def begin(image: scalesr.Image, target: Path, model: str) -> int:
    """Run some of the blocks, leave, and return how many are done: claims and strips stay."""

    def stop(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        scalesr.run(image, target, model=model, callbacks=[stop], **SHARED)
    assert 7 <= records(target) < 20
    return records(target)


@pytest.mark.parametrize(
    ("held", "metrics"),
    [
        ([24], ()),
        ([24, 23, 19, 18], ("ssim",)),
        pytest.param(list(range(25)), (), marks=pytest.mark.slow),
        pytest.param(list(range(25)), ("ssim",), marks=pytest.mark.slow),
    ],
    ids=["first", "corner", "all", "all measured"],
)
def test_what_the_dead_held_is_taken_over(
    image: scalesr.Image, make_image: MakeImage, fragile: Fragile, tmp_path: Path, held: list[int],
    metrics: tuple[str, ...],
) -> None:  # fmt: skip
    """Somebody who died has claimed blocks whose strips, or voxels, all others wait for."""
    reference = make_image(np.full((SIDE, SIDE), 2000, np.uint16), name="other.zarr")
    options = SHARED | {"model": fragile.model, "metrics": metrics, "reference": reference.url if metrics else None}
    alone = scalesr.run(image, tmp_path / "wanted" / "out.zarr", **(options | {"share": "nothing"}))
    target = tmp_path / "out.zarr"
    for block in held:
        # The note of whoever this is does not exist, as after kill -9 on a disk that lost it.
        Files(str(target / "scalesr")).put(f"claims/{block_name(block)}.0", b"0123456789abcdef")
    Files(str(target)).put(
        "zarr.json", b'{"zarr_format": 3, "node_type": "group", "attributes": {"scalesr": {"state": "running"}}}'
    )
    results = at_once(*[lambda: scalesr.run(image, target, **options)] * 2)
    assert sum(result.blocks for result in results) == 25
    assert pixels_of(target) == pixels_of(tmp_path / "wanted" / "out.zarr")
    for result in results:
        if metrics:
            assert result.measurement.measures[0].value == alone.measurement.measures[0].value  # type: ignore[union-attr]


def test_strips_that_were_lost_are_made_again(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str]
) -> None:
    target = tmp_path / "out.zarr"
    done = begin(image, target, fragile.model)
    strips = Files(str(target / "scalesr"))
    assert strips.list("strips/")
    for key in strips.list("strips/"):
        strips.delete(key)
    result = scalesr.run(image, target, model=fragile.model, **SHARED)
    assert result.blocks == 25 - done
    assert pixels_of(target) == wanted


def test_one_alone_goes_on_with_what_several_began(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str]
) -> None:
    done = begin(image, tmp_path / "out.zarr", fragile.model)
    alone = SHARED | {"share": "nothing", "mode": "resume"}
    assert scalesr.run(image, tmp_path / "out.zarr", model=fragile.model, **alone).blocks == 25 - done
    assert pixels_of(tmp_path / "out.zarr") == wanted


@pytest.mark.parametrize("mode", ["resume", "overwrite"])
def test_one_alone_leaves_what_others_are_at_work_at(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str], mode: str
) -> None:
    target = tmp_path / "out.zarr"
    begin(image, target, fragile.model)
    alone = {**SHARED, "share": "nothing", "mode": mode, "model": fragile.model}
    files = Files(str(target / "scalesr"))
    heart = Heart(files, seconds=1)
    heart.start()
    before = pixels_of(target)
    with pytest.raises(OutputError, match=r"Other processes work at .*out\.zarr together.*--share"):
        scalesr.run(image, target, **alone)
    assert pixels_of(target) == before
    assert files.get(f"claims/holders/{heart.token}.json") is not None
    # Killed, it says nothing any more, and the note stays.
    heart._stop.set()
    heart._thread.join()
    heard: list[Event] = []
    scalesr.run(image, target, callbacks=[heard.append], **alone)
    assert any(isinstance(event, StageStarted) and event.name == STAGE for event in heard)
    assert pixels_of(target) == wanted
    assert not files.list("claims/")


def test_who_joins_an_ordinary_run_makes_the_same_bytes(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str]
) -> None:
    target = tmp_path / "out.zarr"
    joining: list[Any] = []

    def join(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 5 and not joining:
            joining.append(scalesr.run(image, target, model=fragile.model, **SHARED))

    with pytest.raises(OutputError, match=r"joined this run by --share, and finished .*out\.zarr meanwhile"):
        scalesr.run(image, target, model=fragile.model, callbacks=[join], **(SHARED | {"share": "nothing"}))
    assert joining[0].blocks == 20
    assert pixels_of(target) == wanted


def test_who_was_taken_for_dead_does_no_harm(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process sleeps in the middle of a block for longer than its lease; another one makes everything meanwhile."""
    target = tmp_path / "out.zarr"
    monkeypatch.setenv("SCALESR_LEASE", "0.3")
    asleep, awake = threading.Event(), threading.Event()
    sleepers: list[Any] = []
    submit, show, beat = SerialExecutor.submit, Heart.start, Heart._beat

    def submit_and_sleep(self: SerialExecutor, function: Any, *args: Any, **given: Any) -> Any:
        done = submit(self, function, *args, **given)
        if given["name"].startswith("strip-18-") and threading.get_ident() in sleepers:
            asleep.set()
            assert awake.wait(timeout=60)
        return done

    def show_and_remember(self: Heart) -> None:
        if threading.get_ident() in sleepers:
            sleepers.append(self)
        show(self)

    def beat_unless_asleep(self: Heart) -> None:
        if self not in sleepers or not asleep.is_set():
            beat(self)

    monkeypatch.setattr(SerialExecutor, "submit", submit_and_sleep)
    monkeypatch.setattr(Heart, "start", show_and_remember)
    monkeypatch.setattr(Heart, "_beat", beat_unless_asleep)

    def sleeping() -> Any:
        sleepers.append(threading.get_ident())
        return scalesr.run(image, target, model=fragile.model, **SHARED)

    def waking() -> Any:
        assert asleep.wait(timeout=60)
        try:
            return scalesr.run(image, target, model=fragile.model, **SHARED)
        finally:
            awake.set()

    late, early = at_once(sleeping, waking)
    assert late.blocks + early.blocks == 25
    assert pixels_of(target) == wanted


@pytest.mark.parametrize("blend", [0, BLEND])
def test_a_block_that_fails_here_may_be_made_by_others(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, blend: int
) -> None:
    options = SHARED | {"model": fragile.model, "blend": blend}
    scalesr.run(image, tmp_path / "wanted" / "out.zarr", **(options | {"share": "nothing"}))
    fragile.fail(2, 2, times=3, blend=blend)
    target = tmp_path / "out.zarr"
    with pytest.raises(FailedBlocksError, match=r"block 12 \(ValueError: no luck"):
        scalesr.run(image, target, **options)
    done = records(target)
    assert 25 - done == (1 if blend == 0 else 4)
    # Its claim is free at once.
    began = time.monotonic()
    assert scalesr.run(image, target, **options).blocks == 25 - done
    assert time.monotonic() - began < 2
    assert pixels_of(target) == pixels_of(tmp_path / "wanted" / "out.zarr")
    assert not Files(str(target / "scalesr")).list("failures/")


def test_who_is_told_to_leave_ends_what_it_has(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str]
) -> None:
    target = tmp_path / "out.zarr"

    def leave(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done >= 5:
            LEAVE.set()

    try:
        with pytest.raises(InterruptedRunError, match=r"Told to leave with \d of 25 blocks done"):
            scalesr.run(image, target, model=fragile.model, callbacks=[leave], **SHARED)
    finally:
        LEAVE.clear()
    left, began = 25 - records(target), time.monotonic()
    assert scalesr.run(image, target, model=fragile.model, **SHARED).blocks == left
    assert time.monotonic() - began < 2
    assert pixels_of(target) == wanted


def test_two_ordinary_runs_do_not_begin_one_output(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have seen that there is nothing before either of them writes."""
    both = threading.Barrier(2)

    def begin_together(*place: Any, **options: Any) -> bool:
        both.wait(timeout=60)
        return begin_image(*place, **options)

    monkeypatch.setattr("scalesr.images.writer.begin_image", begin_together)
    options = SHARED | {"share": "nothing"}
    found = at_once(*[lambda: scalesr.run(image, tmp_path / "out.zarr", model=fragile.model, **options)] * 2)
    (error,) = (one for one in found if isinstance(one, ScalesrError))
    (result,) = (one for one in found if not isinstance(one, ScalesrError))
    assert isinstance(error, OutputError)
    assert "Somebody else has just begun" in error.problem
    assert "--share" in error.remedy
    assert result.blocks == 25


def test_two_who_resume_what_was_hardly_begun_do_not_both(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is there, and what the run is was not yet written down."""
    target = tmp_path / "out.zarr"
    begin_image(target)
    both = threading.Barrier(2)
    monkeypatch.setattr("scalesr.engine.running.check_workers", lambda *_: both.wait(timeout=60))
    options = SHARED | {"share": "nothing", "mode": "resume"}
    found = at_once(*[lambda: scalesr.run(image, target, model=fragile.model, **options)] * 2)
    (error,) = (one for one in found if isinstance(one, ScalesrError))
    assert isinstance(error, LedgerError)
    assert "Somebody else has just begun" in error.problem


def test_what_cannot_be_shared_is_refused(image: scalesr.Image, fragile: Fragile, tmp_path: Path) -> None:
    target = tmp_path / "out.zarr"
    for change in ({"mode": "overwrite"}, {"calibrate": "once"}):
        with pytest.raises(PlanError, match=r"cannot be replaced|same cells"):
            scalesr.run(image, target, model=fragile.model, **(SHARED | change))
    assert not target.exists()
    begin(image, target, fragile.model)
    with pytest.raises(LedgerError, match=r"out\.zarr holds a run of something else: plan"):
        scalesr.run(image, target, model=fragile.model, **(SHARED | {"block": 2}))
    other = tmp_path / "notes"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError):
        scalesr.run(image, other, model=fragile.model, **SHARED)
    assert [path.name for path in other.iterdir()] == ["thesis.txt"]


def start(image: scalesr.Image, target: Path, model: str, **variables: str) -> subprocess.Popen[str]:
    """Start a process as a user does."""
    told = [f"--{name}={value}" for name, value in TILES.items() if name != "normalise"]
    return subprocess.Popen(
        [*program(), "run", image.url, str(target), f"--model={model}", *told, f"--blend={BLEND}", "--share",
         "--normalise=0,4000", "--scheduler=serial", "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def await_blocks(target: Path, count: int) -> None:
    """Wait until so many blocks are done."""
    for _ in range(3000):
        if records(target) >= count:
            return
        time.sleep(0.05)
    raise TimeoutError(f"{count} blocks are not done")


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str]
) -> None:
    target = tmp_path / "out.zarr"
    processes = [start(image, target, fragile.model, TILE_SECONDS="0.4") for _ in range(2)]
    await_blocks(target, 6)
    processes[0].send_signal(signal.SIGKILL)
    processes[0].communicate()
    told, said = processes[1].communicate(timeout=200)
    assert processes[1].returncode == 0, said
    assert 0 < json.loads(told)["blocks_computed"] < 25
    assert pixels_of(target) == wanted
    np.testing.assert_array_equal(voxels(open_image(target)), voxels(open_image(tmp_path / "wanted" / "out.zarr")))


@pytest.mark.slow
def test_a_process_that_is_ordered_to_end_hands_back_what_it_has(
    image: scalesr.Image, fragile: Fragile, tmp_path: Path, wanted: dict[str, str]
) -> None:
    target = tmp_path / "out.zarr"
    process = start(image, target, fragile.model, TILE_SECONDS="0.4", SCALESR_LEASE="600")
    await_blocks(target, 2)
    process.terminate()
    told, said = process.communicate(timeout=200)
    assert process.returncode == 130, said
    assert "Told to leave" in json.loads(told)["error"]
    left = 25 - records(target)
    # A lease of ten minutes is not waited for.
    began = time.monotonic()
    assert scalesr.run(image, target, model=fragile.model, **SHARED).blocks == left
    assert time.monotonic() - began < 20
    assert pixels_of(target) == wanted
