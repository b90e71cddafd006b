"""The kinds of cluster that a run starts for itself, each through the library that its users know."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

import dask

from scalesr.engine.executors.unrecorded import QUIET_SCHEDULER, SCHEDULER_EXTENSIONS
from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed.deploy.cluster import Cluster as Running

    from scalesr.engine.executors.cluster import Cluster, Kind

GPU = "GPU"
"""The worker resource that one inference occupies on a cluster with GPUs; the name that Dask's own pages use."""
GPU_THREADS = 3
"""Threads of a worker that has a GPU: one drives it, one reads ahead, one writes behind."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one kind of cluster is started."""

    title: str
    """What it is called in an error."""
    module: str
    """Where its class is."""
    name: str
    """Name of the class."""
    extra: str
    """Extra of scalesr that installs it."""
    options: Callable[[Cluster, str], dict[str, Any]]
    """What its class is given where the user says nothing else, for a device."""


def _cuda(cluster: Cluster, _: str) -> dict[str, Any]:
    """One process for each GPU; the plan bounds the memory, and what Dask would spill from a GPU is not torch's."""
    at_most = {} if cluster.workers is None else {"n_workers": cluster.workers[1]}
    encrypted = {"protocol": "tls://", "security": cluster.security()} if cluster.encrypted() else {}
    return {
        "threads_per_worker": GPU_THREADS,
        "resources": {GPU: 1},
        "memory_limit": 0,
        "device_memory_limit": 0,
        "dashboard_address": None,
        "silence_logs": logging.CRITICAL,
        "scheduler_kwargs": {"extensions": SCHEDULER_EXTENSIONS},
        **encrypted,
        **at_most,
    }


def _slurm(cluster: Cluster, device: str) -> dict[str, Any]:
    """One process for each job. Whoever is on the network of a cluster could run code as its user: TLS is on."""
    gpu = {"worker_extra_args": ["--resources", f"{GPU}=1"]} if device.startswith("cuda") else {}
    return {
        "processes": 1,
        "security": cluster.security() if cluster.encrypted() else True,
        "shared_temp_directory": "~",
        "scheduler_options": {"extensions": SCHEDULER_EXTENSIONS, "dashboard": False, "dashboard_address": ":0"},
        **gpu,
    }


def _kubernetes(cluster: Cluster, device: str) -> dict[str, Any]:
    """Pods of the operator. Its KubeCluster reaches a scheduler over tcp:// and knows no other way."""
    if cluster.certificates is not None:
        raise PlanError(
            "KubeCluster knows no TLS.",
            remedy="Apply deploy/kubernetes/cluster.yaml, which has it, and give the address that docs/deploy names.",
        )
    gpu = {"worker_command": ["dask", "worker", "--resources", f"{GPU}=1"]} if device.startswith("cuda") else {}
    return {"name": "scalesr", "n_workers": 0, "quiet": True, **gpu}


RECIPES: dict[Kind, Recipe] = {
    "cuda": Recipe(
        title="A cluster of this machine's GPUs",
        module="dask_cuda",
        name="LocalCUDACluster",
        extra="cuda",
        options=_cuda,
    ),
    "slurm": Recipe(
        title="A cluster of SLURM jobs", module="dask_jobqueue", name="SLURMCluster", extra="slurm", options=_slurm
    ),
    "kubernetes": Recipe(
        title="A cluster of Kubernetes pods",
        module="dask_kubernetes.operator",
        name="KubeCluster",
        extra="kubernetes",
        options=_kubernetes,
    ),
}


def start_cluster(cluster: Cluster, *, device: str) -> Running:
    """Start the cluster that a kind names, and ask it for its workers; they need not be there yet.

    What the user gives as options takes the place of scalesr's own, name by name.

    Parameters
    ----------
    cluster
        Kind, workers and options.
    device
        Where tasks compute: ``cpu`` or ``cuda``.

    Raises
    ------
    PlanError
        The library is not installed, refuses the options, or cannot start it; or the kind cannot do what is asked.
    """
    assert cluster.kind is not None
    recipe = RECIPES[cluster.kind]
    least, most = cluster.workers or (1, 1)
    if cluster.kind == "cuda" and (least != most or not device.startswith("cuda")):
        raise PlanError(
            "A cluster of this machine's GPUs has one worker for each GPU, all of them for the whole run.",
            remedy="Use --device cuda, and give --workers one number or leave it out.",
        )
    try:
        found = getattr(import_module(recipe.module), recipe.name)
        with dask.config.set(QUIET_SCHEDULER):
            running: Running = found(**{**recipe.options(cluster, device), **cluster.options})
        if cluster.kind != "cuda":
            scale(running, least, most)
    except PlanError:
        raise
    except ImportError as error:
        # Some libraries import only what they are asked to do.
        raise PlanError(
            f"{recipe.title} needs {recipe.module.partition('.')[0]} and what belongs to it ({error}).",
            remedy=f"Install it: pip install 'scalesr[{recipe.extra}]'.",
        ) from error
    except Exception as error:
        # Its library raises what it likes, from wrong options to a `sbatch` that is not there.
        raise PlanError(
            f"{recipe.title} could not be started: {type(error).__name__}: {error}.",
            remedy="Check --cluster-options and Dask's configuration; docs/clusters.md has one that works.",
        ) from error
    return running


def scale(running: Running, least: int, most: int) -> None:
    """Ask for a number of workers, or for as many within a range as the work is worth."""
    if least == most:
        running.scale(least)
    else:
        running.adapt(minimum=least, maximum=most)
