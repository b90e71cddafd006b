"""``scalesr demo``: what the whole thing does, on samples with a known truth."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from scalesr.cli import options as given  # noqa: TC001 typer reads annotations while the program runs
from scalesr.cli.failing import reporting
from scalesr.cli.options import told
from scalesr.cli.output import print_json, screen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.demo import Outcome
    from scalesr.engine import Callback


def demo(
    folder: Annotated[str, typer.Argument(metavar="FOLDER", help="Where images and picture go.")] = "demo",
    *,
    model: given.Model = "default",
    quiet: given.Quiet = False,
    json: given.Json = False,
    traceback: given.Traceback = False,
) -> None:
    """Make a spectral cube and a volume with a known truth, coarsen them by four, and restore them.

    Shows how much nearer to the truth the model comes than interpolation, as a table and as the picture demo.png. All
    images are left in the folder as OME-Zarr. It takes a minute or two.
    """
    with reporting(style=told(json), stack="shown" if traceback else "hidden"):
        silent = quiet or json
        with screen("err").status("starting"):
            from scalesr.demo import run_demo  # noqa: PLC0415 torch takes seconds

        @contextmanager
        def watch(words: str) -> Iterator[Callback | None]:
            from scalesr.progress import RichProgress  # noqa: PLC0415

            if silent:
                yield None
                return
            with RichProgress(screen("err"), title=words) as callback:
                yield callback

        outcome = run_demo(folder, model=model, watch=watch)
        if json:
            print_json(
                {
                    "scores": [vars(score) for score in outcome.scores],
                    "picture": str(outcome.picture),
                    "seconds": outcome.seconds,
                }
            )
        elif not quiet:
            screen().print(_table(outcome))
            screen().print(f"Look at {outcome.picture}", soft_wrap=True)
            screen().print(f"The images lie beside it as OME-Zarr. All of it took {outcome.seconds:.0f} s.")


def _table(outcome: Outcome) -> Table:
    table = Table(title="Four times finer than measured, compared with the truth", title_justify="left")
    table.add_column("sample")
    table.add_column("image")
    for name in ("PSNR, dB", "SSIM", "gain over cubic, dB"):
        table.add_column(name, justify="right")
    last = ""
    for score in outcome.scores:
        if last and score.sample != last:
            table.add_section()
        gain = outcome.gain(score.sample, score.method)
        style = "bold green" if gain > 0 else ""
        shown = "" if score.sample == last else score.sample
        words = "" if score.method == "cubic" else f"{gain:+.2f}"
        table.add_row(shown, score.method, f"{score.psnr:.2f}", f"{score.ssim:.4f}", words, style=style)
        last = score.sample
    return table
