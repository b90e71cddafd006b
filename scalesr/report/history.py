"""What the ledger of an output says: how it was made, what each block took, what was measured on the way."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scalesr.engine.job import ledger_files
from scalesr.engine.ledger import damaged_record, kept_normalisation, kept_plan, read_manifest, read_records, recorded
from scalesr.engine.running import MEASUREMENT
from scalesr.errors import LedgerError
from scalesr.metrics import Measure
from scalesr.report.journal import read_journals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.engine.ledger import Manifest
    from scalesr.engine.normalisation import Normalisation
    from scalesr.images import Files
    from scalesr.report.journal import Journal
    from scalesr.tiling import Plan

MOST_RECORDS = 2000
"""Records of blocks that are read: all of most runs, evenly spaced ones of the largest."""
LARGEST = 2**26
"""Bytes of the measurement at most."""
COUNTS = ("clipped", "not_finite", "masked", "negative", "flat")
"""What records count, beside what they time."""


@dataclass(frozen=True, kw_only=True)
class Records:
    """What the records of blocks say."""

    read: int
    """Records that were read."""
    there: int
    """Records that there are."""
    seconds: Mapping[int, Mapping[str, float]]
    """For each block that was read, by its number, the seconds of each stage."""
    tiles: int
    """Tiles that these blocks computed."""
    counts: Mapping[str, int]
    """Sums of what is counted, see `COUNTS`."""
    again: Mapping[int, int]
    """Blocks that were tried more than once, and how often."""
    reduced: int
    """Blocks that were made in smaller batches, since the device ran out of memory."""
    bad_chunks: tuple[str, ...]
    """Chunks of the input that were filled."""

    @property
    def stages(self) -> dict[str, float]:
        """Seconds of all these blocks in each stage, in the order in which a block goes through them."""
        total: Counter[str] = Counter()
        for stages in self.seconds.values():
            total.update(stages)
        return dict(total)

    @property
    def whole(self) -> bool:
        """Whether all records were read."""
        return self.read == self.there


@dataclass(frozen=True, kw_only=True)
class History:
    """What the ledger of one image says."""

    manifest: Manifest
    """What decides the bytes, and what the run was made with."""
    plan: Plan
    """The plan of the run."""
    normalisation: Normalisation
    """How intensities were normalised."""
    records: Records
    """What its blocks took."""
    journals: tuple[Journal, ...]
    """What processes that worked at it noted, the first to begin first."""
    measures: tuple[Measure, ...]
    """What was measured of the whole image on the way; none where nothing was."""
    measured_notes: tuple[str, ...]
    """What a reader must know of these."""

    @property
    def options(self) -> Mapping[str, Any]:
        """The options that were asked for; none where an earlier version did not note them."""
        found = self.manifest.provenance.get("options")
        return found if isinstance(found, dict) else {}

    @property
    def level(self) -> int:
        """Level of the input that was processed."""
        found = self.manifest.identity.get("input level", 0)
        return found if type(found) is int and found >= 0 else 0


def read_history(url: str, storage_options: Mapping[str, Any]) -> History:
    """Return what the ledger of an image says.

    Raises
    ------
    LedgerError
        There is none, or it is damaged.
    """
    files = ledger_files(url, storage_options)
    manifest = read_manifest(files)
    if manifest is None:
        raise LedgerError(
            f"{url} holds no ledger: it is not the output of a run.", remedy="Name the output of `scalesr run`."
        )
    plan = kept_plan(manifest)
    measures, notes = _measures(files)
    return History(
        manifest=manifest,
        plan=plan,
        normalisation=kept_normalisation(manifest),
        records=_records(files, plan.blocks),
        journals=read_journals(files),
        measures=measures,
        measured_notes=notes,
    )


def _records(files: Files, blocks: int) -> Records:
    done = recorded(files, blocks)
    there = [number for number, one in enumerate(done) if one]
    step = -(-len(there) // MOST_RECORDS) or 1
    kept = bytearray(blocks)
    for number in there[::step]:
        kept[number] = 1
    seconds: dict[int, dict[str, float]] = {}
    again: dict[int, int] = {}
    counts: Counter[str] = Counter()
    bad: dict[str, None] = {}
    batches: list[int] = []
    tiles = 0
    for found in read_records(files, kept):
        try:
            number = int(found["block"])
            seconds[number] = {str(stage): float(took) for stage, took in found["seconds"].items()}
            counts.update({name: int(found.get(name, 0)) for name in COUNTS})
            tiles += int(found["tiles"])
            batches.append(int(found["batch"]))
            if int(found.get("attempts", 1)) > 1:
                again[number] = int(found["attempts"])
            bad.update(dict.fromkeys(map(str, found.get("bad_chunks", ()))))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise damaged_record(files, found["block"], error) from error
    return Records(
        read=len(seconds),
        there=len(there),
        seconds=seconds,
        tiles=tiles,
        counts=counts,
        again=again,
        reduced=sum(batch < max(batches) for batch in batches),
        bad_chunks=tuple(bad),
    )


def _measures(files: Files) -> tuple[tuple[Measure, ...], tuple[str, ...]]:
    """Return the figures that lie in the ledger, and the notes of the measurement."""
    stored = files.get(MEASUREMENT, at_most=LARGEST)
    if stored is None:
        return (), ()
    try:
        found = json.loads(stored)
        return tuple(_measure(facts) for facts in found["figures"]), tuple(map(str, found["notes"]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LedgerError(
            f"{files.url}/{MEASUREMENT} is damaged ({error}).",
            remedy="Remove it, and measure again with `scalesr measure`.",
        ) from error


def _measure(facts: dict[str, Any]) -> Measure:
    value = facts["value"]
    # An infinite figure is kept as a text, which JSON has no number for.
    number = None if value is None else float(str(value).replace("infinite", "inf"))
    texts = {name: str(facts[name]) for name in ("metric", "kind", "unit", "where", "note")}
    return Measure(
        **texts,
        value=number,
        n=int(facts["n"]),
        left_out={str(reason): int(count) for reason, count in facts["left_out"].items()},
        band=None if facts["band"] is None else str(facts["band"]),
    )
