"""What becomes of tasks whose workers, or whose scheduler, are gone: they are lost, and not failed."""

from __future__ import annotations

import os
from concurrent.futures import CancelledError
from typing import TYPE_CHECKING, Any

from distributed.scheduler import KilledWorker

from scalesr.errors import PlanError

if TYPE_CHECKING:
    from distributed import Client, Future

PATIENCE = 600.0
"""Seconds that a run waits for a scheduler, or for workers, that are gone: so long takes a node that is pre-empted or
restarted to come back. A queue may take longer; the environment variable says how long."""
VARIABLE = "SCALESR_CLUSTER_PATIENCE"
FETCHED = 5.0
"""Seconds after which somebody who waits for the result of a task asks whether it is still there."""


class LostTaskError(Exception):
    """A task is gone with whoever ran it, or knew of it. Nothing is said of the task: submitted again it may well end.

    Parameters
    ----------
    words
        What happened.
    workers
        How many workers died while they had the task. One that has run many of them down is perhaps their end.
    """

    def __init__(self, words: str, *, workers: int = 0) -> None:
        super().__init__(words)
        self.workers = workers


def patience() -> float:
    """Return for how many seconds a run waits for whoever runs its tasks.

    Raises
    ------
    PlanError
        The environment variable holds no number of seconds.
    """
    text = os.environ.get(VARIABLE, "").strip()
    if not text:
        return PATIENCE
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise PlanError(
            f"{VARIABLE} is {text!r}, which is no number of seconds.", remedy=f"Set it to one such as {PATIENCE:.0f}."
        )
    return seconds


def keep_trying(client: Client, *, seconds: float) -> None:
    """Let a client that loses its scheduler look for it again for so long, where it would give up after seconds.

    What it is told meanwhile waits. Dask has no public name for this: the time-out with which a client was made is at
    once that of its first connection, which must be short, since the address may be mistyped.
    """
    client._timeout = max(client._timeout, seconds)  # noqa: SLF001 see above


def fetched(handle: Future[Any]) -> Any:
    """Return the result of a task that has ended, or raise what it raised.

    Raises
    ------
    LostTaskError
        There is none, for no fault of the task's: its workers died, its scheduler did, or they did while the result was
        on its way.
    """
    try:
        return _result(handle)
    except KilledWorker as error:
        raise LostTaskError(
            f"{error.allowed_failures + 1} workers died while they had it", workers=error.allowed_failures + 1
        ) from None
    except CancelledError as error:
        reason = str(getattr(error, "reason", "")).replace("-", " ") or "cancelled"
        raise LostTaskError(f"the scheduler forgot it: {reason}") from None
    except (OSError, TimeoutError) as error:
        if handle.status == "error":  # what the task itself said
            raise
        raise LostTaskError(f"its result was lost on its way: {type(error).__name__}: {error}") from error


def _result(handle: Future[Any]) -> Any:
    """Return the result of a task, waiting as long as somebody has it.

    Where nobody has it any longer Dask waits until somebody makes it again, for ever where there is nobody to.
    """
    while True:
        try:
            return handle.result(timeout=FETCHED)
        except TimeoutError:
            if handle.status != "finished":
                raise


def missing(client: Client, *, resource: str | None) -> str | None:
    """Return what keeps all tasks waiting, in words: no scheduler, or nobody there to work; `None` where nothing does.

    Parameters
    ----------
    client
        The way to the scheduler.
    resource
        What a worker must offer, if anything, to run an inference.
    """
    where = client.scheduler.address if client.scheduler is not None else "its address"
    if client.status != "running":
        return f"the Dask scheduler at {where} does not answer"
    try:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
    except (OSError, TimeoutError):
        return f"the Dask scheduler at {where} does not answer"
    if not workers:
        return f"the Dask scheduler at {where} has no workers"
    if resource is not None and not any(worker["resources"].get(resource) for worker in workers):
        return f"none of the {len(workers)} workers at {where} offers {resource}"
    return None


def revive(cluster: Any, *, workers: int) -> None:
    """Have so many worker processes on this machine again.

    Dask's nanny starts one again when it dies, and gives up when the new one dies while it is being started, which is
    when it is given the task again that kills it.
    """
    # Only those are started that are not there.
    cluster.scale(workers)
