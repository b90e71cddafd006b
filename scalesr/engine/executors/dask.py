"""Tasks on Dask: threads or processes of this machine, or any cluster by its address."""

from __future__ import annotations

import logging
import warnings
from contextlib import suppress
from itertools import count
from math import ceil
from secrets import token_hex
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import dask
from distributed import Client, LocalCluster
from distributed.comm.core import CommClosedError

from scalesr.engine.allocator import ENVIRONMENT, keep_freed_memory
from scalesr.engine.executors.handover import Telling, own_traffic
from scalesr.engine.executors.kinds import GPU, start_cluster
from scalesr.engine.executors.landing import Landing, fetched_together
from scalesr.engine.executors.losses import LostTaskError, fetched, keep_trying, missing, patience, revive
from scalesr.engine.executors.placing import Placing
from scalesr.engine.executors.sealing import Seals, opening
from scalesr.engine.executors.unrecorded import QUIET_SCHEDULER, SCHEDULER_EXTENSIONS
from scalesr.engine.inference import STOP
from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from distributed import Future, WorkerPlugin
    from distributed.deploy.cluster import Cluster as Running

    from scalesr.engine.executors.cluster import Cluster
    from scalesr.engine.executors.port import Inspection
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
    # Each loop looks fifty times a second whether it is late, and every half a second at its process: together three to
    # four hundredths of a core while nothing is done, more than all tasks of a run of long blocks take
    # (benchmarks/overhead.py).
    "distributed.admin.tick.interval": "1s",
    "distributed.admin.system-monitor.interval": "10s",
    **QUIET_SCHEDULER,
}
"""Settings of the workers that scalesr starts on this machine."""


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
        cluster: Running | None = None,
        place: Literal["this machine", "elsewhere"] = "this machine",
    ) -> None:
        self._client = client
        self._submitted = count()
        self._landing = Landing(client)
        self._fetched: dict[str, Any] = {}
        keep_trying(client, seconds=patience())
        self._cluster = cluster
        self._resource = resource
        self._place = place
        self._name = f"scalesr-{token_hex(8)}"
        # Threads of this process know what it knows.
        apart = cluster is None or _apart(cluster)
        self._telling = Telling(client, name=self._name) if apart else None
        self._seals = Seals() if apart else None
        self._plugins: list[str] = []
        self._inspecting = Lock()
        self._gate: WorkerPlugin | None = None
        self._placing = Placing(client, resource=resource) if place == "elsewhere" else None
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
                scheduler_kwargs={"extensions": SCHEDULER_EXTENSIONS},
                # What fails is told by whoever asked for it, once and with its remedy.
                silence_logs=logging.CRITICAL,
                **({} if shared else {"preload": ["scalesr.engine.executors.deaf"]}),
            )
        client = Client(cluster, set_as_default=False)
        what = "threads of this process" if shared else "processes of this machine"
        return cls(client, description=f"{workers} {what}", slots=slots, resource=DEVICE, cluster=cluster)

    @classmethod
    def connect(cls, cluster: Cluster, *, device: str) -> DaskExecutor:
        """Use a cluster that runs, or start one, and wait for its workers.

        Raises
        ------
        PlanError
            Nobody answers at the address, or not to this client; the cluster cannot be started; or too few workers
            come in time.
        """
        running = None if cluster.kind is None else start_cluster(cluster, device=device)
        try:
            client = _client(cluster, running)
            try:
                workers = _arrived(client, cluster)
            except BaseException:
                client.close()
                raise
        except BaseException:
            if running is not None:
                running.close()
            raise
        wanted = GPU if device.startswith("cuda") else DEVICE
        offered = sum(int(worker["resources"].get(wanted, 0)) for worker in workers.values())
        slots = offered or sum(int(worker["nthreads"]) for worker in workers.values())
        if cluster.workers is not None and cluster.workers[1] > len(workers):
            # As many blocks are in flight as the largest number of workers needs: nobody asks for more idle ones.
            slots = ceil(slots / len(workers) * cluster.workers[1])
        at = f"at {cluster.where}" if running is None else f"of {cluster.kind}"
        return cls(
            client,
            description=f"{_how_many(cluster, len(workers))} {at}",
            slots=slots,
            # A resource that no worker has would make tasks wait for ever.
            resource=wanted if offered else None,
            cluster=running,
            place="elsewhere",
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
        stage, _, block = name.partition("-")
        worker = self._placing.place(block) if self._placing is not None and stage == "read" else None
        if self._seals is not None:
            function, args = opening(function), tuple(map(self._seals.sealed, args))
            self._tell(function, *args)
        future = self._client.submit(
            function,
            *args,
            *after,
            # The same task may be submitted again, while Dask still knows how it ended the first time.
            key=f"{name}-{next(self._submitted)}",
            pure=False,
            priority=PRIORITY.get(stage, 0),
            resources={self._resource: 1} if needs == "device" and self._resource else None,
            workers=worker,
            # A worker that is gone by now must not be waited for.
            allow_other_workers=worker is not None,
        )
        if self._placing is not None and stage == "infer":
            self._placing.follow(block, future)
        return future

    def wait(self, handles: Iterable[Future[Any]], *, seconds: float | None = None) -> list[Future[Any]]:
        """Wait for the first to end, and return all that have."""
        found = self._landing.ended(list(handles), seconds=seconds)
        if seconds != 0:
            # Who waited takes the results of all that ended; who only looks takes none.
            self._fetched |= fetched_together(self._client, (one for one in found if str(one.key) not in self._fetched))
        return found

    def result(self, handle: Future[Any]) -> Any:
        """Return the result of a task that ended: fetched with those of others that ended before the last wait."""
        key = str(handle.key)
        if key in self._fetched:
            return self._fetched.pop(key)
        try:
            return fetched(handle)
        except LostTaskError:
            if self._telling is not None:
                self._telling.begin_anew()
            raise

    def missing(self) -> str | None:
        """Ask the scheduler for its workers."""
        problem = missing(self._client, resource=self._resource)
        # Threads of this process cannot go away.
        if problem is not None and self._place == "this machine" and self._telling is not None:
            revive(self._cluster, workers=self.slots)
        return problem

    def traffic(self) -> Mapping[str, Traffic]:
        """Ask each process of the cluster; one that is gone has nothing to say."""
        if self._telling is None:
            return {}
        found: Mapping[str, tuple[str, Traffic]] = self._client.run(own_traffic, on_error="ignore")
        here, _ = own_traffic()
        return {process: sent for process, sent in found.values() if process != here}

    def inspect(self, inspection: Inspection) -> None:
        """Have the workers of a cluster looked at, and those that come later by a plugin of theirs."""
        name = f"{self._name}-gate"
        with self._inspecting:
            if self._place == "this machine" or name in self._plugins:
                return
            self._gate = inspection(self._on_each)
            self._plugins.append(name)
            self._client.register_plugin(self._gate, name=name)

    def _on_each(self, function: Callable[..., Any], /, *args: Any) -> Mapping[str, Any]:
        """Call a function on all workers, as an inspection asks for."""
        with suppress(Exception):
            # A worker that cannot be told will say so when it is asked.
            self._tell(*args)
        answers: Mapping[str, Any] = self._client.run(function, *args, on_error="return")
        return answers

    def _tell(self, *given: Any) -> None:
        """Hand over the secrets that the workers will need for what they are given."""
        if self._telling is None or not self._telling.tell(*given):
            return
        if self._name not in self._plugins:
            self._plugins.append(self._name)
        elif self._gate is not None:
            # A scheduler that was started again has forgotten it, too.
            self._client.register_plugin(self._gate, name=f"{self._name}-gate")

    def close(self, *, how: Literal["finished", "stopped"]) -> None:
        """Close the connection, and the workers if they were started here."""
        if how == "stopped":
            STOP.set()
        if self._cluster is None and self._client.status == "running":
            # The workers go on living.
            for name in self._plugins:
                with suppress(Exception):
                    self._client.unregister_worker_plugin(name)
        # As long as Dask allows where nobody is to wait for a scheduler that is gone.
        self._client.close(timeout=20)
        if self._cluster is not None:
            self._cluster.close()


def _client(cluster: Cluster, running: Running | None) -> Client:
    """Return a connection to a cluster that was started, or to one by its address."""
    if running is not None:
        return Client(running, set_as_default=False)
    security = cluster.security()
    try:
        # As long as Dask's own setting says: distributed.comm.timeouts.connect.
        return Client(cluster.where, security=security, set_as_default=False)
    except (OSError, CommClosedError, ValueError, TimeoutError) as error:
        if cluster.where.startswith("tls://"):
            raise PlanError(
                f"The Dask scheduler at {cluster.where} does not answer, or does not let this client in ({error}).",
                remedy="Check host and port, and that the authority of the cluster signed your certificate.",
            ) from error
        raise PlanError(
            f"No Dask scheduler answers at {cluster.where!r} ({error}).",
            remedy="Give serial, threads, processes, cuda, slurm, kubernetes, or an address such as tcp://host:8786; "
            "tls://host:8786 where it speaks TLS.",
        ) from error


def _arrived(client: Client, cluster: Cluster) -> Mapping[str, Any]:
    """Return what the scheduler knows of its workers, as soon as there are enough."""
    least = cluster.workers[0] if cluster.workers is not None else 0 if cluster.kind is None else 1
    try:
        if least:
            with suppress(TimeoutError):
                client.wait_for_workers(least, timeout=cluster.wait)
        workers: Mapping[str, Any] = client.scheduler_info(n_workers=-1)["workers"]
    except OSError as error:
        raise PlanError(
            f"The Dask scheduler at {cluster.where} went away while its workers were waited for ({error}).",
            remedy="Start it again, and then this run; with --resume it goes on where it was.",
        ) from error
    if not workers and not least:
        raise PlanError(
            f"The Dask scheduler at {cluster.where} has no workers.",
            remedy="Start some with `dask worker`, or wait for them: --workers says how many.",
        )
    if len(workers) < least:
        raise PlanError(
            f"After {cluster.wait:g} seconds there are {len(workers)} of {least} workers at {cluster.where}.",
            remedy="Ask its queue or its logs why; wait longer with --wait, or start with fewer: --workers 1-64.",
        )
    return workers


def _how_many(cluster: Cluster, there: int) -> str:
    least, most = cluster.workers or (there, there)
    return f"{least} to {most} workers" if least < most else f"{there} worker{'s' * (there != 1)}"


def _apart(cluster: Running) -> bool:
    """Return whether the workers are processes of their own; only Dask's LocalCluster can have others."""
    return bool(getattr(cluster, "processes", True))
