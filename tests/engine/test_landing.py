"""Tasks that have ended: each heard of once, whoever waits, and fetched together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

import pytest

from scalesr.engine.executors import DaskExecutor
from scalesr.engine.executors.losses import fetched

if TYPE_CHECKING:
    from collections.abc import Iterator

GATES: dict[str, Event] = {}


def wait_for(name: str) -> str:
    """Return the name of a gate once it is open."""
    GATES[name].wait(30)
    return name


def fail() -> None:
    """Raise."""
    raise ValueError("on purpose")


@pytest.fixture
def executor() -> Iterator[DaskExecutor]:
    """Open threads of this process, which share the gates with the test."""
    made = DaskExecutor.local(kind="threads", workers=3, slots=3)
    yield made
    for gate in GATES.values():
        gate.set()
    made.close(how="finished")


def gated(executor: DaskExecutor, *names: str) -> list[Any]:
    """Submit tasks that wait for gates of their own."""
    GATES.update({name: Event() for name in names})
    return [executor.submit(wait_for, name, name=f"read-{name}") for name in names]


def test_the_first_to_end_is_heard_of_and_the_others_later(executor: DaskExecutor) -> None:
    first, second = gated(executor, "a", "b")
    began = monotonic()
    assert executor.wait([first, second], seconds=0.2) == []
    assert monotonic() - began >= 0.2
    GATES["b"].set()
    assert executor.wait([first, second]) == [second]
    assert executor.wait([first], seconds=0) == []
    GATES["a"].set()
    assert executor.wait([first, second], seconds=30)
    assert [executor.result(one) for one in (first, second)] == ["a", "b"]
    assert executor.wait([]) == []


def test_each_of_several_who_wait_hears_of_its_own(executor: DaskExecutor) -> None:
    handles = gated(executor, "c", "d")
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(executor.wait, [handle]) for handle in handles]
        sleep(0.2)
        GATES["d"].set()
        assert waiting[1].result(30) == [handles[1]]
        assert not waiting[0].done()
        GATES["c"].set()
        assert waiting[0].result(30) == [handles[0]]


def test_what_ended_together_is_fetched_together_and_what_failed_by_itself(
    executor: DaskExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["e", "f", "g"]
    handles = [*gated(executor, *names), executor.submit(fail, name="read-x")]
    for name in names:
        GATES[name].set()
    while len(executor.wait(handles, seconds=0)) < len(handles):
        sleep(0.01)
    ended = executor.wait(handles)
    assert set(ended) == set(handles)
    asked: list[Any] = []

    def noted(handle: Any) -> Any:
        asked.append(handle)
        return fetched(handle)

    monkeypatch.setattr("scalesr.engine.executors.dask.fetched", noted)
    assert [executor.result(handle) for handle in handles[:3]] == names
    assert asked == []
    with pytest.raises(ValueError, match="on purpose"):
        executor.result(handles[3])
    assert asked == handles[3:]


def test_nobody_listens_any_longer_for_what_was_let_go(executor: DaskExecutor) -> None:
    (handle,) = gated(executor, "h")
    assert executor.wait([handle], seconds=0.1) == []
    assert len(executor._landing._watched) == 1
    del handle
    until = monotonic() + 10
    while executor._landing._watched and monotonic() < until:
        sleep(0.05)
    assert not executor._landing._watched
