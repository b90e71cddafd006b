"""Networks whose features are measured in the tests, by name: ``metrics.nets:pooled``."""

from __future__ import annotations

import torch
from torch import nn


class Pooled(nn.Module):
    """A small network for patches of any size; its weights are those that torch's generator gives."""

    def __init__(self, *, channels: int = 3, features: int = 16) -> None:
        super().__init__()
        self.num_features = features
        self.first = nn.Conv2d(channels, 8, 5, stride=2)
        self.second = nn.Conv2d(8, features, 3, stride=2)

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return the features, shape (n, D)."""
        found: torch.Tensor = torch.relu(self.second(torch.relu(self.first(patches)))).mean(dim=(2, 3))
        return found


class Infinite(nn.Module):
    """Patches that are bright in the corner have an infinite feature."""

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Return two features."""
        mean = patches.mean(dim=(1, 2, 3))
        return torch.stack([mean, torch.where(patches[:, 0, 0, 0] > 0.9, torch.inf, mean)], dim=1)


def pooled() -> nn.Module:
    return Pooled()


def grey() -> nn.Module:
    return Pooled(channels=1)


def infinite() -> nn.Module:
    return Infinite()


def flat() -> nn.Module:
    return nn.Flatten()


def image() -> nn.Module:
    return nn.Identity()


def nothing() -> nn.Module:
    raise OSError("no weights here")


def text() -> str:
    return "features"
