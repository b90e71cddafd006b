"""``scalesr run``: an image in, a super-resolved or restored image out."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from scalesr.cli import clusters as of_clusters
from scalesr.cli import options as given
from scalesr.cli import plates as of_plates
from scalesr.cli.failing import FILLED, reporting
from scalesr.cli.options import engine_options, told
from scalesr.cli.outcome import filled, result_document, result_lines
from scalesr.cli.output import note, print_json, print_lines, screen
from scalesr.cli.values import OptionError, parse_metrics, positive

if TYPE_CHECKING:
    from scalesr.engine import Callback, Options
    from scalesr.images import Image

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
_MEASURE = "Measure on the way"
_TROUBLE = "If something is wrong with the input"


def run(
    source: Annotated[
        str, typer.Argument(metavar="IN", help="An OME-Zarr image or plate: a folder, or an address such as s3://...")
    ],
    target: Annotated[str, typer.Argument(metavar="OUT", help="Where the new OME-Zarr image or plate goes.")],
    *,
    series: given.Series = None,
    level: given.Level = 0,
    resume: Annotated[
        bool, typer.Option("--resume", metavar="", help="Go on with a run that stopped.", rich_help_panel=_OUTPUT)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", metavar="", help="Replace an image that is there.", rich_help_panel=_OUTPUT)
    ] = False,
    share: Annotated[
        bool,
        typer.Option(
            "--share",
            metavar="",
            help="Work at OUT together with all others that are given the same command, here or on machines that see "
            "OUT; each takes blocks that nobody has. Goes on with what is there.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
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
    quiet: given.Quiet = False,
    model: given.Model = "default",
    scale: given.Scale = None,
    model_axes: given.ModelAxes = None,
    sampling: given.Sampling = "auto",
    settings: given.Set = None,
    strategy: given.Strategy = "auto",
    trust: given.Trust = "safe",
    normalise: Annotated[
        str,
        typer.Option(
            metavar="WAY|LOW,HIGH",
            help="Which intensities become 0 and 1 for the network: percentile (0.1 and 99.9 of each channel), dtype "
            "(the range of the number format), none, or two values; auto chooses by image and model.",
            rich_help_panel="Model",
        ),
    ] = "auto",
    out_dtype: given.OutDtype = None,
    flux: given.Flux = "auto",
    mask: given.Mask = "auto",
    missing_planes: given.MissingPlanes = "auto",
    deviation: Annotated[
        str,
        typer.Option(
            metavar="beside|none|PLACE",
            help="Where the standard deviations go that some models return: beside, the image `deviation` inside OUT; "
            "none, nowhere; or an image of their own.",
            rich_help_panel=_OUTPUT,
        ),
    ] = "beside",
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Figures of quality to take of the blocks as they are made: against --reference, or against IN "
            "(consistency, ...); `scalesr measure --list` names all.",
            show_default="psnr,ssim,mae,pearson with --reference",
            rich_help_panel=_MEASURE,
        ),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="REF", help="What OUT should look like: an image of the same pixels.", rich_help_panel=_MEASURE
        ),
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(
            metavar="RANGE",
            help="Largest minus smallest possible intensity; needed for psnr and ssim of floats.",
            show_default="of the number format",
            rich_help_panel=_MEASURE,
        ),
    ] = None,
    cell: given.Cell = None,
    halo: given.Halo = None,
    blend: given.Blend = None,
    block: given.Block = None,
    shard: given.Shard = None,
    batch: given.Batch = None,
    calibrate: given.Calibrate = "never",
    precision: given.Precision = "fp32",
    device: given.Device = "auto",
    threads: given.Threads = 1,
    scheduler: of_clusters.Scheduler = "threads",
    workers: of_clusters.Workers = None,
    memory: given.Memory = None,
    cluster_options: of_clusters.ClusterOptions = None,
    wait: of_clusters.Wait = None,
    tls_ca: of_clusters.TlsCa = None,
    tls_cert: of_clusters.TlsCert = None,
    tls_key: of_clusters.TlsKey = None,
    on_bad_block: Annotated[
        Literal["stop", "fill"],
        typer.Option(help="When a chunk of the image cannot be decoded.", rich_help_panel=_TROUBLE),
    ] = "stop",
    on_nan: Annotated[
        Literal["stop", "fill"],
        typer.Option(help="When the image holds NaN or infinity.", rich_help_panel=_TROUBLE),
    ] = "stop",
    fields: of_plates.Fields = None,
    normalise_by: of_plates.NormaliseBy = "plate",
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Super-resolve or restore an image of any size, or each field of a plate. Memory does not grow with the image."""
    with reporting(style=told(json), stack="shown" if traceback else "hidden"), ExitStack() as signals:
        if share and overwrite:
            raise OptionError(
                "--share works at an output together with others, --overwrite removes it.",
                remedy="Remove the output before you start the first of them, and leave out --overwrite.",
            )
        with screen("err").status("starting"):
            options = engine_options(
                scale=scale,
                cell=cell,
                halo=halo,
                blend=blend,
                block=block,
                shard=shard,
                memory=memory,
                normalise=normalise,
                resume=resume or share,
                overwrite=overwrite,
                model=model,
                axes=model_axes,
                strategy=strategy,
                sampling=sampling,
                settings=settings,
                missing_planes=missing_planes,
                trust=trust,
                out_dtype=out_dtype,
                flux=flux,
                mask=mask,
                deviation=deviation,
                level=level,
                batch=batch,
                calibrate=calibrate,
                precision=precision,
                device=device,
                threads=threads,
                scheduler=scheduler,
                workers=workers,
                cluster_options=cluster_options,
                wait=wait,
                tls_ca=tls_ca,
                tls_cert=tls_cert,
                tls_key=tls_key,
                on_bad_block=on_bad_block,
                on_nan=on_nan,
                metrics=tuple(parse_metrics(metrics) or ()),
                reference=reference,
                data_range=positive(data_range, "--data-range"),
                share="claims" if share else "nothing",
            )
            # Late: torch takes seconds, and help texts and mistyped options need none of it.
            from scalesr.images import Plate, open_any  # noqa: PLC0415

            found = open_any(source, series=series)
            if share:
                from scalesr.engine.claiming import told_to_leave  # noqa: PLC0415

                signals.enter_context(told_to_leave(seconds=GRACE))
        if not isinstance(found, Plate):
            of_plates.refuse_fields(fields, found.url)
            _run_image(found, target, options, dry_run=dry_run, log=log, quiet=quiet, json=json)
            return
        if dry_run:
            of_plates.dry_run_fields(found, target, options, fields=fields, quiet=quiet, json=json)
            return
        with ExitStack() as stack:
            callbacks = _callbacks(stack, log=log, shown=not quiet and not json)
            chosen = of_plates.parse_fields(fields)
            result = of_plates.run_fields(
                found, target, options, fields=chosen, normalise_by=normalise_by, callbacks=callbacks
            )
        of_plates.tell_result(result, source=found.url, quiet=quiet, json=json)


def _run_image(
    image: Image, target: str, options: Options, *, dry_run: bool, log: str | None, quiet: bool, json: bool
) -> None:
    from scalesr.cli.plan import document, show  # noqa: PLC0415 torch takes seconds
    from scalesr.engine import check_memory, check_target, prepare, subject_of  # noqa: PLC0415
    from scalesr.engine import run as run_engine  # noqa: PLC0415

    if dry_run:
        prepared = prepare(subject_of(image, level=options.level), options)
        check_memory(prepared, options)
        check_target(image, target, options=options)
        if json:
            print_json(document(prepared, None) | {"dry_run": True})
        elif not quiet:
            show(prepared, options=options)
            note("Dry run: nothing was written.")
        return
    with ExitStack() as stack:
        result = run_engine(
            image, target, options=options, callbacks=_callbacks(stack, log=log, shown=not quiet and not json)
        )
    if json:
        print_json(result_document(result, source=image.url))
    elif not quiet:
        print_lines(result_lines(result))
        if result.measurement is not None:
            from scalesr.cli.figures import show as show_figures  # noqa: PLC0415 torch takes seconds

            show_figures(result.measurement, bands="folded", places="folded")
    if result.bad_chunks:
        if not json:
            note(filled(result.bad_chunks))
        raise typer.Exit(FILLED)


def _callbacks(stack: ExitStack, *, log: str | None, shown: bool) -> list[Callback]:
    from scalesr.log import JsonLog  # noqa: PLC0415 torch takes seconds
    from scalesr.progress import RichProgress  # noqa: PLC0415

    callbacks: list[Callback] = []
    if log is not None:
        callbacks.append(stack.enter_context(JsonLog(log)))
    if shown:
        callbacks.append(stack.enter_context(RichProgress(screen("err"))))
    return callbacks
