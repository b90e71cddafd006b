"""What the tests have and two benchmarks need: stores, clusters and disks of this machine, and ways to hurt them."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from engine.dask_processes import Processes, dask_processes
from faults.ground import BLOCKS, TILES, Ground, Watcher, lacking, prepared, small_disk
from stores.servers import BUCKET, credentials, free_port, rclone, rclone_path

__all__ = [
    "BLOCKS",
    "BUCKET",
    "TILES",
    "Ground",
    "Processes",
    "Watcher",
    "credentials",
    "dask_processes",
    "free_port",
    "lacking",
    "prepared",
    "rclone",
    "rclone_path",
    "small_disk",
]
