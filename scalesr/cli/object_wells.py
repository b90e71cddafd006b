"""``scalesr objects wells``: figures of wells, and how far conditions lie apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.cli import object_options as usual
from scalesr.cli import options as given
from scalesr.cli.failing import reporting
from scalesr.cli.listing import plain, show_notes, show_rows, write_rows
from scalesr.cli.options import told
from scalesr.cli.output import note, print_json, print_lines, screen
from scalesr.jobs.values import OptionError

if TYPE_CHECKING:
    from scalesr.analysis import ObjectTable

EXAMPLES = f"""
[bold]Examples[/bold]

Each well, and how far it lies from the control wells:

  [cyan]scalesr objects wells objects.parquet --controls A1,A2 --features ratio_nucleus_cytoplasm[/cyan]

Which well got what is in a table with a column well; how good is the assay?

  [cyan]scalesr objects wells objects.parquet --map plate.csv --condition treatment --conditions TNF,none[/cyan]

Z' and SSMD of conditions are those of wells, each counting once by its mean; Cohen's d and AUC those of all objects.
{usual.CODES}"""
_MOST = 400
"""Rows that are shown."""


def wells(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Objects, as `scalesr objects measure` writes them.")],
    *,
    plate_map: usual.PlateMap = None,
    features: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME...]", help="Columns to sum up.", show_default="all numbers but places"),
    ] = None,
    cut: usual.Whole = "skip",
    controls: Annotated[
        str | None,
        typer.Option(
            metavar="WELL[,WELL...]", help="Compare each well with the objects of these.", show_default="none"
        ),
    ] = None,
    condition: usual.Condition = None,
    conditions: Annotated[
        str | None,
        typer.Option(metavar="ONE,OTHER", help="The two conditions to compare.", show_default="the two that there are"),
    ] = None,
    csv: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the wells as CSV.", show_default="none")
    ] = None,
    overwrite: usual.Overwrite = False,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Sum up objects by well: mean, median and spread, the distance from control wells, and of two conditions."""
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        if conditions is not None and condition is None:
            raise OptionError("--conditions are values of a column.", remedy="Name the column with --condition.")
        with screen("err").status("starting"):
            from scalesr.analysis import by_well, read_parquet  # noqa: PLC0415 torch takes seconds
            from scalesr.analysis.wells import default_features  # noqa: PLC0415

            objects = usual.uncut(read_parquet(table), cut)
            chosen = usual.parse_names(features) or default_features(objects)
            if plate_map is not None:
                objects = join_map(objects, plate_map)
            found = by_well(objects, features=chosen, controls=usual.parse_names(controls) or ())
            pair = None if condition is None else usual.pair_of(objects, condition, conditions)
        between = [] if condition is None or pair is None else _between(objects, found.features, condition, pair)
        rows = found.rows()
        if csv is not None:
            write_rows(rows, csv, mode="overwrite" if overwrite else "create")
        left = {**objects.left_out, **found.left_out}
        if json:
            document: dict[str, Any] = {"wells": plain(rows), "left_out": left, "notes": list(objects.notes)}
            print_json(document | ({"conditions": plain(between)} if pair is not None else {}))
        elif not quiet:
            if len(rows) <= _MOST:
                show_rows(rows)
            else:
                note(f"{len(rows):,} rows are too many to show; choose --features, or write them with --csv.")
            if pair is not None:
                show_rows(between, title=f"{pair[0]} against {pair[1]}")
            show_notes(left, objects.notes)
            print_lines([("written", path) for path in (csv,) if path is not None])


def join_map(objects: ObjectTable, path: str) -> ObjectTable:
    """Return objects with what a table says of their wells."""
    from scalesr.analysis.plate_map import read_plate_map  # noqa: PLC0415 torch takes seconds

    return read_plate_map(path).join(objects)


def _between(
    objects: ObjectTable, features: tuple[str, ...], condition: str, pair: tuple[str, str]
) -> list[dict[str, Any]]:
    """Return for each feature how far two conditions lie apart, by objects and by wells."""
    import numpy as np  # noqa: PLC0415 help texts need none of it

    from scalesr.analysis import Contrast, by_well  # noqa: PLC0415 torch takes seconds

    names = np.asarray(objects[condition]).astype(str)
    sets = [objects.where(names == name) for name in pair]
    summed = [by_well(some, features=features) for some in sets]
    rows = []
    for f, feature in enumerate(features):
        values = [np.asarray(some[feature], np.float64) for some in sets]
        single = Contrast.of(*(each[np.isfinite(each)] for each in values))
        means = [each.means[:, f] for each in summed]
        whole = Contrast.of(*(each[np.isfinite(each)] for each in means))
        rows.append(
            {
                "feature": feature,
                "objects": " + ".join(f"{n:,}" for n in single.n),
                "difference": single.difference,
                "Cohen's d": single.cohen_d,
                "AUC": single.auc,
                "wells": " + ".join(f"{n:,}" for n in whole.n),
                "Z'": whole.z_prime,
                "SSMD": whole.ssmd,
            }
        )
    return rows
