"""The store goes away for half a minute, and fails now and then: requests are repeated, and nothing else is."""

from __future__ import annotations

from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING

import pytest
from faults.ground import BLOCKS, Watcher

from scalesr.engine import BlockDone, BlockRetried

if TYPE_CHECKING:
    from engine.dask_processes import Processes
    from faults.conftest import Tell
    from faults.ground import Ground

    from scalesr.engine import Event

CUT = 30.0

pytestmark = pytest.mark.slow


def test_the_connection_is_cut_for_half_a_minute(ground: Ground, cluster: Processes, tell: Tell) -> None:
    target = ground.place("cut")
    events: list[Event] = []

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, BlockDone) and event.done == 8:
            ground.proxy.cut()
            Timer(CUT, ground.proxy.mend).start()

    began = monotonic()
    with Watcher(ground, target) as watcher:
        result = ground.run(target, scheduler=cluster.address, callbacks=[watch])
    seconds = monotonic() - began
    ground.check(target)
    assert seconds > CUT
    assert result.blocks == BLOCKS
    assert result.traffic.retries > 0
    assert not any(isinstance(event, BlockRetried) for event in events)
    outcome = f"same bytes; {seconds:.0f} s, {result.traffic.retries} requests repeated, {watcher.looks} looks"
    tell(f"connection to the store cut for {CUT:.0f} s", outcome)


def test_a_tenth_of_the_requests_fails(ground: Ground, cluster: Processes, tell: Tell) -> None:
    target = ground.place("tenth")
    before = ground.proxy.troubled
    ground.proxy.share = 0.1
    began = monotonic()
    try:
        with Watcher(ground, target) as watcher:
            result = ground.run(target, scheduler=cluster.address)
    finally:
        ground.proxy.share = 0.0
    ground.check(target)
    troubled = ground.proxy.troubled - before
    assert 0 < result.traffic.retries <= troubled
    outcome = f"same bytes; {monotonic() - began:.0f} s, {troubled} of {result.traffic.requests} requests failed"
    tell("500, 503, late, reset or short for 10 % of requests", f"{outcome}, {watcher.looks} looks")
