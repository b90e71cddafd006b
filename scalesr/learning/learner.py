"""A network with its optimiser and the moving average of its weights."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import nn

if TYPE_CHECKING:
    from scalesr.learning.lesson import Part

Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a network learns: the rate rises from nothing, and falls as half a cosine."""

    rate: float
    """Highest rate of the optimiser."""
    warm_up: int = 200
    """Steps over which it rises."""
    final: float = 1 / 500
    """Share of it that is left at the end."""
    average: float | None = 0.999
    """Weight of the past in the moving average; less in the first steps. None keeps no average."""
    clip: float = 1.0
    """Largest norm of the gradients of a step."""
    decay: float = 0.0
    """Decay of the weights, apart from the gradients (AdamW)."""
    betas: tuple[float, float] = (0.9, 0.99)
    """Of the optimiser's moments."""

    def at(self, step: int, share: float) -> float:
        """Return the rate of a step when a share of the training is done."""
        warm = min(1.0, (step + 1) / max(self.warm_up, 1))
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        return self.rate * warm * (self.final + (1 - self.final) * cosine)


class Learner(Generic[Network]):
    """Takes a network over, and moves it down the gradient of losses; the moving average is what is kept.

    Where the pace asks for no average, it is the network itself.
    """

    def __init__(self, network: Network, pace: Pace, *, device: torch.device) -> None:
        self.pace, self.device = pace, device
        volumes = any(parameter.ndim == 5 for parameter in network.parameters())
        layout = torch.channels_last_3d if volumes else torch.channels_last
        self.network: Network = network.to(device).to(memory_format=layout).train()  # type: ignore[call-overload]
        self.average: Network = self.network
        if pace.average is not None:
            self.average = copy.deepcopy(self.network).requires_grad_(requires_grad=False).eval()
        self.optimiser = torch.optim.AdamW(
            self.network.parameters(), lr=pace.rate, betas=pace.betas, weight_decay=pace.decay
        )

    @property
    def parts(self) -> dict[str, Part]:
        """What a checkpoint holds of it."""
        found: dict[str, Part] = {"network": self.network, "optimiser": self.optimiser}
        return found if self.average is self.network else {**found, "average": self.average}

    def descend(self, loss: torch.Tensor, *, step: int, share: float) -> bool:
        """Do one step down a loss; return whether loss and gradients were finite: otherwise nothing was changed."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.pace.at(step, share)
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.pace.clip)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            return False
        self.optimiser.step()
        self.follow(step)
        return True

    def follow(self, step: int) -> None:
        """Let the moving average come nearer to the network."""
        if self.pace.average is None:
            return
        kept = min(self.pace.average, (2 + step) / (11 + step))
        with torch.no_grad():
            for mean, now in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(now, 1 - kept)
            for held, met in zip(self.average.buffers(), self.network.buffers(), strict=True):
                held.copy_(met)

    def casting(self, precision: str) -> torch.autocast:
        """Return the context in which the network computes in bf16, or in fp32."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=precision == "bf16")
