"""``scalesr run``: an image in, a super-resolved or restored image out."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scalesr.cli import options as shared
from scalesr.cli import plates as of_plates
from scalesr.cli.failing import FILLED, reporting
from scalesr.cli.jobs import asked, place_of, with_settings
from scalesr.cli.options import told
from scalesr.cli.outcome import filled, result_document
from scalesr.cli.output import note, print_json, print_lines, screen, watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.engine import Callback, Options
    from scalesr.images import Image
    from scalesr.report import Report

EXAMPLES = """
[bold]Examples[/bold]

Enlarge an image with the default network, then go on after an interruption:

  [cyan]scalesr run cells.ome.zarr cells-x4.ome.zarr[/cyan]
  [cyan]scalesr run cells.ome.zarr cells-x4.ome.zarr --resume[/cyan]

Interpolate a volume to isotropic voxels, its planes being optical sections:

  [cyan]scalesr run stack.ome.zarr even.ome.zarr --model cubic --scale isotropic --sampling point[/cyan]

Say how good it is while it is made, against a finer image of the same place:

  [cyan]scalesr run coarse.ome.zarr out.ome.zarr --reference fine.ome.zarr --metrics psnr,ssim,consistency[/cyan]

All fields of a plate, or one row of it; the rest can be added later with --resume:

  [cyan]scalesr run plate.ome.zarr plate-x4.ome.zarr[/cyan]
  [cyan]scalesr run plate.ome.zarr plate-x4.ome.zarr --fields 'B/*'[/cyan]

A published network from a file, tiles faded into each other, at most 8 GB of memory:

  [cyan]scalesr run in.ome.zarr out.ome.zarr --model RealESRGAN_x4.safetensors --halo 32 --blend 8 --memory 8GB[/cyan]

On a cluster that is there, and on 4 to 64 jobs of SLURM, each with eight cores:

  [cyan]scalesr run s3://lab/in.ome.zarr s3://lab/out.ome.zarr --scheduler tcp://head:8786[/cyan]
  [cyan]scalesr run in.ome.zarr out.ome.zarr --scheduler slurm --workers 4-64 --cluster-options slurm.yaml[/cyan]

All of it in one file that can be reviewed, begun with one that holds every setting:

  [cyan]scalesr schema --defaults > job.yaml[/cyan]
  [cyan]scalesr run job.yaml[/cyan]
  [cyan]scalesr run job.yaml --resume --workers 8[/cyan]

From as many terminals, jobs or machines as there are, without any scheduler; any of them may die:

  [cyan]scalesr run s3://lab/in.ome.zarr s3://lab/out.ome.zarr --share[/cyan]

[bold]Exit codes[/bold]

  0 done             9 done, but some of the input could not be read and was filled
                    10 done, but for fields of a plate that are named
                    11 blocks failed again and again; the others are done, and --resume tries these again
                    12 the cluster is gone and did not come back
  1 not foreseen     2 options     3 input     4 output     5 model
  6 plan or memory   7 the output of another run     8 storage     130 Ctrl-C
"""
GRACE = 25.0
"""Seconds from the order to leave until what is at work is stopped: SLURM and Kubernetes kill after 30."""
_OUTPUT = "Output"


@with_settings()
def run(
    context: typer.Context,
    *,
    given: dict[str, Any],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", metavar="", help="Check everything, show the plan, write nothing.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    log: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Append what happens to a file, a line of JSON each.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    report: Annotated[
        Literal["html", "none"] | None,
        typer.Option(
            help="html: leave a page in OUT that shows what was done. none: do not.",
            show_default="what SCALESR_REPORT says, else html",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    quiet: shared.Quiet = False,
    json: shared.Json = False,
    traceback: shared.Traceback = False,
) -> None:
    """Super-resolve or restore an image of any size, or each field of a plate. Memory does not grow with the image.

    IN may also be a job file, NAME.yaml, that holds all of a run; what is given beside it wins over it.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"), ExitStack() as signals:
        with screen("err").status("starting"):
            settings, options = asked(context, given, quiet=quiet or json)
            target = place_of(settings)
            # Late: torch takes seconds, and help texts and mistyped options need none of it.
            from scalesr.images import Plate  # noqa: PLC0415

            found = settings.open()
            if settings.share:
                from scalesr.engine.claiming import told_to_leave  # noqa: PLC0415

                signals.enter_context(told_to_leave(seconds=GRACE))
        store = settings.store_of_target()
        if not isinstance(found, Plate):
            of_plates.refuse_fields(settings.fields, found.url)
            _run_image(
                found, target, options, store=store, dry_run=dry_run, log=log, report=report, quiet=quiet, json=json
            )
            return
        if dry_run:
            fields = settings.patterns()
            of_plates.dry_run_fields(
                found, target, options, fields=fields, target_options=store, quiet=quiet, json=json
            )
            return
        places: list[str] = []
        with ExitStack() as stack:
            callbacks = _callbacks(stack, log=log, shown=not quiet and not json)
            result = of_plates.run_fields(
                found,
                target,
                options,
                fields=settings.patterns(),
                normalise_by=settings.normalise_by,
                callbacks=callbacks,
                target_options=store,
                report=report,
                told=places.append,
            )
        of_plates.tell_result(result, source=found.url, report=next(iter(places), None), quiet=quiet, json=json)


def _run_image(
    image: Image,
    target: str,
    options: Options,
    *,
    store: Mapping[str, Any] | None,
    dry_run: bool,
    log: str | None,
    report: Report | None,
    quiet: bool,
    json: bool,
) -> None:
    from scalesr.cli.plan import document, show  # noqa: PLC0415 torch takes seconds
    from scalesr.engine import check_memory, check_target, prepare, subject_of  # noqa: PLC0415
    from scalesr.report import run as run_reported  # noqa: PLC0415

    if dry_run:
        prepared = prepare(subject_of(image, level=options.level), options)
        check_memory(prepared, options)
        check_target(image, target, options=options, target_options=store)
        if json:
            print_json(document(prepared, None) | {"dry_run": True})
        elif not quiet:
            show(prepared, options=options)
            note("Dry run: nothing was written.")
        return
    places: list[str] = []
    with ExitStack() as stack:
        callbacks = _callbacks(stack, log=log, shown=not quiet and not json)
        result = run_reported(
            image,
            target,
            options=options,
            callbacks=callbacks,
            target_options=store,
            report=report,
            told=places.append,
        )
    if json:
        print_json(result_document(result, source=image.url) | {"report": next(iter(places), None)})
    elif not quiet:
        from scalesr.engine.telling import result_lines  # noqa: PLC0415 torch takes seconds

        print_lines([*result_lines(result), *(("report", place) for place in places)])
        if result.measurement is not None:
            from scalesr.cli.figures import show as show_figures  # noqa: PLC0415 torch takes seconds

            show_figures(result.measurement, bands="folded", places="folded")
    if result.bad_chunks:
        if not json:
            note(filled(result.bad_chunks))
        raise typer.Exit(FILLED)


def _callbacks(stack: ExitStack, *, log: str | None, shown: bool) -> list[Callback]:
    from scalesr.log import JsonLog  # noqa: PLC0415 torch takes seconds

    callbacks: list[Callback] = []
    if log is not None:
        callbacks.append(stack.enter_context(JsonLog(log)))
    return callbacks + stack.enter_context(watched(shown=shown))
