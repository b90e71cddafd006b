"""Which tasks of many have ended, and their results: heard of once each, and fetched together.

A run has two blocks in flight for each worker. Asking about all of them each time that one ends, and fetching results
one after the other, would keep a client from submitting: in a simulation, 20 workers waited for half of their time.
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from threading import Event, Lock
from time import monotonic
from typing import TYPE_CHECKING, Any

from scalesr.engine.executors.losses import FETCHED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from distributed import Client, Future

ENDED = ("finished", "error", "cancelled")
"""States of a task that is not waited for any longer; one whose result was lost is computed again by the scheduler."""
LONGEST = 10.0
"""Seconds of one sleep while waiting without end, so that an interrupt is heard on every system."""


class Landing:
    """Waits for tasks to end, for any number of threads at the same time.

    Not `distributed.wait`: it looks for a default client, and being one for a while changes the settings of Dask for
    the whole process, so that threads that do so at the same time leave them changed; it raises where a task is lost;
    with a time-out it leaves something behind for each task that did not end; and it asks about each task anew at each
    call.

    Parameters
    ----------
    client
        The connection to the scheduler, which hears of each task that ends.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = Lock()
        # States of futures, and not these themselves, which would keep results alive.
        self._watched: set[Any] = set()
        self._waiting: set[Event] = set()

    def ended(self, handles: Collection[Future[Any]], *, seconds: float | None) -> list[Future[Any]]:
        """Return the tasks that have ended, in whatever way; wait for the first, but no longer than so many seconds."""
        found = [handle for handle in handles if handle.status in ENDED]
        if found or not handles or seconds == 0:
            return found
        until = None if seconds is None else monotonic() + seconds
        heard = Event()
        with self._lock:
            self._waiting.add(heard)
        try:
            while True:
                heard.clear()
                # After that: whatever ends from here on is heard.
                self._watch(handles)
                found = [handle for handle in handles if handle.status in ENDED]
                left = LONGEST if until is None else until - monotonic()
                if found or left <= 0:
                    return found
                heard.wait(min(left, LONGEST))
        finally:
            with self._lock:
                self._waiting.discard(heard)

    def _watch(self, handles: Iterable[Future[Any]]) -> None:
        """Have somebody listen for the end of each task for which nobody does yet."""
        with self._lock:
            fresh = {handle._state for handle in handles} - self._watched  # noqa: SLF001 as `distributed.wait` does
            self._watched |= fresh
        loop = self._client.loop
        assert loop is not None
        for state in fresh:
            loop.add_callback(self._listen, state)

    async def _listen(self, state: Any) -> None:
        """Tell all who wait that a task ended; one that is lost later on is listened for anew."""
        try:
            await state.wait()
        finally:
            with self._lock:
                self._watched.discard(state)
                for heard in self._waiting:
                    heard.set()


def fetched_together(client: Client, handles: Iterable[Future[Any]]) -> dict[str, Any]:
    """Return the results of those tasks that ended well, by their keys: one message for all of them.

    Of a result that is lost on its way nothing is said here; who asks for it by itself hears of it.
    """
    well = [handle for handle in handles if handle.status == "finished"]
    if len(well) < 2:
        return {}
    try:
        # `Client.gather` would wait, for ever perhaps, until a result that nobody has any longer is made again.
        values = client.sync(client._gather, well, errors="skip", callback_timeout=FETCHED)  # noqa: SLF001 see above
    except (OSError, TimeoutError, CancelledError):
        return {}
    # What was skipped leaves no gap behind, so that nobody could tell whose the others are.
    return dict(zip((str(handle.key) for handle in well), values, strict=True)) if len(values) == len(well) else {}
