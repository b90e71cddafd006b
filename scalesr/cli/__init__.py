"""The command line: one file for each command, typed texts in, one message or one JSON document out."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from scalesr.cli.demo import demo
from scalesr.cli.failing import tell_error
from scalesr.cli.importing import EXAMPLES as IMPORT_EXAMPLES
from scalesr.cli.importing import import_command
from scalesr.cli.info import EXAMPLES as INFO_EXAMPLES
from scalesr.cli.info import info
from scalesr.cli.measure import EXAMPLES as MEASURE_EXAMPLES
from scalesr.cli.measure import measure
from scalesr.cli.models import models
from scalesr.cli.objects import objects
from scalesr.cli.plan import EXAMPLES as PLAN_EXAMPLES
from scalesr.cli.plan import plan
from scalesr.cli.publish import EXAMPLES as PUBLISH_EXAMPLES
from scalesr.cli.publish import publish
from scalesr.cli.repair import EXAMPLES as REPAIR_EXAMPLES
from scalesr.cli.repair import repair
from scalesr.cli.report import EXAMPLES as REPORT_EXAMPLES
from scalesr.cli.report import report
from scalesr.cli.run import EXAMPLES as RUN_EXAMPLES
from scalesr.cli.run import run
from scalesr.cli.schema import EXAMPLES as SCHEMA_EXAMPLES
from scalesr.cli.schema import schema
from scalesr.cli.status import EXAMPLES as STATUS_EXAMPLES
from scalesr.cli.status import status
from scalesr.cli.train import training
from scalesr.cli.train_fast import EXAMPLES as FAST_EXAMPLES
from scalesr.cli.train_fast import fast
from scalesr.cli.train_msdsr import EXAMPLES as MSDSR_EXAMPLES
from scalesr.cli.train_msdsr import msdsr
from scalesr.cli.train_rls import FLOW_EXAMPLES, GENERATOR_EXAMPLES, flow, generator
from scalesr.cli.train_slices import EXAMPLES as SLICES_EXAMPLES
from scalesr.cli.train_slices import slices
from scalesr.cli.train_unet import EXAMPLES as UNET_EXAMPLES
from scalesr.cli.train_unet import unet
from scalesr.cli.training import help_of
from scalesr.cli.verify import EXAMPLES as VERIFY_EXAMPLES
from scalesr.cli.verify import verify
from scalesr.cli.view import EXAMPLES as VIEW_EXAMPLES
from scalesr.cli.view import view
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["app", "main"]

HELP = (
    "Super-resolve, restore and measure images that are larger than memory.\n\n"
    "Images are OME-Zarr: a folder of small compressed pieces at several resolutions. [cyan]import[/cyan] makes one of "
    "a TIFF, [cyan]run[/cyan] makes a finer one of it, tile by tile. A run that was stopped goes on where it was."
)
EXAMPLES = """
[bold]To begin[/bold]

  [cyan]scalesr demo[/cyan]                               samples with a known truth
  [cyan]scalesr import stack.tif stack.ome.zarr[/cyan]    make an OME-Zarr image
  [cyan]scalesr info stack.ome.zarr[/cyan]                look at it
  [cyan]scalesr plan stack.ome.zarr[/cyan]                what a run would do and need
  [cyan]scalesr run stack.ome.zarr finer.ome.zarr[/cyan]  do it
  [cyan]scalesr measure finer.ome.zarr --input stack.ome.zarr[/cyan]  how far to trust it

[bold]Object stores[/bold] (s3://, gs://, https://): credentials are found where
their own tools find them, such as AWS_PROFILE; FSSPEC_S3_ANON=true reads public
buckets without any.
"""


class Commands(TyperGroup):
    """The commands, which answer with JSON when asked to even where the question was not understood."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command line; see the base class."""
        arguments = list(sys.argv[1:] if kwargs.get("args") is None else kwargs["args"])
        if "--json" not in arguments or not kwargs.get("standalone_mode", True):
            return super().main(*args, **kwargs)
        try:
            code = super().main(*args, **{**kwargs, "standalone_mode": False})
        except Exception as error:
            # The base of usage errors is named differently in different versions of typer.
            words = getattr(error, "format_message", None)
            if words is None:
                raise
            tell_error(OptionError(words(), remedy="See --help."), style="json")
            sys.exit(OptionError.exit_code)
        sys.exit(code if isinstance(code, int) else 0)


app = typer.Typer(
    name="scalesr",
    cls=Commands,
    help=HELP,
    epilog=EXAMPLES,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _add(name: str, command: Callable[..., None], epilog: str | None = None) -> None:
    # Only the first paragraph of a docstring is wrapped to the terminal; the others must be one line each.
    paragraphs = inspect.cleandoc(command.__doc__ or "").split("\n\n")
    words = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    app.command(name, help=words, epilog=epilog, no_args_is_help=epilog is not None)(command)


_add("run", run, RUN_EXAMPLES)
_add("plan", plan, PLAN_EXAMPLES)
# Without arguments it prints the schema, and not its help.
app.command("schema", help=schema.__doc__, epilog=SCHEMA_EXAMPLES)(schema)
_add("info", info, INFO_EXAMPLES)
_add("import", import_command, IMPORT_EXAMPLES)
_add("measure", measure, MEASURE_EXAMPLES)
_add("report", report, REPORT_EXAMPLES)
_add("view", view, VIEW_EXAMPLES)
_add("status", status, STATUS_EXAMPLES)
_add("verify", verify, VERIFY_EXAMPLES)
_add("repair", repair, REPAIR_EXAMPLES)
_add("publish", publish, PUBLISH_EXAMPLES)
training.command("msdsr", help=help_of(msdsr), epilog=MSDSR_EXAMPLES, no_args_is_help=True)(msdsr)
training.command("msdsr-slices", help=help_of(slices), epilog=SLICES_EXAMPLES, no_args_is_help=True)(slices)
training.command("msdsr-fast", help=help_of(fast), epilog=FAST_EXAMPLES, no_args_is_help=True)(fast)
training.command("rls-generator", help=help_of(generator), epilog=GENERATOR_EXAMPLES, no_args_is_help=True)(generator)
training.command("rls-flow", help=help_of(flow), epilog=FLOW_EXAMPLES, no_args_is_help=True)(flow)
training.command("rls-unet", help=help_of(unet), epilog=UNET_EXAMPLES, no_args_is_help=True)(unet)
app.add_typer(training, name="train")
app.add_typer(objects, name="objects")
_add("models", models)
_add("demo", demo)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 typer calls it so
    if wanted:
        from scalesr import __version__  # noqa: PLC0415 nothing else needs it

        sys.stdout.write(f"scalesr {__version__}\n")
        raise typer.Exit


@app.callback()
def scalesr(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", metavar="", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Do nothing: the commands do it."""


def main() -> None:
    """Run the command line of this process."""
    app()
