"""Whether an output that is to be gone on with, or replaced, is one that other processes share at this moment."""

from __future__ import annotations

from time import sleep
from typing import TYPE_CHECKING

from scalesr.engine.claiming.holders import CLAIMS, HOLDERS, Watch, lease, pause_of
from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.job import ledger_files
from scalesr.errors import OutputError

if TYPE_CHECKING:
    from scalesr.engine.events import Callback
    from scalesr.images import Location

STAGE = "looking for others at work"


def ensure_alone(location: Location, *, tell: Callback) -> None:
    """Refuse an output that other processes share; what those leave behind that have ended, or died, is removed.

    An ordinary run sees no claims, and removes what it takes for half-written and for strips that nobody needs. Nothing
    is waited for but notes of processes that did not say that they ended: until they change, or for a lease.

    The other way round there is nothing to be seen: whoever joins an ordinary run makes the same bytes beside it, and
    the ordinary one says so where the others came to the end before it.

    Raises
    ------
    OutputError
        Somebody gives signs of life.
    """
    files = ledger_files(location.url, location.options)
    keys = files.list(f"{HOLDERS}/")
    if not keys:
        return
    seconds = lease()
    watch = Watch(files, seconds=seconds)
    silent = {key.rsplit("/", 1)[-1].removesuffix(".json") for key in keys}
    looks = 0
    while silent := {holder for holder in silent if not watch.gone(holder)}:
        for holder in silent:
            if watch.stirred(holder):
                raise OutputError(
                    f"Other processes work at {location} together.",
                    remedy="Give --share to work beside them, or end them first.",
                )
        if looks == 0:
            tell(StageStarted(name=STAGE, total=int(seconds / pause_of(seconds))))
        looks += 1
        sleep(pause_of(seconds))
        tell(StageAdvanced(name=STAGE))
    files.clear(CLAIMS)
