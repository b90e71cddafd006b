"""Plates on the command line: which fields, what a run of them would do and did, what a plate says of itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import typer

from scalesr.cli.failing import FILLED
from scalesr.cli.outcome import filled
from scalesr.cli.output import note, print_heading, print_json, print_lines, screen
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalesr.engine import Callback, Options, PlateResult, PreparedPlate
    from scalesr.errors import PlanError
    from scalesr.images import Image, Plate
    from scalesr.report import Report

FAILED = 10
"""Exit code of a run that finished, but could not do all fields of a plate."""
_SHOWN = 5


def refuse_fields(text: str | None, url: str) -> None:
    """Refuse a choice of fields of what is no plate.

    Raises
    ------
    OptionError
        There is one.
    """
    if text is not None:
        raise OptionError(f"{url} is an image, and has no fields to choose from.", remedy="Leave out --fields.")


def run_fields(
    plate: Plate,
    target: str,
    options: Options,
    *,
    fields: tuple[str, ...],
    normalise_by: Literal["plate", "field"],
    callbacks: Sequence[Callback],
    target_options: Mapping[str, Any] | None,
    report: Report | None,
    told: Callable[[str], None],
) -> PlateResult:
    """Run a plate; `told` hears where its report is."""
    from scalesr.report import run  # noqa: PLC0415 torch takes seconds

    return run(
        plate,
        target,
        options=options,
        callbacks=callbacks,
        target_options=target_options,
        fields=fields,
        normalise_by=normalise_by,
        report=report,
        told=told,
    )


def tell_result(result: PlateResult, *, source: str, report: str | None, quiet: bool, json: bool) -> None:
    """Tell what came of a plate.

    Raises
    ------
    typer.Exit
        Fields failed, or chunks were filled.
    """
    code = FAILED if result.failed else FILLED if result.bad_chunks else 0
    if json:
        print_json(_result_document(result, source=source) | {"report": report, "exit_code": code})
    else:
        if not quiet:
            from scalesr.engine.telling import plate_lines  # noqa: PLC0415 torch takes seconds

            print_lines([*plate_lines(result), *([("report", report)] if report else [])])
            if result.measurement is not None:
                from scalesr.cli.figures import show as show_figures  # noqa: PLC0415 torch takes seconds

                show_figures(result.measurement, bands="folded", places="folded")
        if result.bad_chunks:
            note(filled(result.bad_chunks))
        _tell_failed(result)
    if code:
        raise typer.Exit(code)


def dry_run_fields(
    plate: Plate,
    target: str,
    options: Options,
    *,
    fields: tuple[str, ...],
    target_options: Mapping[str, Any] | None,
    quiet: bool,
    json: bool,
) -> None:
    """Check everything that a run of a plate checks before it begins, and show its plan."""
    from scalesr.engine import check_plate_target, prepare_plate  # noqa: PLC0415 torch takes seconds
    from scalesr.images import Location  # noqa: PLC0415

    ready = prepare_plate(plate, options, fields=fields)
    check_plate_target(plate, Location.parse(target, target_options), options)
    if json:
        print_json(plan_document(ready, None) | {"dry_run": True})
    elif not quiet:
        show_plan(ready)
        note("Dry run: nothing was written.")


def show_plan(ready: PreparedPlate, *, tflops: float | None = None) -> None:
    """Write what a run of a plate would do, for people."""
    from scalesr.cli.plan import show  # noqa: PLC0415 it uses this module
    from scalesr.engine.telling import plate_plan_lines  # noqa: PLC0415 torch takes seconds

    print_heading("Which fields")
    print_lines(plate_plan_lines(ready))
    print_heading(f"For each field, such as {ready.kind.field}")
    show(ready.prepared, tflops=tflops, options=ready.options)


def plan_document(ready: PreparedPlate, refusal: PlanError | None, *, tflops: float | None = None) -> dict[str, Any]:
    """Return what a run of a plate would do, as what JSON can hold."""
    from scalesr.cli.plan import document  # noqa: PLC0415 it uses this module

    return {
        "plate": ready.plate.url,
        "wells": len(ready.plate.wells),
        "fields": ready.fields,
        "missing": ready.missing,
        "side_by_side": ready.side_by_side,
        "blocks": ready.blocks,
        "field": {"path": ready.kind.field, **document(ready.prepared, refusal, tflops=tflops)},
    }


def show_plate(plate: Plate, *, json: bool) -> None:
    """Write what a plate and its first field say of themselves; of an output, how far it is."""
    from scalesr.errors import InputError  # noqa: PLC0415
    from scalesr.images import OWN, field_states  # noqa: PLC0415
    from scalesr.images.plate_facts import plate_facts  # noqa: PLC0415
    from scalesr.images.showing import counted  # noqa: PLC0415

    states = Counter[str](field_states(plate).values() if OWN in plate.metadata else ["whole"] * len(plate.fields))
    try:
        first = plate.open_field(plate.fields[0])
    except InputError:
        first = None
    if json:
        print_json(_plate_document(plate, states, first))
        return
    print_heading(plate.name)
    print_lines(plate_facts(plate))
    if first is not None:
        from scalesr.cli.info import image_lines  # noqa: PLC0415 it uses this module

        print_heading(f"The first field, {plate.fields[0]}")
        print_lines(image_lines(first)[2:])
    if OWN in plate.metadata:
        print_heading("Made by scalesr")
        print_lines([("done", f"{states['whole']:,} of {counted(len(plate.fields), 'field')}")])
        if states["whole"] < len(plate.fields):
            print_lines([("go on", "run the same command again with --resume")])


def _plate_document(plate: Plate, states: Counter[str], first: Image | None) -> dict[str, Any]:
    from scalesr.cli.info import document  # noqa: PLC0415 it uses this module

    return {
        "address": plate.url,
        "name": plate.name,
        "version": plate.version,
        "state": "done" if states["whole"] == len(plate.fields) else "unfinished",
        "rows": plate.layout.rows,
        "columns": plate.layout.columns,
        "wells": [asdict(well) for well in plate.wells],
        "acquisitions": [asdict(acquisition) for acquisition in plate.layout.acquisitions],
        "left_out": plate.left_out,
        "fields": len(plate.fields),
        "fields_done": states["whole"],
        "first_field": None if first is None else document(first),
    }


def _tell_failed(result: PlateResult) -> None:
    if not result.failed:
        return
    from scalesr.images.showing import counted  # noqa: PLC0415 zarr takes most of a second

    console = screen("err")
    console.print(f"[red]{counted(len(result.failed), 'field')} failed; the others are done.", soft_wrap=True)
    for outcome in result.failed[:_SHOWN]:
        note(f"{outcome.field}: {outcome.error} {outcome.remedy}")
    if len(result.failed) > _SHOWN:
        note(f"... and {len(result.failed) - _SHOWN:,} more; --json names all.")
    note("Mend what is wrong, and run the same command with --resume to do these alone.")


def _result_document(result: PlateResult, *, source: str) -> dict[str, Any]:
    return {
        "input": source,
        "output": result.plate.url,
        "seconds": result.seconds,
        "fields": dict(Counter(outcome.state for outcome in result.outcomes)),
        "normalisation": None if result.normalisation is None else result.normalisation.to_json(),
        "left_out_of_normalisation": dict(result.left_out),
        "bad_chunks": result.bad_chunks,
        "traffic": asdict(result.traffic),
        "measurement": None if result.measurement is None else result.measurement.to_json(),
        "outcomes": [outcome.to_json() for outcome in result.outcomes],
    }
