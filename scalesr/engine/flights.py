"""Independent tasks, with a bounded number of them in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalesr.engine.attempts import LOSSES
from scalesr.engine.executors.losses import LostTaskError
from scalesr.engine.lookout import Lookout
from scalesr.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scalesr.engine.events import Callback, Event
    from scalesr.engine.executors import Executor, Handle


def in_flight(slots: int) -> int:
    """Return how many blocks are in flight at a time where an executor elsewhere has so many slots.

    One at work and one that is read or written for each, and two that wait.
    """
    return 2 * slots + 2


def results(
    executor: Executor, submits: Iterable[Callable[[], Handle]], *, size: int, tell: Callback | None = None
) -> Iterator[Any]:
    """Yield the result of each task as it ends, in any order. A task that was lost with its worker is submitted again.

    Parameters
    ----------
    executor
        Who runs the tasks.
    submits
        Each submits one task when it is called.
    size
        Most tasks in flight.
    tell
        Called when whoever runs them is gone, and when they are back.

    Raises
    ------
    ClusterError
        They did not come back, or a task killed all workers that were given it.
    Exception
        What a task raised; it is not tried again.
    """
    lookout = Lookout(executor, tell or _unheard)
    flights: dict[Handle, tuple[Callable[[], Handle], int]] = {}

    def landed() -> Iterator[Any]:
        for handle in lookout.ended(flights):
            submit, losses = flights.pop(handle)
            try:
                found = executor.result(handle)
            except LostTaskError as error:
                losses += error.workers
                if losses >= LOSSES:
                    raise ClusterError(
                        f"{losses} workers died with the same task.",
                        remedy="Look into their logs; give them more memory, and run again with --resume.",
                    ) from error
                lookout.stay()
                flights[submit()] = submit, losses
            else:
                yield found

    for submit in submits:
        while len(flights) >= size:
            yield from landed()
        flights[submit()] = submit, 0
    while flights:
        yield from landed()


def _unheard(_: Event) -> None:
    """Let what happens pass where nobody asked to be told."""
