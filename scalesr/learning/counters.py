"""Where a training is, and the file that holds all that is needed to go on from there bit by bit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from scalesr.errors import LedgerError, OutputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from scalesr.learning.length import Length
    from scalesr.learning.lesson import Lesson

CHECKPOINT = "checkpoint.pt"
"""Name of the file."""
FORMAT = 2
"""Of the file; another is refused."""


@dataclass
class Counters:
    """Numbers of a training that are no tensors."""

    step: int = 0
    """Steps done, with those that were left out."""
    seconds: float = 0.0
    """Time spent, with validation, without pauses between interruption and resumption."""
    best: float = -math.inf
    """Best chief score of a validation; a loss is counted negative."""
    best_step: int = 0
    """Step of that validation, whose weights are kept."""
    skipped: int = 0
    """Steps whose loss or gradient was not finite."""
    skipped_in_a_row: int = 0
    """The last of them without a good one between."""
    validations: int = 0
    """Validations done."""
    losses: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Sums of the losses since the last validation by name, and of how many steps."""

    def note(self, losses: Mapping[str, float] | None) -> None:
        """Count a step with its losses; one without was left out."""
        self.step += 1
        if losses is None:
            self.skipped += 1
            self.skipped_in_a_row += 1
            return
        self.skipped_in_a_row = 0
        for name, loss in losses.items():
            total, steps = self.losses.get(name, (0.0, 0))
            self.losses[name] = total + loss, steps + 1

    def take_losses(self) -> dict[str, float]:
        """Return the means of the losses by name, and begin anew."""
        means = {name: total / steps for name, (total, steps) in self.losses.items()}
        self.losses = {}
        return means


def identity_of(lesson: Lesson, length: Length) -> dict[str, Any]:
    """Return everything that decides what a training comes to, as JSON can hold it."""
    return {**lesson.identity, "length": length.to_json()}


def save(folder: Path, lesson: Lesson, length: Length, counters: Counters) -> None:
    """Write the checkpoint such that the file is at any time whole: the former one or this one.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    content = {
        "format": FORMAT,
        "identity": identity_of(lesson, length),
        "notes": dict(lesson.notes),
        "counters": asdict(counters),
        "parts": {name: part.state_dict() for name, part in lesson.parts.items()},
    }
    fresh = folder / (CHECKPOINT + ".new")
    try:
        torch.save(content, fresh)
        fresh.replace(folder / CHECKPOINT)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"{folder / CHECKPOINT} cannot be written: {error}.",
            remedy="Check the folder and the space on its disk.",
        ) from error


def restore(folder: Path, lesson: Lesson, length: Length) -> Counters:
    """Read the checkpoint into the parts of a lesson, and return where the training is.

    Raises
    ------
    LedgerError
        There is none, it cannot be read, or it belongs to a training with other settings or images; the message says
        which.
    """
    path = folder / CHECKPOINT
    if not path.exists():
        raise LedgerError(
            f"There is no training to go on with: {path} does not exist.", remedy="Leave --resume out to begin one."
        )
    content = read_checkpoint(path)
    # One fact may be part of several settings.
    other = list(dict.fromkeys(differences(identity_of(lesson, length), content["identity"])))
    if other:
        raise LedgerError(
            f"{folder} belongs to another training: {'; '.join(other)}.",
            remedy="Use the same settings and images, or begin another training in a folder of its own.",
        )
    for name, part in lesson.parts.items():
        part.load_state_dict(content["parts"][name])
    lesson.take_notes(content["notes"])
    return Counters(**content["counters"])


def differences(now: Mapping[str, Any], then: Mapping[str, Any]) -> list[str]:
    """Return in words where two identities differ; nested mappings are compared by entry, lists as a whole."""
    found = []
    for name in sorted({*now, *then}):
        here, there = now.get(name, "not known"), then.get(name, "not known")
        if isinstance(here, dict) and isinstance(there, dict):
            found += differences(here, there)
        elif isinstance(here, list | tuple) and isinstance(there, list | tuple):
            if list(here) != list(there):
                found.append(f"the {name} are others")
        elif here != there:
            found.append(f"{name} is {here} and was {there}")
    return found


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint; nothing in it is run.

    Raises
    ------
    LedgerError
        It is damaged, or no checkpoint of this version.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        known = isinstance(content, dict) and content.get("format") == FORMAT
    except Exception as error:  # torch raises what its zip and pickle readers do
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from error
    if not known:
        raise _damaged(path, f"it is not of format {FORMAT}")
    return dict(content)


def _damaged(path: Path, why: str) -> LedgerError:
    return LedgerError(
        f"{path} is no checkpoint that can be gone on from: {why}.",
        remedy="Begin the training anew, in another folder.",
    )
