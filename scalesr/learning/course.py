"""The loop of a training: steps, validations, checkpoints, and a good end whatever happens."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.metadata import version
from math import inf, isnan
from time import monotonic
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import InterruptedRunError, ModelError, OutputError
from scalesr.learning import curves
from scalesr.learning.counters import CHECKPOINT, Counters, identity_of, restore, save
from scalesr.learning.curves import CURVE
from scalesr.learning.interruption import interrupts_noted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scalesr.learning.judging import Judged
    from scalesr.learning.length import Length
    from scalesr.learning.lesson import Lesson, Scores

__all__ = ["CHECKPOINT", "CURVE", "SETTINGS", "WEIGHTS", "Progress", "Taught", "teach"]

WEIGHTS, SETTINGS = "weights.safetensors", "settings.json"
"""Names of files in the folder of a training; see also `curves` and `counters`."""
IN_A_ROW = 20
"""Steps in a row with a loss that is not finite after which the training is given up."""


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
    reference: Scores
    """Of what the network must beat."""


@dataclass(frozen=True, kw_only=True)
class Taught:
    """What a training came to."""

    weights: Path
    """The network with the best chief score of all validations, as a run loads it."""
    steps: int
    """Steps done, with those that were left out."""
    skipped: int
    """Steps whose loss or gradient was not finite."""
    seconds: float
    """Time spent, with validation."""
    best_step: int
    """Step that the weights are of."""
    scores: Scores
    """Of the weights."""
    reference: Scores
    """Of what the network must beat."""
    notes: Mapping[str, Any]
    """What happened to the patches, see `Lesson.notes`."""
    picture: Path | None
    """The curves, where matplotlib is installed."""
    judged: Judged | None = None
    """What both scores are of, where the one who called `teach` says so."""


def teach(
    lesson: Lesson,
    length: Length,
    folder: Path,
    *,
    mode: Literal["create", "resume"] = "create",
    first: Literal["step", "validation"] = "step",
    watch: Callable[[Progress], None] | None = None,
) -> Taught:
    """Train, and keep the best.

    The folder gets ``weights.safetensors``, ``checkpoint.pt``, ``curve.jsonl``, ``settings.json`` and ``curves.png``.

    Parameters
    ----------
    lesson
        What is taught.
    length
        How long.
    folder
        Where the files go; made if need be.
    mode
        ``create`` refuses a folder that holds a training, ``resume`` goes on with it.
    first
        ``validation``: the network is validated before the first step, too, so that what is kept is at least as good
        as what was begun with.
    watch
        Is called after each step.

    Raises
    ------
    ModelError
        The training diverged: 20 steps in a row were not finite.
    LedgerError
        There is nothing to resume, or it was begun with other settings or images.
    OutputError
        The folder holds a training already, or cannot be written.
    InterruptedRunError
        Ctrl-C, or an order to end: all is saved and can be resumed.
    """
    return _Course(lesson, length, folder).run(mode, first, watch or (lambda _: None))


class _Course:
    def __init__(self, lesson: Lesson, length: Length, folder: Path) -> None:
        self.lesson, self.length, self.folder = lesson, length, folder
        self.counters = Counters()
        self.scores: Scores | None = None

    def run(
        self,
        mode: Literal["create", "resume"],
        first: Literal["step", "validation"],
        watch: Callable[[Progress], None],
    ) -> Taught:
        self._open(mode)
        counters = self.counters
        with interrupts_noted() as stopped:
            if first == "validation" and not counters.step and self.scores is None:
                self._validate()
            while self.share < 1:
                began = monotonic()
                counters.note(self.lesson.step(counters.step, self.share))
                counters.seconds += monotonic() - began
                if counters.skipped_in_a_row >= IN_A_ROW:
                    raise ModelError(
                        f"The training has diverged: the losses of steps {counters.step - IN_A_ROW} to {counters.step} "
                        "are not finite.",
                        remedy="Train at a lower --rate, and with --precision fp32.",
                    )
                if self._due():
                    self._validate()
                leave = stopped()
                try:
                    watch(self._progress())
                except KeyboardInterrupt:
                    leave = True
                if leave and self.share < 1:
                    save(self.folder, self.lesson, self.length, counters)
                    raise InterruptedRunError(
                        f"Stopped after step {counters.step}, {100 * self.share:.0f} % of all; nothing is lost.",
                        remedy="Run the same command with --resume to go on.",
                    )
        return self._outcome()

    @property
    def share(self) -> float:
        """How much of the training is done."""
        return self.length.share(steps=self.counters.step, seconds=self.counters.seconds)

    def _open(self, mode: Literal["create", "resume"]) -> None:
        if mode == "resume":
            self.counters = restore(self.folder, self.lesson, self.length)
            lines = curves.cut_back(self.folder, step=self.counters.step)
            self.scores = lines[-1]["scores"] if lines else None
            return
        if (self.folder / CHECKPOINT).exists():
            raise OutputError(
                f"{self.folder} holds a training.", remedy="Go on with it by --resume, or name another folder."
            )
        facts: dict[str, Any] = {
            **identity_of(self.lesson, self.length),
            "versions": {name: version(name) for name in ("scalesr", "torch", "numpy")},
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / SETTINGS).write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            (self.folder / CURVE).unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(f"{self.folder} cannot be written: {error}.", remedy="Check the folder.") from error

    def _due(self) -> bool:
        return self.share >= 1 or self.share * self.length.validations >= self.counters.validations + 1

    def _validate(self) -> None:
        began, counters, lesson = monotonic(), self.counters, self.lesson
        self.scores = lesson.score()
        while self._due() and counters.validations < self.length.validations:
            counters.validations += 1  # several at once where a step takes longer than the time between them
        chief = self.scores[lesson.chief] * (-1 if lesson.chief.endswith("loss") else 1)
        if chief > counters.best or not (self.folder / WEIGHTS).exists():
            # Whatever comes next is better than a score that is no number.
            counters.best, counters.best_step = -inf if isnan(chief) else chief, counters.step
            lesson.keep(self.folder / WEIGHTS, self.scores, step=counters.step)
        counters.seconds += monotonic() - began
        line = {
            "step": counters.step,
            "minutes": counters.seconds / 60,
            "losses": counters.take_losses(),
            "scores": self.scores,
            "reference": lesson.reference,
            "skipped": counters.skipped,
            "notes": dict(lesson.notes),
        }
        curves.append(self.folder, line)
        save(self.folder, lesson, self.length, counters)
        curves.draw(self.folder, curves.read(self.folder))

    def _progress(self) -> Progress:
        return Progress(
            step=self.counters.step,
            share=self.share,
            seconds=self.counters.seconds,
            scores=self.scores,
            reference=self.lesson.reference,
        )

    def _outcome(self) -> Taught:
        counters = self.counters
        lines = curves.read(self.folder)
        best = next(line for line in lines if line["step"] == counters.best_step)
        return Taught(
            weights=self.folder / WEIGHTS,
            steps=counters.step,
            skipped=counters.skipped,
            seconds=counters.seconds,
            best_step=counters.best_step,
            scores=best["scores"],
            reference=self.lesson.reference,
            notes=dict(self.lesson.notes),
            picture=curves.draw(self.folder, lines),
        )
