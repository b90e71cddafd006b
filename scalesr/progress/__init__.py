"""How far a run is, for people: in a terminal, in a notebook, and nowhere else."""

from __future__ import annotations

from typing import Literal

from rich.console import Console

from scalesr.progress.notebook import NotebookProgress
from scalesr.progress.terminal import RichProgress

__all__ = ["NotebookProgress", "RichProgress", "watching"]

Show = Literal["auto", "none"]
"""``auto``: in terminals and notebooks; ``none``: nowhere."""


def watching(title: str = "", *, show: Show = "auto") -> RichProgress | NotebookProgress:
    """Return a callback that shows how far something is, where a person can see it: a context manager.

    It shows the stage, how far it is, the rate, how busy the devices are and the time that is left. It says nothing
    where there is neither a terminal nor a notebook::

        import scalesr.progress

        with scalesr.progress.watching() as callback:
            scalesr.run("in.ome.zarr", "out.ome.zarr", callbacks=[callback])

    Parameters
    ----------
    title
        What is done, shown before the name of each stage.
    show
        ``none`` says nothing anywhere.
    """
    if show == "none":
        return RichProgress(Console(stderr=True, force_terminal=False, force_jupyter=False), title=title)
    console = Console(stderr=True)
    return NotebookProgress(title=title) if console.is_jupyter else RichProgress(console, title=title)
