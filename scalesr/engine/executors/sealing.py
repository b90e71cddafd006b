"""What every task of a run is told, as bytes that a worker opens once and a scheduler never.

Dask's scheduler unpickles all that a task is given, and keeps it until the task is forgotten. A job is some hundred
objects, so that thousands of tasks in flight would fill its memory with copies of one thing, and take its time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache, partial
from inspect import iscoroutinefunction
from typing import TYPE_CHECKING, Any

from distributed.protocol.pickle import dumps, loads

from scalesr.engine.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 16
"""Jobs that a process keeps open, or sealed: a plate has one for each field."""


@dataclass(frozen=True)
class Sealed:
    """A job that travels."""

    content: bytes = field(repr=False)
    """The job, pickled; secrets are tokens in it as in any other pickle."""

    def opened(self) -> Job:
        """Return the job: the same object for all tasks of this process, with all that it keeps open."""
        return _opened(self.content)


class Seals:
    """Seals each job once, however many tasks are told it."""

    def __init__(self) -> None:
        self._kept: dict[int, tuple[Job, Sealed]] = {}

    def sealed(self, value: Any) -> Any:
        """Return what travels in place of a value: of a job its sealed form, of all else the value itself."""
        if not isinstance(value, Job):
            return value
        kept = self._kept.get(id(value))
        if kept is None:
            if len(self._kept) >= MOST:
                self._kept.clear()
            # The job is kept beside it: the identity of one that is gone may be another's.
            kept = self._kept[id(value)] = value, Sealed(dumps(value))
        return kept[1]


def opening(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that opens what it is given and hands it on; a coroutine function stays one."""
    return partial(_await_opened if iscoroutinefunction(function) else _call_opened, function)


def _call_opened(function: Callable[..., Any], *given: Any) -> Any:
    return function(*map(_open, given))


async def _await_opened(function: Callable[..., Any], *given: Any) -> Any:
    return await function(*map(_open, given))


def _open(value: Any) -> Any:
    return value.opened() if isinstance(value, Sealed) else value


@lru_cache(maxsize=MOST)
def _opened(content: bytes) -> Job:
    job: Job = loads(content)
    return job
