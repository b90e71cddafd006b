"""How far something is: rate, use of the devices, time left; in terminals and notebooks, and quiet elsewhere."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pytest
import torch
from commands import speckle, write_image
from rich.console import Console

import scalesr
import scalesr.progress
from scalesr.cli.output import counting
from scalesr.engine import (
    BlockDone,
    BlockReport,
    BlockRetried,
    Demand,
    Options,
    RunFinished,
    RunStarted,
    StageAdvanced,
    StageStarted,
    Term,
    empty_subject,
    prepare,
)
from scalesr.progress import NotebookProgress, RichProgress, watching
from scalesr.progress.notebook import KEPT, OFTEN
from scalesr.progress.pace import Pace, span

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Page

    from scalesr.tiling import Plan


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Cell:
    """The output of a cell: what was shown, and how often it changed."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.html = ""

    def __call__(self, shown: Any) -> Cell:
        self.update(shown)
        return self

    def update(self, shown: Any) -> None:
        self.texts.append(repr(shown))
        self.html = shown._repr_html_()


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A plan of 4 blocks of 100 x 100 px."""
    options = Options(model="cubic", scale=2, cell=100, block=1)
    return prepare(empty_subject((200, 200), "yx", "uint8"), options).plan


def started(plan: Plan, *, slots: int = 2, device: tuple[Term, ...] = ()) -> RunStarted:
    """Return the first event of a run."""
    return RunStarted(plan=plan, demand=Demand(host=(), device=device), executor="2 threads", done=0, slots=slots)


def block(plan: Plan, number: int, *, infer: float = 0.0) -> BlockDone:
    """Return what is told of a block whose network took so many seconds."""
    index = plan.lattice.index(number)
    report = BlockReport(block=number, index=index, checksums=(), tiles=1, batch=1, seconds={"infer": infer})
    return BlockDone(report=report, done=number + 1, total=plan.blocks)


def test_pace_knows_rate_time_left_and_use(plan: Plan) -> None:
    clock = Clock()
    pace = Pace(clock)
    assert (pace.words(), pace.left(), pace.busy(), pace.gpu()) == ("", None, None, None)
    pace.note(started(plan))
    pace.note(StageStarted(name="blocks", total=4))
    for number in range(3):
        clock.now += 2
        pace.note(block(plan, number, infer=3.0))
    # Two places for 6 s, of which 9 s were used; 10,000 px in 2 s.
    assert pace.busy() == pytest.approx(9 / 12)
    assert pace.rate() == pytest.approx(5000)
    assert pace.left() == pytest.approx(2.0)
    assert pace.words() == "5 kpx/s, 75% busy"
    pace.note(StageStarted(name="level", total=120))
    assert (pace.done, pace.words()) == (0, "")
    clock.now += 60
    pace.note(StageAdvanced(name="level", steps=30))
    assert pace.left() == pytest.approx(180)
    assert pace.words() == "30 /min"
    assert [span(seconds) for seconds in (0.4, 61, 3600 + 62)] == ["0:00", "1:01", "1:01:02"]


def test_the_gpu_is_asked_now_and_then_and_only_where_one_is_used(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    clock = Clock()

    def utilization() -> int:
        asked.append(clock.now)
        return 87

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    on_cpu, on_gpu = Pace(clock), Pace(clock)
    on_cpu.note(started(plan))
    on_gpu.note(started(plan, device=(Term(name="weights", count=1, each=1),)))
    for _ in range(10):
        clock.now += 0.5
        assert (on_cpu.gpu(), on_gpu.gpu()) == (None, 0.87)
    assert len(asked) == 3

    def absent() -> int:
        raise ModuleNotFoundError("pynvml does not seem to be installed")

    monkeypatch.setattr(torch.cuda, "utilization", absent)
    clock.now += 10
    assert on_gpu.gpu() is None


def test_a_notebook_shows_one_line_that_changes(plan: Plan, page: Page) -> None:
    clock, cell = Clock(), Cell()
    with NotebookProgress(title="cells & <b>more</b>", clock=clock, display=cell) as callback:
        assert cell.texts == ["cells & <b>more</b>: preparing"]
        callback(started(plan))
        callback(StageStarted(name="blocks", total=4))
        for number in range(2):
            clock.now += 2
            callback(block(plan, number, infer=4.0))
        assert cell.texts[-1].splitlines() == [
            "cells & <b>more</b>: blocks; 2 of 4; 5 kpx/s, 100% busy; 0:04 left",
            "4 blocks, 2 threads, on the CPU",
        ]
        page.set_content(cell.html)
        assert page.evaluate("document.querySelector('progress').position") == 0.5
        assert "cells & <b>more</b>: blocks; 2 of 4" in page.inner_text("body")
        shown = len(cell.texts)
        for _ in range(100):
            callback(StageAdvanced(name="blocks", steps=0))
        assert len(cell.texts) == shown
        clock.now += OFTEN
        callback(StageAdvanced(name="blocks", steps=0))
        assert len(cell.texts) == shown + 1
        for number in range(2, 4):
            callback(block(plan, number))
        callback(RunFinished(seconds=4.0, blocks=4, bad_chunks=0))
        for number in range(KEPT + 5):
            callback(BlockRetried(block=number, attempt=2, error="[no] <luck>"))
    lines = cell.texts[-1].splitlines()
    assert lines[0] == "cells & <b>more</b>: done in 0:04"
    assert lines[1] == "... 6 before these"
    assert len(lines) == KEPT + 2
    page.set_content(cell.html)
    assert "[no] <luck>" in page.inner_text("body")


def test_a_notebook_says_where_something_stopped() -> None:
    clock, cell = Clock(), Cell()

    def fail() -> None:
        with NotebookProgress(clock=clock, display=cell) as callback:
            callback(StageStarted(name="blocks", total=4))
            clock.now += 75
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError):
        fail()
    assert cell.texts[-1] == "blocks; 0 of 4; stopped after 1:15"
    assert 'value="0" max="4"' in cell.html


def test_trying_tiles_and_batches_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesr.engine.calibration.time_call", lambda *_: 0.01)
    monkeypatch.setattr("scalesr.engine.calibration.remember", lambda *_: None)
    told: list[Any] = []
    options = Options(model="cubic", scale=2, calibrate="again")
    prepare(empty_subject((2000, 2000), "yx", "uint8"), options, tell=told.append)
    assert told[0] == StageStarted(name="trying tiles and batches", total=5)
    assert told[1:] == [StageAdvanced(name="trying tiles and batches")] * 5


def test_a_terminal_shows_use_and_other_rates(plan: Plan) -> None:
    clock, stream = Clock(), io.StringIO()
    console = Console(file=stream, force_terminal=True, width=160)
    with RichProgress(console, clock=clock) as callback:
        callback(StageStarted(name="reading [statistics]", total=10))
        clock.now += 1
        callback(StageAdvanced(name="reading [statistics]", steps=5))
        callback(started(plan, slots=1))
        callback(StageStarted(name="blocks", total=4))
        clock.now += 1
        callback(block(plan, 0, infer=0.5))
    for words in ("reading [statistics]", "5 /s", "10 kpx/s, 50% busy"):
        assert words in stream.getvalue()


def test_what_is_counted_without_the_engine_has_a_rate_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for terminal, shown in ((True, True), (True, False), (False, True)):
        stream = io.StringIO()
        console = Console(file=stream, force_terminal=terminal, width=120)
        monkeypatch.setattr("scalesr.cli.output.screen", lambda _, console=console: console)
        with counting(shown=shown) as bar:
            task = bar.add_task("importing", total=4)
            for number in range(4):
                bar.update(task, completed=number + 1)
        text = stream.getvalue()
        assert bool(text) == (terminal and shown)
        if text:
            assert "importing" in text
            assert "4/4" in text
            assert " /s" in text


def test_it_is_shown_where_a_person_sees_it(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    with watching("cells") as callback:
        callback(StageStarted(name="blocks", total=4))
    assert isinstance(callback, RichProgress)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as where there is a terminal
    with watching("cells", show="none") as callback:
        callback(StageStarted(name="blocks", total=4))
    assert capfd.readouterr() == ("", "")
    with watching("cells") as callback:
        callback(StageStarted(name="blocks", total=4))
    out, err = capfd.readouterr()
    assert out == ""
    assert "cells: blocks" in err
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert isinstance(watching("cells"), NotebookProgress)
    assert isinstance(watching("cells", show="none"), RichProgress)


def test_a_run_tells_its_slots_and_is_watched(tmp_path: Path) -> None:
    image = write_image(tmp_path / "in.zarr", speckle(40, 50))
    cell = Cell()
    told: list[Any] = []
    with NotebookProgress(display=cell) as callback:
        scalesr.run(
            image, tmp_path / "out.zarr", model="cubic", scale=2, cell=16, workers=2, callbacks=[callback, told.append]
        )
    assert [event.slots for event in told if isinstance(event, RunStarted)] == [2]
    assert cell.texts[-1].startswith("done in 0:0")
    assert any("blocks; 12 of 12" in text for text in cell.texts)
