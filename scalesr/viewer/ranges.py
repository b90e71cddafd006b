"""Which bytes of an object a request asks for: the header ``Range`` of HTTP, RFC 9110, section 14."""

from __future__ import annotations

import re

_ONE = re.compile(r"bytes=(\d*)-(\d*)", re.ASCII)


class OutOfRangeError(ValueError):
    """None of the bytes that are asked for is there; the answer is 416."""


def asked_range(header: str | None, size: int) -> range | None:
    """Return the bytes of an object that a request asks for; ``None`` where it asks for all of it.

    One range is understood: ``bytes=FIRST-LAST``, ``bytes=FIRST-`` and, for the end of an object, ``bytes=-COUNT``.
    Several ranges, other units and what is no range at all mean the whole object, as the standard allows.

    Parameters
    ----------
    header
        As it was sent; ``None`` where there is none.
    size
        Bytes of the object.

    Raises
    ------
    OutOfRangeError
        It is one range, and it begins behind the end, or has no bytes.
    """
    found = _ONE.fullmatch(header.strip()) if header is not None else None
    if found is None or found.group() == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        wanted = range(max(0, size - int(last)), size)
    else:
        if last and int(last) < int(first):
            return None
        wanted = range(int(first), min(int(last) + 1, size) if last else size)
    if not wanted:
        raise OutOfRangeError(header)
    return wanted
