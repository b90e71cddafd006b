"""Hosts whose cable is pulled, for a while or for good: nobody is told, and what they do goes on."""

from __future__ import annotations

from threading import Timer
from time import monotonic, sleep
from typing import TYPE_CHECKING

import pytest
from engine.dask_processes import certificates, dask_processes
from faults.ground import BLOCKS, Watcher
from faults.hosts import hosts

from scalesr.engine import BlockDone
from scalesr.engine.executors import Cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.dask_processes import Processes
    from faults.conftest import Tell
    from faults.ground import Ground
    from faults.hosts import Host

    from scalesr.engine import Event

pytestmark = pytest.mark.slow

PATIENCE = 12
"""Seconds of silence after which Dask takes a host for lost; Dask asks for 11 at least, and takes 30 itself."""
AWHILE = 5
"""Seconds of silence that it bears."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Processes, Cluster, list[Host]]]:
    """Start a scheduler here and a worker on each of two hosts, who speak TLS to each other."""
    secure = tmp_path_factory.mktemp("certificates")
    with hosts(2) as found, pytest.MonkeyPatch.context() as patch:
        if found is None:
            pytest.skip("needs network namespaces: iproute2, root, and a kernel that lets it")
        here, there = found
        patch.setenv("DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP", f"{PATIENCE}s")
        with dask_processes(secure=secure, host=here, logs=tmp_path_factory.mktemp("logs")) as cluster:
            for host in there:
                cluster.worker("--host", host.address, within=host.within)
            cluster.await_workers(len(there))
            yield cluster, Cluster(where=cluster.address, certificates=certificates(secure)), there


@pytest.mark.parametrize("seconds", [AWHILE, 40])
def test_a_host_is_cut_off(
    ground: Ground, network: tuple[Processes, Cluster, list[Host]], tmp_path: Path, seconds: int, tell: Tell
) -> None:
    """The longer one is taken for lost, and its blocks are made elsewhere while it goes on making them itself."""
    cluster, where, there = network
    victim = there[0]
    mended: list[Timer] = []

    def watch(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == BLOCKS // 4:
            victim.pull()
            mended.append(Timer(seconds, victim.plug))
            mended[0].start()

    target = tmp_path / "out.zarr"
    began = monotonic()
    with Watcher(ground, target) as watcher:
        result = ground.run(target, scheduler=where, source=ground.disk, callbacks=[watch])
        took = monotonic() - began
        mended[0].join()
        # Whatever the host that was lost still does, it does now.
        sleep(2)
    ground.check(target)
    assert (result.blocks, len(mended)) == (BLOCKS, 1)
    tell(f"a host cut off for {seconds} s, over TLS", f"same bytes; {took:.0f} s, {watcher.looks} looks")
    # For the next: its nanny comes back by itself, or is replaced.
    if len(cluster.alive("worker")) < len(there):
        cluster.worker("--host", victim.address, within=victim.within)
    cluster.await_workers(len(there))
