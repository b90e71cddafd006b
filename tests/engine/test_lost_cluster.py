"""A cluster whose scheduler or workers go away, and come back or do not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from threading import Timer
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from distributed import Client
from engine.conftest import voxels

import scalesr
from scalesr.engine import BlockDone, ClusterAway, ClusterBack, lookout
from scalesr.engine.executors import SerialExecutor
from scalesr.engine.executors.losses import VARIABLE, LostTaskError, patience
from scalesr.engine.flights import results
from scalesr.engine.lookout import Lookout
from scalesr.errors import ClusterError, PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from engine.conftest import MakeImage

    from scalesr.engine import Event

TILES: dict[str, Any] = {"model": "cubic", "scale": 1, "cell": 16, "halo": 8, "blend": 5, "block": 1}


class Moody(SerialExecutor):
    """Loses the first tasks, and is away for some time."""

    def __init__(self, *, losses: int, away: int) -> None:
        super().__init__()
        self.losses, self.away = losses, away

    def result(self, handle: Any) -> Any:
        if self.losses:
            self.losses -= 1
            raise LostTaskError("its worker died", workers=1)
        return super().result(handle)

    def missing(self) -> str | None:
        self.away -= 1
        return "nobody is there" if self.away >= 0 else None


@pytest.mark.parametrize("size", [1, 3])
def test_independent_tasks_are_submitted_again(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(lookout, "PAUSE", 0.001)
    events: list[Event] = []
    executor = Moody(losses=4, away=5)

    def submit(number: int) -> Callable[[], Any]:
        return lambda: executor.submit(pow, number, 2, name=f"pow-{number}")

    found = results(executor, map(submit, range(6)), size=size, tell=events.append)
    assert sorted(found) == [0, 1, 4, 9, 16, 25]
    assert [type(event) for event in events] == [ClusterAway, ClusterBack]
    executor = Moody(losses=99, away=0)
    with pytest.raises(ClusterError, match="workers died"):
        list(results(executor, map(submit, range(1)), size=size))


def test_patience_ends_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "30")
    now = [0.0]

    def pause(seconds: float) -> None:
        now[0] += seconds

    watch = Lookout(Moody(losses=0, away=99), lambda _: None, clock=lambda: now[0], pause=pause)
    with pytest.raises(ClusterError, match="After 30 s of waiting nobody is there") as caught:
        watch.stay()
    assert "--resume" in caught.value.remedy
    assert VARIABLE in caught.value.remedy
    assert caught.value.exit_code == 12
    monkeypatch.setenv(VARIABLE, "long")
    with pytest.raises(PlanError, match="no number of seconds"):
        patience()


class Cluster:
    """A scheduler and its workers in processes of their own."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self._port}"
        self._running: dict[str, list[subprocess.Popen[bytes]]] = {"scheduler": [], "worker": []}

    def start(self, kind: str) -> None:
        arguments = {
            "scheduler": ["--host", "127.0.0.1", "--port", str(self._port)],
            "worker": [self.address, "--nthreads", "1", "--memory-limit", "0"],
        }[kind]
        command = [sys.executable, "-m", "dask", kind, *arguments, "--no-dashboard"]
        self._running[kind].append(subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True))

    def wait(self) -> None:
        with Client(self.address, timeout="60s", set_as_default=False) as client:
            client.wait_for_workers(1, timeout=60)

    def kill(self, kind: str) -> None:
        for process in self._running[kind]:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._running[kind].clear()


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    found = Cluster()
    try:
        found.start("scheduler")
        found.start("worker")
        found.wait()
        yield found
    finally:
        found.kill("worker")
        found.kill("scheduler")


@pytest.mark.slow
@pytest.mark.parametrize("killed", [("worker",), ("scheduler", "worker")])
def test_a_cluster_that_comes_back_is_gone_on_with(
    make_image: MakeImage, tmp_path: Path, cluster: Cluster, killed: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "TICK", 1.0)
    image = make_image(np.random.default_rng(1).integers(0, 4000, (80, 96), dtype=np.uint16))
    wanted = scalesr.run(image, tmp_path / "wanted.zarr", scheduler="serial", **TILES)
    events: list[Event] = []

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, BlockDone) and event.done == 7:
            for kind in killed:
                cluster.kill(kind)
        if isinstance(event, ClusterAway):
            for kind in killed:
                Timer(2.0, cluster.start, [kind]).start()

    result = scalesr.run(image, tmp_path / "out.zarr", scheduler=cluster.address, callbacks=[watch], **TILES)
    kinds = [type(event) for event in events]
    assert kinds.count(ClusterAway) == kinds.count(ClusterBack) >= 1
    for level in range(len(result.image.levels)):
        np.testing.assert_array_equal(voxels(result.image, level=level), voxels(wanted.image, level=level))


@pytest.mark.slow
def test_a_cluster_that_does_not_come_back_ends_the_run(
    make_image: MakeImage, tmp_path: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookout, "TICK", 1.0)
    monkeypatch.setenv(VARIABLE, "3")
    image = make_image(np.random.default_rng(1).integers(0, 4000, (80, 96), dtype=np.uint16))

    def watch(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 7:
            cluster.kill("scheduler")

    with pytest.raises(ClusterError, match="does not answer"):
        scalesr.run(image, tmp_path / "out.zarr", scheduler=cluster.address, callbacks=[watch], **TILES)
    result = scalesr.run(image, tmp_path / "out.zarr", scheduler="serial", mode="resume", **TILES)
    assert 0 < result.blocks <= result.plan.blocks - 7
