"""``scalesr objects``: the commands for objects, from labels to wells."""

from __future__ import annotations

import typer

from scalesr.cli.object_comparison import EXAMPLES as COMPARE_EXAMPLES
from scalesr.cli.object_comparison import compare
from scalesr.cli.object_crops import CROP_EXAMPLES, PASTE_EXAMPLES, crops, paste
from scalesr.cli.object_labels import EXAMPLES as LABEL_EXAMPLES
from scalesr.cli.object_labels import label
from scalesr.cli.object_tables import EXAMPLES as MEASURE_EXAMPLES
from scalesr.cli.object_tables import measure
from scalesr.cli.object_wells import EXAMPLES as WELL_EXAMPLES
from scalesr.cli.object_wells import wells
from scalesr.cli.training import help_of

EXAMPLES = """
[bold]From a plate to its wells[/bold]

  [cyan]scalesr objects label plate.zarr --channel DAPI[/cyan]                  labels beside each field
  [cyan]scalesr objects measure plate.zarr --out objects.parquet[/cyan]         one row for each object
  [cyan]scalesr objects wells objects.parquet --map conditions.csv[/cyan]       means, effects, Z'

[bold]Models of single objects[/bold]

  [cyan]scalesr objects crops plate.zarr stack.ome.zarr --edge 64[/cyan]        a stack of objects
  [cyan]scalesr run stack.ome.zarr finer.ome.zarr --model cubic --scale 4[/cyan]
  [cyan]scalesr objects paste finer.ome.zarr finer.zarr --crops stack.ome.zarr --image plate.zarr[/cyan]

[bold]What of it is retained[/bold]

  [cyan]scalesr objects compare true.parquet restored.parquet --condition treatment[/cyan]
"""
objects = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", epilog=EXAMPLES)


@objects.callback()
def group() -> None:
    """Find, measure and compare objects, such as nuclei, in images and plates of any size."""


objects.command("label", help=help_of(label), epilog=LABEL_EXAMPLES, no_args_is_help=True)(label)
objects.command("measure", help=help_of(measure), epilog=MEASURE_EXAMPLES, no_args_is_help=True)(measure)
objects.command("crops", help=help_of(crops), epilog=CROP_EXAMPLES, no_args_is_help=True)(crops)
objects.command("paste", help=help_of(paste), epilog=PASTE_EXAMPLES, no_args_is_help=True)(paste)
objects.command("wells", help=help_of(wells), epilog=WELL_EXAMPLES, no_args_is_help=True)(wells)
objects.command("compare", help=help_of(compare), epilog=COMPARE_EXAMPLES, no_args_is_help=True)(compare)
