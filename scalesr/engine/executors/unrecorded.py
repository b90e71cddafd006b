"""What the schedulers that scalesr starts do not keep: figures for a dashboard, which grow with each submission."""

from __future__ import annotations

from typing import Any

from distributed.scheduler import DEFAULT_EXTENSIONS

QUIET_SCHEDULER = {
    "distributed.admin.system-monitor.log-length": 60,
    # Each connection keeps its last messages too, and a message to a worker holds tasks: of a thousand workers that
    # became hundreds of megabytes within ten blocks of each.
    "distributed.admin.low-level-log-length": 1,
}
"""Settings under which a scheduler's memory does not grow for the first hour of a run."""


class Unrecorded:
    """Stands in for the scheduler's spans, which keep a record of every submission until the scheduler ends."""

    def __init__(self, scheduler: object) -> None:
        pass

    def observe_tasks(self, *_: object, **__: object) -> dict[str, Any]:
        """Give tasks no span."""
        return {}

    def heartbeat(self, *_: object) -> None:
        """Forget what a worker measured for each span."""


SCHEDULER_EXTENSIONS = {**DEFAULT_EXTENSIONS, "spans": Unrecorded}
"""Extensions of the scheduler."""
