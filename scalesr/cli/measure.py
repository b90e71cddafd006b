"""``scalesr measure``: how good an image is, in figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli import settings as setting  # noqa: TC001
from scalesr.cli.failing import FILLED, reporting
from scalesr.cli.options import told
from scalesr.cli.output import print_json, print_lines, screen, watched
from scalesr.cli.values import parse_threshold
from scalesr.jobs.values import OptionError, parse_bytes, parse_metrics, parse_sizes, positive

if TYPE_CHECKING:
    from scalesr.metrics import Measurement
    from scalesr.metrics.tables import Mode

EXAMPLES = """
[bold]Examples[/bold]

How near does an output come to the truth?

  [cyan]scalesr measure larger.ome.zarr --reference truth.ome.zarr[/cyan]

Does it still agree with what the microscope measured, and what did the model add? Without any truth:

  [cyan]scalesr measure larger.ome.zarr --input stack.ome.zarr[/cyan]

Chosen metrics, a table for a spreadsheet, and maps of where it is good and bad:

  [cyan]scalesr measure out.ome.zarr --reference truth.ome.zarr --metrics psnr,ssim,frc --csv out.csv --maps maps[/cyan]

A plate, field by field, with the same fields of another plate:

  [cyan]scalesr measure restored.zarr --reference confocal.zarr --parquet figures.parquet[/cyan]

[bold]Exit codes[/bold]

  0 done             9 done, but some of an image could not be read and was filled
  1 not foreseen     2 options     3 images     4 files to write
  6 memory           8 storage     130 Ctrl-C
"""
_IMAGES = "What it is compared with"
_FIGURES = "Which figures"
_TABLES = "Tables and maps"
_SPEED = "Speed and memory"


def measure(
    output: Annotated[
        str | None, typer.Argument(metavar="OUT", help="The OME-Zarr image or plate that is judged.")
    ] = None,
    *,
    reference: Annotated[
        str | None,
        typer.Option(metavar="REF", help="The truth, with the same pixels as OUT.", rich_help_panel=_IMAGES),
    ] = None,
    measured: Annotated[
        str | None,
        typer.Option("--input", metavar="IN", help="The image that OUT was made from.", rich_help_panel=_IMAGES),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(metavar="MASK", help="Pixels of OUT that count are not zero in it.", rich_help_panel=_IMAGES),
    ] = None,
    position: Annotated[
        Literal["check", "ignore"],
        typer.Option(
            help="Images must lie at the same place by their metadata, or are compared from their first pixels on.",
            rich_help_panel=_IMAGES,
        ),
    ] = "check",
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="What to measure, such as psnr,ssim; --list names all.",
            show_default="by what OUT is compared with",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    listed: Annotated[
        bool, typer.Option("--list", metavar="", help="List all metrics, one line each.", rich_help_panel=_FIGURES)
    ] = False,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="LETTERS",
            help="Measure each plane by itself (yx), or the volume (zyx).",
            show_default="all axes of space",
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="AXIS",
            help="Figures for each entry of this axis too, such as t; or z with --axes yx.",
            show_default=False,
            rich_help_panel=_FIGURES,
        ),
    ] = None,
    bands: Annotated[
        bool, typer.Option("--bands", metavar="", help="Show a row for each band.", rich_help_panel=_FIGURES)
    ] = False,
    places: Annotated[
        bool,
        typer.Option(
            "--places",
            metavar="",
            help="Show a row for each field of a plate, and for each plane of --by.",
            rich_help_panel=_FIGURES,
        ),
    ] = False,
    data_range: setting.DataRange = None,
    ergas_ratio: setting.ErgasRatio = None,
    tile: setting.Tile = None,
    threshold: setting.Threshold = "1/7",
    window: setting.Window = "hann",
    features: setting.Features = "small",
    patch: setting.Patch = 64,
    degradation: setting.Degradation = "area",
    seam_period: setting.SeamPeriod = None,
    seam_offset: setting.SeamOffset = None,
    maps: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER", help="Write maps of the metrics that have one, as OME-Zarr.", rich_help_panel=_TABLES
        ),
    ] = None,
    csv: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write all figures as CSV.", rich_help_panel=_TABLES),
    ] = None,
    parquet: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write all figures, and how they were made, as Parquet.", rich_help_panel=_TABLES
        ),
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", metavar="", help="Replace tables that are there.", rich_help_panel=_TABLES),
    ] = False,
    quiet: given.Quiet = False,
    scheduler: given.Scheduler = "threads",
    workers: given.Workers = None,
    memory: given.Memory = None,
    on_bad_block: Annotated[
        Literal["stop", "fill"],
        typer.Option(help="When a chunk of an image cannot be decoded.", rich_help_panel=_SPEED),
    ] = "stop",
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Say in figures how good an image is: against a reference, against what it was made from, or alone.

    Images of any size are read once, whatever is measured. Nothing is written but the tables and maps asked for.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        if listed:
            _list(json=json)
            return
        if output is None:
            raise OptionError("There is no image to measure.", remedy="Give OUT, or --list for the metrics.")
        settings: dict[str, Any] = {
            "data_range": positive(data_range, "--data-range"),
            "ergas_ratio": positive(ergas_ratio, "--ergas-ratio"),
            "tile": tile,
            "threshold": parse_threshold(threshold),
            "window": window,
            "features": features,
            "patch": patch,
            "degradation": degradation,
            "seam_period": _sizes(seam_period, "--seam-period"),
            "seam_offset": _sizes(seam_offset, "--seam-offset"),
        }
        limit = parse_bytes(memory, "--memory")
        mode: Mode = "overwrite" if overwrite else "create"
        with screen("err").status("starting"):
            # Late: torch takes seconds, and help texts and mistyped options need none of it.
            names = parse_metrics(metrics)
            _check_tables(csv, parquet, mode=mode)
            from scalesr.metrics import Settings  # noqa: PLC0415
        found = _measure(
            output,
            partners={"reference": reference, "measured": measured, "mask": mask},
            shown=not quiet and not json,
            metrics=names,
            settings=Settings(**settings),
            axes=axes,
            by=by,
            maps=maps,
            position=position,
            scheduler=scheduler,
            workers=workers,
            memory=limit,
            on_bad_block=on_bad_block,
        )
        if csv is not None:
            found.to_csv(csv, mode=mode)
        if parquet is not None:
            found.to_parquet(parquet, mode=mode)
        if json:
            print_json(found.to_json() | {"exit_code": FILLED if found.bad_chunks else 0})
        elif not quiet:
            from scalesr.cli.figures import show  # noqa: PLC0415

            show(found, bands="each" if bands else "folded", places="each" if places else "folded")
            print_lines([("written", path) for path in (csv, parquet) if path is not None])
        if found.bad_chunks:
            raise typer.Exit(FILLED)


def _measure(
    output: str, *, partners: dict[str, str | None], maps: str | None, shown: bool, **options: Any
) -> Measurement:
    from scalesr.cli.fields import measure_plate  # noqa: PLC0415
    from scalesr.engine import measure as measure_image  # noqa: PLC0415 torch takes seconds
    from scalesr.images import is_plate  # noqa: PLC0415

    there: dict[str, Any] = {what: url for what, url in partners.items() if url is not None}
    plate = is_plate(output)
    with watched(shown=shown) as callbacks:
        if plate:
            return measure_plate(output, partners=there, maps=maps, callbacks=callbacks, **options)
        return measure_image(output, **there, maps=maps, callbacks=callbacks, **options)


def _check_tables(csv: str | None, parquet: str | None, *, mode: Mode) -> None:
    """Refuse tables that cannot be written, before anything is measured."""
    from scalesr.metrics.tables import check_new, check_packages  # noqa: PLC0415 torch takes seconds

    if csv is not None:
        check_new(csv, mode=mode)
    if parquet is not None:
        check_packages("parquet")
        check_new(parquet, mode=mode)


def _list(*, json: bool) -> None:
    with screen("err").status("looking"):
        from scalesr.metrics import MAKERS  # noqa: PLC0415 torch takes seconds
        from scalesr.metrics.summaries import SUMMARIES  # noqa: PLC0415
    lines = [(name, SUMMARIES[name]) for name in MAKERS]
    if json:
        print_json({"metrics": [{"name": name, "description": line} for name, line in lines]})
    else:
        print_lines(lines)


def _sizes(text: str | None, option: str) -> tuple[int, ...] | None:
    sizes = parse_sizes(text, option)
    return (sizes,) if isinstance(sizes, int) else sizes
