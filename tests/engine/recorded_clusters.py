"""Stand-ins for the libraries that start clusters: they record how they are called and start workers of this process.

dask-cuda needs GPUs, dask-jobqueue a batch system and dask-kubernetes a cluster with the operator. What is recorded
here is compared with what their signatures ask for (dask-cuda 26.08, dask-jobqueue 0.9, dask-kubernetes 2025.7); that
SLURM itself starts jobs is another test.
"""

from __future__ import annotations

import inspect
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from distributed import LocalCluster

if TYPE_CHECKING:
    import pytest

_CUDA = """
CUDA_VISIBLE_DEVICES n_workers threads_per_worker memory_limit device_memory_limit enable_cudf_spill cudf_spill_stats
local_directory protocol enable_tcp_over_ucx enable_infiniband enable_nvlink enable_rdmacm rmm_pool_size
rmm_maximum_pool_size rmm_managed_memory rmm_async rmm_allocator_external_lib_list rmm_release_threshold
rmm_log_directory rmm_track_allocations log_spilling pre_import
"""
_SLURM = """
n_workers job_cls loop security shared_temp_directory silence_logs name asynchronous scheduler_options scheduler_cls
interface protocol config_name queue cores memory processes nanny death_timeout local_directory worker_command
worker_extra_args job_extra_directives job_script_prologue job_directives_skip log_directory shebang
python job_name account walltime job_cpu job_mem
"""
_KUBE = """
name namespace image n_workers resources env worker_command port_forward_cluster_ip create_mode shutdown_on_close
idle_timeout resource_timeout scheduler_service_type custom_cluster_spec scheduler_forward_port jupyter loop
asynchronous quiet
"""
SIGNATURES: dict[str, frozenset[str]] = {
    # What it does not know it hands to LocalCluster, and that to its workers.
    "dask_cuda.LocalCUDACluster": frozenset(_CUDA.split())
    | frozenset(inspect.signature(LocalCluster).parameters)
    | {"resources"},
    "dask_jobqueue.SLURMCluster": frozenset(_SLURM.split()),
    "dask_kubernetes.operator.KubeCluster": frozenset(_KUBE.split()),
}
"""Names of the arguments that each class takes."""


class Recorded(LocalCluster):
    """Records what it is told, and has workers in this process."""

    calls: list[tuple[str, dict[str, Any]]]
    names: frozenset[str]
    offered: dict[str, float]

    def __init__(self, **told: Any) -> None:
        unknown = sorted(told.keys() - self.names)
        if unknown:
            raise TypeError(f"unexpected keyword argument {unknown[0]!r}")
        self.calls.append(("start", told))
        super().__init__(
            n_workers=told.get("n_workers", 0) or 0,
            threads_per_worker=2,
            processes=False,
            dashboard_address=None,
            memory_limit=0,
            resources=self.offered,
        )

    def scale(self, n: int = 0, **_: Any) -> None:  # type: ignore[override]
        """Record, and start or stop workers."""
        self.calls.append(("scale", {"n": n}))
        super().scale(n)

    def adapt(self, **told: Any) -> Any:  # type: ignore[override]
        """Record, and start or stop workers with the work."""
        self.calls.append(("adapt", told))
        return super().adapt(interval="100ms", **told)

    def close(self, timeout: float | None = None) -> Any:
        """Record, and stop."""
        self.calls.append(("close", {}))
        return super().close(timeout)


def install(
    monkeypatch: pytest.MonkeyPatch, full_name: str, *, offered: dict[str, float] | None = None
) -> list[tuple[str, dict[str, Any]]]:
    """Put a stand-in where a library would be; return its calls as they come."""
    module, _, name = full_name.rpartition(".")
    calls: list[tuple[str, dict[str, Any]]] = []
    kind = type(name, (Recorded,), {"calls": calls, "names": SIGNATURES[full_name], "offered": offered or {}})
    parts = module.split(".")
    for depth in range(1, len(parts) + 1):
        monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), ModuleType(".".join(parts[:depth])))
    setattr(sys.modules[module], name, kind)
    return calls
