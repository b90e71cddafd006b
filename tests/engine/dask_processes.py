"""A Dask scheduler and workers as processes of their own, as users start them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distributed import Client
from stores.servers import free_port

from scalesr.engine.executors import Certificates, Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DEPLOY = Path(__file__).parents[2] / "deploy"


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
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def _start(self, role: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "dask", role, *arguments, "--no-dashboard"]
        if self.secure is not None:
            shown = certificates(self.secure, role=role)
            command += ["--tls-ca-file", shown.authority, "--tls-cert", shown.certificate, "--tls-key", shown.key]
        self.running.append(
            subprocess.Popen(
                command,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
            )
        )

    def scheduler(self) -> None:
        """Start the scheduler."""
        protocol, host, port = self.address.replace("//", "").split(":")
        self._start("scheduler", "--protocol", protocol, "--host", host, "--port", port)

    def worker(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a worker of one thread, with further arguments."""
        given = ("--memory-limit", "0") if "--memory-limit" not in arguments else ()
        self._start("worker", self.address, "--nthreads", "1", *given, *arguments, environment=environment)

    def await_workers(self, count: int) -> None:
        """Wait until so many are there."""
        shown = None if self.secure is None else certificates(self.secure)
        security = Cluster(where=self.address, certificates=shown).security()
        with Client(self.address, security=security, timeout="60s", set_as_default=False) as client:
            client.wait_for_workers(count, timeout=60)

    def stop(self) -> None:
        """Kill all."""
        for process in self.running:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def dask_processes(*workers: tuple[str, ...], secure: Path | None = None, **options: Any) -> Iterator[Processes]:
    """Start a scheduler, and a worker for each tuple of further arguments; over TLS where there are certificates."""
    where = f"{'tcp' if secure is None else 'tls'}://127.0.0.1:{free_port()}"
    processes = Processes(where, secure)
    try:
        processes.scheduler()
        for arguments in workers:
            processes.worker(*arguments, **options)
        processes.await_workers(len(workers))
        yield processes
    finally:
        processes.stop()
