"""A lesson that takes no time: a line is fitted to points."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from scalesr.learning import Learner, Pace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from scalesr.learning import Scores
    from scalesr.learning.lesson import Part


class Line(nn.Module):
    """y = slope x + offset."""

    def __init__(self) -> None:
        super().__init__()
        self.slope, self.offset = nn.Parameter(torch.tensor(0.0)), nn.Parameter(torch.tensor(0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return y."""
        return self.slope * x + self.offset


class Toy:
    """The line is y = 2 x - 1, seen at points that follow from seed and step.

    Parameters
    ----------
    seed
        Of the points.
    chief
        Score that decides.
    spoilt
        Whether the loss of a step is made infinite.
    scored
        Scores to tell instead of the true ones, one after the other.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        chief: str = "loss",
        spoilt: Callable[[int], bool] = lambda _: False,
        scored: list[Scores] | None = None,
    ) -> None:
        self.seed, self.chief, self.spoilt, self.scored = seed, chief, spoilt, scored
        self.learner = Learner(Line(), Pace(rate=0.05, warm_up=3, average=0.9), device=torch.device("cpu"))
        self.points = 0
        self.reference: Scores = {"loss": 0.5}

    @property
    def identity(self) -> Mapping[str, Any]:
        """The seed, beside lists and nested settings."""
        return {"settings": {"seed": self.seed, "widths": [1, 2]}, "images": [f"points {self.seed}"]}

    @property
    def parts(self) -> Mapping[str, Part]:
        """Those of the learner."""
        return self.learner.parts

    @property
    def notes(self) -> Mapping[str, Any]:
        """Points seen."""
        return {"points": self.points}

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting."""
        self.points = notes["points"]

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Fit to five points."""
        random = torch.Generator().manual_seed(1000 * self.seed + number)
        x = torch.randn(5, generator=random)
        self.points += 5
        loss = (self.learner.network(x) - (2 * x - 1)).square().mean()
        loss = loss * torch.inf if self.spoilt(number) else loss
        return {"square": loss.item()} if self.learner.descend(loss, step=number, share=share) else None

    def score(self) -> Scores:
        """Return the squared error of both numbers."""
        if self.scored is not None:
            return self.scored.pop(0)
        line = self.learner.average
        loss = float((line.slope - 2) ** 2 + (line.offset + 1) ** 2)
        return {"loss": loss, "gain": -loss}

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the line as JSON."""
        line = self.learner.average
        path.write_text(json.dumps({"step": step, **scores, "slope": line.slope.item(), "offset": line.offset.item()}))
