"""Several hosts on one machine: network namespaces on a bridge, whose cables can be pulled."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NET = "10.213.77"
"""A private network that hardly anybody else has."""
BRIDGE = "scalesr-net"


@dataclass(frozen=True)
class Host:
    """One of the hosts. It shares the disk with all others, as hosts of a cluster share a file system."""

    number: int

    @property
    def address(self) -> str:
        """Its own address in the network."""
        return f"{NET}.{10 + self.number}"

    @property
    def name(self) -> str:
        """Its namespace, and the near end of its cable."""
        return f"scalesr-{self.number}"

    @property
    def within(self) -> tuple[str, ...]:
        """What stands before a command that is to run on it."""
        return ("ip", "netns", "exec", self.name)

    def pull(self) -> None:
        """Pull the cable: nothing comes through any more, and nobody is told."""
        _ip("link", "set", self.name, "down")

    def plug(self) -> None:
        """Put the cable back."""
        _ip("link", "set", self.name, "up")


@contextmanager
def hosts(count: int) -> Iterator[tuple[str, list[Host]] | None]:
    """Make a network of this machine and so many hosts; yields its own address and them, or None if it may not."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        yield None
        return
    found = [Host(number) for number in range(1, count + 1)]
    _remove(found)
    try:
        try:
            _ip("link", "add", BRIDGE, "type", "bridge")
        except subprocess.CalledProcessError:
            # Root of a container is often not allowed to.
            yield None
            return
        _ip("addr", "add", f"{NET}.1/24", "dev", BRIDGE)
        _ip("link", "set", BRIDGE, "up")
        for host in found:
            _ip("netns", "add", host.name)
            _ip("link", "add", host.name, "type", "veth", "peer", "name", "inside", "netns", host.name)
            _ip("link", "set", host.name, "master", BRIDGE, "up")
            for command in (("addr", "add", f"{host.address}/24", "dev", "inside"), ("link", "set", "inside", "up"),
                            ("link", "set", "lo", "up")):  # fmt: skip
                _ip("-n", host.name, *command)
        yield f"{NET}.1", found
    finally:
        _remove(found)


def _remove(found: list[Host]) -> None:
    """Remove all of it, also what a killed test left."""
    for host in found:
        subprocess.run(["ip", "netns", "del", host.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", host.name], check=False, capture_output=True)
    subprocess.run(["ip", "link", "del", BRIDGE], check=False, capture_output=True)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
