"""A verification of a plate: each field by itself, by one executor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import psutil

from scalesr.engine.allocator import give_back_memory
from scalesr.engine.events import StageAdvanced, StageStarted, Trouble
from scalesr.engine.executors import open_executor
from scalesr.engine.executors.shared import SharedExecutor
from scalesr.engine.verifying import Verification, verify
from scalesr.errors import InterruptedRunError, LedgerError
from scalesr.images import field_states

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.engine.events import Callback, Event
    from scalesr.engine.executors import Cluster
    from scalesr.images import Plate

STAGE = "verifying fields"


def verify_plate(
    plate: Plate,
    *,
    fields: Sequence[str] = (),
    scheduler: str | Cluster = "threads",
    workers: int | None = None,
    callbacks: Sequence[Callback] = (),
) -> dict[str, Verification | str]:
    """Verify the fields of a plate that a run wrote; see `verify`.

    Parameters
    ----------
    plate
        The output of a run.
    fields
        Patterns of the fields to verify; all when there are none.
    scheduler, workers
        As in `scalesr.run`.
    callbacks
        Called with each event, in this process.

    Returns
    -------
    dict
        For each field what was found, or why nothing could be; so for wells that cannot be used.

    Raises
    ------
    StorageError
        The store does not answer.
    """
    chosen = plate.select(*fields)
    states = field_states(plate)
    executor = open_executor(scheduler, slots=workers or psutil.cpu_count() or 1, device="cpu")
    how: Literal["finished", "stopped"] = "stopped"

    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    def told(event: Event) -> None:
        if isinstance(event, Trouble):
            tell(event)

    found: dict[str, Verification | str] = {}
    tell(StageStarted(name=STAGE, total=len(chosen)))
    try:
        for path in chosen:
            if states[path] == "absent":
                found[path] = "it is not there"
            else:
                place = plate.location(path)
                try:
                    found[path] = verify(
                        place.url,
                        storage_options=place.options,
                        shared=SharedExecutor(executor, path),
                        callbacks=[told],
                    )
                except LedgerError as error:
                    found[path] = error.problem
            tell(StageAdvanced(name=STAGE))
        # Wells that are listed and cannot be opened have fields that nobody can count.
        found |= plate.unusable(*fields)
        how = "finished"
    except KeyboardInterrupt:
        raise InterruptedRunError("Stopped; nothing was found out.", remedy="Run the same command again.") from None
    finally:
        executor.close(how=how)
        give_back_memory()
    return found
