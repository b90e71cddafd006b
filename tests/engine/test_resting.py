"""Workers of this machine leave it in peace while they wait: what looks after them by the clock does so seldom."""

from __future__ import annotations

from typing import Literal

import pytest

from scalesr.engine.executors import DaskExecutor

SELDOM = 1000.0
"""Milliseconds between two looks at whether a loop is late, and at the process, at the least."""


def intervals(dask_worker: object) -> dict[str, float]:
    """Return the milliseconds between the periodic calls of a worker."""
    return {name: call.callback_time for name, call in dask_worker.periodic_callbacks.items()}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "kind", ["threads", pytest.param("processes", marks=pytest.mark.slow)], ids=["threads", "processes"]
)
def test_nobody_is_woken_many_times_a_second(kind: Literal["threads", "processes"]) -> None:
    executor = DaskExecutor.local(kind=kind, workers=1, slots=1)
    try:
        cluster = executor._cluster
        assert cluster is not None
        found = [intervals(cluster.scheduler), *executor._client.run(intervals).values()]  # type: ignore[attr-defined]
        assert len(found) == 2
        for each in found:
            assert each["tick"] >= SELDOM
            assert each["monitor"] >= SELDOM
    finally:
        executor.close(how="finished")
