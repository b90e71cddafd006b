"""The scheduler is killed: one that comes back is gone on with, one that does not ends the run."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import pytest
from faults.ground import BLOCKS, Watcher

from scalesr.engine import BlockDone, ClusterAway, ClusterBack
from scalesr.engine.executors.losses import VARIABLE
from scalesr.errors import ClusterError

if TYPE_CHECKING:
    from engine.dask_processes import Processes
    from faults.conftest import Tell
    from faults.ground import Ground

    from scalesr.engine import Event

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("killed", ["scheduler alone", "scheduler and workers"])
def test_the_scheduler_is_killed_and_started_again(ground: Ground, cluster: Processes, killed: str, tell: Tell) -> None:
    target = ground.place(killed.replace(" ", "-"))
    events: list[Event] = []

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, BlockDone) and event.done == 7:
            cluster.kill("scheduler")
            if killed == "scheduler and workers":
                cluster.kill("worker")

    began = monotonic()
    with cluster.kept(2), Watcher(ground, target) as watcher:
        ground.run(target, scheduler=cluster.address, callbacks=[watch])
    ground.check(target)
    kinds = [type(event) for event in events]
    assert kinds.count(ClusterAway) == kinds.count(ClusterBack) >= 1
    outcome = f"same bytes; {monotonic() - began:.0f} s, {watcher.looks} looks"
    tell(f"{killed} killed -9, started again", outcome)


def test_a_scheduler_that_does_not_come_back_ends_the_run(
    ground: Ground, cluster: Processes, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    monkeypatch.setenv(VARIABLE, "3")
    target = ground.place("gone")

    def watch(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 7:
            cluster.kill("scheduler")

    with Watcher(ground, target) as watcher:
        with pytest.raises(ClusterError, match="does not answer") as caught:
            ground.run(target, scheduler=cluster.address, callbacks=[watch])
        assert caught.value.exit_code == 12
        there = len(ground.recorded(target))
        assert there >= 7
        result = ground.run(target, scheduler="threads", mode="resume", workers=2)
    ground.check(target)
    assert 0 < result.blocks <= BLOCKS - there
    outcome = f"stops, exit code 12; --resume makes the {result.blocks} others; same bytes; {watcher.looks} looks"
    tell("scheduler killed -9, not started again", outcome)
