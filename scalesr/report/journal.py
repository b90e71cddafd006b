"""What a process notes while it works at an output: when blocks ended, the memory that it took, who ran the tasks.

Records of blocks say what each took, and not when; a journal lies beside them, one for each process and run.
"""

from __future__ import annotations

import json
import shlex
import sys
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from time import perf_counter
from typing import TYPE_CHECKING, Any

import psutil

from scalesr.engine.events import BlockDone, RunFinished, RunStarted, Trouble
from scalesr.engine.plates import FieldEnded, FieldTold
from scalesr.secrecy import without_secrets

if TYPE_CHECKING:
    from scalesr.engine.events import Event
    from scalesr.images import Files

FOLDER = "runs"
"""Where, in the ledger, journals lie."""
POINTS = 512
"""Points of a curve that a journal keeps at least, once it has so many; twice as many at most."""
PAUSE = 0.2
"""Seconds between two looks at the memory at least: each takes a millisecond for a few processes."""
MOST = 100
"""Journals that are read, the latest."""
LARGEST = 2**20
PROCESSES = "processes"
"""Name of the term of a plan's memory that counts what a process takes before it does anything."""


@dataclass(frozen=True, kw_only=True)
class Journal:
    """What one process noted of one run."""

    began: str
    """UTC, ISO 8601."""
    seconds: float
    """Wall time."""
    executor: str = ""
    """Who ran the tasks, in words."""
    command: str = ""
    """The command line; empty where another program called scalesr."""
    planned: tuple[tuple[str, int], ...] = ()
    """Terms of the memory that was planned, and their bytes."""
    planned_bytes: int = 0
    """Bytes that were planned for the machine, with what allocators give back late."""
    device_bytes: int = 0
    """Bytes that were planned for the device."""
    there: int = 0
    """Blocks that an earlier run left."""
    ended: tuple[float, ...] = ()
    """Seconds at which blocks, or fields of a plate, had ended: evenly spaced ones of many."""
    every: int = 1
    """How many had ended from one of these to the next."""
    memory: tuple[tuple[float, int], ...] = ()
    """Seconds, and bytes of this process and those that it started."""
    peak: int = 0
    """The most of all looks at the memory, also of those that are not kept."""
    held: int = 0
    """Bytes of it that are not the run's: what this process held before, beyond what the plan counts for a process."""
    troubles: tuple[tuple[str, int], ...] = ()
    """What went wrong and was mended, and how often."""
    requests: int = 0
    """Requests to stores that are not local."""
    cores: int = 0
    """Cores of the machine."""
    ram: int = 0
    """Bytes of memory of the machine."""

    @property
    def own_peak(self) -> int:
        """The most memory that the run was seen to take: what its plan is to be compared with."""
        return max(0, self.peak - self.held)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Journal:
        """Return what `Notes.journal` made JSON of.

        Raises
        ------
        ValueError, TypeError, KeyError, AttributeError
            It is none.
        """
        counts: dict[str, Any] = {
            name: int(values[name])
            for name in ("planned_bytes", "device_bytes", "there", "every", "peak", "requests", "cores", "ram")
        }
        return cls(
            **counts,
            # Earlier versions did not note it.
            held=int(values.get("held", 0)),
            began=str(values["began"]),
            executor=str(values["executor"]),
            command=str(values["command"]),
            seconds=float(values["seconds"]),
            planned=tuple((str(name), int(size)) for name, size in values["planned"]),
            ended=tuple(map(float, values["ended"])),
            memory=tuple((float(at), int(size)) for at, size in values["memory"]),
            troubles=tuple((str(name), int(count)) for name, count in values["troubles"]),
        )


@dataclass
class Notes:
    """A callback of a run that takes notes; a few kilobytes, however long it is."""

    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    before: int = field(default_factory=lambda: _resident())
    """Bytes that this process, and those that it started, hold when the run is called."""
    _start: float = field(default_factory=perf_counter)
    _started: RunStarted | None = None
    _finished: RunFinished | None = None
    _ended: list[float] = field(default_factory=list)
    _every: int = 1
    _count: int = 0
    _memory: list[tuple[float, int]] = field(default_factory=list)
    _looked: float = float("-inf")
    _peak: int = 0
    _troubles: Counter[str] = field(default_factory=Counter)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        now = perf_counter() - self._start
        if isinstance(event, RunStarted):
            self._started = event
        elif isinstance(event, RunFinished):
            self._finished = event
        elif isinstance(event, BlockDone | FieldEnded):
            self._count += 1
            if self._count % self._every == 0:
                self._ended.append(now)
            if len(self._ended) > 2 * POINTS:
                self._ended, self._every = self._ended[1::2], 2 * self._every
        elif isinstance(event, FieldTold):
            self._troubles[event.what] += 1
        elif isinstance(event, Trouble):
            self._troubles[type(event).__name__] += 1
        self._look(now)

    @property
    def worked(self) -> bool:
        """Whether a block, or a field of a plate, has ended."""
        return self._count > 0

    def journal(self) -> Journal:
        """Return what was noted until now."""
        started, finished = self._started, self._finished
        return Journal(
            began=self.began.isoformat(timespec="seconds"),
            seconds=perf_counter() - self._start if finished is None else finished.seconds,
            executor="" if started is None else without_secrets(started.executor),
            command=command_line(),
            planned=() if started is None else tuple((term.name, term.total) for term in started.demand.host),
            planned_bytes=0 if started is None else started.demand.host_bytes,
            device_bytes=0 if started is None else started.demand.device_bytes,
            there=0 if started is None else started.done,
            ended=tuple(round(at, 3) for at in self._ended),
            every=self._every,
            memory=tuple((round(at, 3), size) for at, size in self._memory),
            peak=self._peak,
            held=max(0, self.before - self._counted()),
            troubles=tuple(self._troubles.items()),
            requests=0 if finished is None else finished.traffic.requests,
            cores=psutil.cpu_count() or 0,
            ram=psutil.virtual_memory().total,
        )

    def keep(self, files: Files) -> None:
        """Write the journal into a ledger.

        Raises
        ------
        OutputError
            It cannot be written to.
        """
        name = f"{self.began:%Y%m%dT%H%M%S}-{token_hex(4)}"
        files.put(f"{FOLDER}/{name}.json", json.dumps(asdict(self.journal()), separators=(",", ":")).encode())

    def _counted(self) -> int:
        """Return what the plan counts for this process itself: nothing where the tasks have processes of their own."""
        terms = () if self._started is None else self._started.demand.host
        return next((term.each for term in terms if term.name == PROCESSES and term.count == 1), 0)

    def _look(self, now: float) -> None:
        if now - self._looked < PAUSE:
            return
        self._looked = now
        size = _resident()
        self._peak = max(self._peak, size)
        self._memory.append((now, size))
        if len(self._memory) > 2 * POINTS:
            self._memory = self._memory[::2]


def read_journals(files: Files) -> tuple[Journal, ...]:
    """Return what processes noted of the run whose ledger this is; what cannot be understood is left out."""
    found = []
    for key in files.list(f"{FOLDER}/")[-MOST:]:
        try:
            found.append(Journal.from_json(json.loads(files.get(key, at_most=LARGEST) or b"")))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            continue
    return tuple(sorted(found, key=lambda journal: journal.began))


def command_line() -> str:
    """Return the command line of this process where it is that of scalesr, with secrets blacked out."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return without_secrets(shlex.join([program, *sys.argv[1:]])) if program == "scalesr" else ""


def _resident() -> int:
    """Return the bytes that this process and those that it started hold in memory."""
    own = psutil.Process()
    total = 0
    for process in (own, *own.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.Error:  # it has ended meanwhile
            continue
    return int(total)
