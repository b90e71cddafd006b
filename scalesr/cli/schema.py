"""``scalesr schema``: what a job file may hold, for editors and for people."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scalesr.cli.output import print_json

EXAMPLES = """
[bold]Examples[/bold]

Begin a job file with one that holds every setting, and let the editor complete and check it:

  [cyan]scalesr schema --defaults > job.yaml[/cyan]
  [cyan]scalesr schema > job.schema.json[/cyan]

Then see what it would do, and do it:

  [cyan]scalesr plan job.yaml[/cyan]
  [cyan]scalesr run job.yaml[/cyan]
"""


def schema(
    *,
    defaults: Annotated[
        bool,
        typer.Option(
            "--defaults",
            metavar="",
            help="Write a job file in place of the schema: every setting with its help and its default.",
        ),
    ] = False,
) -> None:
    """Write the JSON schema of job files, with which editors complete and check them."""
    from scalesr.jobs import job_defaults, job_schema  # noqa: PLC0415 pydantic takes a tenth of a second

    if defaults:
        sys.stdout.write(job_defaults())
    else:
        print_json(job_schema())
