"""``scalesr objects compare``: what of the features of objects a restoration retains."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import typer

from scalesr.cli import object_options as usual
from scalesr.cli import options as given
from scalesr.cli.failing import reporting
from scalesr.cli.listing import plain, show_notes, show_rows, write_rows
from scalesr.cli.object_wells import join_map
from scalesr.cli.options import told
from scalesr.cli.output import print_json, print_lines, screen
from scalesr.jobs.values import OptionError

EXAMPLES = f"""
[bold]Examples[/bold]

Bias, slope and limits of agreement (Bland and Altman), object by object, with one image of labels for both:

  [cyan]scalesr objects compare true.parquet restored.parquet --features area,spots[/cyan]

How much of the effect of a treatment is left, and can a classifier that was trained on true objects still tell it?

  [cyan]scalesr objects compare true.parquet restored.parquet --map plate.csv --condition treatment \\
      --conditions nocodazole,DMSO --features spots --classify logistic[/cyan]
{usual.CODES}"""


def compare(
    true: Annotated[str, typer.Argument(metavar="TRUE", help="Table of the objects in true images.")],
    restored: Annotated[str, typer.Argument(metavar="RESTORED", help="Table of the same objects in restored ones.")],
    *,
    features: Annotated[
        str | None,
        typer.Option(metavar="NAME[,NAME...]", help="Columns to compare.", show_default="all numbers but places"),
    ] = None,
    cut: usual.Whole = "skip",
    plate_map: usual.PlateMap = None,
    condition: usual.Condition = None,
    conditions: Annotated[
        str | None,
        typer.Option(
            metavar="ONE,OTHER", help="The two whose effect is compared.", show_default="the two that there are"
        ),
    ] = None,
    classify: Annotated[
        Literal["none", "logistic", "lda", "forest"],
        typer.Option(
            help="Train on one half of the true objects, by all --features; test on the other half, true and restored."
        ),
    ] = "none",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Of the halves and of the forest.")] = 0,
    csv: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write the comparison as CSV.", show_default="none")
    ] = None,
    overwrite: usual.Overwrite = False,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Compare objects of restored images with the same ones in true images: agreement, effects, and classes.

    The same are those with one label, or one label in one field of a plate: measure both with the same labels.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        if condition is None and (conditions is not None or classify != "none"):
            raise OptionError(
                "Effects and classes need to know the condition of each object.",
                remedy="Name the column that says it with --condition.",
            )
        with screen("err").status("comparing"):
            from scalesr.analysis import classify_objects, read_parquet, retained  # noqa: PLC0415 torch takes seconds
            from scalesr.analysis.retained import common_features  # noqa: PLC0415

            tables = [usual.uncut(read_parquet(path), cut) for path in (true, restored)]
            chosen = usual.parse_names(features) or common_features(*tables)
            if plate_map is not None:
                tables = [join_map(table, plate_map) for table in tables]
            pair = None if condition is None else usual.pair_of(tables[0], condition, conditions)
            found = retained(*tables, features=chosen, condition=condition, conditions=pair)
            names = tuple(each.feature for each in found.features)
            told_apart: list[dict[str, Any]] = []
            left = {**tables[0].left_out, **found.left_out}
            if classify != "none" and condition is not None and pair is not None:
                known = [usual.only(table, condition, pair) for table in tables]
                for what, table in zip(("true", "restored"), known, strict=True):
                    result = classify_objects(
                        known[0], table, features=names, condition=condition, model=classify, seed=seed
                    )
                    told_apart.append(
                        {
                            "trained on": "true",
                            "tested on": what,
                            "objects": result.n,
                            "accuracy": result.accuracy,
                            "AUC": result.mean_auc,
                        }
                    )
        rows = found.rows()
        if csv is not None:
            write_rows(rows, csv, mode="overwrite" if overwrite else "create")
        if json:
            document: dict[str, Any] = {"features": plain(rows), "left_out": left}
            print_json(document | ({"classes": plain(told_apart)} if told_apart else {}))
        elif not quiet:
            show_rows(rows)
            if pair is not None and told_apart:
                show_rows(told_apart, title=f"{pair[0]} or {pair[1]}: {classify} on {', '.join(names)}")
            show_notes(left, ())
            print_lines([("written", path) for path in (csv,) if path is not None])
