"""A Dask scheduler and workers as processes of their own, as users start them; and as they end where nobody asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread, Timer
from typing import TYPE_CHECKING, Any, Literal

from distributed import Client
from stores.servers import free_port

from scalesr.engine.executors import Certificates, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEPLOY = Path(__file__).parents[2] / "deploy"
Role = Literal["scheduler", "worker"]


def certificates(folder: Path, *, role: str = "client") -> Certificates:
    """Return those that deploy/certificates.sh puts into a folder, which it makes."""
    subprocess.run([str(DEPLOY / "certificates.sh"), str(folder)], check=True, capture_output=True)
    return Certificates(
        authority=str(folder / "ca.pem"),
        certificate=str(folder / f"{role}.pem"),
        key=str(folder / f"{role}-key.pem"),
    )


@dataclass
class Processes:
    """A scheduler and its workers."""

    address: str
    secure: Path | None = None
    logs: Path | None = None
    """Folder of what they write to standard error; nowhere if not given."""
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)
    """All that were started, also those that were killed since."""
    _roles: list[Role] = field(default_factory=list)

    def _start(
        self,
        role: Role,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        within: tuple[str, ...] = (),
    ) -> None:
        command = [*within, sys.executable, "-m", "dask", role, *arguments, "--no-dashboard"]
        if self.secure is not None:
            shown = certificates(self.secure, role=role)
            command += ["--tls-ca-file", shown.authority, "--tls-cert", shown.certificate, "--tls-key", shown.key]
        told = Path(os.devnull) if self.logs is None else self.logs / f"{role}-{len(self.running)}.log"
        with told.open("wb") as log:
            self.running.append(
                subprocess.Popen(
                    command,
                    stdout=log if self.logs is not None else None,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
                )
            )
        self._roles.append(role)

    def scheduler(self) -> None:
        """Start the scheduler."""
        protocol, host, port = self.address.replace("//", "").split(":")
        self._start("scheduler", "--protocol", protocol, "--host", host, "--port", port)

    def worker(
        self, *arguments: str, environment: Mapping[str, str] | None = None, within: tuple[str, ...] = ()
    ) -> None:
        """Start a worker of one thread, with further arguments; `within` stands before its command."""
        given = ("--memory-limit", "0") if "--memory-limit" not in arguments else ()
        told = (self.address, "--nthreads", "1", *given, *arguments)
        self._start("worker", *told, environment=environment, within=within)

    def await_workers(self, count: int) -> None:
        """Wait until so many are there."""
        shown = None if self.secure is None else certificates(self.secure)
        security = Cluster(where=self.address, certificates=shown).security()
        with Client(self.address, security=security, timeout="60s", set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def alive(self, role: Role) -> list[subprocess.Popen[bytes]]:
        """Return those of a role that have not ended, in the order in which they were started."""
        return [one for one, its in zip(self.running, self._roles, strict=True) if its == role and one.poll() is None]

    def kill(self, role: Role, *, which: int | None = None) -> None:
        """Kill all of a role with -9, with all that they started themselves, or one of those that are alive."""
        alive = self.alive(role)
        for process in alive if which is None else [alive[which]]:
            _end(process)

    def dismiss(self, *, which: int, deadline: float) -> Timer:
        """Tell a worker to end, as whoever takes its machine away does, and kill it so many seconds later."""
        process = self.alive("worker")[which]
        os.killpg(process.pid, signal.SIGTERM)

        timer = Timer(deadline, _end, [process])
        timer.start()
        return timer

    @contextmanager
    def kept(self, workers: int) -> Iterator[None]:
        """Start a scheduler, and so many workers, again wherever they are gone, as whoever runs a cluster does.

        Workers that lose their scheduler end by themselves within seconds.
        """
        over = Event()

        def keep() -> None:
            while not over.wait(2.0):
                if not self.alive("scheduler"):
                    self.scheduler()
                for _ in range(workers - len(self.alive("worker"))):
                    self.worker()

        keeper = Thread(target=keep, daemon=True)
        keeper.start()
        try:
            yield
        finally:
            over.set()
            keeper.join()

    def stop(self) -> None:
        """Kill all."""
        for process in self.running:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    # A worker outlives the nanny that started it, where only that has ended.
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def dask_processes(
    *workers: tuple[str, ...],
    secure: Path | None = None,
    logs: Path | None = None,
    host: str = "127.0.0.1",
    **options: Any,
) -> Iterator[Processes]:
    """Start a scheduler, and a worker for each tuple of further arguments; over TLS where there are certificates."""
    where = f"{'tcp' if secure is None else 'tls'}://{host}:{free_port()}"
    processes = Processes(where, secure, logs)
    try:
        processes.scheduler()
        for arguments in workers:
            processes.worker(*arguments, **options)
        if workers:
            processes.await_workers(len(workers))
        yield processes
    finally:
        processes.stop()
