"""The line to one store: so many requests at the same time, tried again while the store is out of order, counted."""

from __future__ import annotations

import asyncio
import random
from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeVar
from weakref import WeakKeyDictionary

from scalesr.images.stores.failures import PASSING, fault, kind_of
from scalesr.images.stores.traffic import count

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Awaitable, Callable

    from scalesr.images.stores.options import StoreSettings

T = TypeVar("T")
Doing = Literal["read", "written", "listed", "removed"]

FIRST_WAIT = 0.1
"""Seconds before a request is tried again for the first time; each further wait is twice as long."""
LONGEST_WAIT = 8.0
"""Seconds at most, so that a store that is back is noticed soon."""
FIRST_CONTACT = 10.0
"""Seconds of patience with a store that never answered this process: its address may be mistyped."""


class Line:
    """Carries requests to one store.

    A request that fails in passing (no connection, a time-out, 408, 429, 500, 502, 503, 504) is sent again after a wait
    that doubles from `FIRST_WAIT` to `LONGEST_WAIT`, cut by a random part of up to a half so that many clients do not
    come back at the same moment, until `StoreSettings.patience` is over. Anything else fails at once. All requests are
    idempotent: objects are put, got and deleted as wholes.
    """

    def __init__(self, settings: StoreSettings) -> None:
        self._settings = settings
        self._slots: WeakKeyDictionary[AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
        self._answered = False

    async def carry(self, send: Callable[[], Awaitable[T]], *, place: str, doing: Doing) -> T:
        """Return what a request answers.

        Parameters
        ----------
        send
            Sends it; called again for each try.
        place, doing
            Words for the error.

        Raises
        ------
        FileNotFoundError
            There is no such object.
        StoreError
            The store refuses, or was out of order for too long.
        """
        began = monotonic()
        tried = 0
        while True:
            tried += 1
            try:
                async with self._slot():
                    count(requests=1, retries=int(tried > 1))
                    found = await send()
            except Exception as error:
                kind = kind_of(error)
                self._answered |= kind != "unreachable"
                if kind == "missing":
                    raise FileNotFoundError(place) from error
                wait = self._wait(tried, spent=monotonic() - began) if kind in PASSING else None
                if wait is None:
                    raise fault(error, place=place, doing=doing, tried=tried, seconds=monotonic() - began) from error
                count(waited=wait)
                await asyncio.sleep(wait)
            else:
                self._answered = True
                return found

    def _wait(self, tried: int, *, spent: float) -> float | None:
        """Return how long to wait before the next try; None where patience is over."""
        patience = self._settings.patience
        if not (self._answered or _trusting):
            patience = min(patience, FIRST_CONTACT)
        wait = min(FIRST_WAIT * 2.0 ** (tried - 1), LONGEST_WAIT) * random.uniform(0.5, 1)  # noqa: S311 no secret
        return wait if spent + wait <= patience else None

    def _slot(self) -> asyncio.Semaphore:
        loop = asyncio.get_running_loop()
        if loop not in self._slots:
            self._slots[loop] = asyncio.Semaphore(self._settings.in_flight)
        return self._slots[loop]


_trusting = False


def trust_addresses() -> None:
    """Be patient from the first request on: whoever started this process has reached the stores before."""
    global _trusting  # noqa: PLW0603 one state for the process
    _trusting = True
