"""Being told to leave: a process that is about to be ended takes no further block, and hands back what it has."""

from __future__ import annotations

import signal
import threading
from _thread import interrupt_main
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LEAVE = threading.Event()
"""Set to make the shared runs of this process take no further block, and end when those at work are done."""


@contextmanager
def told_to_leave(*, seconds: float) -> Iterator[None]:
    """Leave when the process is ordered to end (SIGTERM), and after so many seconds stop whatever is at work.

    A batch system that takes a machine away says so before, and ends what is still there later: time enough for a block
    to be done, or at least for its claim to be given back.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    timer = threading.Timer(seconds, interrupt_main)
    timer.daemon = True

    def leave(_: int, __: object) -> None:
        if LEAVE.is_set():
            return
        LEAVE.set()
        timer.start()

    former = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGTERM, former)
        LEAVE.clear()
