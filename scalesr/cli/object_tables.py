"""``scalesr objects measure``: a row of figures for each object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.cli import object_options as usual
from scalesr.cli import options as given
from scalesr.cli.failing import reporting
from scalesr.cli.listing import plain, show_notes, show_rows
from scalesr.cli.options import told
from scalesr.cli.output import print_json, print_lines, screen, watched
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from scalesr.analysis import ObjectTable
    from scalesr.metrics.tables import Mode

EXAMPLES = f"""
[bold]Examples[/bold]

Size, place, shape and intensities of all objects, as a table:

  [cyan]scalesr objects measure cells.ome.zarr --out objects.parquet[/cyan]

How much of a protein is in the nucleus, and how many spots a cell has, in all fields of a plate:

  [cyan]scalesr objects measure plate.zarr --name nuclei --translocation GFP --spots Golgi --tolerance 16 \\
      --out objects.parquet --resume[/cyan]

A restored plate, measured with the labels of the true one, so that both can be compared:

  [cyan]scalesr objects measure restored.zarr --labels true.zarr --name nuclei --out restored.parquet[/cyan]
{usual.CODES}"""
_MOVING = "A protein that moves between nucleus and cytoplasm"
_SPOTS = "Spots"


def measure(
    image: usual.Fields,
    *,
    labels: usual.Labels = None,
    name: usual.Name = None,
    missing: usual.Missing = "stop",
    channels: Annotated[
        str | None,
        typer.Option(
            metavar="CHANNEL[,CHANNEL...]|none",
            help="Channels whose intensities are measured, by name or number.",
            show_default="all",
        ),
    ] = None,
    features: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[,NAME...]",
            help="Features of scikit-image that need an object as a whole, such as solidity,feret_diameter_max.",
            show_default="none",
        ),
    ] = None,
    translocation: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Channel of the protein.", rich_help_panel=_MOVING)
    ] = None,
    ring: Annotated[
        float,
        typer.Option(min=1, metavar="PIXELS", help="A cell is its nucleus grown by so much.", rich_help_panel=_MOVING),
    ] = 8.0,
    offset: Annotated[
        float,
        typer.Option(
            metavar="VALUE", help="What the camera shows without light, which is taken off.", rich_help_panel=_MOVING
        ),
    ] = 0.0,
    spots: Annotated[
        str | None, typer.Option(metavar="CHANNEL", help="Channel with the spots.", rich_help_panel=_SPOTS)
    ] = None,
    tolerance: Annotated[
        float | None,
        typer.Option(
            min=0,
            metavar="VALUE",
            help="Count maxima that stand out by more, as ImageJ's Find Maxima does.",
            show_default=False,
            rich_help_panel=_SPOTS,
        ),
    ] = None,
    spot_threshold: Annotated[
        float | None,
        typer.Option(
            metavar="VALUE",
            help="Count particles above it, and take their areas, as ImageJ's Analyze Particles does.",
            show_default=False,
            rich_help_panel=_SPOTS,
        ),
    ] = None,
    spot_sigma: Annotated[
        float, typer.Option(min=0, metavar="PIXELS", help="Smooth before by so much.", rich_help_panel=_SPOTS)
    ] = 0.0,
    spot_smallest: Annotated[
        int, typer.Option(min=1, metavar="PIXELS", help="Pixels of the smallest particle.", rich_help_panel=_SPOTS)
    ] = 1,
    out: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the table as Parquet.", show_default="none")
    ] = None,
    anndata: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write it as AnnData (.h5ad), too.", show_default="none")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            metavar="",
            help="Go on with the fields of a plate that were not measured when the same command was interrupted. An "
            "image by itself is measured again.",
        ),
    ] = False,
    overwrite: usual.Overwrite = False,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Measure every object: size, place, shape and intensities, and more that is asked for.

    Images of any size, in one pass for each kind of figure. Objects of a plate make one table with columns well and
    field; channels are found by their names, whatever their order is in a field.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        if (spots is None) != (tolerance is None and spot_threshold is None):
            raise OptionError(
                "Spots need a channel, and what counts as one.",
                remedy="Give --spots, and --tolerance or --spot-threshold or both.",
            )
        if resume and out is None:
            raise OptionError("--resume goes on with a table, and none is written.", remedy="Give --out.")
        mode: Mode = "overwrite" if overwrite else "create"
        with screen("err").status("starting"):
            from scalesr.analysis import Assay, measure_fields  # noqa: PLC0415 torch takes seconds
            from scalesr.metrics.tables import check_new  # noqa: PLC0415

            for path in (out, anndata):
                if path is not None:
                    check_new(path, mode=mode)
        assay = Assay(
            channels=usual.parse_channels(channels),
            translocation=None if translocation is None else usual.parse_channel(translocation),
            ring=ring,
            offset=offset,
            spots=None if spots is None else usual.parse_channel(spots),
            sigma=spot_sigma,
            tolerance=tolerance,
            threshold=spot_threshold,
            smallest=spot_smallest,
            whole=usual.parse_names(features) or (),
        )
        with watched(shown=not (quiet or json)) as callbacks:
            table = measure_fields(
                image,
                labels=labels,
                name=name,
                assay=assay,
                missing=usual.MISSING[missing],
                kept=None if out is None else f"{out}.fields",
                begin="resume" if resume else "anew",
                callbacks=callbacks,
            )
        _write(table, out, anndata, mode=mode)
        written = [path for path in (out, anndata) if path is not None]
        rows = _summary(table)
        if json:
            print_json(
                {
                    "objects": len(table),
                    "written": written,
                    "features": plain(rows),
                    "left_out": dict(table.left_out),
                    "notes": list(table.notes),
                }
            )
        elif not quiet:
            print_lines([*(("written", path) for path in written), ("objects", f"{len(table):,}")])
            show_rows(rows)
            show_notes(table.left_out, table.notes)


def _write(table: ObjectTable, out: str | None, anndata: str | None, *, mode: Mode) -> None:
    from scalesr.analysis import write_anndata, write_parquet  # noqa: PLC0415 torch takes seconds

    if out is not None:
        write_parquet(table, out, mode=mode)
    if anndata is not None:
        write_anndata(table, anndata, mode=mode)


def _summary(table: ObjectTable) -> list[dict[str, Any]]:
    """Return mean, median and spread of each feature over all objects that have a figure."""
    import numpy as np  # noqa: PLC0415 help texts need none of it

    from scalesr.analysis.wells import default_features  # noqa: PLC0415 torch takes seconds

    rows = []
    for name in default_features(table):
        values = np.asarray(table[name], np.float64)
        values = values[np.isfinite(values)]
        figures = (values.mean(), np.median(values), values.std()) if len(values) else (None,) * 3
        said = (None if figure is None else float(figure) for figure in figures)
        rows.append(
            {"feature": name, "objects": len(values), **dict(zip(("mean", "median", "std"), said, strict=True))}
        )
    return rows
