"""A running Dask cluster by its address, in processes of its own, and workers that die."""

from __future__ import annotations

from threading import Timer
from time import monotonic
from typing import TYPE_CHECKING, Any

import dask
import numpy as np
import psutil
import pytest
from distributed import Client
from engine.conftest import voxels
from engine.dask_processes import dask_processes

import scalesr
from scalesr.engine import BlockDone
from scalesr.engine.executors import Cluster, DaskExecutor
from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

    from scalesr.engine import Event

TILES: dict[str, Any] = {"cell": 16, "halo": 8, "blend": 5, "block": 2}


@pytest.fixture
def address() -> Iterator[str]:
    """Start a scheduler and two workers as their own processes; yields the address."""
    with dask_processes((), ()) as cluster:
        yield cluster.address


def test_a_cluster_gives_the_same_voxels(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path, address: str
) -> None:
    image = make_image(speckle)
    here = scalesr.run(image, tmp_path / "here.zarr", model=str(edsr), scheduler="serial", **TILES)
    there = scalesr.run(image, tmp_path / "there.zarr", model=str(edsr), scheduler=address, **TILES)
    np.testing.assert_array_equal(voxels(there.image), voxels(here.image))


def test_a_cluster_measures_the_same_bits(
    make_image: MakeImage, speckle: NDArray[np.uint16], tmp_path: Path, address: str
) -> None:
    image = make_image(speckle)
    other = make_image(np.clip(speckle + np.uint16(90), 0, 60000), name="other.zarr")
    options: dict[str, Any] = {"model": "cubic", "scale": 1, "cell": 32, "reference": other.url}
    here = scalesr.run(image, tmp_path / "here.zarr", scheduler="serial", **options)
    there = scalesr.run(image, tmp_path / "there.zarr", scheduler=address, **options)
    assert here.measurement is not None
    assert there.measurement is not None
    assert here.measurement.measures == there.measurement.measures
    apart = [
        scalesr.measure(image, reference=other, metrics=["psnr", "ssim", "frc", "fid"], scheduler=scheduler).measures
        for scheduler in ("serial", address)
    ]
    assert apart[0] == apart[1]


def test_a_worker_that_is_killed_costs_nothing_but_time(
    make_image: MakeImage, speckle: NDArray[np.uint16], edsr: Path, tmp_path: Path
) -> None:
    image = make_image(speckle)
    here = scalesr.run(image, tmp_path / "here.zarr", model=str(edsr), scheduler="serial", **TILES)
    killed: list[int] = []

    def kill(event: Event) -> None:
        if isinstance(event, BlockDone) and event.done == 8:
            workers = [
                child
                for nanny in psutil.Process().children()
                for child in [nanny, *nanny.children()]
                if "spawn_main" in " ".join(child.cmdline())
            ]
            workers[-1].kill()
            killed.append(workers[-1].pid)

    there = scalesr.run(
        image, tmp_path / "there.zarr", model=str(edsr), scheduler="processes", workers=2, callbacks=[kill], **TILES
    )
    assert killed
    np.testing.assert_array_equal(voxels(there.image), voxels(here.image))


def test_a_machine_that_slept_finds_its_workers_again() -> None:
    """Dask gives a worker up after five minutes without a sign of life, which is what a closed laptop looks like."""
    executor = DaskExecutor.local(kind="threads", workers=1, slots=1)
    try:
        cluster: Any = executor._cluster
        assert cluster.scheduler.worker_ttl is None
    finally:
        executor.close(how="finished")


def test_a_scheduler_that_goes_away_while_workers_are_waited_for_is_told() -> None:
    # Dask tries to get through again for as long as it is told to connect.
    with dask_processes() as cluster, dask.config.set({"distributed.comm.timeouts.connect": "8s"}):
        Client(cluster.address, timeout="60s", set_as_default=False).close()
        strike = Timer(2.0, cluster.kill, ["scheduler"])
        strike.start()
        with pytest.raises(PlanError, match=r"went away while its workers were waited for") as told:
            DaskExecutor.connect(Cluster(where=cluster.address, workers=(1, 1), wait=30), device="cpu")
        strike.join()
    assert "--resume" in told.value.remedy


def test_a_scheduler_is_waited_for_as_long_as_dask_is_told() -> None:
    began = monotonic()
    with (
        dask.config.set({"distributed.comm.timeouts.connect": "1s"}),
        pytest.raises(PlanError, match=r"No Dask scheduler answers at 'tcp://127\.0\.0\.1:1'"),
    ):
        DaskExecutor.connect(Cluster(where="tcp://127.0.0.1:1"), device="cpu")
    assert monotonic() - began < 5
