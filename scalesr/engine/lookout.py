"""Waiting for tasks whose runners may go away: a cluster without workers, or without its scheduler."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING

from scalesr.engine.events import ClusterAway, ClusterBack
from scalesr.engine.executors.losses import VARIABLE, patience
from scalesr.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from scalesr.engine.events import Callback
    from scalesr.engine.executors import Executor, Handle

TICK = 5.0
"""Seconds in which no task ends before somebody asks whether there is anybody to end one."""
PAUSE = 1.0
"""Seconds between two looks for a cluster that is away."""


class Lookout:
    """Waits for tasks to end, and for whoever runs them where nobody is there.

    Parameters
    ----------
    executor
        Who runs the tasks.
    tell
        Called when they are gone, and when they are back.
    clock, pause
        Seconds that only grow, and what lets some of them pass.
    """

    def __init__(
        self,
        executor: Executor,
        tell: Callback,
        *,
        clock: Callable[[], float] = monotonic,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self._executor = executor
        self._tell = tell
        self._clock = clock
        self._pause = pause
        self._patience = patience()

    def ended(self, handles: Collection[Handle]) -> list[Handle]:
        """Return the tasks that ended, as soon as there are any; none after `TICK`, if there is somebody to wait for.

        Raises
        ------
        ClusterError
            There is nobody, and nobody came for as long as patience lasts.
        """
        found = self._executor.wait(handles, seconds=TICK)
        if not found:
            self.stay()
        return found

    def stay(self) -> None:
        """Return when whoever runs the tasks is there, which mostly is at once.

        Raises
        ------
        ClusterError
            They did not come back.
        """
        problem = self._executor.missing()
        if problem is None:
            return
        began = self._clock()
        self._tell(ClusterAway(problem=problem, patience=self._patience))
        while problem is not None:
            waited = self._clock() - began
            if waited >= self._patience:
                raise ClusterError(
                    f"After {waited:.0f} s of waiting {problem}; what is done is kept.",
                    remedy="Start it again, or another one, and repeat the command with --resume. The environment "
                    f"variable {VARIABLE} says for how many seconds to wait.",
                )
            self._pause(min(PAUSE, self._patience - waited))
            problem = self._executor.missing()
        self._tell(ClusterBack(seconds=self._clock() - began))
