"""Clusters that sleep: what is counted, what is asked of them, and that nobody of many workers is passed over."""

from __future__ import annotations

from collections import Counter
from math import ceil
from typing import Any

import pytest
from commands import call, only_json
from hypothesis import given
from hypothesis import strategies as st

from scalesr.engine import Options, empty_subject, prepare
from scalesr.engine.executors import placing
from scalesr.engine.executors.placing import MANY, Placing
from scalesr.engine.rehearsal import SPREAD, lasting, rehearsal
from scalesr.engine.simulation import busy_share, simulate, slope
from scalesr.errors import PlanError

SMALL: dict[str, Any] = {"model": "nearest", "scale": 2, "cell": 64, "block": 1, "scheduler": "slurm"}


@given(st.integers(1, 9), st.integers(2, 9), st.floats(0.1, 100), st.floats(0, 100))
def test_a_worker_that_waits_as_long_as_it_works_is_half_busy(
    workers: int, rounds: int, seconds: float, pause: float
) -> None:
    spans = [
        (turn * (seconds + pause), turn * (seconds + pause) + seconds)
        for turn in range(rounds + 1)
        for _ in range(workers)
    ]
    assert busy_share(spans, workers=workers) == pytest.approx(seconds / (seconds + pause))


def test_what_was_before_and_after_the_work_of_all_does_not_count() -> None:
    # One alone for an hour, then two for ten seconds without a pause, then one alone again.
    spans = [(0, 3600), (3600, 3605), (3600, 3605), (3605, 3610), (3605, 3610), (3610, 7200)]
    assert busy_share(spans, workers=2) == pytest.approx(1.0)


@given(st.floats(0.001, 1000))
def test_blocks_take_their_time_in_the_mean(seconds: float) -> None:
    times = [lasting(block, seconds) for block in range(2000)]
    assert sum(times) / 2000 == pytest.approx(seconds, rel=0.01)
    assert min(times) >= seconds * (1 - SPREAD)
    assert max(times) <= seconds * (1 + SPREAD)


class Known:
    """Stands in for a connection: knows its workers, and counts how often it is asked."""

    def __init__(self, workers: dict[str, dict[str, Any]]) -> None:
        self.workers = workers
        self.asked = 0

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        self.asked += 1
        return {"workers": self.workers}


class Ended:
    """Stands in for an inference."""

    def add_done_callback(self, callback: Any) -> None:
        callback(self)


@given(st.lists(st.integers(1, 3), min_size=MANY, max_size=2 * MANY), st.integers(1, 200))
def test_no_worker_has_more_than_its_part_of_the_blocks(slots: list[int], blocks: int) -> None:
    client: Any = Known({str(n): {"resources": {"GPU": count}, "nthreads": 4} for n, count in enumerate(slots)})
    found = Placing(client, resource="GPU")
    load = Counter(found.place(str(block)) for block in range(blocks))
    share = blocks / sum(slots)
    assert all(load[str(n)] <= ceil(share * count) + 1 for n, count in enumerate(slots))
    assert client.asked == 1


def test_who_has_finished_comes_next() -> None:
    client: Any = Known({str(n): {"resources": {}, "nthreads": 1} for n in range(MANY)})
    found, done = Placing(client, resource=None), Ended()
    placed = {found.place(str(block)): str(block) for block in range(MANY)}
    assert set(placed) == set(client.workers)
    ended: Any = done
    found.follow(placed["7"], ended)
    assert found.place("next") == "7"


def test_few_workers_are_left_to_dask_and_those_without_a_gpu_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = {str(n): {"resources": {"GPU": int(n > 0)}, "nthreads": 1} for n in range(MANY)}
    client: Any = Known(workers)
    found = Placing(client, resource="GPU")
    assert found.place("0") is None
    monkeypatch.setattr(placing, "LOOK_AGAIN", -1.0)
    client.workers |= {"new": {"resources": {"GPU": 1}, "nthreads": 1}}
    assert {found.place(str(block)) for block in range(1, MANY + 1)} == set(workers) - {"0"} | {"new"}


@given(st.floats(-1e4, 1e6), st.floats(1e6, 1e9), st.integers(4, 60))
def test_the_slope_of_a_line_is_found_whatever_came_before(each: float, base: float, samples: int) -> None:
    blocks = [100 * n for n in range(samples)]
    half = samples // 2
    sizes = [base + each * n if place >= half else 0.0 for place, n in enumerate(blocks)]
    assert slope(blocks, sizes) == pytest.approx(each, rel=1e-6, abs=1e-3)
    assert slope([5, 5], [1, 2]) == 0


@pytest.mark.slow
def test_memory_does_not_grow_with_the_blocks() -> None:
    """Of a task that a scheduler kept for ever, a block would leave some kilobytes behind."""
    subject = empty_subject((64 * 60, 64 * 60), "yx", "uint16")
    prepared = prepare(subject, Options(model="linear", scale=2, cell=64, blend=4, block=1, scheduler="slurm"))
    found = simulate(prepared, subject, workers=4, blocks=3000, block_seconds=0.0)
    assert prepared.plan.tasks_per_block == 4
    assert found.course[0].blocks == 4
    assert found.course[-1].blocks == 3000
    assert all(each < 4096 for each in found.bytes_per_block.values())


@pytest.mark.slow
def test_sleeping_workers_are_kept_busy_by_the_real_scheduler() -> None:
    subject = empty_subject((2048, 2048), "yx", "uint16")
    prepared = prepare(subject, Options(**SMALL))
    found = simulate(prepared, subject, workers=4, blocks=20, block_seconds=1.0)
    assert (found.workers, found.blocks, found.processes) == (4, 20, 1)
    # How much is not judged on a machine that is shared; that it is counted is.
    assert 0.3 < found.busy <= 1
    assert found.seconds >= 5
    assert found.tasks_per_second == pytest.approx(20 * prepared.plan.tasks_per_block / found.seconds)
    assert all(size > 2**20 for size in found.scheduler_bytes)
    assert 0 < found.effort.client < 0.2
    assert 0 < found.effort.scheduler < 0.2
    assert found.most_workers == int(1 / max(found.effort.client, found.effort.scheduler))
    assert found.run_seconds(prepared.plan.blocks) == pytest.approx(1024 / (4 * found.busy))


@pytest.mark.slow
def test_the_command_tells_it() -> None:
    told = ["--shape", "512,512", "--model", "nearest", "--scale", "2", "--cell", "64", "--block", "1"]
    document = only_json(call("plan", *told, "--simulate", "2", "--block-seconds", "0.5", "--json"))
    found = document["simulation"]
    assert (found["workers"], found["blocks"], found["block_seconds"]) == (2, 12, 0.5)


def test_what_says_nothing_is_refused() -> None:
    subject = empty_subject((512, 512), "yx", "uint16")
    prepared = prepare(subject, Options(**SMALL))
    with pytest.raises(PlanError, match="64 blocks say nothing of 30 workers"):
        simulate(prepared, subject, workers=30)
    with pytest.raises(PlanError, match="1001 workers cannot be simulated"):
        simulate(prepared, subject, workers=1001)
    result = call("plan", "--shape", "512,512", "--block-seconds", "3")
    assert result.exit_code == 2
    assert "belong to a simulation" in result.stderr


def test_a_cluster_that_does_not_come_ends_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesr.engine.rehearsal.STARTING", 0.01)
    with pytest.raises(PlanError, match="does not start"), rehearsal(1):
        pass
