"""Who runs the tasks: this process, threads, processes, or a cluster."""

from scalesr.engine.executors.dask import DaskExecutor
from scalesr.engine.executors.port import Executor, Handle
from scalesr.engine.executors.serial import SerialExecutor

__all__ = ["DaskExecutor", "Executor", "Handle", "SerialExecutor"]
