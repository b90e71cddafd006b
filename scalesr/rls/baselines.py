"""What regularised latent search is compared with, all by the same operator: one call for each method by its name."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, get_args

import torch

from scalesr.errors import ModelError
from scalesr.models.baselines import Interpolation
from scalesr.rls.brgm import BrgmSettings, brgm
from scalesr.rls.objective import Objective
from scalesr.rls.pulse import PulseSettings, pulse
from scalesr.rls.search import SearchSettings, search

if TYPE_CHECKING:
    from scalesr.rls.brgm import Perceptual
    from scalesr.rls.checkpoints import Pair
    from scalesr.rls.degradation import Degradation
    from scalesr.rls.search import Solutions

Method = Literal["rls", "without", "without-p_w", "without-p_cross", "pulse", "brgm"]
"""Searches by name: RLS, RLS without any of its regularisation, without the density and the ring, and without the
distance of rows, as in the paper's ablation; and what others published."""
METHODS: tuple[Method, ...] = get_args(Method)
"""All of them."""


def solve(
    method: Method,
    pair: Pair,
    measured: torch.Tensor,
    degradation: Degradation,
    *,
    settings: SearchSettings | None = None,
    perceptual: Perceptual | None = None,
    ids: torch.Tensor | None = None,
) -> Solutions:
    """Return what a method finds for some objects.

    Parameters
    ----------
    method
        Which.
    pair
        The generator, and the prior of its latents.
    measured, degradation, ids
        As for `scalesr.rls.search.search`.
    settings
        Of RLS; the others take seed, group and gate of it, and have steps and rates of their own.
    perceptual
        For BRGM, see there.

    Raises
    ------
    ModelError
        The measurements do not fit the generator, or a prior is needed and there is none; or there is no such method.
    """
    chosen = settings or SearchSettings()
    if method == "pulse":
        return pulse(
            pair.generator, measured, degradation, PulseSettings(group=chosen.group, seed=chosen.seed), ids=ids
        )
    if method == "brgm":
        own = BrgmSettings(group=chosen.group, seed=chosen.seed, gate=chosen.gate)
        return brgm(pair.generator, measured, degradation, own, perceptual=perceptual, ids=ids)
    objectives = {
        "rls": chosen.objective,
        "without": replace(Objective.data_alone(), data=chosen.objective.data),
        "without-p_w": replace(chosen.objective, density=0.0, ring=0.0),
        "without-p_cross": replace(chosen.objective, cross=0.0),
    }
    if method not in objectives:
        raise ModelError(f"There is no method '{method}'.", remedy=f"Use one of {', '.join(METHODS)}.")
    return search(
        pair.generator, pair.prior, measured, degradation, replace(chosen, objective=objectives[method]), ids=ids
    )


def cubic(measured: torch.Tensor, factor: int) -> torch.Tensor:
    """Return the cubic interpolation of objects, shape (n, channels, factor y, factor x), by the model ``cubic``."""
    kernel = Interpolation("cubic", axes="yx", scale=(Fraction(factor), Fraction(factor)))
    with torch.inference_mode():
        flat = measured.flatten(0, 1)[:, None]
        found = kernel(flat, torch.zeros(len(flat), 2, dtype=torch.int64))
        return found.view(*measured.shape[:2], *found.shape[2:])
