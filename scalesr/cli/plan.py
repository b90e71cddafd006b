"""``scalesr plan``: what a run would do and what memory it would need, before anything is read or written."""

from __future__ import annotations

from contextlib import contextmanager
from math import prod
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.cli import options as shared
from scalesr.cli import plates as of_plates
from scalesr.cli import projecting as by_timing
from scalesr.cli import simulating as by_sleeping
from scalesr.cli.failing import reporting, tell_error
from scalesr.cli.jobs import asked, with_settings
from scalesr.cli.options import told
from scalesr.cli.output import print_heading, print_json, print_lines, screen, watched
from scalesr.cli.values import parse_shape
from scalesr.errors import PlanError
from scalesr.jobs.values import OptionError, positive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.engine import Callback, Options, Prepared
    from scalesr.engine.planning import Subject
    from scalesr.images import Image, Plate
    from scalesr.jobs import RunSettings

EXAMPLES = """
[bold]Examples[/bold]

What would a run on this image do, and does it fit into 4 GB?

  [cyan]scalesr plan stack.ome.zarr --model default --memory 4GB[/cyan]

What would a job file do?

  [cyan]scalesr plan job.yaml[/cyan]

A volume of one petabyte that does not exist yet:

  [cyan]scalesr plan --shape 32768,131072,131072 --axes zyx --dtype uint16 --model default[/cyan]

How long would 100 workers take that are 40 times as fast as this machine, and what would they cost?

  [cyan]scalesr plan stack.ome.zarr --model default --cluster 100 --rates speed=40 --rates hour=1.2[/cyan]

Would a scheduler keep 300 workers busy on one, if each took 20 seconds for a block?

  [cyan]scalesr plan --shape 512,131072,131072 --scheduler slurm --simulate 300 --block-seconds 20[/cyan]
"""
_ABSENT = "An image that does not exist yet"


_UNASKED = {
    *("source", "target", "resume", "overwrite", "share", "normalise", "normalise_by", "mask", "deviation"),
    *("metrics", "reference", "data_range", "cluster_options", "wait", "tls_ca", "tls_cert", "tls_key"),
    *("target_options", "on_bad_block", "on_nan"),
}
"""Settings of a run that change nothing of its plan; those of a job file may stand there."""


@with_settings(but=_UNASKED)
def plan(
    context: typer.Context,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="IN", help="An OME-Zarr image or plate, or a job file; or describe an image with --shape."
        ),
    ] = None,
    *,
    shape: Annotated[
        str | None,
        typer.Option(metavar="N,N,...", help="Pixels along each axis, such as 512,4096,4096.", rich_help_panel=_ABSENT),
    ] = None,
    axes: Annotated[
        str | None,
        typer.Option(
            metavar="LETTERS",
            help="One letter for each axis, of t, c, z, y, x.",
            rich_help_panel=_ABSENT,
            show_default="the last of tczyx",
        ),
    ] = None,
    dtype: Annotated[
        str, typer.Option(metavar="TYPE", help="Number format: uint8, uint16, float32, ...", rich_help_panel=_ABSENT)
    ] = "uint16",
    given: dict[str, Any],
    tflops: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            help="How fast the network runs, in 10^12 operations a second, to say how many hours a model takes that "
            "counts its work.",
            show_default="as --calibrate measures it, else 100, for a GPU",
            rich_help_panel="Speed and memory",
        ),
    ] = None,
    cluster: by_timing.Clusters = None,
    rates: by_timing.Rates = None,
    simulate: by_sleeping.Simulate = None,
    block_seconds: by_sleeping.BlockSeconds = None,
    simulate_blocks: by_sleeping.Blocks = None,
    json: shared.Json = False,
    traceback: shared.Traceback = False,
) -> None:
    """Say what a run would do and what memory it would need. Nothing is computed or written."""
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        with screen("err").status("planning"):
            settings, options = asked(context, {"source": source or "", **given}, quiet=json)
            found = _found(settings, shape=shape, axes=axes, dtype=dtype)
            given_rate = positive(tflops, "--tflops")
            from scalesr.engine import prepare, prepare_plate, subject_of  # noqa: PLC0415 torch takes seconds
            from scalesr.images import Image, Plate  # noqa: PLC0415

        with _planning(options, shown=not json) as tell:
            if isinstance(found, Plate):
                if simulate is not None or cluster:
                    raise OptionError(
                        f"{found.url} is a plate, and images are what can be projected or simulated.",
                        remedy="Name one of its fields, or describe one with --shape.",
                    )
                ready = prepare_plate(found, options, fields=settings.patterns(), tell=tell)
            else:
                image = found if isinstance(found, Image) else None
                subject = subject_of(found, level=options.level) if isinstance(found, Image) else found
                of_plates.refuse_fields(settings.fields, subject.name)
                prepared = prepare(subject, options, tell=tell)
        _check_rate(ready.prepared if isinstance(found, Plate) else prepared, given_rate)
        if isinstance(found, Plate):
            # Fewer fields go side by side where memory is scarce; that one alone does not fit is an error by now.
            if json:
                print_json(of_plates.plan_document(ready, None, tflops=given_rate))
            else:
                of_plates.show_plan(ready, tflops=given_rate)
            return
        refusal = refused(prepared, options)
        projected = by_timing.projected(prepared, subject, image, options, clusters=cluster, rates=rates)
        rehearsed = by_sleeping.simulated(
            prepared, subject, workers=simulate, blocks=simulate_blocks, block_seconds=block_seconds
        )
        blocks = prepared.plan.blocks
        if json:
            more = {} if rehearsed is None else by_sleeping.simulation_document(rehearsed, blocks=blocks)
            more |= {} if projected is None else {"projection": by_timing.projection_document(*projected)}
            print_json(document(prepared, refusal, tflops=given_rate) | more)
        else:
            show(prepared, tflops=given_rate, options=options)
            if projected is not None:
                by_timing.show_projections(*projected)
            if rehearsed is not None:
                by_sleeping.show_simulation(rehearsed, blocks=blocks)
            if refusal is not None:
                tell_error(refusal, style="text")
        # What is free here and now is no limit for a run elsewhere or later; what was asked for is.
        if refusal is not None and options.memory is not None:
            raise typer.Exit(refusal.exit_code)


@contextmanager
def _planning(options: Options, *, shown: bool) -> Iterator[Callback]:
    """Show that a plan is made; where speeds are measured for it, how far that is."""
    if options.calibrate == "never" or not shown:
        with screen("err").status("planning"):
            yield lambda _: None
        return
    with watched(shown=True) as (callback,):
        yield callback


def _found(settings: RunSettings, *, shape: str | None, axes: str | None, dtype: str) -> Subject | Image | Plate:
    if (not settings.source) == (shape is None):
        raise OptionError(
            "A plan needs an image, or the shape of one; not both and not neither.",
            remedy="Give IN, or --shape with --axes and --dtype.",
        )
    from scalesr.engine import empty_subject  # noqa: PLC0415 torch takes seconds

    if shape is None:
        return settings.open()
    sizes = parse_shape(shape)
    letters = axes or "tczyx"[-len(sizes) :]
    unknown = sorted(set(letters) - set("tczyx"))
    if unknown or len(set(letters)) != len(letters):
        raise OptionError(f"--axes {letters!r} does not name axes.", remedy="Give letters of t, c, z, y, x, each once.")
    if dtype not in ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float32", "float64"):
        raise OptionError(
            f"--dtype {dtype!r} is not a number format.", remedy="Give one such as uint8, uint16, float32."
        )
    return empty_subject(sizes, letters, dtype)


def _check_rate(prepared: Prepared, tflops: float | None) -> None:
    """Refuse a rate of operations for a model that does not count them: hours would not follow from it."""
    if tflops is not None and not prepared.plan.passes:
        raise OptionError(
            f"The model {prepared.spec.name!r} does not count its operations, so that --tflops says nothing of it.",
            remedy="Leave it out; --cluster N times a few blocks on this machine instead.",
        )


def refused(prepared: Prepared, options: Options) -> PlanError | None:
    """Return why a run would be refused for its memory, if it would."""
    from scalesr.engine import check_memory  # noqa: PLC0415 torch takes seconds

    try:
        check_memory(prepared, options)
    except PlanError as error:
        return error
    return None


def show(prepared: Prepared, *, tflops: float | None = None, options: Options) -> None:
    """Write a plan for people."""
    from scalesr.engine.executors import LOCAL  # noqa: PLC0415 torch takes seconds
    from scalesr.engine.telling import memory_lines, plan_lines  # noqa: PLC0415

    print_heading("What will be done")
    print_lines(plan_lines(prepared, tflops=tflops))
    whose = "it needs" if options.scheduler in LOCAL else "each worker needs for one inference at a time"
    print_heading(f"What memory {whose}")
    print_lines(memory_lines(prepared.demand))


def document(prepared: Prepared, refusal: PlanError | None, *, tflops: float | None = None) -> dict[str, Any]:
    """Return a plan as what JSON can hold."""
    from dataclasses import asdict  # noqa: PLC0415

    found, demand = prepared.plan, prepared.demand
    values: dict[str, Any] = {
        "model": {"name": prepared.spec.name, "source": prepared.ref.source, "sha256": prepared.ref.sha256},
        "device": prepared.device,
        "input": {"shape": found.lattice.shape, "dtype": found.in_dtype},
        "output": {"shape": found.lattice.out_shape, "dtype": found.out_dtype, "levels": len(found.levels)},
        "tiles": found.tiles,
        "tiles_computed_over_needed": found.tiles / found.lattice.tiles,
        "context_ratio": found.context_ratio,
        "blocks": found.blocks,
        "tasks": found.tasks,
        "bytes_read": found.bytes_read,
        "requests_read": found.requests_read,
        "bytes_written": found.bytes_written,
        "requests_written": found.requests_written,
        "memory": {
            "host_bytes": demand.host_bytes,
            "device_bytes": demand.device_bytes,
            "host": [asdict(term) for term in demand.host],
            "device": [asdict(term) for term in demand.device],
        },
        "fits": refusal is None,
        "plan": found.to_json(),
    }
    if prepared.anisotropy is not None:
        apart = prepared.anisotropy
        values["isotropic"] = {"exact": apart.exact, "ratio": str(apart.ratio), "deviation": apart.deviation}
    if found.passes:
        from scalesr.engine.cost import rate_of  # noqa: PLC0415 as above

        rate = rate_of(prepared.rate, tflops=tflops)
        values["work"] = {
            "passes": found.passes,
            "flops": found.flops,
            "flops_per_gigavoxel": found.flops * 1e9 / prod(found.lattice.out_shape),
            "rate": asdict(rate),
            "seconds": found.flops / rate.flops,
        }
    if refusal is not None:
        values |= {"error": refusal.problem, "remedy": refusal.remedy}
    return values
