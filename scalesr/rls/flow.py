"""The masked autoregressive flow (Papamakarios et al. 2017): latents become normal numbers, with a known density."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from scalesr.rls.settings import FlowSettings

LEAST = 1e-5
"""Added to variances."""


class MaskedLinear(nn.Module):
    """A linear layer some of whose weights are nothing, always."""

    mask: torch.Tensor

    def __init__(self, mask: torch.Tensor) -> None:
        super().__init__()
        outer, inner = mask.shape
        self.weight = nn.Parameter(torch.empty(outer, inner))
        nn.init.orthogonal_(self.weight)
        self.bias = nn.Parameter(torch.zeros(outer))
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return shape (n, outer)."""
        return functional.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """Shifts and scales each entry by what the entries before it say (Germain et al. 2015): u = (x - m) e^-a."""

    def __init__(self, latent: int, hidden: int) -> None:
        super().__init__()
        entries, inside = torch.arange(latent), torch.arange(hidden) % (latent - 1)
        first, inner = inside[:, None] >= entries[None], inside[:, None] >= inside[None]
        # Hidden features of degree d have seen entries 0 to d, of which entry d + 1 and those after it may know.
        last = (entries[:, None] > inside[None]).repeat(2, 1)
        self.layers = nn.Sequential(
            MaskedLinear(first.float()), nn.ReLU(), MaskedLinear(inner.float()), nn.ReLU(), MaskedLinear(last.float())
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return u, and the logarithm of the determinant of du/dx, shape (n,)."""
        shift, log_scale = self.layers(x).chunk(2, dim=1)
        return (x - shift) * torch.exp(-log_scale), -log_scale.sum(dim=1)


class BatchNormFlow(nn.Module):
    """Centres and scales each entry by the moments of the batch while it learns, and of a whole set after.

    The released code keeps the moments of the very last batch. Here they are recomputed over a whole set, see
    `MAF.settle`, as a batch of a hundred gives them with an error of some 10 %.
    """

    mean: torch.Tensor
    variance: torch.Tensor

    def __init__(self, latent: int) -> None:
        super().__init__()
        self.log_scale, self.shift = nn.Parameter(torch.zeros(latent)), nn.Parameter(torch.zeros(latent))
        self.register_buffer("mean", torch.zeros(latent))
        self.register_buffer("variance", torch.ones(latent))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return u, and the logarithm of the determinant of du/dx, shape (n,)."""
        mean, variance = self.mean, self.variance
        if self.training:
            mean, variance = x.mean(dim=0), x.var(dim=0, unbiased=False)
        variance = variance + LEAST
        found = (x - mean) * torch.rsqrt(variance) * torch.exp(self.log_scale) + self.shift
        return found, (self.log_scale - 0.5 * torch.log(variance)).sum().expand(len(x))


class MAF(nn.Module):
    """Blocks of a `MADE`, a `BatchNormFlow` and a reversal of the entries.

    Parameters
    ----------
    settings
        Its sizes.
    """

    def __init__(self, settings: FlowSettings) -> None:
        super().__init__()
        self.settings = settings
        self.mades = nn.ModuleList(MADE(settings.latent, settings.hidden) for _ in range(settings.blocks))
        self.norms = nn.ModuleList(BatchNormFlow(settings.latent) for _ in range(settings.blocks))

    def forward(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return u = F(w), and the logarithm of the determinant of dF/dw.

        Parameters
        ----------
        w
            Standardised latents, shape (n, latent).

        Returns
        -------
        tuple
            Shapes (n, latent) and (n,).
        """
        total = w.new_zeros(len(w))
        for made, norm in zip(self.mades, self.norms, strict=True):
            w, logarithm = made(w)
            total = total + logarithm
            w, logarithm = norm(w)
            total = total + logarithm
            w = w.flip(1)
        return w, total

    def log_prob(self, w: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the density of standardised latents, shape (n,): that of a normal u = F(w)."""
        return log_density(*self(w))

    def settle(self, parts: Callable[[], Iterable[torch.Tensor]]) -> None:
        """Set the moments of all normalisations to those of a whole set, one after the other.

        Parameters
        ----------
        parts
            Gives the set, standardised latents of shape (n, latent), in parts; the same each time it is called.
        """
        training = self.training
        self.eval()
        with torch.no_grad():
            for block, norm in enumerate(self.norms):
                assert isinstance(norm, BatchNormFlow)
                mean, variance = moments(self._before(part, block) for part in parts())
                norm.mean.copy_(mean)
                norm.variance.copy_(variance)
        self.train(training)

    def _before(self, x: torch.Tensor, block: int) -> torch.Tensor:
        """Return what the normalisation of a block is given."""
        for made, norm in zip(self.mades[:block], self.norms[:block], strict=True):
            x = norm(made(x)[0])[0].flip(1)
        found: torch.Tensor = self.mades[block](x)[0]
        return found


def log_density(u: torch.Tensor, log_det: torch.Tensor) -> torch.Tensor:
    """Return the logarithm of the density that a flow gives: of standard normal u, and the determinant."""
    return -0.5 * (u.square() + math.log(2 * math.pi)).sum(dim=1) + log_det


def moments(parts: Iterable[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance of each entry over all parts of a set, each of shape (n, entries), summed in float64."""
    sums = torch.zeros(0)
    count = 0
    for part in parts:
        wide = part.double()
        both = torch.stack([wide.sum(dim=0), wide.square().sum(dim=0)])
        sums, count = (both if count == 0 else sums + both), count + len(part)
    mean, square = sums / count
    return mean.float(), (square - mean.square()).clamp(min=0).float()
