"""Runs back to back for an hour, with a fault every minute; the bytes of each, and the memory of all processes.

usage: python -m benchmarks.soak [--minutes 60] [--seed 0] [--spare FAULT ...]

A process drives runs from a store to a store on a Dask scheduler and two workers, all real processes of this machine,
with the store behind a proxy. Once a minute something is done to them, drawn by chance: what `tests/faults` does. A run
that stops is resumed. What comes out of each is compared, object by object, with an undisturbed run, and while it is at
work what its records call done is read at random moments. The resident memory of each process is noted every five
seconds; of those that lived for three minutes and more a line is fitted to what comes after the first of them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, Queue
from threading import Thread, Timer
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from benchmarks.common import save
from benchmarks.grounds import BLOCKS, TILES, Ground, Processes, Watcher, dask_processes, lacking, prepared, small_disk
from scalesr.errors import InterruptedRunError, OutputError
from scalesr.images import Files

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY, SAMPLE = 60.0, 5.0
"""Seconds from fault to fault, and from look to look at the memory."""
CUT = 30.0
"""Seconds for which the store is away, or fails now and then."""
WARM, LIVED = 60.0, 180.0
"""Seconds of a process that are left out of the fit, and that it must have lived."""
WORKERS = 2
LATE = 900.0
"""Seconds after which the last run is given up; a run waits ten minutes for a cluster."""


class Memory:
    """Notes the resident memory of processes, with all that they started, and fits lines to it."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], list[tuple[float, int]]] = {}

    def note(self, role: str, process: subprocess.Popen[Any]) -> None:
        """Note what a process has now."""
        if process.poll() is not None:
            return
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(process.pid)
            total = sum(one.memory_info().rss for one in (first, *first.children(recursive=True)))
            self._seen.setdefault((role, process.pid), []).append((time.monotonic(), total))

    def fitted(self) -> dict[str, Any]:
        """Return for each role how its processes grew, in megabytes an hour, each weighted by how long it lived."""
        found: dict[str, list[dict[str, float]]] = {}
        for (role, _), series in self._seen.items():
            when, size = np.array(series, float).T
            lived = float(when[-1] - when[0])
            late = when - when[0] > WARM
            if lived >= LIVED and late.sum() > 2:
                slope, at = np.polyfit((when[late] - when[0]) / 3600, size[late] / 1e6, 1)
                found.setdefault(role, []).append(
                    {
                        "minutes": lived / 60,
                        "MB at the beginning of the fit": float(at + slope * WARM / 3600),
                        "MB at the end": float(size[-1] / 1e6),
                        "MB at most": float(size.max() / 1e6),
                        "MB an hour": float(slope),
                    }
                )
        return {
            role: {
                "MB an hour": float(np.average([p["MB an hour"] for p in ps], weights=[p["minutes"] for p in ps])),
                "of the longest, MB an hour": max(ps, key=lambda p: p["minutes"])["MB an hour"],
                "processes": ps,
            }
            for role, ps in found.items()
        }


class Driver:
    """The process that drives runs, and its answers."""

    def __init__(self, ground: Ground, address: str) -> None:
        command = [sys.executable, "-m", "benchmarks.soak_client", address, ground.source, json.dumps(TILES)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answers: Queue[dict[str, Any]] = Queue()
        Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.answers.put(json.loads(line))

    def ask(self, target: str, mode: str) -> None:
        """Have it run."""
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps([target, mode]) + "\n")
            self.process.stdin.flush()

    def answer(self) -> dict[str, Any] | None:
        """Return what it said, or nothing."""
        with suppress(Empty):
            return self.answers.get_nowait()
        return None


class Soak:
    """Runs, faults, and what becomes of them."""

    def __init__(self, ground: Ground, cluster: Processes, folder: Path, *, seed: int, spared: list[str]) -> None:
        self._ground, self._cluster, self._folder = ground, cluster, folder
        self._chance = random.Random(seed)  # noqa: S311 chance, not secrecy
        self._memory = Memory()
        self._driver = Driver(ground, cluster.address)
        faults: dict[str, Callable[[], None]] = {
            "a worker killed": self._worker,
            "all workers killed": lambda: self._cluster.kill("worker"),
            "the scheduler killed": lambda: self._cluster.kill("scheduler"),
            "the client killed": lambda: self._driver.process.kill(),
            "the client told to end": lambda: self._driver.process.send_signal(signal.SIGTERM),
            "a worker told to end": self._dismissed,
            "the store away": self._cut,
            "the store failing": self._failing,
            "a full disk": self._disk,
        }
        # Only the superuser may mount one.
        spared = [*spared, "a full disk"] if os.geteuid() else spared
        self._faults = {name: fault for name, fault in faults.items() if name not in spared}
        self._left: list[str] = []
        self._full = False
        self._free: Callable[[], None] | None = None
        self._disks = ExitStack()
        self.struck: Counter[str] = Counter()
        self.stops: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.runs = self.computed = self.looks = self.shards = 0

    def go(self, seconds: float) -> None:
        """Run for so long, and then to the end of the run that is at work."""
        over = time.monotonic() + seconds
        fault, sample = time.monotonic() + EVERY, time.monotonic()
        while time.monotonic() < over:
            target = self._target()
            with suppress(AssertionError), Watcher(self._ground, target, seed=self.runs) as watcher:
                self._driver.ask(target, "create")
                while not self._finished(target):
                    now = time.monotonic()
                    if now > over + LATE:
                        watcher.wrong.append("it does not end")
                        break
                    if now >= fault and now < over:
                        fault = now + EVERY
                        self._strike()
                    if now >= sample:
                        sample = now + SAMPLE
                        self._sample()
                    time.sleep(0.2)
            self._judge(target, watcher)
        self._driver.process.kill()
        self._disks.close()

    def figures(self) -> dict[str, Any]:
        """Return what was found."""
        return {
            "runs": self.runs,
            "runs with the bytes of the undisturbed one": self.runs - len(self.wrong),
            "wrong": self.wrong,
            "faults": dict(self.struck),
            "stops that were resumed": dict(self.stops),
            "blocks": self.runs * BLOCKS,
            "blocks computed, as those who finished a run say": self.computed,
            "shards read while runs were at work": self.shards,
            "looks": self.looks,
            "memory": self._memory.fitted(),
        }

    def _target(self) -> str:
        if not self._full:
            return self._ground.place(f"soak-{self.runs}")
        self._full = False
        place = self._folder / f"disk-{self.runs}"
        self._free = self._disks.enter_context(small_disk(place))
        return str(place / "out.zarr")

    def _finished(self, target: str) -> bool:
        """Return whether the run is; one that stopped is resumed."""
        answer, alive = self._driver.answer(), self._driver.process.poll() is None
        if answer is None and alive:
            return False
        if answer is not None and "blocks" in answer:
            self.computed += answer["blocks"]
            return True
        self.stops["killed" if answer is None else f"exit code {answer['code']}"] += 1
        if answer is not None and answer["code"] not in (OutputError.exit_code, InterruptedRunError.exit_code):
            print(answer["error"], flush=True)
            time.sleep(SAMPLE)
        if answer is not None and self._free is not None:
            self._free()
            self._free = None
        if answer is None or answer["code"] == InterruptedRunError.exit_code:
            self._driver.process.wait()
            self._driver = Driver(self._ground, self._cluster.address)
        self._driver.ask(target, "resume")
        return False

    def _judge(self, target: str, watcher: Watcher) -> None:
        self.runs += 1
        self.looks, self.shards = self.looks + watcher.looks, self.shards + watcher.shards
        found = list(watcher.wrong)
        try:
            self._ground.check(target)
        except AssertionError as error:
            found.append(str(error))
        if found:
            self.wrong.append(f"{target}: {'; '.join(found)}")
        print(f"run {self.runs}: {'wrong' if found else 'same bytes'}; {dict(self.struck)}", flush=True)
        if target.startswith("s3://"):
            files = Files(target, self._ground.options_of(target))
            for key in files.list():
                files.delete(key)
        self._disks.close()
        self._free = None

    def _strike(self) -> None:
        # Each once before any comes twice.
        if not self._left:
            self._left = self._chance.sample(list(self._faults), len(self._faults))
        name = self._left.pop()
        self.struck[name] += 1
        print(f"  {name}", flush=True)
        self._faults[name]()

    def _sample(self) -> None:
        self._memory.note("client", self._driver.process)
        for process in self._cluster.alive("scheduler"):
            self._memory.note("scheduler", process)
        for process in self._cluster.alive("worker"):
            self._memory.note("worker", process)

    def _worker(self) -> None:
        alive = self._cluster.alive("worker")
        if alive:
            self._cluster.kill("worker", which=self._chance.randrange(len(alive)))

    def _dismissed(self) -> None:
        if self._cluster.alive("worker"):
            self._cluster.dismiss(which=0, deadline=5.0)

    def _cut(self) -> None:
        self._ground.proxy.cut()
        Timer(CUT, self._ground.proxy.mend).start()

    def _failing(self) -> None:
        self._ground.proxy.share = 0.1
        Timer(CUT, setattr, [self._ground.proxy, "share", 0.0]).start()

    def _disk(self) -> None:
        self._full = True


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="of the faults and their order")
    parser.add_argument(
        "--spare",
        nargs="+",
        default=[],
        metavar="FAULT",
        help="left out, by its name in the result: 'the client killed', so that the client lives longer",
    )
    arguments = parser.parse_args()
    if lacking():
        raise SystemExit(f"this needs {lacking()}")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as place:
        folder = Path(place)
        with prepared(folder) as ground, dask_processes(*[()] * WORKERS) as cluster, cluster.kept(WORKERS):
            soak = Soak(ground, cluster, folder, seed=arguments.seed, spared=arguments.spare)
            soak.go(60 * arguments.minutes)
    save("soak", {"minutes": arguments.minutes, "seed": arguments.seed, "spared": arguments.spare, **soak.figures()})
    if soak.wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
