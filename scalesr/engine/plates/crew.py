"""Several fields of a plate side by side, so that small ones keep all cores at work."""

from __future__ import annotations

from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Event as Flag
from threading import Lock, Thread
from typing import TYPE_CHECKING, Literal

from scalesr.engine.events import Event
from scalesr.engine.inference import STOP
from scalesr.engine.plates.outcome import FieldOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from scalesr.engine.events import Callback

LAST_SECONDS = 20.0
"""So long is waited for fields that were told to stop; a tile at work is not torn away."""


@dataclass(eq=False)
class Crew:
    """Threads of this process that each bring one field after the other through the shared executor.

    They wait most of the time: what computes are the executor's tasks. Events and outcomes are handed to the thread
    that asks for them, one at a time.
    """

    fields: Sequence[str]
    """What is to be done, in this order."""
    do: Callable[[str, Callback], FieldOutcome]
    """Does one field; what it raises ends everything."""
    side_by_side: int
    """Fields at the same time; 1 uses no thread but the caller's."""
    tell: Callback
    """Called with each event."""
    _told: SimpleQueue[Event | FieldOutcome | BaseException | None] = field(default_factory=SimpleQueue, init=False)
    _stop: Flag = field(default_factory=Flag, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)
    _threads: list[Thread] = field(default_factory=list, init=False)

    def outcomes(self) -> Iterator[FieldOutcome]:
        """Yield what came of each field, as they end.

        Raises
        ------
        ScalesrError
            What ends everything.
        """
        if self.side_by_side == 1:
            for path in self.fields:
                yield self.do(path, self.tell)
            return
        waiting = iter(self.fields)
        # Daemons: a task that hangs on a dead connection must not keep the process.
        self._threads += [Thread(target=self._work, args=(waiting,), daemon=True) for _ in range(self.side_by_side)]
        for thread in self._threads:
            thread.start()
        left = len(self._threads)
        while left:
            match self._told.get():
                case None:
                    left -= 1
                case Event() as event:
                    self.tell(event)
                case FieldOutcome() as outcome:
                    yield outcome
                case error:
                    raise error

    def stop(self, *, how: Literal["finished", "stopped"]) -> None:
        """Begin no field more; `stopped` also ends the inferences of this process after the tile that they are at."""
        self._stop.set()
        if how == "stopped" and self._threads:
            STOP.set()

    def join(self) -> None:
        """Wait until nobody works any more, or for too long."""
        for thread in self._threads:
            thread.join(LAST_SECONDS / len(self._threads))

    def _work(self, waiting: Iterator[str]) -> None:
        while not self._stop.is_set():
            with self._lock:
                path = next(waiting, None)
            if path is None:
                break
            try:
                self._told.put(self.do(path, self._told.put))
            except BaseException as error:  # noqa: BLE001 raised again where the outcomes are asked for
                self._told.put(error)
                return
        self._told.put(None)
