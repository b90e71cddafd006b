"""Clusters that are started for a run: what their libraries are told, how they grow, and that they end with the run."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from engine.conftest import voxels
from engine.recorded_clusters import SIGNATURES, install

import scalesr
from scalesr.engine.executors import Cluster, DaskExecutor
from scalesr.engine.executors.kinds import RECIPES, start_cluster
from scalesr.errors import PlanError

if TYPE_CHECKING:
    from pathlib import Path

    from engine.conftest import MakeImage
    from numpy.typing import NDArray

TILES: dict[str, Any] = {"model": "linear", "scale": 2, "cell": 32, "block": 1}
NAMES = {recipe.extra: f"{recipe.module}.{recipe.name}" for recipe in RECIPES.values()}


@pytest.mark.parametrize("kind", ["slurm", "kubernetes"])
def test_a_run_starts_a_cluster_and_ends_it(
    kind: str,
    monkeypatch: pytest.MonkeyPatch,
    make_image: MakeImage,
    speckle: NDArray[np.uint16],
    tmp_path: Path,
) -> None:
    calls = install(monkeypatch, NAMES[kind])
    image = make_image(speckle[:64, :70])
    here = scalesr.run(image, tmp_path / "here.zarr", scheduler="serial", **TILES)
    cluster = Cluster(where=kind, workers=(1, 3))
    there = scalesr.run(image, tmp_path / "there.zarr", scheduler=cluster, **TILES)
    np.testing.assert_array_equal(voxels(there.image), voxels(here.image))
    assert ("adapt", {"minimum": 1, "maximum": 3}) in calls
    assert [name for name, _ in calls if name in ("start", "close")] == ["start", "close"]


def test_a_cluster_that_grows_has_work_for_all_that_it_may_get(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NAMES["slurm"])
    executor = DaskExecutor.connect(Cluster(where="slurm", workers=(1, 5)), device="cpu")
    # Two threads each.
    assert executor.slots == 10
    assert executor.description == "1 to 5 workers of slurm"
    executor.close(how="finished")


def test_what_slurm_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, NAMES["slurm"])
    options = {"cores": 8, "memory": "32GB", "job_extra_directives": ["--gres=gpu:1"]}
    start_cluster(Cluster(where="slurm", workers=(2, 2), options=options), device="cuda").close()
    started = dict(calls)["start"]
    assert started | options == started
    # Whoever shares the network could otherwise run code as this user.
    assert started["security"] is True
    assert started["processes"] == 1
    assert started["worker_extra_args"] == ["--resources", "GPU=1"]
    assert ("scale", {"n": 2}) in calls
    calls.clear()
    own: dict[str, Any] = {"worker_extra_args": [], "security": None}
    start_cluster(Cluster(where="slurm", options=own), device="cuda").close()
    assert dict(calls)["start"] | own == dict(calls)["start"]


def test_what_the_operator_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, NAMES["kubernetes"])
    options = {"image": "scalesr:0.1", "namespace": "lab"}
    start_cluster(Cluster(where="kubernetes", workers=(2, 8), options=options), device="cuda").close()
    started = dict(calls)["start"]
    assert started["image"] == "scalesr:0.1"
    assert started["worker_command"] == ["dask", "worker", "--resources", "GPU=1"]
    assert ("adapt", {"minimum": 2, "maximum": 8}) in calls


def test_gpus_of_this_machine_each_have_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, NAMES["cuda"], offered={"GPU": 1})
    executor = DaskExecutor.connect(Cluster(where="cuda", workers=(2, 2)), device="cuda")
    assert executor.slots == 2
    started = dict(calls)["start"]
    assert started["resources"] == {"GPU": 1}
    assert started["n_workers"] == 2
    assert not {name for name, _ in calls} & {"adapt"}
    executor.close(how="finished")
    for device, workers in (("cpu", (1, 1)), ("cuda", (1, 2))):
        with pytest.raises(PlanError, match="one worker for each GPU"):
            start_cluster(Cluster(where="cuda", workers=workers), device=device)


@pytest.mark.parametrize("kind", sorted(NAMES))
def test_a_library_that_is_not_there_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = NAMES[kind].partition(".")[0]
    # Its parts as well, which an earlier test may have imported.
    for name in {module, *(name for name in sys.modules if name.startswith(f"{module}."))}:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PlanError, match=rf"needs {module}.*pip install 'scalesr\[{kind}\]'"):
        start_cluster(Cluster(where=kind), device="cuda")


def test_options_that_it_does_not_know_are_told_with_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, NAMES["slurm"])
    with pytest.raises(PlanError, match=r"could not be started: TypeError: unexpected.*'corse'.*--cluster-options"):
        start_cluster(Cluster(where="slurm", options={"corse": 8}), device="cpu")


def test_workers_that_do_not_come_end_the_wait_and_the_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install(monkeypatch, NAMES["slurm"])
    kind: Any = __import__("dask_jobqueue").SLURMCluster
    monkeypatch.setattr(kind, "scale", lambda self, n=0, **_: None)
    with pytest.raises(PlanError, match=r"After 0\.5 seconds there are 0 of 2 workers at slurm.*--wait"):
        DaskExecutor.connect(Cluster(where="slurm", workers=(2, 2), wait=0.5), device="cpu")
    assert calls[-1][0] == "close"


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(PlanError, match="3 to 2 workers cannot be"):
        Cluster(where="slurm", workers=(3, 2))
    with pytest.raises(PlanError, match="runs already, and takes no options"):
        Cluster(where="tcp://127.0.0.1:1", options={"cores": 1})


@pytest.mark.parametrize("full_name", sorted(SIGNATURES))
def test_the_stand_ins_are_like_the_libraries_where_these_are_installed(full_name: str) -> None:
    """The names of SIGNATURES are among the parameters of the real classes, or of what these hand them to."""
    import inspect  # noqa: PLC0415

    module, _, name = full_name.rpartition(".")
    real = getattr(pytest.importorskip(module), name)
    known: set[str] = set()
    for kind in (*real.__mro__, getattr(real, "job_cls", None)):
        if kind is not None and kind is not object:
            for cls in kind.__mro__:
                known |= set(inspect.signature(cls.__init__).parameters)
    assert known >= SIGNATURES[full_name] - {"resources"}
