"""Which worker of a large cluster takes the next block: the one that has least to do."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client, Future

MANY = 20
"""Workers from which on Dask's scheduler no longer looks at all of them for a task that depends on nothing, but deals
such tasks out in turn. A block stays where it was read, so workers would wait while others have several: in a
simulation, 20 workers lost half of their time."""
LOOK_AGAIN = 10.0
"""Seconds after which it is asked anew which workers there are."""


class Placing:
    """Counts the blocks that each worker has before it, up to the end of their inference.

    What it says is a hint: a worker that is gone, or a scheduler that knows better, makes no difference to the result.

    Parameters
    ----------
    client
        Connection to the cluster.
    resource
        What an inference occupies; ``None`` where it is a thread.
    """

    def __init__(self, client: Client, *, resource: str | None) -> None:
        self._client = client
        self._resource = resource
        self._lock = threading.Lock()
        self._room: dict[str, int] = {}
        self._load: Counter[str] = Counter()
        self._where: dict[str, str] = {}
        self._looked = float("-inf")

    def place(self, block: str) -> str | None:
        """Return the address of the worker that a block shall be read on; ``None`` where Dask finds one as well."""
        with self._lock:
            if time.monotonic() - self._looked > LOOK_AGAIN:
                self._look()
            if len(self._room) < MANY:
                return None
            worker = min(self._room, key=lambda address: self._load[address] / self._room[address])
            self._load[worker] += 1
            self._where[block] = worker
            return worker

    def follow(self, block: str, inference: Future[Any]) -> None:
        """Take a block off its worker once its inference has ended, in whatever way."""
        if block in self._where:
            inference.add_done_callback(lambda _: self._leave(block))

    def _leave(self, block: str) -> None:
        with self._lock:
            worker = self._where.pop(block, None)
            if worker is not None:
                self._load[worker] -= 1

    def _look(self) -> None:
        self._looked = time.monotonic()
        try:
            workers = self._client.scheduler_info(n_workers=-1)["workers"]
        except (OSError, TimeoutError, RuntimeError):
            # The scheduler is away; whoever waits for tasks finds out and says so.
            return
        room = {
            address: int(worker["resources"].get(self._resource, 0) if self._resource else worker["nthreads"])
            for address, worker in workers.items()
        }
        self._room = {address: slots for address, slots in room.items() if slots > 0}
