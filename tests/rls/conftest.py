"""A generator and a prior that take no time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.rls.flow import MAF
from scalesr.rls.generator import StyleGAN2
from scalesr.rls.prior import Prior, draw, spread
from scalesr.rls.settings import FlowSettings, GeneratorSettings

if TYPE_CHECKING:
    from collections.abc import Callable

TINY = GeneratorSettings(size=16, channels=2, latent=32, depth=2, widths=(8, 8, 8))


def made(settings: GeneratorSettings = TINY, *, seed: int = 0) -> StyleGAN2:
    """Return an untrained generator whose noise and biases count."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        generator = StyleGAN2(settings)
        with torch.no_grad():
            for name, value in generator.named_parameters():
                if name.endswith(("strength", "bias")) and "style" not in name:
                    value.add_(0.1 * torch.randn_like(value))
    generator.mean.copy_(spread(generator, count=2000)[0])
    return generator.eval().requires_grad_(requires_grad=False)


def fitted(generator: StyleGAN2, *, hidden: int = 24) -> Prior:
    """Return a prior whose normalisations know the latents of a generator; its networks are untrained."""
    latent = generator.settings.latent
    mean, std = spread(generator, count=2000)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        prior = Prior(MAF(FlowSettings(latent=latent, blocks=2, hidden=hidden)), mean, std)
        with torch.no_grad():
            for value in prior.parameters():
                value.mul_(0.3)
    prior.flow.settle(lambda: map(prior.standardised, draw(generator, count=2000, seed=1)))
    return prior.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="session")
def generator() -> StyleGAN2:
    return made()


@pytest.fixture(scope="session")
def prior(generator: StyleGAN2) -> Prior:
    return fitted(generator)


@pytest.fixture(scope="session")
def make() -> Callable[[GeneratorSettings], StyleGAN2]:
    return made
