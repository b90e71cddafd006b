"""What a failing disk or object store means to the person who waits for the output."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from scalesr.errors import OutputError
from scalesr.images.stores import StoreError, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_REASONS = {
    errno.ENOSPC: ("the disk is full", "Free space, then run again with --resume."),
    errno.EDQUOT: ("the quota is used up", "Free space or raise the quota, then run again with --resume."),
    errno.EFBIG: ("the file would be larger than allowed", "Use smaller shards, or raise the limit on file sizes."),
    errno.EROFS: ("the file system is read-only", "Write to another place."),
    errno.EACCES: ("permission is denied", "Change the permissions, then run again with --resume."),
    errno.EPERM: ("permission is denied", "Change the permissions, then run again with --resume."),
    errno.ENAMETOOLONG: ("the name is too long", "Write to a shorter path."),
    errno.EMFILE: ("too many files are open", "Raise the limit (ulimit -n), then run again with --resume."),
}


@contextmanager
def writing(place: str) -> Iterator[None]:
    """Turn what storage says inside the block into an OutputError that names the place, the reason and the remedy."""
    try:
        yield
    except StoreError as error:
        remedy = error.remedy
        if kind_of(error) == "denied":
            remedy = "Ask for permission to write there, use other credentials, or write to another place."
        raise OutputError(error.problem, remedy=remedy) from error
    except OSError as error:
        number = error.errno if error.errno is not None else _number(error)
        reason, remedy = _REASONS.get(
            number or 0, (f"{type(error).__name__}: {error}", "Mend the storage, then run again with --resume.")
        )
        raise OutputError(f"{place} cannot be written: {reason}.", remedy=remedy) from error


def _number(error: OSError) -> int | None:
    return errno.EACCES if isinstance(error, PermissionError) else None
