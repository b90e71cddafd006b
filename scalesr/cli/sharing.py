"""What `scalesr status` tells of processes that share a run: who is at work, and who gives no sign of life."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from scalesr.cli.info import RECORDS
from scalesr.errors import ScalesrError

if TYPE_CHECKING:
    from collections.abc import Collection

    from scalesr.cli.output import Lines
    from scalesr.images import Files, Location

CLAIMS = "claims"
"""Folder of the ledger in which claims lie; the engine has the name too, and needs torch."""
SMALL = 2**12
MOST = 1000
"""Claims of blocks that are not done, of which it is read who holds them."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that shares the run."""

    host: str
    """Name of its machine."""
    pid: int
    """Its number there."""
    seconds: float | None
    """Since its last sign of life, by the clocks of the store and of this machine; None where the store has none."""
    lease: float
    """Seconds of silence after which others take it for dead."""
    blocks: tuple[int, ...]
    """What it has claimed of what is not done."""

    @property
    def silent(self) -> bool:
        """Whether it was not heard of for longer than its lease. The others judge by what they see themselves."""
        return self.seconds is not None and self.seconds > self.lease

    @property
    def words(self) -> str:
        """Who it is, and what it holds."""
        from scalesr.images.showing import counted  # noqa: PLC0415 zarr takes most of a second

        return f"{self.host} (process {self.pid}): {counted(len(self.blocks), 'block')}"

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return {**vars(self), "stale": self.silent}


def find_holders(files: Files, place: Location) -> tuple[Holder, ...]:
    """Return the processes that share a run whose ledger this is."""
    keys = files.list(f"{CLAIMS}/holders/")
    if not keys:
        return ()
    times = written(place / CLAIMS / "holders")
    claimed = _claimed(files)
    found = []
    for key in keys:
        with suppress(ValueError, KeyError, TypeError, RecursionError, ScalesrError):
            note = json.loads(files.get(key, at_most=SMALL) or b"")
            name = key.rsplit("/", 1)[-1]
            if note["state"] != "ended":
                found.append(
                    Holder(
                        host=str(note["host"])[:100],
                        pid=int(note["pid"]),
                        seconds=max(0.0, datetime.now(UTC).timestamp() - times[name]) if name in times else None,
                        lease=float(note["lease"]),
                        blocks=tuple(claimed.get(name.removesuffix(".json"), ())),
                    )
                )
    return tuple(sorted(found, key=lambda one: (one.host, one.pid)))


def _claimed(files: Files) -> dict[str, list[int]]:
    """Return the blocks that are not done, by who holds them: whoever claimed them under the highest number."""
    done = {key.rsplit("/", 1)[-1].removesuffix(".json") for key in files.list(f"{RECORDS}/")}
    highest: dict[int, tuple[int, str]] = {}
    for key in files.list(f"{CLAIMS}/blocks/"):
        block, _, rest = key.rsplit("/", 1)[-1].partition(".")
        number = rest.partition(".")[0]
        if block.isdecimal() and number.isdecimal() and block not in done and len(highest) < MOST:
            highest[int(block)] = max(highest.get(int(block), (-1, "")), (int(number), key))
    found: dict[str, list[int]] = {}
    for taken, (_, held) in sorted(highest.items()):
        with suppress(ScalesrError, UnicodeDecodeError):
            found.setdefault((files.get(held, at_most=SMALL) or b"").decode("ascii"), []).append(taken)
    return found


def written(place: Location) -> dict[str, float]:
    """Return when each file below a place was written, in seconds since 1970; empty where the store cannot say."""
    found: dict[str, float] = {}
    # A store that cannot say it is no reason to say nothing at all.
    with suppress(ScalesrError, OSError, ImportError, NotImplementedError):
        filesystem, path = place.filesystem()
        for name, facts in filesystem.find(path, detail=True).items():
            when = next(
                (facts[key] for key in ("mtime", "LastModified", "last_modified", "updated") if key in facts), None
            )
            seconds = when.timestamp() if isinstance(when, datetime) else when
            if name.endswith(".json") and isinstance(seconds, int | float):
                found[name.removeprefix(path).lstrip("/")] = float(seconds)
    return found


def holder_lines(holders: Collection[Holder]) -> Lines:
    """Return who is at work, and who is silent, for people."""
    from scalesr.images.showing import counted, few  # noqa: PLC0415 zarr takes most of a second

    lines = []
    for label, some, words in (
        ("at work", [one for one in holders if not one.silent], ""),
        ("silent", [one for one in holders if one.silent], "; others take over what they hold"),
    ):
        if some:
            blocks = counted(sum(len(one.blocks) for one in some), "block")
            held = f"{len(some):,} processes, {blocks}: " if some[1:] else ""
            lines.append((label, f"{held}{few(one.words for one in some)}{words}"))
    return lines
