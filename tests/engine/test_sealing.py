"""Jobs travel sealed: packed once, opened once in each process, and never by a scheduler."""

from __future__ import annotations

import gc
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING

import pytest
from distributed import Client

from scalesr.engine import Options, empty_subject, prepare
from scalesr.engine.executors import DaskExecutor
from scalesr.engine.executors.sealing import MOST, Sealed, Seals, opening
from scalesr.engine.rehearsal import rehearsal
from scalesr.engine.simulation import rehearsed_job

if TYPE_CHECKING:
    from scalesr.engine.job import Job


@pytest.fixture
def job() -> Job:
    subject = empty_subject((128, 128), "yx", "uint16")
    return rehearsed_job(prepare(subject, Options(model="linear", scale=2, cell=64)), subject, "memory://sealed")


def sum_of(job: Job, *numbers: int) -> tuple[int, int]:
    return id(job), sum(numbers)


async def later(job: Job, number: int) -> tuple[str, int]:
    return job.target, number


def jobs_open(dask_scheduler: object) -> int:
    """Count what a scheduler has opened, and what it holds of it."""
    assert dask_scheduler is not None
    return sum(type(one).__name__ in {"Job", "Plan", "ImageWriter"} for one in gc.get_objects())


def test_a_job_is_packed_once_and_opened_once(job: Job) -> None:
    seals = Seals()
    sealed = seals.sealed(job)
    assert isinstance(sealed, Sealed)
    assert seals.sealed(job) is sealed
    opened = sealed.opened()
    assert opened == job
    assert Sealed(bytes(bytearray(sealed.content))).opened() is opened
    function = opening(sum_of)
    assert function(sealed, 1, 2) == function(sealed, 3) == (id(opened), 3)
    for other in (3, None, "job", [job]):
        assert seals.sealed(other) is other


def test_no_more_than_some_are_kept(job: Job) -> None:
    seals = Seals()
    first = seals.sealed(job)
    others = [type(job)(**{**vars(job), "level": level}) for level in range(1, 2 * MOST)]
    assert len({seals.sealed(one).content for one in others}) == len(others)
    assert seals.sealed(job).content == first.content


def test_a_coroutine_stays_one() -> None:
    assert iscoroutinefunction(opening(later))
    assert not iscoroutinefunction(opening(sum_of))


@pytest.mark.slow
def test_a_scheduler_opens_none(job: Job) -> None:
    """And forgets what it has told the workers."""
    with rehearsal(2) as cluster:
        client = Client(cluster.address, set_as_default=False)
        executor = DaskExecutor(client, description="two", slots=2, resource=None, place="elsewhere")
        handles = [executor.submit(later, job, number, name=f"read-{number}") for number in range(50)]
        waiting = set(handles)
        while waiting:
            waiting.difference_update(executor.wait(waiting))
        assert [executor.result(handle) for handle in handles] == [(job.target, number) for number in range(50)]
        assert client.run_on_scheduler(jobs_open) == 0
        executor.close(how="finished")
