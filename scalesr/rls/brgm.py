"""BRGM (Marinescu et al. 2020), written anew from its formulas: the most likely latents under a normal prior of w."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import torch

from scalesr.rls.descent import descend
from scalesr.rls.frozen import FrozenGenerator
from scalesr.rls.generator import unit
from scalesr.rls.layers import TINY
from scalesr.rls.maps import noise_maps
from scalesr.rls.prior import spread
from scalesr.rls.search import Solutions, in_groups, solved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.degradation import Degradation
    from scalesr.rls.descent import Terms
    from scalesr.rls.generator import StyleGAN2

Perceptual = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Mean squared distances of features, shape (n,), of two batches of images in 0..1, the degraded and the measured."""
GREY = 255.0
"""Intensities of its code for 1 here."""
WITHOUT = "BRGM without its perceptual term, for which no weights of VGG16 were given"
"""What its solutions say then."""
COARSE = 16
"""Factor above which its code weighs the cosines ten times as much."""


@dataclass(frozen=True, kw_only=True)
class BrgmSettings:
    """How BRGM searches; the defaults are those of its code."""

    steps: int = 501
    """Steps of Adam."""
    rate: float = 0.1
    """Its rate, constant."""
    data: float = 1e-3
    """Weight of the mean squared difference from the measurement, in grey levels of 0..255."""
    perceptual: float = 1e7
    """Weight of the distance of features, where a function for it is given."""
    prior: float = 100.0
    """Weight of the mean of ((w - mean) / std)^2, with one std for all entries."""
    cosine: float | None = None
    """Weight of the sum of 1 - cosine over all pairs of rows; None: 0.1, and 1 for factors above 16."""
    draws: int = 10_000
    """Latents whose moments are taken."""
    gate: float = 0.05
    """Mean absolute difference beyond which a solution is flagged, as in `SearchSettings`."""
    group: int = 16
    """Objects that are worked on together, always."""
    seed: int = 0
    """Seed of noise maps and moments."""

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return asdict(self)


def brgm(
    generator: StyleGAN2,
    measured: torch.Tensor,
    degradation: Degradation,
    settings: BrgmSettings | None = None,
    *,
    perceptual: Perceptual | None = None,
    ids: torch.Tensor | None = None,
) -> Solutions:
    """Return what BRGM finds for some objects, by the same operator as all other methods.

    In its code, and in the comparison of the RLS paper, the operator is cubic without a filter against aliases, on
    measurements that were made with one; by a matched operator the comparison is fairer. Its code takes the cosines of
    the first image of a batch alone; here each object has its own.

    Parameters
    ----------
    generator, measured, degradation, ids
        As for `search`.
    settings
        All else.
    perceptual
        Distance of features, such as `scalesr.rls.PerceptualDistance`; without it the term is left out, which the
        solutions say in their notes.

    Raises
    ------
    ModelError
        The measurements are not of the generator's size over the factor.
    """
    chosen = settings or BrgmSettings()
    mean, std = (part.to(generator.mean.dtype) for part in spread(generator, count=chosen.draws, seed=chosen.seed))
    # One number for all entries: the root of the summed variances, as in its code.
    scale = std.square().sum().sqrt().clamp(min=math.sqrt(TINY))
    cosine = (1.0 if degradation.factor > COARSE else 0.1) if chosen.cosine is None else chosen.cosine
    numbers = torch.arange(len(measured)) if ids is None else ids
    frozen = FrozenGenerator(generator)

    def solve(part: torch.Tensor, which: torch.Tensor) -> Solutions:
        maps = frozen.lifted(noise_maps(generator, which, seed=chosen.seed))

        def energy(variables: Sequence[torch.Tensor], step: int) -> Terms:  # noqa: ARG001  # the same at all steps
            w = variables[0]
            seen = degradation(unit(frozen.synthesis(w, maps)))
            found = {
                "data": chosen.data * GREY**2 * (seen - part).square().mean(dim=(1, 2, 3)),
                "prior": chosen.prior * ((w - mean) / scale).square().mean(dim=(1, 2)),
                "cosine": cosine * cosines(w),
            }
            if perceptual is not None:
                found["perceptual"] = chosen.perceptual * perceptual(seen, part)
            return found

        start = mean.expand(len(part), generator.layers, -1)
        came = descend([start], energy, steps=chosen.steps, rates=[chosen.rate], schedule="constant", energies="alike")
        return solved(
            frozen,
            came.variables[0],
            maps,
            part,
            degradation,
            gate=chosen.gate,
            losses=came.losses,
            terms=came.terms,
            steps=came.steps,
        )

    found = in_groups(solve, measured, numbers, generator, degradation, group=chosen.group)
    return found if perceptual is not None else replace(found, notes=(WITHOUT,))


def cosines(w: torch.Tensor) -> torch.Tensor:
    """Return the sum of |1 - cosine| over all ordered pairs of rows, shape (n,), for (n, layers, latent)."""
    turned = w / (w.square().sum(dim=2, keepdim=True) + TINY).sqrt()
    return (1 - turned @ turned.transpose(1, 2)).abs().sum(dim=(1, 2))
