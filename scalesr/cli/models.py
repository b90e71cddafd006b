"""``scalesr models``: what can be given to ``--model`` by name."""

from __future__ import annotations

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import note, print_json, print_lines, screen


def models(*, json: given.Json = False, traceback: given.Traceback = False) -> None:
    """List the models that `--model` knows by name, one line each."""
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        with screen("err").status("looking"):
            from scalesr.models import available  # noqa: PLC0415 torch takes seconds

            found = available()
        if json:
            print_json({"models": [{"name": name, "description": line} for name, line in found]})
            return
        print_lines(found)
        note("Also: a .safetensors file of a published network, or package.module:function.")
