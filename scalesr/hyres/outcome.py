"""What a training tells on its way and at its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.hyres.patches import Draws
    from scalesr.hyres.validation import Scores

Judged = Literal["given images", "held-out strips", "training pixels"]
"""What the validation looks at. The last is for images too small to hold anything out."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a training is, after each step."""

    step: int
    """Steps done."""
    share: float
    """Share of the training that is done, 0 to 1."""
    seconds: float
    """Time spent."""
    scores: Scores | None
    """Of the latest validation, None before the first."""
    cubic: Scores
    """Of cubic interpolation."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a training came to."""

    weights: Path
    """The generator with the highest PSNR of all validations, as a run loads it."""
    steps: int
    """Steps done, with those that were skipped."""
    skipped: int
    """Steps whose loss or gradient was not finite."""
    seconds: float
    """Time spent, with validation."""
    best_step: int
    """Step that the weights are of."""
    scores: Scores
    """Of the weights."""
    cubic: Scores
    """Of cubic interpolation of the same measurements."""
    judged: Judged
    """What both are scores of."""
    draws: Draws
    """What happened to the patches."""
    picture: Path | None
    """The curves, where matplotlib is installed."""
