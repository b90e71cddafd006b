"""``scalesr publish``: a finished image into a repository of Icechunk, as one commit."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import counting, print_json, print_lines

EXAMPLES = """
[bold]Examples[/bold]

  [cyan]scalesr publish cells-x4.ome.zarr s3://lab/published --path cells[/cyan]
  [cyan]scalesr publish cells-x4.ome.zarr repository --path cells --replace --message "with the new model"[/cyan]

Readers open the repository with Icechunk, and see what was committed last.
Viewers that read OME-Zarr alone need OUT itself.

[bold]Exit codes[/bold]

  0 published    2 options    3 input    4 repository    8 storage    130 Ctrl-C
"""


def publish(
    target: Annotated[str, typer.Argument(metavar="OUT", help="A finished OME-Zarr image, such as a run's output.")],
    repository: Annotated[
        str, typer.Argument(metavar="REPO", help="A repository of Icechunk: a folder or s3://...; made if need be.")
    ],
    *,
    path: Annotated[
        str,
        typer.Option(metavar="GROUP", help="Where in the repository the image goes.", show_default="its root"),
    ] = "",
    branch: Annotated[str, typer.Option(metavar="NAME", help="Which branch is committed to.")] = "main",
    message: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Of the commit.", show_default="the image's name and what made it"),
    ] = None,
    replace: Annotated[
        bool,
        typer.Option("--replace", metavar="", help="Replace an image that is there; the history keeps it."),
    ] = False,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Copy a finished image into a repository of Icechunk as one commit: readers see all of it, or nothing.

    Objects are copied as they are, so pixels are the same bytes and memory stays small. The commit keeps how the image
    was made. If it is interrupted nothing is published, and it can be repeated.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        from scalesr.images.publishing import publish_image  # noqa: PLC0415 zarr takes most of a second

        with counting(shown=not quiet and not json) as bar:
            task = bar.add_task("publishing", total=None)
            done = publish_image(
                target,
                repository,
                path=path,
                branch=branch,
                message=message,
                existing="replace" if replace else "refuse",
                progress=lambda copied, whole: bar.update(task, completed=copied, total=whole),
            )
        if json:
            print_json(asdict(done) | {"exit_code": 0})
        elif not quiet:
            from scalesr.tiling import human_bytes  # noqa: PLC0415 as above

            print_lines(
                [
                    ("published", f"{done.repository}, {f'group {done.path}' if done.path else 'its root'}"),
                    ("commit", f"{done.snapshot} on {done.branch}"),
                    ("copied", f"{done.objects:,} objects, {human_bytes(done.bytes)}, in {done.seconds:.1f} s"),
                ]
            )
