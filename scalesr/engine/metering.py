"""What a run exchanges with stores that are not local, over all processes that work for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalesr.images.stores import Traffic, traffic

if TYPE_CHECKING:
    from scalesr.engine.executors import Executor


class Meter:
    """Counts from the moment that it is made, in this process, and from `watch` on in those of an executor.

    What else these processes do at the same time is counted too; what a process did that was killed is not.
    """

    def __init__(self) -> None:
        self._began = traffic()
        self._before: dict[str, Traffic] = {}
        self._others = Traffic()

    def watch(self, executor: Executor) -> None:
        """Count in the processes of an executor as well."""
        self._before = dict(executor.traffic())

    def note(self, executor: Executor) -> None:
        """Ask the processes of an executor, before they end."""
        found = executor.traffic()
        spent = (now - self._before.get(process, Traffic()) for process, now in found.items())
        self._others = sum(spent, Traffic())

    def total(self) -> Traffic:
        """Return what was counted."""
        return traffic() - self._began + self._others
