"""The ledger: what a run is, and which of its blocks are done, kept inside the output.

A manifest says what decides the bytes; one small record says that a block is done, written after all its shards. A
missing chunk does not mean "not done", since chunks of zeros are not stored. What a block failed of that is not done is
noted beside the records.
"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib.metadata import version
from secrets import token_hex
from typing import TYPE_CHECKING, Any

import torch

from scalesr.engine.deviation import deviation_name
from scalesr.engine.normalisation import Normalisation
from scalesr.errors import LedgerError, StorageError
from scalesr.images import provenance
from scalesr.images.stores import StoreError
from scalesr.secrecy import without_secrets
from scalesr.tiling import Plan

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from scalesr.engine.events import BlockReport
    from scalesr.engine.job import Job
    from scalesr.engine.options import Normalise
    from scalesr.engine.tally import Tally
    from scalesr.images import Files

# Those who show images read it without the engine.
MANIFEST, LARGEST = provenance.MANIFEST, provenance.LARGEST
RECORDS = "blocks"
FAILURES = "failures"
BUILT_IN = "built in"
"""Where, in the identity of an image, the name of a built-in model stands."""
FORMAT = 1
"""Version of the ledger's layout."""


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What decides the bytes of a run's result, and what it was made with."""

    identity: dict[str, Any]
    """Must be equal for a run to be resumed: plan, model, input, normalisation, device class, torch."""
    provenance: dict[str, Any]
    """For the reader: names, URLs, versions of everything else, the command."""
    where: str = field(default="", compare=False)
    """The output that it was read from, for errors; it is not stored."""

    def to_bytes(self) -> bytes:
        """Return the manifest as it is stored."""
        facts = {"format": FORMAT, "identity": self.identity, "provenance": self.provenance}
        return json.dumps(facts, indent=1, sort_keys=True).encode()


def make_manifest(job: Job, *, normalise: Normalise, facts: Mapping[str, Any]) -> Manifest:
    """Return the manifest of a job on this machine.

    Parameters
    ----------
    job
        What its tasks are told.
    normalise
        The normalisation that was asked for.
    facts
        What else a reader shall know, in JSON values.
    """
    identity: dict[str, Any] = json.loads(
        json.dumps(
            {
                "plan": job.plan.to_json(),
                "model": job.model.sha256,
                "model options": job.model.options,
                "input": job.image.fingerprint(),
                "input level": job.level,
                "normalise": normalise,
                "normalisation": job.normalisation.to_json(),
                "on bad block": job.on_bad_block,
                "on nan": job.on_nan,
                "mask": None if job.mask is None else job.mask.sha256,
                **_built_in(job.model.source),
                **({"eigenimages": job.eigen.sha256} if job.eigen is not None else {}),
                "device class": device_class(job.device),
                "torch": torch.__version__,
                **({"deviation": deviation_name(job.output, job.deviation)} if job.deviation is not None else {}),
                **({"measured": job.ride.to_json()} if job.ride is not None else {}),
            },
            default=str,
        )
    )
    return Manifest(
        identity=identity,
        provenance={
            "source": without_secrets(job.source),
            "model": without_secrets(job.model.source),
            "python": platform.python_version(),
            "machine": platform.machine(),
            **facts,
            **versions(),
        },
    )


def _built_in(source: str) -> dict[str, str]:
    """Return the name of a model that has one: interpolations share one hash."""
    return {BUILT_IN: source.removeprefix("builtin:")} if source.startswith("builtin:") else {}


@cache
def versions() -> Mapping[str, str]:
    """Return the versions of the packages that a run goes through; looking them up takes as long as a small image."""
    return {name: version(name) for name in ("scalesr", "numpy", "zarr", "dask", "distributed")}


def device_class(device: str) -> str:
    """Return what hardware the bits may depend on: the instruction set of the CPU, or the GPU's model."""
    if device == "cpu":
        return f"cpu {torch.backends.cpu.get_cpu_capability()}"
    return torch.cuda.get_device_name(device)


def start_ledger(files: Files, manifest: Manifest) -> None:
    """Write the manifest of a new run.

    Raises
    ------
    LedgerError
        Somebody else has just begun a run there.
    """
    # What tells it from that of another process that was given the same command at the same moment.
    own = replace(manifest, provenance={**manifest.provenance, "begun": token_hex(8)})
    if not files.create(MANIFEST, own.to_bytes()):
        raise LedgerError(
            f"Somebody else has just begun a run at {_output(files)}.",
            remedy="Choose another place, or wait for it to end; to work at one output together, give --share to all.",
        )


def read_manifest(files: Files) -> Manifest | None:
    """Return the manifest in an output, or None where there is none.

    Raises
    ------
    LedgerError
        It is damaged, or of another format.
    """
    stored = _read(files, MANIFEST)
    if stored is None:
        return None
    try:
        values = json.loads(stored)
        if values["format"] != FORMAT:
            raise LedgerError(
                f"The ledger of {_output(files)} is of format {values['format']}; this version of scalesr reads format "
                f"{FORMAT}.",
                remedy="Resume with the version of scalesr that started the run, or use --overwrite.",
            )
        # Whatever is no mapping of texts fails here and not where it is used.
        return Manifest(identity={**values["identity"]}, provenance={**values["provenance"]}, where=_output(files))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _unreadable(_output(files), error) from error


def kept_plan(manifest: Manifest) -> Plan:
    """Return the plan of the run that a manifest describes.

    Raises
    ------
    LedgerError
        It is damaged.
    """
    try:
        return Plan.from_json(manifest.identity["plan"])
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
        raise _unreadable(manifest.where, error) from error


def kept_normalisation(manifest: Manifest) -> Normalisation:
    """Return the normalisation of the run that a manifest describes.

    Raises
    ------
    LedgerError
        It is damaged.
    """
    try:
        return Normalisation.from_json(manifest.identity["normalisation"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unreadable(manifest.where, error) from error


def check_manifest(stored: Manifest, wanted: Manifest) -> None:
    """Refuse to resume a run of something else.

    Raises
    ------
    LedgerError
        The manifests differ; the message says in what.
    """
    # Earlier versions told interpolations apart for the reader only.
    named = _built_in(str(stored.provenance.get("model"))) if BUILT_IN in wanted.identity else {}
    differences = list(_differences({**named, **stored.identity}, wanted.identity, ""))
    if differences:
        shown = "; ".join(differences[:6]) + (f"; and {len(differences) - 6} more" if len(differences) > 6 else "")
        raise LedgerError(
            f"{stored.where} holds a run of something else: {shown}.",
            remedy="Resume with the same input, model and options, or use --overwrite or another output.",
        )


def _differences(stored: Any, wanted: Any, path: str) -> Iterator[str]:
    if isinstance(stored, dict) and isinstance(wanted, dict):
        for key in sorted(stored.keys() | wanted.keys()):
            yield from _differences(stored.get(key), wanted.get(key), f"{path}.{key}" if path else key)
    elif isinstance(stored, list) and isinstance(wanted, list) and len(stored) == len(wanted):
        for place, (old, new) in enumerate(zip(stored, wanted, strict=True)):
            yield from _differences(old, new, f"{path}[{place}]")
    elif stored != wanted:
        yield f"{path} was {_short(stored)} and is now {_short(wanted)}"


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def record(files: Files, report: BlockReport) -> None:
    """Note that a block is done. Atomic; the last thing that happens to a block."""
    files.put(record_key(report.block), json.dumps(asdict(report), separators=(",", ":")).encode())


def record_key(block: int) -> str:
    """Return where a block's record lies."""
    return f"{RECORDS}/{block // 1000:06d}/{block}.json"


def failure_key(block: int) -> str:
    """Return where the failed tries of a block that is not done are noted."""
    return f"{FAILURES}/{block // 1000:06d}/{block}.json"


def read_records(files: Files, done: bytearray) -> Iterator[dict[str, Any]]:
    """Yield the record of each block that is done, as `recorded` found them.

    Raises
    ------
    LedgerError
        A record is damaged.
    """
    for block in (number for number, there in enumerate(done) if there):
        try:
            found = json.loads(_read(files, record_key(block)) or b"")
        except (ValueError, RecursionError) as error:
            raise damaged_record(files, block, error) from error
        if not isinstance(found, dict) or found.get("block") != block:
            raise damaged_record(files, block, ValueError("it is not that of this block"))
        yield found


def take_measured(tally: Tally, files: Files, done: bytearray) -> None:
    """Add what was measured of each block that is done, as its record says.

    Raises
    ------
    LedgerError
        A record is damaged.
    """
    for stored in read_records(files, done):
        try:
            tally.measured(stored["gathered"])
        except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, IndexError) as error:
            raise damaged_record(files, stored["block"], error) from error


def damaged_record(files: Files, block: int, error: Exception) -> LedgerError:
    """Return the error that says that the record of a block is damaged."""
    return LedgerError(
        f"The record of block {block} of {_output(files)} is damaged ({error}).",
        remedy="Start again with --overwrite.",
    )


def _unreadable(where: str, error: Exception) -> LedgerError:
    return LedgerError(f"The {MANIFEST} of {where} is damaged ({error}).", remedy="Start again with --overwrite.")


def _output(files: Files) -> str:
    """Return the output whose ledger this is, as it may be shown."""
    return without_secrets(files.url.rpartition("/")[0])


def _read(files: Files, key: str) -> bytes | None:
    try:
        return files.get(key, at_most=LARGEST)
    except StoreError:
        raise
    except StorageError as error:
        raise LedgerError(error.problem, remedy=error.remedy) from error


def recorded(files: Files, blocks: int) -> bytearray:
    """Return which blocks have a record: one byte for each block, 1 where it is done."""
    done = bytearray(blocks)
    for key in files.list(RECORDS):
        name = key.rsplit("/", 1)[-1].removesuffix(".json")
        number = file_number(name)
        if number is not None and number < blocks:
            done[number] = 1
    return done


def file_number(name: str) -> int | None:
    """Return the number of the block that a file is named after; None where it is none."""
    return int(name) if name.isascii() and name.isdigit() and len(name) < 20 else None
