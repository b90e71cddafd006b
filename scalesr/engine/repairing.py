"""`scalesr.repair`: what a verification found wrong is made again, by the run that the manifest describes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.asked import Trust, asked
from scalesr.engine.claiming import ensure_alone
from scalesr.engine.events import BlockDone
from scalesr.engine.executors import LOCAL, open_executor
from scalesr.engine.ledger import LARGEST, record_key
from scalesr.engine.running import Result, run_image
from scalesr.engine.settling import settle
from scalesr.engine.verifying import Verification, subject, verify
from scalesr.errors import LedgerError, StorageError
from scalesr.images import OWN, Files, Location, create_image, open_image
from scalesr.images.stores import StoreError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from scalesr.engine.events import Callback, Event
    from scalesr.engine.executors import Cluster, Executor
    from scalesr.engine.options import Options
    from scalesr.engine.preparing import Prepared
    from scalesr.engine.rereading import Fault, Kept
    from scalesr.images import ImageWriter

SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What was wrong with an output, and what was made again."""

    before: Verification
    """What was found."""
    result: Result | None
    """What the run did that mended it; ``None`` where nothing was wrong."""

    @property
    def blocks(self) -> int:
        """Blocks that were computed again."""
        return 0 if self.result is None else self.result.blocks


def repair(
    target: str | os.PathLike[str],
    *,
    source: str | os.PathLike[str] | None = None,
    model: str | None = None,
    trust: Trust = "safe",
    scheduler: str | Cluster = "threads",
    workers: int | None = None,
    memory: int | None = None,
    callbacks: Sequence[Callback] = (),
    storage_options: Mapping[str, Any] | None = None,
    target_options: Mapping[str, Any] | None = None,
) -> Repair:
    """Verify an output and make again what is not as the run left it: those blocks, and the levels that need them.

    The options are those of the manifest; input and model are looked for where it names them, and must be the same by
    their fingerprints. Afterwards the output is the same bytes as if nothing had happened; blocks that come out
    otherwise than they were recorded are told as an error. A run that did not finish is finished too. It may be killed
    and repeated: nothing that was whole is lost.

    Parameters
    ----------
    target
        The output of a run: a path or an fsspec URL.
    source, model
        Where the input and the model lie now, if not where they were.
    trust
        ``pickle``: what the manifest names may run code, being weights that are a pickle, or a function of a package.
    scheduler, workers, memory
        As in `scalesr.run`.
    callbacks
        Called with each event, in this process.
    storage_options, target_options
        Handed to fsspec for input and output.

    Raises
    ------
    LedgerError
        There is no ledger, it does not say how the run was made, input or model are others, or blocks came out
        otherwise than they were.
    ScalesrError
        As in `scalesr.run`.
    """
    location = Location.parse(target, target_options)
    ledger, manifest, kept = subject(location)
    options = replace(
        asked(manifest, kept[0].plan, model=model, trust=trust), scheduler=scheduler, workers=workers, memory=memory
    )
    image = open_image(source or str(manifest.provenance.get("source")), storage_options=storage_options)

    def tell(event: Event) -> None:
        for callback in callbacks:
            callback(event)

    # Everything that can be refused is refused before anything is touched.
    ensure_alone(location, tell=tell)
    settled = settle(image, location.url, options, target_options=location.options, tell=tell)
    job = settled.job
    with _shared(options, settled.prepared) as executor:
        how: dict[str, Any] = {"workers": workers, "callbacks": callbacks, "shared": executor}
        check = partial(verify, location.url, scheduler=scheduler, storage_options=location.options, **how)
        found = check()
        if found.counts.get("metadata"):
            _mend_metadata(found, kept, (job.output,) if job.deviation is None else (job.output, job.deviation))
            # Only now can be seen what lies below.
            found = _both(found, check())
        if found.whole:
            return Repair(before=found, result=None)
        _remove_superfluous(found, kept)
        comparison = _Comparison(ledger, found, tell)
        result = run_image(
            image, location.url, options, target_options=location.options, tell=comparison, shared=executor
        )
    comparison.conclude(location)
    return Repair(before=found, result=result)


@contextmanager
def _shared(options: Options, prepared: Prepared) -> Iterator[Executor | None]:
    """Give the cluster that verifies and then computes, opened once; on this machine each opens its own."""
    if options.scheduler in LOCAL:
        yield None
        return
    executor = open_executor(options.scheduler, slots=prepared.workers.slots, device=prepared.device)
    how: Literal["finished", "stopped"] = "stopped"
    try:
        yield executor
        how = "finished"
    finally:
        executor.close(how=how)


class _Comparison:
    """Drops the records of blocks that are to be made again, and compares what they said with what is made.

    Parameters
    ----------
    ledger, found
        The records, and what a verification found.
    tell
        Called with each event after this has seen it.
    """

    def __init__(self, ledger: Files, found: Verification, tell: Callback) -> None:
        self._tell = tell
        self._expected = {block: _checksums(ledger, block) for block in range(found.blocks) if found.bad[block]}
        for block in self._expected:
            ledger.delete(record_key(block))
        self._others: list[int] = []

    def __call__(self, event: Event) -> None:
        """Compare a block that is done."""
        if isinstance(event, BlockDone):
            report = event.report
            wanted = self._expected.get(report.block)
            if wanted is not None and wanted != [*report.checksums, *report.deviations]:
                self._others.append(report.block)
        self._tell(event)

    def conclude(self, location: Location) -> None:
        """Say which blocks came out otherwise, if any.

        Raises
        ------
        LedgerError
            There are some.
        """
        if self._others:
            named = ", ".join(map(str, sorted(self._others)[:SHOWN])) + (", ..." if len(self._others) > SHOWN else "")
            raise LedgerError(
                f"{len(self._others):,} blocks of {location} came out otherwise than they were recorded ({named}): the "
                "pixels of the input are not those that the run read.",
                remedy="Start again with --overwrite; no repair can tell which of the other blocks are old.",
            )


def _remove_superfluous(found: Verification, kept: tuple[Kept, ...]) -> None:
    for fault in found.faults:
        if fault.kind == "superfluous":
            for key in fault.keys:
                _place(kept, fault).delete(key)


def _mend_metadata(found: Verification, kept: tuple[Kept, ...], writers: tuple[ImageWriter, ...]) -> None:
    """Write again what says how the images are stored; until the end of the run they do not count as images."""
    for fault in found.faults:
        if fault.kind != "metadata":
            continue
        files = _place(kept, fault)
        if fault.level is None:
            state = {"zarr_format": 3, "node_type": "group", "attributes": {OWN: {"state": "running"}}}
            files.put("zarr.json", json.dumps(state).encode())
        else:
            files.delete(f"{fault.level}/zarr.json")
    for writer in writers:
        create_image(writer.url, writer.layout, mode="resume", storage_options=writer.storage_options)


def _place(kept: tuple[Kept, ...], fault: Fault) -> Files:
    return next(one.files for one in kept if one.name == fault.image)


def _both(first: Verification, second: Verification) -> Verification:
    """Return what two verifications found, the second after the metadata were mended."""
    metadata = tuple(fault for fault in first.faults if fault.kind == "metadata")
    counts = {**second.counts, "metadata": first.counts["metadata"]}
    return replace(second, counts=counts, faults=metadata + second.faults)


def _checksums(ledger: Files, block: int) -> list[str] | None:
    """Return what was recorded of a block; ``None`` where its record is damaged or gone."""
    try:
        values = json.loads(ledger.get(record_key(block), at_most=LARGEST) or b"")
        return [*values["checksums"], *values["deviations"]]
    except StoreError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError, StorageError):
        return None
