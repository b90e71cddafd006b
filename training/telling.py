"""How the programs that train go through a training, and what they print on their way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from scalesr.errors import InterruptedRunError
from scalesr.learning import Length, teach

if TYPE_CHECKING:
    import argparse

    from scalesr.learning import Lesson, Progress


def course(lesson: Lesson, options: argparse.Namespace, *, minutes: float, validations: int = 15) -> None:
    """Teach for the options ``steps``, ``minutes`` or the default minutes, into ``out``, and print what came of it."""
    length = Length(
        steps=options.steps, minutes=None if options.steps else options.minutes or minutes, validations=validations
    )
    try:
        found = teach(lesson, length, options.out, mode="resume" if options.resume else "create", watch=tell)
    except InterruptedRunError as stopped:
        sys.exit(str(stopped))
    print(found)


def tell(progress: Progress) -> None:
    """Print a line every hundred steps: the scores, and in brackets those of what the network must beat."""
    if progress.step % 100:
        return
    judged = "".join(
        f"  {name} {score:.4f}" + (f" ({progress.reference[name]:.4f})" if name in progress.reference else "")
        for name, score in (progress.scores or {}).items()
    )
    speed = progress.step / max(progress.seconds, 1e-9)
    print(f"step {progress.step:6d}  {100 * progress.share:5.1f} %  {speed:.2f} steps/s{judged}", flush=True)
