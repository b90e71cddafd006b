"""``scalesr plan --simulate``: the plan with sleeping workers, and what that says of a cluster."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scalesr.cli.output import print_heading, print_lines, screen
from scalesr.jobs.values import OptionError, positive

if TYPE_CHECKING:
    from scalesr.engine import Prepared
    from scalesr.engine.planning import Subject
    from scalesr.engine.simulation import Simulation

_SIMULATION = "Simulation of a cluster"
Simulate = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="WORKERS",
        help="Try the plan with so many workers that sleep: the real scheduler of Dask, and nothing computed. "
        "It takes about six times --block-seconds, and some seconds to start.",
        show_default=False,
        rich_help_panel=_SIMULATION,
    ),
]
BlockSeconds = Annotated[
    float | None,
    typer.Option(
        metavar="X",
        help="How long a worker infers a block.",
        show_default="as --calibrate measures it, else 30",
        rich_help_panel=_SIMULATION,
    ),
]
Blocks = Annotated[
    int | None,
    typer.Option(
        "--simulate-blocks",
        min=3,
        metavar="N",
        help="How many blocks of the plan are tried.",
        show_default="six for each worker",
        rich_help_panel=_SIMULATION,
    ),
]


def simulated(
    prepared: Prepared, subject: Subject, *, workers: int | None, blocks: int | None, block_seconds: float | None
) -> Simulation | None:
    """Return what a simulation shows, if one is asked for.

    Raises
    ------
    OptionError
        Its options are given without it.
    """
    seconds = positive(block_seconds, "--block-seconds")
    if workers is None:
        if blocks is not None or seconds is not None:
            raise OptionError(
                "--block-seconds and --simulate-blocks belong to a simulation.",
                remedy="Say of how many workers: --simulate 100.",
            )
        return None
    from scalesr.engine.simulation import simulate  # noqa: PLC0415 torch takes seconds

    with screen("err").status(f"simulating {workers:,} workers"):
        return simulate(prepared, subject, workers=workers, blocks=blocks, block_seconds=seconds)


def show_simulation(found: Simulation, *, blocks: int) -> None:
    """Write what a simulation showed, for people."""
    from scalesr.tiling import human_bytes  # noqa: PLC0415 as above

    early, late = found.scheduler_bytes
    print_heading(f"What {found.workers:,} sleeping workers showed")
    print_lines(
        [
            ("workers", f"{found.busy:.1%} of their time busy, with blocks of {found.block_seconds:.3g} seconds"),
            ("the run", f"{found.run_seconds(blocks) / 3600:,.3g} hours with so many, for {blocks:,} blocks"),
            ("scheduler", f"{found.tasks_per_second:,.3g} tasks a second, {found.scheduler_load:.1%} of a core"),
            (
                "a block",
                f"{1000 * found.effort.scheduler:.3g} ms of a core for the scheduler, "
                f"{1000 * found.effort.client:.3g} ms for the run itself",
            ),
            (
                "enough for",
                f"{found.most_workers:,} workers at least, {found.most_blocks_per_second:,.3g} blocks a second, "
                "each of the two with a core of its own",
            ),
            (
                "its memory",
                f"{human_bytes(early)}, and {human_bytes(late)} after {found.blocks - found.workers:,} more blocks",
            ),
            (
                "tried with",
                f"{found.blocks:,} blocks in {found.seconds:,.3g} seconds, the workers in "
                f"{found.processes} process{'es' * (found.processes > 1)} of this machine",
            ),
        ]
    )


def simulation_document(found: Simulation, *, blocks: int) -> dict[str, Any]:
    """Return what a simulation showed as what JSON can hold."""
    figures = {
        "run_seconds": found.run_seconds(blocks),
        "scheduler_bytes": found.scheduler_bytes,
        "bytes_per_block": found.bytes_per_block,
        "most_blocks_per_second": found.most_blocks_per_second,
        "most_workers": found.most_workers,
    }
    return {"simulation": asdict(found) | figures}
