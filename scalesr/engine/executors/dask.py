"""Tasks on Dask: threads or processes of this machine, or any cluster by its address."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from secrets import token_hex
from typing import TYPE_CHECKING, Any, Literal

import dask
from distributed import Client, LocalCluster
from distributed.client import _wait
from distributed.comm.core import CommClosedError
from distributed.scheduler import DEFAULT_EXTENSIONS

from scalesr.engine.allocator import ENVIRONMENT, keep_freed_memory
from scalesr.engine.executors.handover import Handover, own_traffic
from scalesr.engine.inference import STOP
from scalesr.errors import PlanError
from scalesr.secrecy import locked_away

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from distributed import Future

    from scalesr.images.stores import Traffic

DEVICE = "scalesr-device"
"""The worker resource that one inference occupies, on clusters that scalesr starts."""
PRIORITY = {"stitch": 3, "strip": 3, "infer": 2, "read": 1}
"""Tasks that free memory come before tasks that take more."""
QUIET = {
    # A laptop that slept for more than five minutes would find its workers given up, and wait for ever.
    "distributed.scheduler.worker-ttl": None,
    # What Dask keeps for its dashboard grows for the first hour of a run, and there is no dashboard.
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.log-length": 60,
    "distributed.admin.low-level-log-length": 100,
}
"""Settings of the clusters that scalesr starts."""


class Unrecorded:
    """Stands in for the scheduler's spans, which keep a record of every submission until the scheduler ends."""

    def __init__(self, scheduler: object) -> None:
        pass

    def observe_tasks(self, *_: object, **__: object) -> dict[str, Any]:
        """Give tasks no span."""
        return {}

    def heartbeat(self, *_: object) -> None:
        """Forget what a worker measured for each span."""


class DaskExecutor:
    """Submits each task by itself, with the resource that it needs; no graph, no collection.

    Dask loses annotations of collections on optimisation, and builds graphs that grow with the image; single
    submissions do neither.
    """

    def __init__(
        self,
        client: Client,
        *,
        description: str,
        slots: int,
        resource: str | None,
        cluster: LocalCluster | None = None,
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._resource = resource
        # Threads of this process know what it knows.
        self._told: set[str] | None = None if cluster is not None and not _apart(cluster) else set()
        self._name = f"scalesr-{token_hex(8)}"
        self.description = description
        self.slots = slots

    @classmethod
    def local(cls, *, kind: Literal["threads", "processes"], workers: int, slots: int) -> DaskExecutor:
        """Start workers on this machine.

        Parameters
        ----------
        kind
            ``threads``: one process, whose threads share the model. ``processes``: one thread each.
        workers
            Threads, or processes.
        slots
            Inferences at the same time, over all of them.
        """
        STOP.clear()
        # One thread more than slots reads ahead and writes behind while the others compute.
        shared = kind == "threads"
        if shared:
            keep_freed_memory()
        settings = {
            "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": "1", **ENVIRONMENT},
            **QUIET,
        }
        with warnings.catch_warnings(), dask.config.set(settings):
            # Without a dashboard there is still a port, and which one it is does not matter.
            warnings.filterwarnings("ignore", "Port .* is already in use", UserWarning)
            cluster = LocalCluster(
                n_workers=1 if shared else workers,
                threads_per_worker=workers + 1 if shared else 1,
                processes=not shared,
                dashboard_address=None,
                # The plan bounds the memory; a limit would make Dask spill and pause by what it cannot see.
                memory_limit=0,
                resources={DEVICE: slots if shared else 1},
                scheduler_kwargs={"extensions": {**DEFAULT_EXTENSIONS, "spans": Unrecorded}},
                # What fails is told by whoever asked for it, once and with its remedy.
                silence_logs=logging.CRITICAL,
                **({} if shared else {"preload": ["scalesr.engine.executors.deaf"]}),
            )
        client = Client(cluster, set_as_default=False)
        what = "threads of this process" if shared else "processes of this machine"
        return cls(client, description=f"{workers} {what}", slots=slots, resource=DEVICE, cluster=cluster)

    @classmethod
    def connect(cls, address: str, *, device: str) -> DaskExecutor:
        """Use a running cluster.

        Raises
        ------
        PlanError
            Nobody answers at the address, or it has no workers.
        """
        try:
            client = Client(address, set_as_default=False, timeout="10s")
        except (OSError, CommClosedError, ValueError, TimeoutError) as error:
            raise PlanError(
                f"No Dask scheduler answers at {address!r} ({error}).",
                remedy="Give serial, threads, processes or an address such as tcp://host:8786.",
            ) from error
        workers = client.scheduler_info(n_workers=-1)["workers"]
        if not workers:
            client.close()
            raise PlanError(f"The Dask scheduler at {address} has no workers.", remedy="Start some with `dask worker`.")
        wanted = "GPU" if device.startswith("cuda") else DEVICE
        offered = sum(int(worker["resources"].get(wanted, 0)) for worker in workers.values())
        slots = offered or sum(int(worker["nthreads"]) for worker in workers.values())
        return cls(
            client,
            description=f"{len(workers)} workers at {address}",
            slots=slots,
            # A resource that no worker has would make tasks wait for ever.
            resource=wanted if offered else None,
        )

    def submit(
        self,
        function: Callable[..., Any],
        *args: Any,
        name: str,
        needs: Literal["core", "device"] = "core",
        after: Sequence[Future[Any]] = (),
    ) -> Future[Any]:
        """Submit one task to the scheduler."""
        self._tell()
        return self._client.submit(
            function,
            *args,
            *after,
            key=name,
            pure=False,
            priority=PRIORITY.get(name.partition("-")[0], 0),
            resources={self._resource: 1} if needs == "device" and self._resource else None,
        )

    def wait(self, handles: Iterable[Future[Any]]) -> list[Future[Any]]:
        """Wait for the first to end, and return all that have."""
        # Not `distributed.wait`, which looks for a default client: being one for a while changes the settings of Dask
        # for the whole process, and threads that do so at the same time leave them changed.
        return list(self._client.sync(_wait, list(handles), return_when="FIRST_COMPLETED").done)

    def result(self, handle: Future[Any]) -> Any:
        """Fetch the result of a task that ended."""
        return handle.result()

    def traffic(self) -> Mapping[str, Traffic]:
        """Ask each process of the cluster; one that is gone has nothing to say."""
        if self._told is None:
            return {}
        found: Mapping[str, tuple[str, Traffic]] = self._client.run(own_traffic, on_error="ignore")
        here, _ = own_traffic()
        return {process: sent for process, sent in found.values() if process != here}

    def _tell(self) -> None:
        """Hand over the secrets that the workers were not told yet, to those that come later too."""
        secrets = locked_away()
        if self._told is None or (self._told and self._told >= secrets.keys()):
            return
        self._client.register_plugin(Handover(secrets, name=self._name))
        self._told = {self._name, *secrets}

    def close(self, *, how: Literal["finished", "stopped"]) -> None:
        """Close the connection, and the workers if they were started here."""
        if how == "stopped":
            STOP.set()
        if self._told and self._cluster is None:
            # The workers go on living.
            with suppress(Exception):
                self._client.unregister_worker_plugin(self._name)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _apart(cluster: LocalCluster) -> bool:
    """Return whether the workers are processes of their own."""
    return bool(cluster.processes)
