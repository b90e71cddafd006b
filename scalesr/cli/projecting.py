"""``scalesr plan --cluster``: hours, requests and money for a number of workers, from a few blocks timed here."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.cli.output import print_heading, print_lines, screen
from scalesr.jobs.values import OptionError, parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.cli.output import Lines
    from scalesr.engine import Options, Prepared
    from scalesr.engine.planning import Subject
    from scalesr.engine.projection import Projection, Span
    from scalesr.engine.timing import Timing
    from scalesr.images import Image

_PROJECTION = "What a cluster would take"
Clusters = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster",
        metavar="N[xKIND]",
        help="Say how many hours, requests and how much money so many workers would take, such as 100 or 100xlarge, "
        "after timing a few blocks on this machine. As often as there are clusters to compare.",
        show_default=False,
        rich_help_panel=_PROJECTION,
    ),
]
Rates = Annotated[
    list[str] | None,
    typer.Option(
        "--rates",
        metavar="NAME=VALUE|FILE",
        help="What that is reckoned with, as often as needed: speed (times this machine) or tflops, hour (price of a "
        "worker's), start (seconds), bandwidth (of a worker); read, write and list (prices of 1,000 requests), out and "
        "stored (of a GB), store_bandwidth; currency. Or a .yaml or .json file of them, with a list of kinds.",
        show_default="a worker as fast as this machine, and no prices",
        rich_help_panel=_PROJECTION,
    ),
]
_WIDTHS = ("bandwidth", "store_bandwidth")
_REASONS = {
    "blocks": "the image has no more blocks",
    "scheduler": "the scheduler has no more time for each block",
    "storage": "the storage gives and takes no more bytes a second",
}
_BOTTLENECKS = {
    **_REASONS,
    "reading": "reading and writing, of which reading takes longer",
    "writing": "reading and writing, of which writing takes longer",
    "inference": "inference",
}


def projected(
    prepared: Prepared,
    subject: Subject,
    image: Image | None,
    options: Options,
    *,
    clusters: Sequence[str] | None,
    rates: Sequence[str] | None,
) -> tuple[Timing, list[Projection]] | None:
    """Return what was timed and what each cluster would take, if any is asked for.

    Raises
    ------
    OptionError
        A text cannot be understood, or rates are given for no cluster.
    ScalesrError
        The rates make no sense, or the blocks cannot be made.
    """
    if not clusters:
        if rates:
            raise OptionError(
                "--rates are what a projection is reckoned with.", remedy="Say for how many workers: --cluster 100."
            )
        return None
    wanted = [_parse_cluster(text) for text in clusters]
    values = _parse_rates(rates or ())
    from scalesr.engine.projection import project  # noqa: PLC0415 torch takes seconds
    from scalesr.engine.rates import Rates as Given  # noqa: PLC0415
    from scalesr.engine.timing import time_blocks  # noqa: PLC0415

    # What is mistyped is told before anything is timed.
    each = [(count, Given.of(values, kind=kind)) for count, kind in wanted]
    if any(given.machine.tflops for _, given in each) and not prepared.plan.passes:
        raise OptionError(
            f"The model {prepared.spec.name!r} does not count its operations, so that tflops say nothing of it.",
            remedy="Give speed in its place: how many times as fast as this machine a worker is.",
        )
    with screen("err").status("timing a few blocks"):
        timing = time_blocks(image, subject, prepared, options)
    return timing, [project(prepared.plan, timing, given, workers=count) for count, given in each]


def show_projections(timing: Timing, found: Sequence[Projection]) -> None:
    """Write projections for people."""
    print_heading("What was timed here")
    blocks = len(timing.blocks)
    print_lines(
        [
            (
                "blocks",
                f"{blocks} of {timing.tiles:,} tile{'s' * (timing.tiles > 1)}, {timing.origin}, on {timing.device}, "
                f"one inference at a time, in {timing.seconds:.3g} seconds",
            ),
            ("compressed", f"the output to {timing.written_ratio:.0%}; {_read(timing)}"),
        ]
    )
    for one in found:
        named = f" of kind {one.machine.name}" if one.machine.name else ""
        print_heading(f"What {one.workers:,} worker{'s' * (one.workers > 1)}{named} would take")
        print_lines(_lines(one))


def _read(timing: Timing) -> str:
    if timing.read_ratio is None:
        return "the input is counted before compression"
    return f"the input is fetched with {timing.read_ratio:.0%} of its bytes"


def _lines(one: Projection) -> Lines:
    from scalesr.tiling import human_bytes  # noqa: PLC0415 torch takes seconds

    speed = "as fast as this machine" if one.speed == 1 else f"{one.speed:,.3g} times as fast as this machine"
    stages = ", ".join(f"{name} {_time(seconds)}" for name, seconds in one.block_seconds.items())
    kinds, start = one.requests, one.machine.start
    lines = [
        ("time", _span(one.seconds, _time) + (f", {_time(start)} of it until workers have started" * bool(start))),
        ("worker hours", _span(one.worker_hours, lambda hours: f"{hours:,.3g}")),
        ("a block", f"{stages}; each worker {speed}"),
        ("bottleneck", _BOTTLENECKS[one.bottleneck]),
        ("busy", f"{one.busy:.1%} of the workers' time"),
        ("more help", f"up to {one.useful_workers:,} workers: then {_REASONS[one.limit]}"),
        ("requests", f"{kinds.read:,} that read, {kinds.write:,} that write, {kinds.list:,} that list"),
        (
            "bytes",
            f"{human_bytes(one.bytes_in)} out of the storage, {human_bytes(one.bytes_out)} into it; "
            f"{human_bytes(one.bytes_kept)} are kept",
        ),
    ]
    unit = f" {one.currency}" if one.currency else ""

    def money(amount: float) -> str:
        return f"less than 0.01{unit}" if 0 < amount < 0.005 else f"{amount:,.2f}{unit}"

    lines += [("price", f"{name}: {_span(span, money)}") for name, span in one.money.items()]
    if one.money:
        lines.append(("price, all", _span(one.total, money)))
    return lines


def _span(span: Span, words: Any) -> str:
    likely, least, most = words(span.likely), words(span.least), words(span.most)
    return likely if likely == least == most else f"{likely} ({least} to {most})"


def _time(seconds: float) -> str:
    return f"{seconds / 3600:,.3g} hours" if seconds >= 3600 else f"{seconds:,.3g} seconds"


def projection_document(timing: Timing, found: Sequence[Projection]) -> dict[str, Any]:
    """Return projections as what JSON can hold."""
    return {
        "timing": asdict(timing),
        "clusters": [
            {
                **asdict(one),
                "worker_hours": asdict(one.worker_hours),
                "total": asdict(one.total) if one.money else None,
                "useful_workers": one.useful_workers,
                "limit": one.limit,
            }
            for one in found
        ],
    }


def _parse_cluster(text: str) -> tuple[int, str | None]:
    """Return workers and kind: of ``100``, and of ``100xlarge``."""
    found = re.fullmatch(r"([1-9][0-9]{0,6})(?:\s*x\s*(\S.*))?", text.strip())
    if found is None:
        raise OptionError(
            f"--cluster {text!r} is no number of workers.",
            remedy="Give one such as 100, or with a kind of machine that --rates names: 100xlarge.",
        )
    return int(found[1]), found[2]


def _parse_rates(texts: Sequence[str]) -> dict[str, Any]:
    """Return rates; what comes later wins, kind by kind."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        if equals and name.isidentifier() and value:
            try:
                found[name] = json.loads(value)
            except ValueError:
                found[name] = value
        elif not equals and Path(text).suffix in (".yaml", ".yml", ".json"):
            found |= _read_rates(Path(text))
        else:
            raise OptionError(
                f"--rates {text!r} says nothing.",
                remedy="Give a name and a value, such as hour=1.2, or a .yaml or .json file.",
            )
    kinds = found.get("kinds")
    for values in (found, *(kinds.values() if isinstance(kinds, dict) else ())):
        for name in _WIDTHS if isinstance(values, dict) else ():
            if isinstance(values.get(name), str):
                values[name] = parse_bytes(values[name], f"--rates {name}")
    return found


def _read_rates(path: Path) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415 comes with dask, and is rarely needed

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise OptionError(f"--rates {path} cannot be read: {error}.", remedy="Check the file.") from error
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found):
        raise OptionError(f"{path} holds no rates.", remedy="Write one NAME: VALUE on each line, such as `hour: 1.2`.")
    return found
