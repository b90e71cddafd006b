"""From the name of a scheduler to who runs the tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scalesr.engine.executors.cluster import Cluster
from scalesr.engine.executors.dask import DaskExecutor
from scalesr.engine.executors.serial import SerialExecutor

if TYPE_CHECKING:
    from scalesr.engine.executors.port import Executor

LOCAL = ("serial", "threads", "processes")
"""Schedulers on this machine; anything else is a kind of cluster or the address of one."""


def open_executor(scheduler: str | Cluster, *, slots: int, device: str, threads: int | None = None) -> Executor:
    """Return who runs the tasks.

    Parameters
    ----------
    scheduler
        ``serial``, ``threads`` or ``processes``; or a cluster, by its kind or address, or with more of it.
    slots
        Tasks that hold the device at the same time, on this machine.
    device
        Where tasks compute on a cluster: ``cpu`` or ``cuda``.
    threads
        Threads of this process that do all else too, by ``threads``: reading, joining, encoding. A GPU needs several
        of them for each inference; the cores of a CPU infer themselves. None is one more than `slots`.

    Raises
    ------
    PlanError
        There is no scheduler at the address given, or the cluster cannot be started.
    """
    if scheduler == "serial":
        return SerialExecutor()
    if isinstance(scheduler, Cluster) or scheduler not in LOCAL:
        cluster = scheduler if isinstance(scheduler, Cluster) else Cluster(where=scheduler)
        return DaskExecutor.connect(cluster, device=device)
    if scheduler == "processes":
        return DaskExecutor.local(kind="processes", workers=slots, slots=slots)
    return DaskExecutor.local(kind="threads", workers=slots if threads is None else threads - 1, slots=slots)
