"""A run of a plate: each field through the engine, by one executor and one model, and none lost or done twice."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from scalesr.engine.allocator import give_back_memory
from scalesr.engine.events import RunFinished, StageAdvanced, StageStarted, Trouble
from scalesr.engine.executors import open_executor
from scalesr.engine.executors.shared import SharedExecutor
from scalesr.engine.job import ledger_files
from scalesr.engine.ledger import check_manifest, read_manifest, start_ledger
from scalesr.engine.metering import Meter
from scalesr.engine.normalisation import Normalisation
from scalesr.engine.plates.crew import Crew
from scalesr.engine.plates.figures import plate_normalisation
from scalesr.engine.plates.outcome import FieldEnded, FieldOutcome, FieldTold, PlateResult
from scalesr.engine.plates.preparing import NormaliseBy, PreparedPlate, prepare_plate
from scalesr.engine.running import run_image
from scalesr.engine.targets import exists
from scalesr.errors import ClusterError, InterruptedRunError, OutputError
from scalesr.images import (
    Location,
    Plate,
    check_plate_place,
    clear_field,
    create_plate,
    field_states,
    mark_plate,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from scalesr.engine.events import Callback, Event
    from scalesr.engine.executors import Executor
    from scalesr.engine.ledger import Manifest
    from scalesr.engine.options import Options

STAGE = "fields"
MISSING = "Copy the plate again, or take the well out of plate/wells."
"""What to do about a well that is listed and not there."""


def run_plate(
    plate: Plate,
    target: str | os.PathLike[str],
    options: Options,
    *,
    fields: Sequence[str],
    normalise_by: NormaliseBy,
    target_options: Mapping[str, Any] | None,
    tell: Callback,
) -> PlateResult:
    """Run the fields of a plate into a plate of the same wells and fields; see `scalesr.run`.

    All metadata of the new plate is there before the first field is begun. A field counts as done when it is
    published, and is never touched again; one that was begun goes on by its own ledger. What is wrong with a single
    field is told in the result; what is wrong with the output, the model or the options ends the run.
    """
    began, meter = perf_counter(), Meter()
    location = Location.parse(target, target_options)
    check_plate_target(plate, location, options)
    ready = prepare_plate(plate, options, fields=fields, tell=tell)
    stored = _stored(location, options)
    normalisation, left_out = _normalisation(ready, stored, normalise_by=normalise_by, tell=tell)
    manifest = ready.manifest(normalisation, left_out, normalise_by=normalise_by)
    if stored is not None:
        check_manifest(stored, manifest)
    # A scheduler that does not answer must not leave a plate behind that was only begun.
    executor = open_executor(
        options.scheduler,
        slots=ready.prepared.workers.slots,
        device=ready.prepared.device,
        threads=ready.prepared.threads,
    )
    how: Literal["finished", "stopped"] = "stopped"
    crew: Crew | None = None
    found: dict[str, FieldOutcome] = {}
    try:
        meter.watch(executor)
        made = create_plate(
            location.url, plate.layout.of_fields(ready.fields), mode=options.mode, storage_options=location.options
        )
        if stored is None:
            start_ledger(ledger_files(made.url, made.storage_options), manifest)
        states = field_states(made) if stored is not None else {}
        found = {p: FieldOutcome(field=p, state="there") for p in ready.fields if states.get(p) == "whole"}
        todo = [path for path in ready.fields if path not in found]
        if todo:
            made = mark_plate(made, state="running")
        crew = Crew(
            fields=todo,
            do=_Field(ready, made, executor, normalisation).run,
            side_by_side=min(ready.beside(executor.slots), max(len(todo), 1)),
            tell=tell,
        )
        tell(StageStarted(name=STAGE, total=len(todo)))
        for ended, outcome in enumerate(crew.outcomes(), start=1):
            found[outcome.field] = outcome
            # Figures lie in the field's ledger; a log of thousands of fields need not repeat them.
            tell(FieldEnded(outcome=replace(outcome, measurement=None), ended=ended, total=len(todo)))
            tell(StageAdvanced(name=STAGE))
        failed = any(outcome.state == "failed" for outcome in found.values())
        others = set(made.fields) - set(found)
        if not failed and (not others or set(field_states(made).values()) == {"whole"}):
            made = mark_plate(made, state="done")
        meter.note(executor)
        how = "finished"
    except (KeyboardInterrupt, InterruptedRunError):
        done = sum(outcome.state != "failed" for outcome in found.values())
        raise InterruptedRunError(
            f"Stopped with {done:,} of {len(ready.fields):,} fields done; nothing is lost.",
            remedy="Run the same command with --resume to go on.",
        ) from None
    finally:
        if crew is not None:
            crew.stop(how=how)
        executor.close(how=how)
        if crew is not None:
            crew.join()
        give_back_memory()
    outcomes = [found[path] for path in ready.fields]
    outcomes += [
        FieldOutcome(field=well, state="failed", error=reason, remedy=MISSING) for well, reason in ready.missing.items()
    ]
    seconds = perf_counter() - began
    tell(
        RunFinished(
            seconds=seconds,
            blocks=sum(outcome.blocks for outcome in outcomes),
            bad_chunks=sum(len(outcome.bad_chunks) for outcome in outcomes),
            traffic=meter.total(),
        )
    )
    return PlateResult(
        plate=made,
        outcomes=tuple(outcomes),
        normalisation=normalisation,
        left_out=left_out,
        seconds=seconds,
        traffic=meter.total(),
    )


def check_plate_target(plate: Plate, location: Location, options: Options) -> None:
    """Refuse an output that `run_plate` would refuse before it reads the plate; nothing is written.

    Raises
    ------
    OutputError
        It is the input, exists and the mode does not allow that, or cannot be written to.
    """
    if location.url == Location.parse(plate.url).url:
        raise OutputError("Input and output are the same plate.", remedy="Choose another output.")
    exists(location)
    check_plate_place(location.url, mode=options.mode, storage_options=location.options)


def _stored(location: Location, options: Options) -> Manifest | None:
    """Return the manifest of the run that is to be resumed; None where none is, or none came so far."""
    if options.mode != "resume":
        return None
    return read_manifest(ledger_files(location.url, location.options))


def _normalisation(
    ready: PreparedPlate, stored: Manifest | None, *, normalise_by: NormaliseBy, tell: Callback
) -> tuple[Normalisation | None, dict[str, str]]:
    if normalise_by == "field":
        return None, {}
    if stored is None:
        return plate_normalisation(ready.plate, ready.prepared, ready.options, ready.kind, tell=tell)
    kept = stored.identity.get("normalisation")
    left = stored.provenance.get("left out of the normalisation", {})
    return None if kept is None else Normalisation.from_json(kept), left


class _Field:
    """Runs single fields of a plate that was prepared."""

    def __init__(
        self, ready: PreparedPlate, made: Plate, executor: Executor, normalisation: Normalisation | None
    ) -> None:
        self._ready = ready
        self._made = made
        self._executor = executor
        self._normalisation = normalisation

    def run(self, path: str, tell: Callback) -> FieldOutcome:
        """Run one field, and return what came of it.

        Raises
        ------
        OutputError
            The output cannot be written to, which no other field could either.
        ClusterError
            Nobody is there any more to run tasks.
        InterruptedRunError
            The run was stopped.
        """

        def told(event: Event) -> None:
            # How far a field is does not interest beside thousands of others; what goes wrong in it does.
            if isinstance(event, Trouble):
                tell(FieldTold(field=path, what=type(event).__name__, event=event))

        try:
            image = self._ready.plate.open_field(path)
            self._ready.kind.check(path, image)
            clear_field(self._made, path)
            result = run_image(
                image,
                self._made.location(path).url,
                self._ready.for_field(path),
                target_options=self._made.storage_options,
                tell=told,
                shared=SharedExecutor(self._executor, path),
                normalisation=self._normalisation,
            )
        except (OutputError, ClusterError, InterruptedRunError):
            raise
        except Exception as error:  # noqa: BLE001 whatever it is, the other fields can do without this one
            return FieldOutcome.of_error(path, error)
        return FieldOutcome.of_result(path, result)
