"""What goes to and fro between this process and its stores, counted."""

from __future__ import annotations

from dataclasses import astuple, dataclass
from threading import Lock


@dataclass(frozen=True)
class Traffic:
    """Requests to stores that are not local, of one process or of several together."""

    requests: int = 0
    """Requests sent, those that were tried again included."""
    retries: int = 0
    """Of these, how many repeated one that failed."""
    read: int = 0
    """Bytes received as content."""
    written: int = 0
    """Bytes sent as content."""
    waited: float = 0.0
    """Seconds that requests waited before they were tried again, over all of them."""

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(*(a - b for a, b in zip(astuple(self), astuple(other), strict=True)))


_lock = Lock()
_total = Traffic()


def traffic() -> Traffic:
    """Return what this process has sent and received since it began."""
    return _total


def count(*, requests: int = 0, retries: int = 0, read: int = 0, written: int = 0, waited: float = 0.0) -> None:
    """Add to what this process has sent and received."""
    global _total  # noqa: PLW0603 one count for the process
    with _lock:
        _total += Traffic(requests, retries, read, written, waited)
