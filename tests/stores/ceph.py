"""A Ceph object gateway of one node: the store that many institutes have, from Debian's packages, in one folder."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING
from uuid import uuid4

from stores.servers import BUCKET, KEY, SECRET, Server, free_port, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIG = """[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{messenger},v1:127.0.0.1:{monitor}]
keyring = {folder}/admin.keyring
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail crit = 1
mon data avail warn = 2
auth allow insecure global id reclaim = false
ms bind ipv6 = false
public addr = 127.0.0.1
cluster addr = 127.0.0.1
run dir = {folder}
pid file = {folder}/$type.pid
admin socket = {folder}/$name.asok
log file = {folder}/$name.log
crash dir = {folder}
[mon.a]
mon data = {folder}/mon
[osd]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
keyring = {folder}/osd/keyring
[mgr]
mgr data = {folder}/mgr
keyring = {folder}/mgr/keyring
[client.rgw]
keyring = {folder}/rgw.keyring
"""


class Node:
    """The daemons of one node, which run in the foreground as children of this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.monitor, self.messenger, self.gateway = free_port(), free_port(), free_port()
        self._running: list[subprocess.Popen[bytes]] = []

    def command(self, *arguments: str, told: str | None = None) -> str:
        """Run one of Ceph's tools to its end and return what it prints."""
        done = subprocess.run(
            [arguments[0], "-c", str(self.folder / "ceph.conf"), *arguments[1:]],
            input=told, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr[-2000:]}")
        return done.stdout

    def daemon(self, *arguments: str, port: int | None = None) -> None:
        """Start a daemon."""
        with (self.folder / "out.log").open("ab") as log:
            command = [arguments[0], "-c", str(self.folder / "ceph.conf"), "-f", *arguments[1:]]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._running.append(process)
        if port is not None:
            wait_for(port, process)

    def create(self) -> None:
        """Make the node and start it."""
        for name in ("mon", "osd", "mgr"):
            (self.folder / name).mkdir()
        config = CONFIG.format(folder=self.folder, fsid=uuid4(), monitor=self.monitor, messenger=self.messenger)
        (self.folder / "ceph.conf").write_text(config)
        everything = ["--cap", "mon", "allow *", "--cap", "osd", "allow *", "--cap", "mgr", "allow *"]
        rings = (str(self.folder / "mon.keyring"), str(self.folder / "admin.keyring"))
        keys = ["ceph-authtool", "--create-keyring", "--gen-key", "-n"]
        subprocess.run([*keys, "mon.", rings[0], "--cap", "mon", "allow *"], check=True, capture_output=True)
        subprocess.run([*keys, "client.admin", rings[1], *everything], check=True, capture_output=True)
        subprocess.run(["ceph-authtool", rings[0], "--import-keyring", rings[1]], check=True, capture_output=True)
        where = f"[v2:127.0.0.1:{self.messenger},v1:127.0.0.1:{self.monitor}]"
        fsid = next(line.split()[-1] for line in config.splitlines() if line.startswith("fsid"))
        chart = str(self.folder / "monmap")
        make = ["monmaptool", "--create", "--addv", "a", where, "--fsid", fsid, chart, "--clobber"]
        subprocess.run(make, check=True, capture_output=True)
        self.command("ceph-mon", "--mkfs", "-i", "a", "--monmap", chart, "--keyring", rings[0])
        self.daemon("ceph-mon", "-i", "a", port=self.monitor)
        self._add_disk()
        caps = {"mgr.x": ("mgr/keyring", ["mon", "allow profile mgr", "osd", "allow *"]),
                "client.rgw": ("rgw.keyring", ["mon", "allow rw", "osd", "allow rwx"])}  # fmt: skip
        for who, (file, allowed) in caps.items():
            (self.folder / file).write_text(self.command("ceph", "auth", "get-or-create", who, *allowed))
        self.daemon("ceph-mgr", "-i", "x")
        self._await_disk()
        user = ["--uid=test", "--display-name=test", f"--access-key={KEY}", f"--secret-key={SECRET}"]
        self.command("radosgw-admin", "-n", "client.rgw", "user", "create", *user)
        frontend = f"beast endpoint=127.0.0.1:{self.gateway}"
        self.daemon("radosgw", "-n", "client.rgw", "--rgw_frontends", frontend, port=self.gateway)

    def _add_disk(self) -> None:
        name = str(uuid4())
        key = self.command("ceph-authtool", "--gen-print-key").strip()
        self.command("ceph", "osd", "new", name, "-i", "-", told=f'{{"cephx_secret": "{key}"}}')
        ring = f"[osd.0]\n\tkey = {key}\n"
        (self.folder / "osd" / "keyring").write_text(ring)
        self.command("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", name)
        self.daemon("ceph-osd", "-i", "0")

    def _await_disk(self) -> None:
        for _ in range(240):
            if " 1 up" in self.command("ceph", "osd", "stat"):
                return
            time.sleep(0.25)
        raise TimeoutError("the disk of Ceph does not come up")

    def stop(self) -> None:
        """End all daemons."""
        for process in reversed(self._running):
            process.kill()
            process.wait()


@contextmanager
def ceph(folder: Path) -> Iterator[Server]:
    """Run a gateway with one bucket, in some fifteen seconds."""
    node = Node(folder)
    try:
        node.create()
        running = Server(f"http://127.0.0.1:{node.gateway}", "ceph")
        client = import_module("botocore.session").Session().create_client(
            "s3", endpoint_url=running.endpoint, region_name="us-east-1",
            aws_access_key_id=KEY, aws_secret_access_key=SECRET,
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET)
        yield running
    finally:
        node.stop()
