"""How long a training is."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import Any

from scalesr.errors import PlanError


@dataclass(frozen=True, kw_only=True)
class Length:
    """How long a training is.

    Raises
    ------
    PlanError
        Not exactly one of `steps` and `minutes`, or one that cannot be used.
    """

    steps: int | None = None
    """How many steps; the outcome is then the same bits on the same machine."""
    minutes: float | None = None
    """How long; the schedule is then a share of the time, and the run ends on time on a machine of any speed."""
    validations: int = 20
    """How often the network is validated and everything saved, at even shares of the training."""

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.minutes is None):
            raise PlanError(
                "A training is as long as its steps or its minutes.", remedy="Give one of --steps, --minutes."
            )
        for name in ("steps", "minutes", "validations"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < inf:
                raise PlanError(f"{name} is {getattr(self, name)}.", remedy="Give a number above zero.")

    def share(self, *, steps: int, seconds: float) -> float:
        """Return how much of the training is done after so many steps and so much time, 0 to 1."""
        if self.steps is not None:
            return min(1.0, steps / self.steps)
        assert self.minutes is not None, "one of both is given"
        return min(1.0, seconds / (60 * self.minutes))

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)
