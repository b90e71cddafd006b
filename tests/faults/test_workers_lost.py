"""Workers that are killed, one by one or all together, or told to end: their blocks are made by others."""

from __future__ import annotations

import random
from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from faults.ground import BLOCKS, Watcher

from scalesr.engine import BlockDone, ClusterAway, ClusterBack

if TYPE_CHECKING:
    from engine.dask_processes import Processes
    from faults.conftest import Tell
    from faults.ground import Ground

    from scalesr.engine import Event

KILLS = 5
"""Workers that are killed in each run: twenty in four runs."""

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("seed", range(4))
def test_a_worker_is_killed_at_random_moments(ground: Ground, cluster: Processes, seed: int, tell: Tell) -> None:
    chance = random.Random(seed)
    # Block by block, and somewhere between two of them.
    moments = dict.fromkeys(sorted(chance.sample(range(1, BLOCKS - 4), KILLS)))
    strikes: list[Timer] = []

    def strike(victim: float) -> None:
        cluster.kill("worker", which=int(victim * len(cluster.alive("worker"))))
        cluster.worker()

    def watch(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done in moments:
            del moments[event.done]
            strikes.append(Timer(chance.uniform(0.0, 0.3), strike, [chance.random()]))
            strikes[-1].start()

    target = ground.place(f"killed-{seed}")
    began = monotonic()
    with Watcher(ground, target, seed=seed) as watcher:
        result = ground.run(target, scheduler=cluster.address, callbacks=[watch])
        for one in strikes:
            one.join()
    ground.check(target)
    assert (result.blocks, len(strikes), moments) == (BLOCKS, KILLS, {})
    outcome = f"same bytes; {monotonic() - began:.0f} s, {watcher.shards} shards read in {watcher.looks} looks"
    tell(f"a worker killed -9 at {KILLS} random moments, seed {seed}", outcome)


def test_all_workers_are_killed_and_others_come(ground: Ground, cluster: Processes, tell: Tell) -> None:
    target = ground.place("all-killed")
    events: list[Event] = []

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, BlockDone) and event.done == 9:
            cluster.kill("worker")

    began = monotonic()
    with cluster.kept(2), Watcher(ground, target) as watcher:
        ground.run(target, scheduler=cluster.address, callbacks=[watch])
    ground.check(target)
    kinds = [type(event) for event in events]
    assert kinds.count(ClusterAway) == kinds.count(ClusterBack) >= 1
    tell("all workers killed, new ones started", f"same bytes; {monotonic() - began:.0f} s, {watcher.looks} looks")


def test_a_worker_is_told_to_end_and_killed_at_its_deadline(ground: Ground, cluster: Processes, tell: Tell) -> None:
    # In the middle of a tile that takes longer than the deadline leaves it.
    cluster.worker(environment={"TILE_SECONDS": "8"})
    cluster.await_workers(len(cluster.alive("worker")))
    target = ground.place("dismissed")
    dismissed: list[Timer] = []

    def watch(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done in (4, 12):
            # The slow one first, then one that is quick enough to end in order.
            dismissed.append(cluster.dismiss(which=-1 if event.done == 4 else 0, deadline=5.0))

    began = monotonic()
    with Watcher(ground, target) as watcher:
        result = ground.run(target, scheduler=cluster.address, callbacks=[watch])
    for one in dismissed:
        one.join()
    ground.check(target)
    assert (result.blocks, len(dismissed)) == (BLOCKS, 2)
    outcome = f"same bytes; {monotonic() - began:.0f} s, {watcher.looks} looks"
    tell("two workers told to end (SIGTERM), killed -9 after 5 s", outcome)
