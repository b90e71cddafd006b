"""PULSE (Menon et al. 2020), written anew from its formulas: latents on a sphere that agree with a measurement."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch.nn import functional

from scalesr.rls.descent import descend
from scalesr.rls.flow import moments
from scalesr.rls.frozen import FrozenGenerator
from scalesr.rls.generator import unit
from scalesr.rls.layers import TINY
from scalesr.rls.maps import noise_maps, starts
from scalesr.rls.prior import draw
from scalesr.rls.search import Solutions, in_groups, solved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.degradation import Degradation
    from scalesr.rls.descent import Terms
    from scalesr.rls.generator import StyleGAN2

STEEP, FLAT = 5.0, 0.2
"""Slopes for negative numbers of what makes latents about normal, the inverse of the mapping's last layer, and back."""
_EXACT = 1e-6
"""Room for rounding where a loss is compared with its least value."""


@dataclass(frozen=True, kw_only=True)
class PulseSettings:
    """How PULSE searches; the defaults are those of its code, for StyleGAN's 512 px and more."""

    steps: int = 100
    """Steps of Adam."""
    rate: float = 0.4
    """Its highest rate, see `linear1cycledrop`."""
    data: float = 100.0
    """Weight of the mean squared difference from the measurement."""
    cross: float = 0.05
    """Weight of the geodesic distances of rows."""
    crossed: Literal["w", "v"] = "w"
    """Between which rows: latents, as in its code, or the normal numbers that these come from, as in that of RLS."""
    least: float = 2e-3
    """Mean squared difference below which a measurement counts as met; above it a solution is flagged."""
    trained_maps: int = 5
    """Noise maps, from the coarsest, that are searched for with the latents."""
    draws: int = 100_000
    """Latents whose moments are taken; a million in its code."""
    group: int = 16
    """Objects that are worked on together, always."""
    seed: int = 0
    """Seed of noise maps, starts and moments."""

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return asdict(self)


def pulse(
    generator: StyleGAN2,
    measured: torch.Tensor,
    degradation: Degradation,
    settings: PulseSettings | None = None,
    *,
    ids: torch.Tensor | None = None,
) -> Solutions:
    """Return what PULSE finds for some objects, by the same operator as all other methods.

    Rows v begin normal and keep their lengths; w = LReLU_0.2(v std + mean), with mean and std of LReLU_5(w) over many
    draws. The losses are 100 max(mean squared difference, least) + 0.05 x `geodesic_cross`. Its code leaves out noise
    at the finest layer of 1024 px, which is not done here.

    Parameters
    ----------
    generator, measured, degradation, ids
        As for `search`.
    settings
        All else.

    Raises
    ------
    ModelError
        The measurements are not of the generator's size over the factor.
    """
    chosen = settings or PulseSettings()
    mean, std = steep_moments(generator, count=chosen.draws, seed=chosen.seed)
    numbers = torch.arange(len(measured)) if ids is None else ids

    def solve(part: torch.Tensor, which: torch.Tensor) -> Solutions:
        return _Pulse(generator, part, degradation, chosen, which, mean, std).solve()

    return in_groups(solve, measured, numbers, generator, degradation, group=chosen.group)


class _Pulse:
    def __init__(
        self,
        generator: StyleGAN2,
        measured: torch.Tensor,
        degradation: Degradation,
        settings: PulseSettings,
        ids: torch.Tensor,
        mean: torch.Tensor,
        std: torch.Tensor,
    ) -> None:
        self.generator, self.measured, self.degradation, self.settings = generator, measured, degradation, settings
        self.ids, self.mean, self.std = ids, mean, std
        self.frozen = FrozenGenerator(generator)

    def solve(self) -> Solutions:
        settings, generator = self.settings, self.generator
        maps = noise_maps(generator, self.ids, seed=settings.seed)
        assert not isinstance(maps, str), "each object has its own"
        trained = min(settings.trained_maps, len(maps))
        self.fixed = list(maps[trained:])
        rows = [
            starts(self.ids, latent=len(self.mean), sample=row, seed=settings.seed, device=self.mean.device).to(
                self.mean.dtype
            )
            for row in range(generator.layers)
        ]
        start = [torch.stack(rows, dim=1), *maps[:trained]]
        lengths = [_lengths(value) for value in start]

        def after(variables: Sequence[torch.Tensor]) -> None:
            for value, length in zip(variables, lengths, strict=True):
                value.mul_(length / _lengths(value))

        found = descend(
            start,
            self.energy,
            steps=settings.steps,
            rates=[settings.rate] * len(start),
            after=after,
            energies="alike",
        )
        solution = solved(
            self.frozen,
            self.latents(found.variables[0]),
            self.frozen.lifted([*found.variables[1:], *self.fixed]),
            self.measured,
            self.degradation,
            gate=math.inf,
            losses=found.losses,
            terms=found.terms,
            steps=found.steps,
        )
        unmet = ~(found.terms["data"] <= settings.data * settings.least * (1 + _EXACT))
        return replace(solution, flagged=unmet)

    def latents(self, v: torch.Tensor) -> torch.Tensor:
        return functional.leaky_relu(v * self.std + self.mean, FLAT)

    def energy(self, variables: Sequence[torch.Tensor], step: int) -> Terms:  # noqa: ARG002  # the same at all steps
        settings, v = self.settings, variables[0]
        w = self.latents(v)
        maps = self.frozen.lifted([*variables[1:], *self.fixed])
        seen = self.degradation(unit(self.frozen.synthesis(w, maps)))
        squares = (seen - self.measured).square().mean(dim=(1, 2, 3))
        found = {"data": settings.data * squares.clamp(min=settings.least)}
        if settings.cross:
            found["cross"] = settings.cross * geodesic_cross(w if settings.crossed == "w" else v)
        return found


def geodesic_cross(x: torch.Tensor) -> torch.Tensor:
    """Return the mean of latent x angle^2 / 8 over all pairs of rows, a row with itself too, for (n, layers, latent).

    The angle of two rows a and b is 2 atan2(|a - b|, |a + b|), as in the code of PULSE.
    """
    one, other = x[:, :, None], x[:, None]
    apart, along = ((part.square().sum(dim=3) + TINY).sqrt() for part in (one - other, one + other))
    angle = 2 * torch.atan2(apart, along)
    return (x.shape[2] * angle.square()).mean(dim=(1, 2)) / 8


def steep_moments(generator: StyleGAN2, *, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of LReLU_5(w), entry by entry."""
    mean, variance = moments(functional.leaky_relu(part, STEEP) for part in draw(generator, count=count, seed=seed))
    return mean.to(generator.mean.dtype), variance.clamp(min=TINY).sqrt().to(generator.mean.dtype)


def _lengths(value: torch.Tensor) -> torch.Tensor:
    """Return the lengths that are kept: of the rows of latents, or of a whole noise map."""
    along = 2 if value.ndim == 3 else (1, 2, 3)
    return (value.square().sum(dim=along, keepdim=True) + TINY).sqrt()
