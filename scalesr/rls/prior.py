"""What is known of a generator's latents: their mean and deviation, and the flow that knows their density."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from scalesr.rls.flow import log_density, moments
from scalesr.rls.layers import TINY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scalesr.rls.flow import MAF
    from scalesr.rls.generator import StyleGAN2

PART = 4096
"""Latents that are drawn at a time."""


class Prior(nn.Module):
    """The density of w.

    Parameters
    ----------
    flow
        Takes standardised latents.
    mean, std
        Of each entry of w, shape (latent,); 0 and 1 until they are loaded.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, flow: MAF, mean: torch.Tensor | None = None, std: torch.Tensor | None = None) -> None:
        super().__init__()
        self.flow = flow
        latent = flow.settings.latent
        self.register_buffer("mean", torch.zeros(latent) if mean is None else mean.detach().clone())
        self.register_buffer("std", torch.ones(latent) if std is None else std.detach().clone())

    def standardised(self, w: torch.Tensor) -> torch.Tensor:
        """Return (w - mean) / std."""
        return (w - self.mean) / self.std

    def forward(self, w: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the norms of u = F(w) and the log-densities of standardised latents, as the objective has them.

        Parameters
        ----------
        w
            Latents, shape (n, layers, latent).

        Returns
        -------
        tuple
            Both of shape (n, layers).
        """
        u, log_det = self.flow(self.standardised(w).flatten(0, 1))
        shape = w.shape[:2]
        return u.norm(dim=1).view(shape), log_density(u, log_det).view(shape)


def draw(generator: StyleGAN2, *, count: int, seed: int, stream: int = 0) -> Iterator[torch.Tensor]:
    """Yield w = G.mapping(z) for normal z, in parts; the same for the same seed and stream.

    Parameters
    ----------
    generator
        Whose mapping it is.
    count
        How many in all.
    seed, stream
        What z follows from.

    Yields
    ------
    torch.Tensor
        Shape (up to `PART`, latent).
    """
    device = generator.mean.device
    random = torch.Generator().manual_seed((seed * 1_000_003 + stream) % 2**63)
    with torch.no_grad():
        for start in range(0, count, PART):
            z = torch.randn(min(PART, count - start), generator.settings.latent, generator=random)
            yield generator.mapping(z.to(device))


def spread(generator: StyleGAN2, *, count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of each entry of w over so many z."""
    mean, variance = moments(draw(generator, count=count, seed=seed))
    return mean, variance.clamp(min=TINY).sqrt()
