"""What is taught: the part of a training that differs between networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Scores = dict[str, float]
"""Figures of a validation by name; means over what is validated on."""


class Part(Protocol):
    """A network or an optimiser: something with a state."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""

    def load_state_dict(self, state_dict: dict[str, Any], /) -> Any:
        """Take a state over."""


class Lesson(Protocol):
    """Networks, what they learn from, and how good they are.

    All that a step leaves to chance follows from the seed and the number of the step, so that a training that is
    resumed goes on bit by bit.
    """

    @property
    def identity(self) -> Mapping[str, Any]:
        """What decides the outcome beside the length, as JSON can hold it; a training is resumed with the same only."""

    @property
    def parts(self) -> Mapping[str, Part]:
        """Networks and optimisers by name: what a checkpoint holds."""

    @property
    def notes(self) -> Mapping[str, Any]:
        """Counts of what happened to the patches, as JSON can hold them, for the curve and the checkpoint."""

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting from these."""

    @property
    def chief(self) -> str:
        """Name of the score that decides which weights are kept; one whose name ends on ``loss`` is better lower."""

    @property
    def reference(self) -> Scores:
        """Scores of what the network must beat, such as interpolation; without entries where it has none."""

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Do step `number` when a share of the training is done; return its losses, None where it was left out."""

    def score(self) -> Scores:
        """Return how good the networks are now."""

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the network that a run loads."""
