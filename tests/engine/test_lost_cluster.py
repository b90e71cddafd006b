"""Tasks and clusters that are lost, as the engine sees them; `tests/faults` has real ones that are killed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scalesr.engine import ClusterAway, ClusterBack, lookout
from scalesr.engine.executors import SerialExecutor
from scalesr.engine.executors.losses import VARIABLE, LostTaskError, fetched, patience
from scalesr.engine.flights import results
from scalesr.engine.lookout import Lookout
from scalesr.errors import ClusterError, PlanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.engine import Event


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


class Held:
    """A task that ended, whose result does not come at once."""

    def __init__(self, status: str, *, late: int) -> None:
        self.status, self._late = status, late

    def result(self, timeout: float) -> str:
        assert timeout > 0
        self._late -= 1
        if self._late >= 0:
            raise TimeoutError("no answer")
        return "there"


def test_a_result_that_died_with_its_worker_is_not_waited_for() -> None:
    held: Any = Held("finished", late=3)
    assert fetched(held) == "there"
    # Dask knows by now that nobody has it, and would wait until somebody makes it again.
    gone: Any = Held("pending", late=99)
    with pytest.raises(LostTaskError, match="lost on its way"):
        fetched(gone)
    failed: Any = Held("error", late=99)
    with pytest.raises(TimeoutError):
        fetched(failed)


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
