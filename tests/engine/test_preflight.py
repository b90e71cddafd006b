"""What is asked of workers before the first block: one report with everything that is wrong with any of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from distributed import Client
from engine.dask_processes import dask_processes

import scalesr
from scalesr.engine import preflight
from scalesr.engine.executors import Cluster, DaskExecutor
from scalesr.engine.ledger import start_ledger
from scalesr.engine.options import Options
from scalesr.engine.preflight import check_workers
from scalesr.engine.probing import own_versions
from scalesr.engine.settling import settle
from scalesr.errors import PlanError
from scalesr.images import Axis, create_image, open_image, pyramid_layout

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from engine.conftest import MakeImage
    from engine.dask_processes import Processes
    from numpy.typing import NDArray

    from scalesr.engine.executors import Executor
    from scalesr.engine.settling import Settled
    from scalesr.images import Image

OTHER_HARDWARE = {"ATEN_CPU_CAPABILITY": "default"}
"""Makes torch compute without the vector instructions of the processor: other bits."""
SMALL: dict[str, Any] = {"model": "linear", "scale": 2, "cell": 32, "block": 1}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Processes]:
    """Start one worker that will do."""
    with dask_processes(()) as processes:
        yield processes


@pytest.fixture
def image(make_image: MakeImage, speckle: NDArray[np.uint16]) -> Image:
    """Make a small image."""
    return make_image(speckle[:64, :70])


@pytest.fixture
def connect() -> Iterator[Callable[[str], Executor]]:
    """Connect to a cluster, and let go of it in the end."""
    opened: list[Executor] = []

    def by_address(address: str) -> Executor:
        opened.append(DaskExecutor.connect(Cluster(where=address), device="cpu"))
        return opened[-1]

    yield by_address
    for executor in opened:
        executor.close(how="finished")


def settled(image: Image, target: Path | str, **changes: Any) -> Settled:
    """Return a run that can begin."""
    options = Options(**SMALL | {"scheduler": "tcp://nobody:1"} | changes)
    return settle(image, target, options, target_options=None, tell=lambda _: None)


def refused(executor: Executor, run: Settled) -> PlanError:
    """Return why the workers will not do."""
    with pytest.raises(PlanError) as caught:
        check_workers(executor, run.job, run.prepared.spec)
    return caught.value


def test_workers_that_will_do_are_passed_and_nothing_is_left(
    cluster: Processes, image: Image, tmp_path: Path, connect: Callable[[str], Executor]
) -> None:
    run = settled(image, tmp_path / "out.zarr")
    check_workers(connect(cluster.address), run.job, run.prepared.spec)
    assert not (tmp_path / "out.zarr").exists()


def test_workers_of_this_machine_are_not_asked(image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = settled(image, tmp_path / "out.zarr")
    monkeypatch.setattr(preflight, "own_versions", lambda: {"torch": "0"})
    executor = DaskExecutor.local(kind="threads", workers=1, slots=1)
    check_workers(executor, run.job, run.prepared.spec)
    executor.close(how="finished")


@pytest.mark.slow
def test_all_that_is_wrong_with_any_worker_is_told_at_once(
    image: Image, tmp_path: Path, connect: Callable[[str], Executor]
) -> None:
    lacking = tmp_path / "lacking.py"
    lacking.write_text("import sys\nsys.modules['scalesr'] = None\n")
    with dask_processes((), ("--memory-limit", "500MB"), ("--preload", str(lacking), "--no-nanny")) as cluster:
        cluster.worker(environment=OTHER_HARDWARE)
        cluster.await_workers(4)
        error = refused(connect(cluster.address), settled(image, tmp_path / "out.zarr"))
    assert error.problem.startswith("3 of 4 workers cannot take part in this run:\n  answer ")
    table = error.problem.splitlines()[1:]
    assert [line.split()[0] for line in table[::2]] == ["answer", "hardware", "memory"]
    assert all(line.split()[:2][0] == "on" and "tcp://127.0.0.1:" in line for line in table[1::2])
    assert "No module named 'scalesr" in error.problem
    assert "it computes on cpu DEFAULT" in error.problem
    assert "are its limit, at which Dask ends it" in error.problem
    assert all(
        part in error.remedy for part in ("Install the same scalesr", "ATEN_CPU_CAPABILITY", "Give workers more")
    )
    assert not (tmp_path / "out.zarr").exists()


def test_other_versions_are_named(
    cluster: Processes,
    image: Image,
    tmp_path: Path,
    connect: Callable[[str], Executor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = own_versions()
    assert there.keys() == {"python", "torch", "scalesr", "numpy", "zarr", "dask", "distributed"}
    monkeypatch.setattr(preflight, "own_versions", lambda: there | {"torch": "1.0", "zarr": "2.18"})
    error = refused(connect(cluster.address), settled(image, tmp_path / "out.zarr"))
    assert error.problem.startswith("The only worker cannot take part")
    assert f"torch is {there['torch']}, and 1.0 where the run is started" in error.problem
    assert f"zarr is {there['zarr']}, and 2.18 where the run is started" in error.problem


def test_a_model_that_is_here_alone_is_named(
    cluster: Processes,
    image: Image,
    tmp_path: Path,
    connect: Callable[[str], Executor],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "mine_alone.py").write_text(
        "import torch\n\n\ndef model():\n    return torch.nn.Conv2d(1, 1, 3, padding=1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    run = settled(image, tmp_path / "out.zarr", model="mine_alone:model", trust="pickle", scale=None)
    error = refused(connect(cluster.address), run)
    assert "\n  model " in error.problem
    assert "mine_alone" in error.problem
    assert error.remedy == "Put the same file at the same path for every worker."


def test_places_that_a_worker_does_not_see_are_named(
    cluster: Processes, tmp_path: Path, connect: Callable[[str], Executor]
) -> None:
    """A store in the memory of one process stands for a disk of one machine."""
    axes = tuple(Axis(name=name, kind="space", unit=None) for name in "yx")
    layout = pyramid_layout(
        axes=axes,
        shape=(40, 40),
        dtype="uint8",
        scale=(1.0, 1.0),
        translation=(0.0, 0.0),
        chunks=(40, 40),
        shards=(40, 40),
        name="here",
    )
    writer = create_image("memory://preflight-in.zarr", layout, mode="overwrite")
    writer.array(0)[...] = np.arange(1600, dtype=np.uint8).reshape(40, 40)
    writer.publish()
    run = settled(open_image("memory://preflight-in.zarr"), "memory://preflight-out.zarr")
    error = refused(connect(cluster.address), run)
    assert "\n  input " in error.problem
    assert "\n  output  memory://preflight-out.zarr is not the same place there" in error.problem
    assert run.job.files.list("preflight") == []


def names_after_two_more(cluster: Processes, client: Client) -> set[str]:
    """Start a worker that will not do and one that will; return who is there when the first has gone."""
    cluster.worker("--name", "other", environment=OTHER_HARDWARE)
    cluster.worker("--name", "alike")
    until = time.monotonic() + 90
    names: set[str] = set()
    while time.monotonic() < until and not (cluster.running[2].poll() is not None and "alike" in names):
        names = {worker["name"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}
        time.sleep(0.2)
    return names


@pytest.mark.slow
def test_a_worker_that_comes_later_is_asked_as_well(
    image: Image, tmp_path: Path, connect: Callable[[str], Executor]
) -> None:
    run = settled(image, tmp_path / "out.zarr")
    with dask_processes(()) as cluster, Client(cluster.address, set_as_default=False) as client:
        executor = connect(cluster.address)
        check_workers(executor, run.job, run.prepared.spec)
        assert run.fresh is not None
        start_ledger(run.job.files, run.fresh)
        with pytest.warns(UserWarning, match=r"came during the run and was sent away\. hardware: it computes on cpu"):
            names = names_after_two_more(cluster, client)
        assert "alike" in names
        assert "other" not in names
        assert executor.result(executor.submit(sum, (1, 2), name="read-1")) == 3


def test_a_run_is_refused_before_it_writes_anything(
    cluster: Processes, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = own_versions()
    monkeypatch.setattr(preflight, "own_versions", lambda: there | {"torch": "1.0"})
    with pytest.raises(PlanError, match=r"cannot take part in this run:\n  versions  torch is "):
        scalesr.run(image, tmp_path / "out.zarr", scheduler=cluster.address, **SMALL)
    assert not (tmp_path / "out.zarr").exists()
