"""A SLURM of one node on this machine, from Debian's packages, all of whose state lies in one folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from stores.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDED = ("slurmctld", "slurmd", "sbatch", "munged")
CONFIG = """ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={control}
SlurmdPort={daemon}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldLogFile={folder}/control.log
SlurmdLogFile={folder}/daemon.log
SlurmctldPidFile={folder}/control.pid
SlurmdPidFile={folder}/daemon.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
MailProg=/bin/true
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES State=UP
"""


def lacking() -> list[str]:
    """Return the programs that are not installed."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    return [name for name in NEEDED if shutil.which(name, path=places) is None]


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start munge, the controller and the daemon; yields what must stand in the environment of who submits."""
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True, mode=0o700)
    host = socket.gethostname().split(".")[0]
    (folder / "munge" / "key").write_bytes(os.urandom(128))
    (folder / "munge" / "key").chmod(0o600)
    config = folder / "slurm.conf"
    config.write_text(
        CONFIG.format(
            host=host,
            control=free_port(),
            daemon=free_port(),
            folder=folder,
            user=Path.home().owner(),
            cores=os.cpu_count(),
        )
    )
    environment = {**os.environ, "SLURM_CONF": str(config), "PATH": f"{os.environ['PATH']}:/usr/sbin"}
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    secret = [f"--{name}={folder / 'munge' / file}" for name, file in files.items()]
    commands = [
        ["munged", "--foreground", "--force", *secret],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-f", str(config)],
    ]
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            running.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            time.sleep(1)
        _await_node(environment)
        yield environment
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait()


def _await_node(environment: dict[str, str]) -> None:
    for _ in range(80):
        done = subprocess.run(["sinfo", "-h"], env=environment, capture_output=True, text=True, timeout=20, check=False)
        if "idle" in done.stdout:
            return
        time.sleep(0.5)
    raise TimeoutError(f"the node of SLURM does not come up: {done.stdout}{done.stderr}")
