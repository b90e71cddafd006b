"""Who holds claims, and whether they are still there: each process changes a note of its own again and again.

Clocks of two machines are never compared. A process is taken for dead when its note did not change while somebody else
watched it, by the clock of the watcher, for as long as the lease says.
"""

from __future__ import annotations

import json
import os
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Literal

from scalesr.errors import PlanError, ScalesrError

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.images import Files

CLAIMS = "claims"
"""Folder of the ledger in which all this lies."""
HOLDERS = f"{CLAIMS}/holders"
LEASE = 60.0
"""Seconds without a sign of life after which a process is taken for dead."""
VARIABLE = "SCALESR_LEASE"
"""Environment variable that says otherwise; all processes of a run should be told the same."""
BEATS = 6
"""Signs of life in the time of a lease: some may be lost, or late, without harm."""
SMALL = 2**12
"""Bytes of a note at most."""
_TOKEN = re.compile(r"[0-9a-f]{16}")


def lease() -> float:
    """Return the seconds of a lease, as the environment says.

    Raises
    ------
    PlanError
        It says something that is no time.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        seconds = float(text or LEASE)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise PlanError(f"{VARIABLE}={text!r} is no time.", remedy="Give seconds, such as 60, or leave it out.")
    return seconds


def pause_of(seconds: float) -> float:
    """Return how many seconds lie between two looks at what others do, for a lease of so many."""
    return min(1.0, seconds / (2 * BEATS))


def holder_key(holder: str) -> str:
    """Return where the note of a process lies."""
    return f"{HOLDERS}/{holder}.json"


def known_holder(content: bytes | None) -> str:
    """Return the token of a process that a claim names; "" where it names none, being damaged or just being written."""
    text = (content or b"").decode("ascii", errors="replace")
    return text if _TOKEN.fullmatch(text) else ""


class Heart:
    """Shows that this process is there, from its first claim to its end, in a thread of its own.

    Parameters
    ----------
    files
        The ledger.
    seconds
        The lease.
    """

    def __init__(self, files: Files, *, seconds: float) -> None:
        self.token = token_hex(8)
        """Names this process in its claims."""
        self._files = files
        self._seconds = seconds
        self._beats = 0
        self._stop = Event()
        self._thread = Thread(target=self._go_on, name="scalesr-heart", daemon=True)

    def start(self) -> None:
        """Show it for the first time, and go on.

        Raises
        ------
        OutputError
            The note cannot be written.
        """
        self._beat()
        self._thread.start()

    def stop(self, *, how: Literal["finished", "stopped"]) -> None:
        """End it; what is still claimed by this process is free at once."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        # Whoever cannot say that it is over is taken for dead a little later.
        with suppress(ScalesrError, OSError):
            if how == "finished":
                self._files.delete(holder_key(self.token))
            else:
                self._files.put(holder_key(self.token), self._note("ended"))

    def _go_on(self) -> None:
        while not self._stop.wait(self._seconds / BEATS):
            with suppress(ScalesrError, OSError):
                self._beat()

    def _beat(self) -> None:
        self._beats += 1
        self._files.put(holder_key(self.token), self._note("at work"))

    def _note(self, state: Literal["at work", "ended"]) -> bytes:
        facts = {"state": state, "beat": self._beats, "lease": self._seconds}
        return json.dumps(facts | {"host": socket.gethostname(), "pid": os.getpid()}).encode()


@dataclass
class _Seen:
    content: bytes | None
    since: float
    """When it was seen to change, on the clock of this process."""
    asked: float
    gone: bool = False
    stirred: bool = False


class Watch:
    """Watches the notes of other processes.

    Parameters
    ----------
    files
        The ledger.
    seconds
        The lease.
    clock
        Seconds that only grow.
    """

    def __init__(self, files: Files, *, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._files = files
        self._seconds = seconds
        self._clock = clock
        self._seen: dict[str, _Seen] = {}

    def gone(self, holder: str) -> bool:
        """Return whether a process has ended, or gave no sign of life for a lease since it was first asked for.

        A note that is not there says nothing by itself: on network file systems it may show up late.
        """
        now = self._clock()
        seen = self._seen.get(holder)
        if seen is not None and now - seen.asked < self._seconds / (2 * BEATS):
            return seen.gone
        content = self._files.get(holder_key(holder), at_most=SMALL) if holder else None
        if seen is None:
            seen = self._seen[holder] = _Seen(content, since=now, asked=now)
        elif seen.content != content:
            seen.content, seen.since = content, now
            # One whose note is gone came to its end.
            seen.stirred = content is not None
        seen.asked = now
        seen.gone = _ended(content) or now - seen.since >= self._seconds
        return seen.gone

    def stirred(self, holder: str) -> bool:
        """Return whether the last change of a process's note that was seen here was a sign of life."""
        return self._seen[holder].stirred


def _ended(content: bytes | None) -> bool:
    try:
        return bool(json.loads(content or b"")["state"] == "ended")
    except (ValueError, KeyError, TypeError, RecursionError):
        return False
