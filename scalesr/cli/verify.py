"""``scalesr verify``: whether an output is still what the run wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.cli import options as given
from scalesr.cli import plates as of_plates
from scalesr.cli.failing import DAMAGED, reporting
from scalesr.cli.options import told
from scalesr.cli.output import print_heading, print_json, print_lines, screen, watched
from scalesr.jobs import crew as of_clusters
from scalesr.jobs.images import Fields  # noqa: TC001 typer reads annotations while the program runs
from scalesr.jobs.values import parse_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.cli.output import Lines
    from scalesr.engine import Fault, Verification

EXAMPLES = """
[bold]Examples[/bold]

  [cyan]scalesr verify cells-x4.ome.zarr[/cyan]
  [cyan]scalesr verify plate-x4.ome.zarr --fields 'B/*' --json[/cyan]
  [cyan]scalesr verify s3://lab/cells-x4.ome.zarr --scheduler tcp://head:8786[/cyan]

What it finds is mended by [cyan]scalesr repair[/cyan].

[bold]Exit codes[/bold]

  0 whole            13 damaged, or not finished
  2 options           6 memory, or no cluster     7 no ledger     8 storage
 12 the cluster is gone and did not come back   130 Ctrl-C
"""
_SHOWN = 10
_KINDS = {
    "missing": "missing",
    "unreadable": "cannot be read",
    "changed": "changed",
    "unrecorded": "without a record",
    "unlike": "unlike the level below",
    "metadata": "metadata damaged",
    "superfluous": "superfluous",
}


def verify(
    target: Annotated[str, typer.Argument(metavar="OUT", help="The output of a run: an OME-Zarr image or plate.")],
    *,
    fields: Fields = None,
    scheduler: of_clusters.Scheduler = "threads",
    workers: of_clusters.Workers = None,
    cluster_options: of_clusters.ClusterOptions = None,
    wait: of_clusters.Wait = None,
    tls_ca: of_clusters.TlsCa = None,
    tls_cert: of_clusters.TlsCert = None,
    tls_key: of_clusters.TlsKey = None,
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Read every shard of an output again and compare it with the checksums that the run recorded.

    Levels that are made at the end of a run have no checksum: they are made again from the level below, and compared.

    Nothing is written.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        with screen("err").status("starting"):
            who, count = of_clusters.parse_crew(
                scheduler,
                workers=workers,
                options=cluster_options,
                wait=wait,
                authority=tls_ca,
                certificate=tls_cert,
                key=tls_key,
            )
            # Late: torch takes seconds.
            from scalesr.engine import verify as verify_image  # noqa: PLC0415
            from scalesr.engine import verify_plate  # noqa: PLC0415
            from scalesr.images import open_plate  # noqa: PLC0415

            plate = open_plate(target) if holds_plate(target) else None
        how: dict[str, Any] = {"scheduler": who, "workers": count}
        if plate is None:
            of_plates.refuse_fields(fields, target)
        with watched(shown=not quiet and not json) as callbacks:
            how["callbacks"] = callbacks
            if plate is None:
                found = verify_image(target, **how)
                whole = found.whole
            else:
                each = verify_plate(plate, fields=parse_fields(fields), **how)
                whole = all(not isinstance(one, str) and one.whole for one in each.values())
        code = 0 if whole else DAMAGED
        if json:
            document = found.to_json() if plate is None else fields_document(each, url=plate.url)
            print_json(document | {"exit_code": code})
        elif not quiet:
            if plate is None:
                _show(found)
            else:
                _show_fields(each, url=plate.url)
        if code:
            raise typer.Exit(code)


def holds_plate(url: str) -> bool:
    """Return whether there is a plate; an output whose metadata are damaged is taken for an image."""
    from scalesr.errors import InputError  # noqa: PLC0415
    from scalesr.images import is_plate  # noqa: PLC0415 zarr takes most of a second

    try:
        return is_plate(url)
    except InputError:
        return False


def finding_lines(found: Verification) -> Lines:
    """Return what was found, for people."""
    unread = found.blocks - found.checked
    lines = [
        ("output", found.target),
        ("state", "done" if found.state == "done" else f"unfinished, {unread:,} of {found.blocks:,} blocks to do"),
        ("blocks", f"{found.checked:,} read again, {_bad(found)}"),
    ]
    if found.last:
        lines.append(("last levels", f"{found.last:,} shards made again from the level below and compared"))
    lines += [("not checked", words) for words in found.unchecked]
    lines.append(("time", f"{found.seconds:.1f} s"))
    return lines


def fault_lines(found: Verification) -> Lines:
    """Return what is wrong, one line for each fault, the first of them."""
    lines = [(_KINDS[fault.kind], _words(fault)) for fault in found.faults[:_SHOWN]]
    rest = sum(found.counts.values()) - len(lines)
    return [*lines, ("...", f"and {rest:,} more; --json names up to a thousand")] if rest else lines


def fields_document(found: Mapping[str, Verification | str], *, url: str) -> dict[str, Any]:
    """Return what was found of a plate, as what JSON can hold."""
    fields = [
        {"field": path, "whole": False, "error": one} if isinstance(one, str) else {"field": path, **one.to_json()}
        for path, one in found.items()
    ]
    return {"target": url, "whole": all(field["whole"] for field in fields), "fields": fields}


def _bad(found: Verification) -> str:
    bad = sum(found.bad)
    if not bad:
        return "all as they were recorded"
    return f"{bad:,} {'is' if bad == 1 else 'are'} not as recorded"


def _words(fault: Fault) -> str:
    where: list[str] = [fault.image] if fault.image != "output" else []
    where += [f"level {fault.level}"] if fault.level is not None else []
    where += [f"block {fault.block}"] if fault.block is not None else []
    keys = ", ".join(fault.keys[:3]) + (", ..." if len(fault.keys) > 3 else "")
    return "; ".join(filter(None, [", ".join(where), keys, fault.words]))


def _show(found: Verification) -> None:
    lines = finding_lines(found)
    if not found.whole:
        lines.append(("mend it", f"scalesr repair {found.target}"))
    print_lines(lines)
    if found.counts:
        print_heading("What is wrong")
        print_lines(fault_lines(found))


def _show_fields(found: Mapping[str, Verification | str], *, url: str) -> None:
    wrong = {path: one for path, one in found.items() if isinstance(one, str) or not one.whole}
    lines = [("output", url), ("fields", f"{len(found):,} verified, {len(found) - len(wrong):,} whole")]
    if wrong:
        lines.append(("mend it", f"scalesr repair {url}; fields that are not there need `scalesr run --resume`"))
    print_lines(lines)
    if not wrong:
        return
    print_heading("What is wrong")
    rows: Lines = []
    for path, one in list(wrong.items())[:_SHOWN]:
        if isinstance(one, str):
            rows.append((path, one))
        else:
            kinds = ", ".join(f"{count:,} {_KINDS[kind]}" for kind, count in one.counts.items())
            rows.append((path, kinds or f"unfinished, {one.blocks - one.checked:,} of {one.blocks:,} blocks to do"))
    if len(wrong) > _SHOWN:
        rows.append(("...", f"and {len(wrong) - _SHOWN:,} more; --json names all"))
    print_lines(rows)
