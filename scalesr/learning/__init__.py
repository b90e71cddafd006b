"""What every training has in common: sources of truth, the loop, its checkpoints and curves, and a good end.

A `Lesson` says what one step is, how good the network is, and what is kept of it; `teach` does the rest, and can be
interrupted and resumed without losing a bit.
"""

from __future__ import annotations

from scalesr.learning.course import CHECKPOINT, CURVE, SETTINGS, WEIGHTS, Progress, Taught, teach
from scalesr.learning.judging import Judged, judges
from scalesr.learning.learner import Learner, Pace
from scalesr.learning.length import Length
from scalesr.learning.lesson import Lesson, Scores
from scalesr.learning.sources import ArraySource, ImageSource, Source, Strip, cut, hold_out

__all__ = [
    "CHECKPOINT",
    "CURVE",
    "SETTINGS",
    "WEIGHTS",
    "ArraySource",
    "ImageSource",
    "Judged",
    "Learner",
    "Length",
    "Lesson",
    "Pace",
    "Progress",
    "Scores",
    "Source",
    "Strip",
    "Taught",
    "cut",
    "hold_out",
    "judges",
    "teach",
]
