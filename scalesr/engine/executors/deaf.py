"""Loaded by the worker processes of this machine: Ctrl-C is for the process that started them, which stops them."""

from __future__ import annotations

import signal


def dask_setup(_: object) -> None:
    """Ignore Ctrl-C, which a terminal sends to all processes alike, and which would print a stack of calls for each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
