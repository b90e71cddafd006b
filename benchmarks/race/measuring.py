"""One process and its children, watched from outside: time, memory, bytes, and an end when it takes too much."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

INTERVAL = 0.05
TAIL = 400
"""Characters of what a failed process said last that are kept."""
Ending = Literal["done", "out of time", "out of memory", "failed"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a process took."""

    ending: Ending
    reason: str = ""
    """Why it is not done."""
    wall: float = 0.0
    """Seconds from its start to its end, imports and all."""
    cpu: float = 0.0
    """CPU seconds of it and of its children."""
    peak: int = 0
    """Largest resident memory of it and its children together, in bytes; pages that they share count for each."""
    read: int = 0
    written: int = 0
    """Bytes that it and its children read and wrote, by calls of the system; 0 where the system does not say."""
    answer: dict[str, Any] = field(default_factory=dict)
    """What it said itself of its computation."""

    @property
    def seconds(self) -> float:
        """Seconds of the computation, without imports."""
        return float(self.answer.get("seconds", self.wall))


def watch(
    command: Sequence[str], *, environment: Mapping[str, str], folder: Path, limit: float, memory: int | None = None
) -> Outcome:
    """Run a command until it ends or exceeds a limit, which ends it and its children.

    Parameters
    ----------
    command
        What is run. It prints a line that begins with ``ANSWER`` and goes on with JSON.
    environment
        Variables of the process: all of them.
    folder
        Where it runs.
    limit
        Seconds of wall time.
    memory
        Bytes of resident memory of all its processes together.
    """
    began = time.perf_counter()
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=dict(environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    assert process.stdout is not None
    output = _Reader(process.stdout)
    tree = _Tree(process.pid)
    ending: Ending = "done"
    while process.poll() is None:
        tree.look()
        if time.perf_counter() - began > limit:
            ending = "out of time"
        elif memory is not None and tree.resident > memory:
            ending = "out of memory"
        if ending != "done":
            tree.kill()
            process.wait()
            break
        time.sleep(INTERVAL)
    wall = time.perf_counter() - began
    tree.kill()
    text = output.text()
    answer = _answer(text)
    reason = ""
    if ending == "out of time":
        reason = f"more than {limit:g} s"
    elif ending == "out of memory":
        reason = f"more than {(memory or 0) / 1e9:g} GB"
    elif process.returncode == -signal.SIGKILL:
        # Nobody else kills it: the system does where there is no memory left.
        ending, reason = "out of memory", "killed by the system"
    elif process.returncode != 0 or answer is None:
        said = text.strip()[-TAIL:] or "it said nothing"
        ending, reason = "failed", f"ended with {process.returncode}: {said}"
    return Outcome(
        ending=ending,
        reason=reason,
        wall=wall,
        cpu=tree.cpu,
        peak=tree.peak,
        read=tree.read,
        written=tree.written,
        answer=answer or {},
    )


def _answer(text: str) -> dict[str, Any] | None:
    lines = [line for line in text.splitlines() if line.startswith("ANSWER ")]
    return dict(json.loads(lines[-1].removeprefix("ANSWER "))) if lines else None


class _Reader:
    """Takes what a process prints, so that it never waits for a reader."""

    def __init__(self, stream: Any) -> None:
        self._pieces: list[str] = []
        self._thread = threading.Thread(target=lambda: self._pieces.extend(stream), daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Return all of it, once the process has ended."""
        self._thread.join(timeout=5)
        return "".join(self._pieces)


class _Tree:
    """What a process and its children have taken so far."""

    def __init__(self, pid: int) -> None:
        self._group = pid
        self._root = psutil.Process(pid)
        self._cpu: dict[int, float] = {}
        self._known: set[psutil.Process] = set()
        self.resident = self.peak = self.read = self.written = 0

    @property
    def cpu(self) -> float:
        """CPU seconds, of those that have ended up to their last look."""
        return sum(self._cpu.values())

    def look(self) -> None:
        """Look at all that are there."""
        try:
            processes = [self._root, *self._root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return
        self._known.update(processes)
        resident = read = written = 0
        for process in processes:
            try:
                times = process.cpu_times()
                resident += process.memory_info().rss
                status = Path(f"/proc/{process.pid}/status")
                # The process itself remembers a peak that falls between two looks.
                if status.is_file():
                    high = status.read_text().partition("VmHWM:")[2].split()
                    self.peak = max(self.peak, int(high[0]) * 1024 if high else 0)
                counts = Path(f"/proc/{process.pid}/io")
                if counts.is_file():
                    # A process also counts the bytes of children that it has waited for.
                    pairs = dict(line.split(": ") for line in counts.read_text().splitlines())
                    read += int(pairs["rchar"])
                    written += int(pairs["wchar"])
            except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
                continue
            self._cpu[process.pid] = times.user + times.system
        self.resident = resident
        self.peak = max(self.peak, resident)
        self.read, self.written = max(self.read, read), max(self.written, written)

    def kill(self) -> None:
        """End all of them, also those that outlive their parent."""
        for process in self._known:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        try:
            os.killpg(self._group, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return
