"""Where a search begins when a generator knows latents of real objects: at what a measurement says of the latent.

A gradient moves latents only where the measurement looks, and leaves the rest as it was at the begin. From the mean
latent that rest is that of the mean object; from the latent that objects of such measurements have on average, it is
theirs. Our own choice, and no part of the published method: ridge regression of latents on a measurement and its
products, fitted to what the operator of the search sees of the images of known latents, so that it fits any operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch.nn import functional

from scalesr.errors import ModelError
from scalesr.rls.frozen import FrozenGenerator
from scalesr.rls.generator import unit

if TYPE_CHECKING:
    from scalesr.rls.degradation import Degradation
    from scalesr.rls.generator import StyleGAN2

EDGE = 4
"""Measurements of more pixels along an edge are averaged to so many: products of pixels grow with the fourth power."""
PENALTIES = (0.1, 1.0, 10.0, 100.0, 1000.0)
"""Weights of squared coefficients, of which that is taken which tells those best that were held back."""
HELD = 8
"""One of so many known latents is held back for it."""
_PART = 16
_LEAST = 1e-6
_FITTED: WeakKeyDictionary[StyleGAN2, dict[Degradation, Beginning]] = WeakKeyDictionary()


class Beginning:
    """Tells latents of measurements.

    Parameters
    ----------
    generator
        Knows latents (`StyleGAN2.known`).
    degradation
        What a measurement sees of an image, and its noise.
    seed
        Of the noise of maps and measurements.

    Raises
    ------
    ModelError
        The generator knows no latents.
    """

    def __init__(self, generator: StyleGAN2, degradation: Degradation, *, seed: int = 0) -> None:
        if len(generator.known) < 2 * HELD:
            raise ModelError(
                "The generator knows no latents of real objects, from which a search could begin.",
                remedy="Train it with --guided, or begin at its mean latent: around=mean.",
            )
        chance, random = torch.Generator().manual_seed(seed), np.random.default_rng(seed)
        seen, frozen = [], FrozenGenerator(generator)
        with torch.inference_mode():
            for part in torch.split(generator.known, _PART):
                rows = part[:, None].expand(-1, generator.layers, -1)
                images = unit(frozen.synthesis(rows, frozen.lifted(generator.drawn_noise(chance, len(part)))))
                seen.append(degradation.measure(images, random))
        measured = _small(torch.cat(seen))
        latents = generator.known.detach().cpu().double()
        self._mean, self._wide = measured.mean(dim=0), measured.std(dim=0).clamp(min=_LEAST)
        # Products of what lies far beyond all that was seen, such as noise that nobody declared, tell nonsense.
        self._seen = measured.amin(dim=0), measured.amax(dim=0)
        self._known = latents.amin(dim=0), latents.amax(dim=0)
        told = self._told(measured)
        # Every so many, wherever they come from.
        held = torch.arange(len(told)) % HELD == 0
        _, self._weights = min(
            (_fitted(told, latents, held, penalty) for penalty in PENALTIES), key=lambda found: found[0]
        )

    def __call__(self, measured: torch.Tensor) -> torch.Tensor:
        """Return latents, shape (n, latent), of measurements, within the range of those that are known."""
        found = (self._told(_small(measured.detach().cpu())) @ self._weights).clamp(*self._known)
        return found.to(measured.device, measured.dtype)

    def _told(self, small: torch.Tensor) -> torch.Tensor:
        """Return one, each pixel, and each product of two."""
        plain = (small.clamp(*self._seen) - self._mean) / self._wide
        one, other = torch.triu_indices(plain.shape[1], plain.shape[1])
        return torch.cat([torch.ones(len(plain), 1, dtype=plain.dtype), plain, plain[:, one] * plain[:, other]], dim=1)


def begin_at(generator: StyleGAN2, degradation: Degradation, measured: torch.Tensor) -> torch.Tensor:
    """Return the latents that measurements tell; what that takes is kept as long as the generator is.

    Raises
    ------
    ModelError
        The generator knows no latents.
    """
    kept = _FITTED.setdefault(generator, {})
    if degradation not in kept:
        kept[degradation] = Beginning(generator, degradation)
    return kept[degradation](measured)


def _small(measured: torch.Tensor) -> torch.Tensor:
    if max(measured.shape[2:]) > EDGE:
        measured = functional.adaptive_avg_pool2d(measured, EDGE)
    return measured.flatten(1).double()


def _fitted(
    told: torch.Tensor, latents: torch.Tensor, held: torch.Tensor, penalty: float
) -> tuple[float, torch.Tensor]:
    known, wanted = told[~held], latents[~held]
    square = known.t() @ known + penalty * torch.eye(known.shape[1], dtype=known.dtype)
    weights = torch.linalg.solve(square, known.t() @ wanted)
    apart = (told[held] @ weights - latents[held]).square().mean() / latents[held].var(dim=0).mean()
    return float(apart), weights
