"""Who runs the tasks: this process, threads, processes, or a cluster."""

from scalesr.engine.executors.cluster import KINDS, Certificates, Cluster
from scalesr.engine.executors.dask import DaskExecutor
from scalesr.engine.executors.opening import LOCAL, open_executor
from scalesr.engine.executors.port import Executor, Handle
from scalesr.engine.executors.serial import SerialExecutor

__all__ = [
    "KINDS",
    "LOCAL",
    "Certificates",
    "Cluster",
    "DaskExecutor",
    "Executor",
    "Handle",
    "SerialExecutor",
    "open_executor",
]
