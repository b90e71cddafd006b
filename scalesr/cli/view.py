"""``scalesr view``: an image in the browser, beside what it was made from."""

from __future__ import annotations

import sys
from contextlib import suppress
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import note, print_heading, print_json, print_lines

if TYPE_CHECKING:
    from scalesr.cli.output import Lines
    from scalesr.viewer import Viewing

EXAMPLES = """
[bold]Examples[/bold]

Beside what it was made from, or beside other images:

  [cyan]scalesr view out.ome.zarr[/cyan]
  [cyan]scalesr view out.ome.zarr --beside cubic.ome.zarr --beside ref.ome.zarr[/cyan]

One field of a plate; links for vizarr, napari and others:

  [cyan]scalesr view plate-x4.ome.zarr --field B3[/cyan]
  [cyan]scalesr view s3://lab/cells.ome.zarr --links[/cyan]

On a machine without a screen give a port, and bring it to yours, where the
printed address then works:

  [cyan]scalesr view cells.ome.zarr --port 8765 --no-browser[/cyan]   there
  [cyan]ssh -N -L 8765:127.0.0.1:8765 there[/cyan]                    here

[bold]What opens what[/bold]

neuroglancer and vizarr open OME-Zarr 0.4 and 0.5, also in shards;
napari-ome-zarr opens 0.5 with ome-zarr 0.12 or later. Only the neuroglancer
that is served from here needs no network.

[bold]Exit codes[/bold]

  0 ended with Ctrl-C    2 options    3 input or address
  6 neuroglancer is not installed     8 storage
"""
_NAMES = {"neuroglancer": "neuroglancer", "neuroglancer-demo": "on the web", "vizarr": "vizarr", "napari": "napari"}


def view(
    target: Annotated[str, typer.Argument(metavar="OUT", help="An OME-Zarr image or plate; mostly a run's output.")],
    *,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IN",
            help="Another image to show beside it, as often as needed.",
            show_default="what OUT was made from",
        ),
    ] = None,
    field: Annotated[
        str | None,
        typer.Option(metavar="WELL|FIELD", help="Of a plate: B3, or B/3/0.", show_default="the first"),
    ] = None,
    host: Annotated[
        str,
        typer.Option(metavar="ADDRESS", help="Address to listen at; the default is reached from this machine alone."),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="0 takes one that is free.", show_default="a free one")
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", metavar="", help="Open nothing; say where the viewer is.")
    ] = False,
    links: Annotated[
        bool,
        typer.Option(
            "--links", metavar="", help="Serve the image alone, for viewers elsewhere; needs no neuroglancer."
        ),
    ] = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Serve an image and open it in the browser, beside what it was made from; Ctrl-C ends it.

    Panels move and zoom together, at the same places of the sample and in the same greys. Bytes are served as they are
    stored, so it begins at once with an image of any size.

    Only this machine reaches the server, and only who has the address, which holds a random secret.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        from scalesr.viewer import view as open_view  # noqa: PLC0415 zarr and tornado take most of a second

        shown = open_view(
            target, beside=beside or (), field=field, host=host, port=port, client="none" if links else "neuroglancer"
        )
        with suppress(KeyboardInterrupt), shown:
            if json:
                print_json(
                    {
                        "url": shown.url,
                        "links": shown.links,
                        "images": [
                            {"name": one.title, "source": one.image.url, "address": one.address} for one in shown.images
                        ],
                        "notes": shown.notes,
                    }
                )
            else:
                print_heading(" beside ".join(one.title for one in shown.images))
                print_lines(_lines(shown))
            sys.stdout.flush()
            for words in shown.notes if not json else ():
                note(words)
            opened = not (no_browser or links) and shown.open()
            note(f"{'Opened in the browser. ' if opened else ''}Ctrl-C ends it.")
            Event().wait()


def _lines(shown: Viewing) -> Lines:
    return [
        *((_NAMES[name], link) for name, link in shown.links.items()),
        *(("image" if not number else "beside it", one.address) for number, one in enumerate(shown.images)),
    ]
