"""The two callbacks that come with scalesr: a progress bar for people, a log for programs."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from scalesr.engine import (
    BatchReduced,
    BlockDone,
    BlockGivenUp,
    BlockLost,
    BlockReport,
    BlockRetried,
    BlockSlow,
    ClusterAway,
    ClusterBack,
    Demand,
    FieldTold,
    Options,
    RunFinished,
    RunStarted,
    StageAdvanced,
    StageStarted,
    empty_subject,
    prepare,
)
from scalesr.errors import OutputError
from scalesr.log import JsonLog
from scalesr.progress import RichProgress
from scalesr.secrecy import without_secrets
from scalesr.tiling import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scalesr.engine import Event


@pytest.fixture(scope="module")
def plan() -> Plan:
    """A plan of 4 blocks of 100 x 100 px, the last ones cut to 50 px along x."""
    options = Options(model="cubic", scale=2, cell=100, block=1)
    return prepare(empty_subject((200, 150), "yx", "uint8"), options).plan


def events(plan: Plan, *, done: int = 0) -> Iterator[Event]:
    """Yield the events of a run."""
    yield StageStarted(name="reading statistics", total=2)
    yield StageAdvanced(name="reading statistics", steps=2)
    demand = Demand(host=(), device=())
    yield RunStarted(plan=plan, demand=demand, executor="2 threads [of this process]", done=done)
    yield StageStarted(name="blocks", total=plan.blocks - done)
    for number in reversed(range(plan.blocks - done)):
        report = BlockReport(block=number, index=plan.lattice.index(number), checksums=(), tiles=1, batch=1)
        if number == 2:
            yield BlockRetried(block=2, attempt=2, error="OSError: https://me:secret@host/x?token=abc [Errno 5]")
            yield BatchReduced(block=2, batch=1)
        yield BlockDone(report=report, done=plan.blocks - number, total=plan.blocks)
    yield RunFinished(seconds=1.0, blocks=plan.blocks - done, bad_chunks=0)


def test_nothing_is_shown_where_there_is_no_terminal(plan: Plan) -> None:
    stream = io.StringIO()
    with RichProgress(Console(file=stream)) as progress:
        for event in events(plan):
            progress(event)
    assert stream.getvalue() == ""


def test_a_terminal_sees_stages_rate_and_trouble(plan: Plan) -> None:
    stream = io.StringIO()
    with RichProgress(Console(file=stream, force_terminal=True, width=140), title="cells") as progress:
        for event in events(plan, done=1):
            progress(event)
    text = stream.getvalue()
    for words in ("cells: reading statistics", "cells: blocks", "2 threads [of this process]", "on the CPU"):
        assert words in text
    assert "1 of 4 blocks were done before" in text
    assert "[Errno 5]" in text
    assert "batches now have 1 tiles" in text
    assert "px/s" in text
    assert "3/3" in text


def test_the_rate_counts_useful_input_pixels(plan: Plan) -> None:
    now = [0.0]
    with RichProgress(Console(file=io.StringIO()), clock=lambda: now[0]) as progress:
        assert progress.rate() == 0
        for event in events(plan):
            if isinstance(event, BlockDone):
                now[0] += 2.0
            progress(event)
    # 200 x 150 px in 4 blocks of 2 s each
    assert progress.rate() == pytest.approx(200 * 150 / 8)


def test_the_rate_is_that_of_the_last_minute(plan: Plan) -> None:
    now = [0.0]
    report = BlockReport(block=0, index=(0, 0), checksums=(), tiles=1, batch=1)
    with RichProgress(Console(file=io.StringIO()), clock=lambda: now[0]) as progress:
        progress(RunStarted(plan=plan, demand=Demand(host=(), device=()), executor="", done=0))
        progress(StageStarted(name="blocks", total=1000))
        for number in range(1000):
            now[0] += 10.0 if number < 500 else 1.0
            progress(BlockDone(report=report, done=number + 1, total=1000))
    assert progress.rate() == pytest.approx(100 * 100 / 1.0)


def test_the_log_is_one_object_a_line(plan: Plan) -> None:
    stream = io.StringIO()
    with JsonLog(stream) as log:
        for event in events(plan):
            log(event)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines][:3] == ["StageStarted", "StageAdvanced", "RunStarted"]
    started = next(line for line in lines if line["event"] == "RunStarted")
    assert Plan.from_json(started["plan"]) == plan
    assert "secret" not in stream.getvalue()
    assert "abc" not in stream.getvalue()


def test_the_log_tells_how_a_run_ended_and_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"

    def breaks() -> None:
        with JsonLog(path) as log:
            log(StageAdvanced(name="x"))
            raise RuntimeError("no more")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            breaks()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["event"] for line in lines] == ["StageAdvanced", "RunStopped"] * 2
    assert lines[1]["kind"] == "RuntimeError"


def test_a_log_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="absent") as caught, JsonLog(tmp_path / "absent" / "log"):
        pass
    assert "--log" in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("s3://key:secret@host/b", "s3://***@host/b"),
        ("https://h/x?X-Amz-Signature=abc&part=2", "https://h/x?X-Amz-Signature=***&part=2"),
        ("https://h/x?part=2&sig=a%2Fb", "https://h/x?part=2&sig=***"),
        ("https://h/x?assignment=7", "https://h/x?assignment=7"),
        ("/data/in.zarr", "/data/in.zarr"),
    ],
)
def test_secrets_are_blacked_out(text: str, clean: str) -> None:
    assert without_secrets(text) == clean


def test_trouble_is_told_once_and_in_words() -> None:
    stream = io.StringIO()
    away = ClusterAway(problem="the Dask scheduler at tcp://head:8786 has no workers", patience=600)
    with RichProgress(Console(file=stream, force_terminal=True, width=300)) as progress:
        for event in (
            away,
            # Each field of a plate that is at work says so.
            FieldTold(field="A/1/0", what="ClusterAway", event=away),
            ClusterBack(seconds=12.3),
            BlockLost(block=7, workers=4, error="4 workers died while they had it"),
            BlockGivenUp(block=8, error="ValueError: [no] luck"),
            FieldTold(field="B/2/0", what="BlockSlow", event=BlockSlow(block=9, seconds=400, usual=20)),
        ):
            progress(event)
    text = stream.getvalue()
    assert text.count("The Dask scheduler at tcp://head:8786 has no workers; waiting for up to 600 s.") == 1
    for words in (
        "It is back after 12 s",
        "Block 7 was lost (4 workers died while they had it) and is computed again",
        "Block 8 is left out (ValueError: [no] luck); the others go on",
        "B/2/0: Block 9 has taken 400 s so far; others take 20 s",
    ):
        assert words in text
