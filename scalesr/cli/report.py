"""``scalesr report``: the page that shows what a run did and how far to trust it."""

from __future__ import annotations

from typing import Annotated

import typer

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import print_json, print_lines, screen

EXAMPLES = """
[bold]Examples[/bold]

Write the report of a run into its output, as runs do themselves:

  [cyan]scalesr report cells-x4.ome.zarr[/cyan]

Beside it, with what is known to be true:

  [cyan]scalesr report cells-x4.ome.zarr --to cells-x4.html --reference truth.ome.zarr[/cyan]

Of an output in a bucket, onto this machine:

  [cyan]scalesr report s3://lab/cells-x4.ome.zarr --to report.html[/cyan]

It is one file that works offline, in any browser. A report that is there is replaced.
Not all of the output is read: what is measured of all of it is measured by the run
(--metrics), or by [cyan]scalesr measure[/cyan].

[bold]Exit codes[/bold]

  0 written          2 options     3 input     4 the report cannot be written
  6 Jinja or matplotlib is not installed       7 no ledger, or a damaged one     8 storage
"""


def report(
    target: Annotated[str, typer.Argument(metavar="OUT", help="The output of a run: an OME-Zarr image or plate.")],
    *,
    to: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Where the page goes.", show_default="scalesr/report.html inside OUT"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="TRUTH",
            help="What OUT should look like: an image of the same pixels, or a plate of the same fields.",
            show_default="that of the run, if it had one",
        ),
    ] = None,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Write the report of a finished run as one HTML page: before and after, figures, seams, timings, provenance."""
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        with screen("err").status("writing the report"):
            # Late: torch takes seconds, and help texts and mistyped options need none of it.
            from scalesr.report import write_report  # noqa: PLC0415

            place = write_report(target, to=to, reference=reference)
        if json:
            print_json({"output": target, "report": place, "exit_code": 0})
        else:
            print_lines([("written", place)])
