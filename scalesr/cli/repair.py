"""``scalesr repair``: make again what is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from scalesr.cli import options as given
from scalesr.cli import plates as of_plates
from scalesr.cli.failing import DAMAGED, reporting
from scalesr.cli.options import told
from scalesr.cli.output import note, print_heading, print_json, print_lines, screen, watched
from scalesr.cli.verify import fault_lines, finding_lines, holds_plate
from scalesr.jobs import crew as of_clusters
from scalesr.jobs.images import Fields  # noqa: TC001 typer reads annotations while the program runs
from scalesr.jobs.values import OptionError, parse_bytes, parse_fields

if TYPE_CHECKING:
    from scalesr.engine import Repair

EXAMPLES = """
[bold]Examples[/bold]

  [cyan]scalesr repair cells-x4.ome.zarr[/cyan]
  [cyan]scalesr repair cells-x4.ome.zarr --input /new/place/cells.ome.zarr[/cyan]
  [cyan]scalesr repair s3://lab/cells-x4.ome.zarr --scheduler tcp://head:8786[/cyan]

Options of the run need not be repeated: they stand in the output's manifest.

[bold]Exit codes[/bold]

  0 whole            13 fields of a plate could not be mended
  2 options    3 input      5 model     6 memory, or no cluster
  7 no ledger, or the output of something else    8 storage
 11 blocks fail again and again   12 the cluster is gone and did not come back   130 Ctrl-C
"""


def repair(
    target: Annotated[str, typer.Argument(metavar="OUT", help="The output of a run: an OME-Zarr image or plate.")],
    *,
    source: Annotated[
        str | None,
        typer.Option("--input", metavar="IN", help="Where the input of the run lies now.", show_default="where it was"),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", metavar="NAME|FILE|FUNCTION", help="Where its model is.", show_default="as it was"
        ),
    ] = None,
    trust: Annotated[
        Literal["safe", "pickle"],
        typer.Option(
            help="pickle: call the function of a package, or load the pickle, that the output says it was made with."
        ),
    ] = "safe",
    fields: Fields = None,
    scheduler: of_clusters.Scheduler = "threads",
    workers: of_clusters.Workers = None,
    memory: given.Memory = None,
    cluster_options: of_clusters.ClusterOptions = None,
    wait: of_clusters.Wait = None,
    tls_ca: of_clusters.TlsCa = None,
    tls_cert: of_clusters.TlsCert = None,
    tls_key: of_clusters.TlsKey = None,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Verify an output and make again just what is damaged or missing, and the levels that depend on it.

    Input and model must be those of the run. Afterwards the output is the same bytes as if nothing had happened.

    An unfinished run is finished. It may be stopped at any time, and repeated.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        who, count = of_clusters.parse_crew(
            scheduler,
            workers=workers,
            options=cluster_options,
            wait=wait,
            authority=tls_ca,
            certificate=tls_cert,
            key=tls_key,
        )
        how: dict[str, Any] = {
            "model": model,
            "trust": trust,
            "scheduler": who,
            "workers": count,
            "memory": parse_bytes(memory, "--memory"),
        }
        with screen("err").status("starting"):
            from scalesr.engine import repair as repair_image  # noqa: PLC0415 torch takes seconds

            is_plate = holds_plate(target)
        if is_plate:
            if source is not None:
                raise OptionError(
                    f"{target} is a plate, whose fields have inputs of their own.",
                    remedy="Repair its fields one by one with --input, such as OUT/A/1/0.",
                )
            _repair_fields(target, parse_fields(fields), how, quiet=quiet, json=json)
            return
        of_plates.refuse_fields(fields, target)
        with watched(shown=not quiet and not json) as callbacks:
            done = repair_image(target, source=source, callbacks=callbacks, **how)
        if json:
            print_json(_document(done) | {"exit_code": 0})
        elif not quiet:
            _show(done)


def _show(done: Repair) -> None:
    lines = finding_lines(done.before)
    if done.result is None:
        print_lines([*lines, ("repaired", "nothing: it is whole")])
        return
    from scalesr.images.showing import counted  # noqa: PLC0415 zarr takes most of a second

    blocks = counted(done.blocks, "block")
    print_lines([*lines, ("repaired", f"{blocks} computed in {done.result.seconds:.1f} s; the output is whole")])
    if done.before.counts:
        print_heading("What was wrong")
        print_lines(fault_lines(done.before))


def _document(done: Repair) -> dict[str, Any]:
    return {"before": done.before.to_json(), "blocks_computed": done.blocks, "whole": True}


def _repair_fields(target: str, patterns: tuple[str, ...], how: dict[str, Any], *, quiet: bool, json: bool) -> None:
    from scalesr.engine import repair as repair_image  # noqa: PLC0415 torch takes seconds
    from scalesr.errors import InputError, LedgerError, ModelError  # noqa: PLC0415
    from scalesr.images import field_states, open_plate  # noqa: PLC0415

    plate = open_plate(target)
    states = field_states(plate)
    failed: dict[str, str] = dict(plate.unusable(*patterns))
    done: dict[str, Repair] = {}
    with watched(shown=not quiet and not json) as callbacks:
        for path in plate.select(*patterns):
            if states[path] == "absent":
                failed[path] = "It is not there; run the plate's command with --resume."
                continue
            try:
                done[path] = repair_image(plate.location(path).url, callbacks=callbacks, **how)
            except (InputError, LedgerError, ModelError) as error:
                failed[path] = str(error)
    code = DAMAGED if failed else 0
    if json:
        fields = [{"field": path, **_document(one)} for path, one in done.items()]
        fields += [{"field": path, "whole": False, "error": words} for path, words in failed.items()]
        print_json({"target": plate.url, "fields": fields, "exit_code": code})
    else:
        if not quiet:
            mended = sum(one.result is not None for one in done.values())
            blocks = sum(one.blocks for one in done.values())
            print_lines(
                [
                    ("output", plate.url),
                    (
                        "fields",
                        f"{len(done):,} whole now, {mended:,} of them repaired: {blocks:,} blocks computed again",
                    ),
                ]
            )
        for path, words in failed.items():
            note(f"{path}: {words}")
    if code:
        raise typer.Exit(code)
