"""``scalesr status``: how far a run is, what failed, and what to do next. Torch is not loaded: it is asked often."""

from __future__ import annotations

import json as json_format
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import mean
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.failing import reporting
from scalesr.cli.info import LEDGER, RECORDS, history
from scalesr.cli.options import told
from scalesr.cli.output import print_heading, print_json, print_lines
from scalesr.cli.sharing import find_holders, holder_lines, written
from scalesr.errors import LedgerError

if TYPE_CHECKING:
    from scalesr.cli.output import Lines
    from scalesr.cli.sharing import Holder
    from scalesr.images import Files, Plate

EXAMPLES = """
[bold]Examples[/bold]

  [cyan]scalesr status cells-x4.ome.zarr[/cyan]
  [cyan]watch -n 10 scalesr status s3://lab/cells-x4.ome.zarr[/cyan]

Only the ledger is read, so a run that is at work is not disturbed.
"""
FAILURES = "failures"
"""Where the ledger notes blocks that failed; the engine has the name too."""
RECENT = 200
"""Records that the rate is taken of, the latest."""
SAMPLE = 50
"""Records that are read to say what a block takes."""
LARGEST = 2**28
_IDLE = 30.0
"""Seconds without a record after which a run of short blocks is not taken to be at work."""
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a run is."""

    target: str
    state: str
    """``done`` or ``unfinished``."""
    blocks: int
    done: int
    failed: tuple[dict[str, Any], ...]
    """What the ledger notes of blocks that failed and are not done."""
    last: datetime | None
    """When the last record was written, if the store can say."""
    rate: float | None
    """Blocks in a second, of the latest records; None where they do not say."""
    stages: dict[str, float]
    """Seconds of a block in each stage, of some records."""
    holders: tuple[Holder, ...] = ()
    """Processes that share the run."""

    @property
    def idle(self) -> float | None:
        """Seconds since the last record."""
        return None if self.last is None else max(0.0, (datetime.now(UTC) - self.last).total_seconds())

    @property
    def left(self) -> float | None:
        """Seconds that the rest will take at this rate, if somebody is at work."""
        if self.idle is None or not self.rate or self.state == "done" or self.idle > max(_IDLE, 20 / self.rate):
            return None
        return (self.blocks - self.done - self.given_up) / self.rate

    @property
    def given_up(self) -> int:
        """Blocks that were left out."""
        return sum(note["state"] == "given up" for note in self.failed)

    @property
    def advice(self) -> str:
        """What to do next."""
        if self.state == "done" and self.done < self.blocks:
            return f"records are missing: scalesr repair {self.target}"
        if self.state == "done":
            return f"nothing; scalesr verify {self.target} reads it again"
        if self.given_up:
            when = "when the run has ended, " if self.left is not None else ""
            return f"{when}mend what the errors say, then run the same command with --resume: it tries these again"
        if self.holders:
            silent = all(one.silent for one in self.holders)
            return "run the same command again: it takes over what they hold" if silent else "wait; others may join"
        again = "run the same command again with --resume"
        return again if self.left is None else f"wait, if the run is still at work; otherwise {again}"

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        return {
            **vars(self),
            "holders": [one.to_json() for one in self.holders],
            "last": None if self.last is None else self.last.isoformat(timespec="seconds"),
            "seconds_since": self.idle,
            "seconds_left": self.left,
            "next": self.advice,
        }


def status(
    target: Annotated[str, typer.Argument(metavar="OUT", help="The output of a run, finished or not.")],
    *,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Show how far a run is: blocks done, failed and left, how fast, since when, and what to do next.

    Of a plate: its fields, and the blocks of those that are begun.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        from scalesr.cli.verify import holds_plate  # noqa: PLC0415 zarr takes most of a second
        from scalesr.images import open_plate  # noqa: PLC0415

        if holds_plate(target):
            _tell_plate(open_plate(target), json=json)
            return
        found = find_status(target)
        if json:
            print_json(found.to_json())
            return
        print_heading(found.target)
        print_lines(_lines(found))
        _tell_failed(found.failed)


def find_status(target: str) -> Status:
    """Return how far a run is.

    Raises
    ------
    LedgerError
        There is no ledger.
    """
    from scalesr.images import Files, Location  # noqa: PLC0415

    location = Location.parse(target)
    made = history(location.url)
    if made is None:
        raise LedgerError(
            f"{location} holds no ledger: it is not the output of a run.", remedy="Name the output of `scalesr run`."
        )
    files = Files((location / LEDGER).url)
    place = location / LEDGER
    times = {f"{RECORDS}/{key}": seconds for key, seconds in written(place / RECORDS).items()}
    recent = sorted(times.values())[-RECENT:]
    span = recent[-1] - recent[0] if recent else 0.0
    return Status(
        target=location.url,
        state=_state(location.url),
        blocks=made["blocks"],
        done=made["blocks_done"],
        failed=_failures(files),
        last=datetime.fromtimestamp(recent[-1], UTC) if recent else None,
        rate=(len(recent) - 1) / span if span > 0 else None,
        stages=_stages(files, list(times)),
        holders=find_holders(files, place),
    )


def _state(url: str) -> str:
    from scalesr.images import OWN, Files  # noqa: PLC0415

    try:
        own = json_format.loads(Files(url).get("zarr.json", at_most=LARGEST) or b"")["attributes"][OWN]
        return "done" if own["state"] == "done" else "unfinished"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "unfinished"


def _failures(files: Files) -> tuple[dict[str, Any], ...]:
    found = []
    for key in files.list(f"{FAILURES}/"):
        try:
            note = json_format.loads(files.get(key, at_most=LARGEST) or b"")
            found.append(
                {
                    "block": int(note["block"]),
                    "state": str(note["state"]),
                    "workers_lost": int(note["workers lost"]),
                    "tries": len(note["tries"]),
                    "error": str(note["tries"][-1]["error"]),
                    "where": str(note["tries"][-1]["where"]),
                }
            )
        except (ValueError, KeyError, TypeError, IndexError, RecursionError):
            continue
    return tuple(sorted(found, key=lambda note: note["block"]))


def _stages(files: Files, keys: list[str]) -> dict[str, float]:
    """Return the mean seconds of a block in each stage, of records spread over all."""
    step = max(1, len(keys) // SAMPLE)
    times: dict[str, list[float]] = {}
    for key in keys[::step][:SAMPLE]:
        with suppress(ValueError, KeyError, TypeError, AttributeError, RecursionError):
            for stage, seconds in json_format.loads(files.get(key, at_most=LARGEST) or b"")["seconds"].items():
                times.setdefault(str(stage), []).append(float(seconds))
    return {stage: mean(some) for stage, some in times.items()}


def _lines(found: Status) -> Lines:
    share = 100 * found.done / found.blocks
    words = f"{found.done:,} of {found.blocks:,} done, {share:.0f} %"
    words += f"; {found.given_up:,} failed" if found.given_up else ""
    lines = [("state", found.state), ("blocks", words)]
    if found.stages:
        each = ", ".join(f"{stage} {seconds:.2g} s" for stage, seconds in found.stages.items() if seconds >= 0.001)
        lines.append(("a block", f"{sum(found.stages.values()):.2g} s of work: {each}"))
    if found.rate is not None and found.state != "done":
        lines.append(("rate", f"{60 * found.rate:,.3g} blocks a minute, all workers together"))
    if found.last is not None and found.idle is not None:
        lines.append(("last block", f"{human_seconds(found.idle)} ago"))
    if found.left is not None:
        lines.append(("left", f"about {human_seconds(found.left)}"))
    return [*lines, *holder_lines(found.holders), ("next", found.advice)]


def human_seconds(seconds: float) -> str:
    """Return a length of time with two figures that matter."""
    for unit, size in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def _tell_failed(failed: tuple[dict[str, Any], ...]) -> None:
    if not failed:
        return
    print_heading("Blocks that failed")
    rows = [(str(note["block"]), _failure(note)) for note in failed[:_SHOWN]]
    if len(failed) > _SHOWN:
        rows.append(("...", f"and {len(failed) - _SHOWN:,} more; --json names all"))
    print_lines(rows)


def _failure(note: dict[str, Any]) -> str:
    tries = f"{note['tries']} tries" if note["tries"] != 1 else "1 try"
    return f"{note['state']} after {tries}: {note['error']}" + (f" ({note['where']})" if note["where"] else "")


def _tell_plate(plate: Plate, *, json: bool) -> None:
    from scalesr.images import field_states  # noqa: PLC0415

    states = field_states(plate)
    begun = {}
    for path, state in states.items():
        if state == "begun":
            with suppress(LedgerError):
                begun[path] = find_status(plate.location(path).url)
    whole = sum(state == "whole" for state in states.values())
    if json:
        print_json(
            {
                "target": plate.url,
                "fields": len(states),
                "fields_done": whole,
                "begun": {path: one.to_json() for path, one in begun.items()},
                "unusable": dict(plate.left_out),
                "absent": [path for path, state in states.items() if state == "absent"],
            }
        )
        return
    print_heading(plate.url)
    lines = [("fields", f"{whole:,} of {len(states):,} done, {100 * whole / len(states):.0f} %")]
    for path, one in list(begun.items())[:_SHOWN]:
        lines.append((path, f"{one.done:,} of {one.blocks:,} blocks done"))
    lines += [(well, reason) for well, reason in list(plate.left_out.items())[:_SHOWN]]
    done = whole == len(states) and not plate.left_out
    advice = f"nothing; scalesr verify {plate.url} reads it again" if done else "run the same command with --resume"
    print_lines([*lines, ("next", advice)])
    for one in begun.values():
        _tell_failed(one.failed)
