"""The process that drives a run is killed, or told to end: --resume goes on, and makes nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest
from commands import program
from faults.ground import BLOCKS, FLAGS, Watcher

from scalesr.errors import ScalesrError
from scalesr.images import open_image

if TYPE_CHECKING:
    from pathlib import Path

    from engine.dask_processes import Processes
    from faults.conftest import Tell
    from faults.ground import Ground

pytestmark = pytest.mark.slow


def begin(ground: Ground, target: str, cluster: Processes, log: Path, *more: str) -> subprocess.Popen[str]:
    """Start a run as users do."""
    command = [*program(), "run", ground.source, target, *FLAGS, "--scheduler", cluster.address, "--log", str(log)]
    return subprocess.Popen([*command, *more], stderr=subprocess.PIPE, text=True, start_new_session=True)


def strike(process: subprocess.Popen[str], blow: signal.Signals, log: Path, *, after: int) -> str:
    """Wait until so many blocks are done, send the process a signal, and return what it said."""
    began = monotonic()
    while not (log.exists() and log.read_text().count('"BlockDone"') >= after):
        assert process.poll() is None, process.communicate()[1]
        assert monotonic() - began < 180
        sleep(0.05)
    os.kill(process.pid, blow)
    return process.communicate(timeout=60)[1]


def test_the_client_is_killed_three_times(ground: Ground, cluster: Processes, tmp_path: Path, tell: Tell) -> None:
    target, log = ground.place("client-killed"), tmp_path / "log.jsonl"
    began = monotonic()
    with Watcher(ground, target) as watcher:
        for number, after in enumerate((6, 17, 29)):
            process = begin(ground, target, cluster, log, *(["--resume"] if number else []))
            strike(process, signal.SIGKILL, log, after=after)
            with pytest.raises(ScalesrError, match="did not finish"):
                open_image(target)
        there = len(ground.recorded(target))
        assert 29 <= there < BLOCKS
        result = ground.run(target, scheduler=cluster.address, mode="resume")
    ground.check(target)
    # Of what was done, nothing is made again; what the workers still had in their hands may be done by now.
    assert result.blocks <= BLOCKS - there
    again = log.read_text().count('"BlockDone"') + result.blocks - BLOCKS
    assert again <= 0
    outcome = f"same bytes; {monotonic() - began:.0f} s, {watcher.looks} looks"
    tell("the client killed -9 three times, --resume", outcome)


def test_the_client_is_told_to_end(ground: Ground, cluster: Processes, tmp_path: Path, tell: Tell) -> None:
    target, log = ground.place("client-dismissed"), tmp_path / "log.jsonl"
    with Watcher(ground, target) as watcher:
        process = begin(ground, target, cluster, log)
        said = strike(process, signal.SIGTERM, log, after=10)
        assert process.returncode == 130, said
        assert "--resume" in said
        assert "Traceback" not in said
        there = len(ground.recorded(target))
        result = ground.run(target, scheduler=cluster.address, mode="resume")
    ground.check(target)
    assert 0 < result.blocks <= BLOCKS - there
    tell("the client told to end (SIGTERM), --resume", f"ends in order; same bytes; {watcher.looks} looks")
