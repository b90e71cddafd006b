"""The C library's memory, kept while networks run on the CPU.

A network allocates and frees the same large tensors for every tile. glibc gives such memory back to the system each
time and has it zeroed again: a quarter of the processor time of an EDSR at tiles of 260 px. Keeping it costs nothing,
since the next tile needs just as much; at the end of the run it is given back.
"""

from __future__ import annotations

import ctypes
import platform
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD, ARENA_MAX = -1, -3, -8
"""Parameters of mallopt(3)."""
KEEP, KEEP_MMAP = 2**31 - 1, 2**30
"""Freed memory that is kept, and the largest block that comes out of it."""


ENVIRONMENT = {
    "MALLOC_MMAP_THRESHOLD_": str(KEEP_MMAP),
    "MALLOC_TRIM_THRESHOLD_": str(KEEP),
    "MALLOC_ARENA_MAX": "1",
}
"""The same for a process that is yet to start."""


@cache
def _library() -> ctypes.CDLL | None:
    if platform.libc_ver()[0] != "glibc":
        return None
    return ctypes.CDLL("libc.so.6")


@cache
def keep_freed_memory() -> None:
    """Let this process keep what it frees, in one arena for all threads that start from now on.

    Does nothing where there is no glibc.
    """
    library = _library()
    if library is not None:
        library.mallopt(MMAP_THRESHOLD, KEEP_MMAP)
        library.mallopt(TRIM_THRESHOLD, KEEP)
        library.mallopt(ARENA_MAX, 1)


def give_back_memory() -> None:
    """Return to the system what is free now."""
    library = _library()
    if library is not None:
        library.malloc_trim(0)
