"""Independent tasks, with a bounded number of them in flight."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from scalesr.engine.executors import Executor, Handle


def results(executor: Executor, submits: Iterable[Callable[[], Handle]], *, size: int) -> Iterator[Any]:
    """Yield the result of each task as it ends, in any order.

    Parameters
    ----------
    executor
        Who runs the tasks.
    submits
        Each submits one task when it is called.
    size
        Most tasks in flight.
    """
    flights: set[Handle] = set()

    def landed() -> Iterator[Any]:
        for handle in executor.wait(flights):
            flights.discard(handle)
            yield executor.result(handle)

    for submit in submits:
        while len(flights) >= size:
            yield from landed()
        flights.add(submit())
    while flights:
        yield from landed()
