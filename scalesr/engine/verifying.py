"""`scalesr.verify`: every shard of an output read again, and compared with the checksums of its ledger."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from math import prod
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

import psutil

from scalesr.engine.allocator import give_back_memory
from scalesr.engine.deviation import NAME
from scalesr.engine.events import StageAdvanced, StageStarted
from scalesr.engine.executors import open_executor
from scalesr.engine.flights import results
from scalesr.engine.job import ledger_files
from scalesr.engine.ledger import kept_plan, read_manifest, recorded
from scalesr.engine.masks import NAME as MASK
from scalesr.engine.rereading import Fault, FaultKind, Kept, check_block, check_last, check_metadata, root_state
from scalesr.engine.superfluous import superfluous
from scalesr.errors import InputError, InterruptedRunError, LedgerError, PlanError
from scalesr.images import Files, Location, open_image
from scalesr.images.pyramid import shard_regions
from scalesr.tiling import human_bytes

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from scalesr.engine.events import Callback, Event
    from scalesr.engine.executors import Cluster, Executor
    from scalesr.engine.ledger import Manifest
    from scalesr.tiling import Plan

STAGE, LAST = "verifying blocks", "verifying the smallest levels"
MOST = 1000
"""Faults that are named; the others are counted, and their blocks remembered."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What a verification found."""

    target: str
    """The output."""
    state: Literal["done", "unfinished"]
    """Whether the run says that it ended."""
    blocks: int
    """Blocks of the image."""
    checked: int
    """Blocks that were read again: those that are recorded as done."""
    last: int
    """Shards of levels made at the end that were made again and compared."""
    counts: Mapping[FaultKind, int]
    """How many faults there are of each kind."""
    faults: tuple[Fault, ...]
    """The first of them."""
    unchecked: tuple[str, ...]
    """What nothing is recorded of, in words."""
    seconds: float
    """Wall time."""
    bad: bytes = field(repr=False)
    """One byte for each block, 1 where what it wrote is not as it left it."""

    @property
    def whole(self) -> bool:
        """Whether the output is finished, and all that can be checked of it is as the run left it."""
        return self.state == "done" and not self.counts

    def to_json(self) -> dict[str, Any]:
        """Return what JSON can hold of it."""
        facts = {name: value for name, value in vars(self).items() if name not in ("bad", "faults", "counts")}
        return facts | {
            "whole": self.whole,
            "bad_blocks": sum(self.bad),
            "counts": dict(self.counts),
            "faults": [vars(fault) for fault in self.faults],
        }


def verify(
    target: str | os.PathLike[str],
    *,
    scheduler: str | Cluster = "threads",
    workers: int | None = None,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
    shared: Executor | None = None,
) -> Verification:
    """Read every shard of an output again and compare it with what the run recorded. Nothing is written.

    The voxels that each block wrote, on each level and of the image of standard deviations, must have the CRC-32C of
    its record. Levels that are made at the end have none: they are made again from the level below, and compared; a
    difference says that one of both was changed. Of an unfinished output what is recorded as done is checked. Memory
    is that of a block for each worker, whatever the size.

    Parameters
    ----------
    target
        The output of a run: a path or an fsspec URL.
    scheduler, workers
        As in `scalesr.run`.
    callbacks
        Called with each event, in this process.
    storage_options
        Handed to fsspec.
    shared
        Who runs the tasks, and of other images beside them; opened for this one alone when not given.

    Raises
    ------
    LedgerError
        There is no ledger to compare with, or its manifest is damaged.
    PlanError
        The blocks do not fit into memory, or there is no such scheduler.
    StorageError
        The store does not answer.
    """

    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    began = perf_counter()
    location = Location.parse(target, storage_options)
    ledger, _, kept = subject(location)
    plan = kept[0].plan
    slots = 1 if scheduler == "serial" else workers or psutil.cpu_count() or 1
    _check_memory(kept, slots=slots)
    executor = shared or open_executor(scheduler, slots=slots, device="cpu")
    how: Literal["finished", "stopped"] = "stopped"
    try:
        found = _Findings(plan.blocks)
        state = _state(kept, found)
        walk = _Walk(plan, kept, ledger, executor, found, tell=tell)
        checked = walk.blocks(state)
        last = walk.last() if state == "done" else 0
        for one in kept:
            for fault in superfluous(one):
                found.add(fault)
        how = "finished"
    except KeyboardInterrupt:
        raise InterruptedRunError("Stopped; nothing was found out.", remedy="Run the same command again.") from None
    finally:
        if shared is None:
            executor.close(how=how)
            give_back_memory()
    return Verification(
        target=location.url,
        state=state,
        blocks=plan.blocks,
        checked=checked,
        last=last,
        counts=dict(found.counts),
        faults=tuple(found.faults),
        unchecked=_unchecked(location, plan, state),
        seconds=perf_counter() - began,
        bad=bytes(found.bad),
    )


def _check_memory(kept: tuple[Kept, ...], *, slots: int) -> None:
    """Refuse blocks that do not fit into memory, as a manifest that was made up may claim them."""
    largest = 0
    for one in kept:
        lattice = one.plan.lattice
        first = lattice.owned((0,) * len(lattice.axes))
        largest = max(largest, prod(part.stop - part.start for part in first) * one.image.dtype.itemsize)
    # Decoded as a whole, and once more where a part of it must be read apart.
    needed, allowed = 2 * slots * largest, int(0.9 * psutil.virtual_memory().available)
    if needed > allowed:
        raise PlanError(
            f"Verifying needs about {human_bytes(needed)} with {slots} workers; {human_bytes(allowed)} are free.",
            remedy="Lower --workers.",
        )


class _Findings:
    """Adds faults up: the first are kept, all are counted."""

    def __init__(self, blocks: int) -> None:
        self.counts: Counter[FaultKind] = Counter()
        self.faults: list[Fault] = []
        self.bad = bytearray(blocks)

    def add(self, fault: Fault) -> None:
        self.counts[fault.kind] += 1
        if fault.block is not None:
            self.bad[fault.block] = 1
        if len(self.faults) < MOST:
            self.faults.append(fault)


class _Walk:
    """Goes over an output."""

    def __init__(
        self,
        plan: Plan,
        kept: tuple[Kept, ...],
        ledger: Files,
        executor: Executor,
        found: _Findings,
        *,
        tell: Callback,
    ) -> None:
        self._plan = plan
        self._kept = kept
        self._ledger = ledger
        self._executor = executor
        self._found = found
        self._tell = tell
        damaged = [fault for one in kept for n in range(len(plan.levels)) if (fault := check_metadata(one, n))]
        for fault in damaged:
            found.add(fault)
        self._skipped = frozenset((fault.image, fault.level or 0) for fault in damaged)

    def blocks(self, state: Literal["done", "unfinished"]) -> int:
        """Check all blocks that are recorded, and return how many these are."""
        done = recorded(self._ledger, self._plan.blocks)
        checked = sum(done)
        self._tell(StageStarted(name=STAGE, total=checked))
        tasks = (
            partial(self._executor.submit, check_block, self._kept, block, self._skipped, name=f"verify-{block}")
            for block in range(self._plan.blocks)
            if done[block]
        )
        for faults in results(self._executor, tasks, size=self._executor.slots + 2, tell=self._tell):
            for fault in faults:
                self._found.add(fault)
            self._tell(StageAdvanced(name=STAGE))
        for block in range(self._plan.blocks) if state == "done" else ():
            if not done[block]:
                self._found.add(Fault(kind="unrecorded", block=block, words="it has no record"))
        return checked

    def last(self) -> int:
        """Check all shards of the levels that were made at the end, and return how many these are."""
        work = list(self._last())
        if not work:
            return 0
        self._tell(StageStarted(name=LAST, total=len(work)))
        tasks = (
            partial(self._executor.submit, check_last, *one, name=f"verify-last-{number}")
            for number, one in enumerate(work)
        )
        for fault in results(self._executor, tasks, size=self._executor.slots + 2, tell=self._tell):
            if fault is not None:
                self._found.add(fault)
            self._tell(StageAdvanced(name=LAST))
        return len(work)

    def _last(self) -> Iterator[tuple[Kept, int, tuple[slice, ...]]]:
        for one in self._kept:
            for number, _ in one.last:
                if self._skipped.isdisjoint({(one.name, number), (one.name, number - 1)}):
                    for region in shard_regions(one.layout.levels[number]):
                        yield one, number, region


def subject(location: Location) -> tuple[Files, Manifest, tuple[Kept, ...]]:
    """Return the ledger of an output, its manifest, and the images of the run.

    Raises
    ------
    LedgerError
        There is no ledger, or its manifest is damaged.
    """
    ledger = ledger_files(location.url, location.options)
    manifest = read_manifest(ledger)
    if manifest is None:
        raise LedgerError(
            f"{location} holds no ledger: it is not the output of a run, or not all of it was copied.",
            remedy="Name the output of `scalesr run`, with its folder `scalesr`.",
        )
    plan = kept_plan(manifest)
    of = partial(Kept.of, plan=plan, ledger=ledger, measured=manifest.identity.get("measured") is not None)
    kept = [of(location.url, location.options, name="output")]
    place = manifest.identity.get("deviation")
    if plan.deviation == "kept" and isinstance(place, str):
        # A place of its own has the options that its address alone gives.
        beside = location / NAME if place == NAME else Location.parse(place)
        kept.append(of(beside.url, beside.options, name="deviation"))
    return ledger, manifest, tuple(kept)


def _state(kept: tuple[Kept, ...], found: _Findings) -> Literal["done", "unfinished"]:
    """Return whether the run says that it ended; what says so and is damaged is a fault."""
    states = {one.name: root_state(one) for one in kept}
    state: Literal["done", "unfinished"] = "unfinished" if states["output"] == "running" else "done"
    for one in kept:
        if states[one.name] == "damaged" or (states[one.name] == "running" and state == "done"):
            words = "it does not say that it is an image"
            found.add(Fault(kind="metadata", image=one.name, keys=("zarr.json",), words=words))
        elif state == "done":
            try:
                open_image(one.image.url, storage_options=one.image.storage_options)
            except InputError as error:
                found.add(Fault(kind="metadata", image=one.name, keys=("zarr.json",), words=error.problem))
    return state


def _unchecked(location: Location, plan: Plan, state: Literal["done", "unfinished"]) -> tuple[str, ...]:
    names = []
    if state == "unfinished" and any(level.made == "at end" for level in plan.levels):
        names.append("the smallest levels, which are made when all blocks are done")
    if Files(location.url, location.options).exists(f"{MASK}/zarr.json"):
        names.append(f"the image {MASK} beside the levels, of which no checksum is kept")
    return tuple(names)
