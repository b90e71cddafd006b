"""What the benchmarks share: networks, images, clocks, memory, and where results go."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import psutil
import torch
from safetensors.torch import save_file

from scalesr.images import Axis, create_image, open_image, pyramid_layout
from scalesr.models.edsr import EDSR

if TYPE_CHECKING:
    from scalesr.images import Image

# What is measured is the run, and not the page about it.
os.environ.setdefault("SCALESR_REPORT", "none")
RESULTS = Path(os.environ.get("BENCHMARK_RESULTS", Path(__file__).parent / "results"))


def network(folder: Path) -> Path:
    """Write the network of the benchmarks, EDSR x2 of 8 blocks and 32 features, with fixed random weights."""
    sizes: dict[str, Any] = {"in_channels": 1, "out_channels": 1, "features": 32, "blocks": 8, "scale": 2}
    torch.manual_seed(0)
    path = folder / "edsr-8-32.safetensors"
    metadata = {"architecture": "edsr", **{name: str(size) for name, size in sizes.items()}}
    save_file(EDSR(**sizes).state_dict(), path, metadata=metadata)
    return path


def make_image(path: Path, shape: tuple[int, int], *, seed: int = 0) -> Image:
    """Write a two-dimensional image of blobs and noise, row of shards by row of shards, so that it may be large."""
    chunk = (min(512, shape[0]), min(512, shape[1]))
    layout = pyramid_layout(
        axes=(Axis("y", "space", "micrometer"), Axis("x", "space", "micrometer")),
        shape=shape,
        dtype="uint16",
        scale=(1.0, 1.0),
        translation=(0.0, 0.0),
        chunks=chunk,
        shards=(4 * chunk[0], 4 * chunk[1]),
        smallest=max(shape),
        name=path.stem,
    )
    writer = create_image(path, layout, mode="overwrite")
    height = layout.levels[0].unit[0]
    x = np.arange(shape[1], dtype=np.float32)
    for start in range(0, shape[0], height):
        stop = min(start + height, shape[0])
        rng = np.random.default_rng((seed, start))
        y = np.arange(start, stop, dtype=np.float32)[:, None]
        smooth = 2000 + 800 * np.sin(x / 23) * np.cos(y / 31) + 500 * np.sin((x + y) / 7)
        noise = rng.integers(0, 256, (stop - start, shape[1]), dtype=np.uint8)
        writer.write(0, (slice(start, stop), slice(0, shape[1])), (smooth + noise).astype(np.uint16))
    writer.publish()
    return open_image(path)


class Clock:
    """Wall and CPU time, and the peak of resident memory, of this process and its children while it runs."""

    def __init__(self, *, interval: float = 0.05) -> None:
        self._interval = interval
        self._stop = threading.Event()
        self.peak = 0
        self.wall = 0.0
        self.cpu = 0.0

    def __enter__(self) -> Self:
        self._began = time.perf_counter(), time.process_time()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._began[0]
        self.cpu = time.process_time() - self._began[1]
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._stop.wait(self._interval):
            total = 0
            for process in [own, *own.children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak = max(self.peak, total)


def usable_cores() -> int:
    """Return the cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def processor_name() -> str:
    """Return what the system calls the processor, as far as it says so."""
    facts = Path("/proc/cpuinfo")
    pairs = (line.partition(":") for line in (facts.read_text().splitlines() if facts.exists() else ()))
    named = (value.strip() for name, _, value in pairs if name.strip() == "model name")
    return next(named, platform.processor() or platform.machine())


def save(name: str, values: dict[str, Any]) -> None:
    """Write the figures of a benchmark, with the machine that they were measured on, and print them."""
    RESULTS.mkdir(exist_ok=True)
    machine = {
        "processor": processor_name(),
        "cores": usable_cores(),
        "torch": torch.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
    (RESULTS / f"{name}.json").write_text(json.dumps({"machine": machine, **values}, indent=1) + "\n")
    print(json.dumps(values, indent=1))
