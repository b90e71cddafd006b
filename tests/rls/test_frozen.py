"""Frozen weights give the images, densities and gradients of the networks that they are of."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.errors import ModelError
from scalesr.rls.degradation import Degradation
from scalesr.rls.descent import descend
from scalesr.rls.frozen import FrozenGenerator, FrozenPrior
from scalesr.rls.generator import unit
from scalesr.rls.maps import noise_maps
from scalesr.rls.search import SearchSettings, search
from scalesr.rls.settings import GeneratorSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from scalesr.rls.generator import Noise, StyleGAN2
    from scalesr.rls.prior import Prior

COARSE = Degradation(factor=4)
SIZES = (
    GeneratorSettings(size=16, channels=2, latent=32, depth=2, widths=(8, 8, 8)),
    GeneratorSettings(size=64, channels=3, latent=16, depth=2, widths=(12, 8, 6, 4, 2)),
)


def latents(generator: StyleGAN2, count: int) -> torch.Tensor:
    drawn = torch.randn(count, generator.layers, generator.settings.latent, generator=torch.Generator().manual_seed(4))
    return drawn.to(generator.mean.dtype)


@pytest.mark.parametrize("settings", SIZES)
@pytest.mark.parametrize("noise", ["object", "fixed", "none"])
def test_images_and_gradients_are_those_of_the_generator(
    make: Callable[[GeneratorSettings], StyleGAN2], settings: GeneratorSettings, noise: str
) -> None:
    generator = make(settings).double()
    frozen = FrozenGenerator(generator)
    maps: Sequence[torch.Tensor] | Noise = noise_maps(generator, torch.arange(3), choice=noise)  # type: ignore[arg-type]
    w, other = (latents(generator, 3).requires_grad_() for _ in range(2))
    made_by = generator.synthesis(w, maps), frozen.synthesis(other, frozen.lifted(maps))
    torch.testing.assert_close(made_by[1], made_by[0], rtol=1e-10, atol=1e-12)
    slopes = [
        torch.autograd.grad(image.square().sum(), each)[0] for image, each in zip(made_by, (w, other), strict=True)
    ]
    assert float(slopes[0].abs().min()) > 0
    torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("settings", SIZES)
def test_gradients_of_noise_maps_are_those_of_the_generator(
    make: Callable[[GeneratorSettings], StyleGAN2], settings: GeneratorSettings
) -> None:
    generator = make(settings).double()
    frozen = FrozenGenerator(generator)
    drawn = noise_maps(generator, torch.arange(2))
    assert not isinstance(drawn, str)
    # The first map is the same for all objects.
    maps = [(each[:1] if place == 0 else each).clone().requires_grad_() for place, each in enumerate(drawn)]
    w = latents(generator, 2)
    wanted, found = (
        torch.autograd.grad(image.square().sum(), maps)
        for image in (generator.synthesis(w, maps), frozen.synthesis(w, frozen.lifted(maps)))
    )
    for one, other in zip(wanted, found, strict=True):
        assert float(one.abs().max()) > 0
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-9)


def test_densities_are_those_of_the_prior(prior: Prior) -> None:
    precise = copy.deepcopy(prior).double()
    frozen = FrozenPrior(precise)
    w = torch.randn(3, 6, 32, dtype=torch.float64, requires_grad=True)
    for wanted, found in zip(precise(w), frozen(w), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-10)
        slopes = [torch.autograd.grad(each.sum(), w, retain_graph=True)[0] for each in (wanted, found)]
        torch.testing.assert_close(slopes[1], slopes[0], rtol=1e-9, atol=1e-9)


def test_weights_that_change_later_change_nothing(generator: StyleGAN2, prior: Prior) -> None:
    own, known = copy.deepcopy(generator), copy.deepcopy(prior)
    frozen, density = FrozenGenerator(own), FrozenPrior(known)
    w = latents(own, 1)
    before = frozen.synthesis(w, frozen.lifted("none")), density(w)[1]
    with torch.no_grad():
        for value in (*own.parameters(), *own.buffers(), *known.parameters(), *known.buffers()):
            value.add_(0.5)
    assert torch.equal(frozen.synthesis(w, frozen.lifted("none")), before[0])
    assert torch.equal(density(w)[1], before[1])


def test_what_does_not_fit_is_refused(generator: StyleGAN2) -> None:
    frozen = FrozenGenerator(generator)
    with pytest.raises(ModelError, match="noise maps"):
        frozen.lifted([torch.zeros(1, 1, 4, 4)])
    with pytest.raises(ModelError, match="Latents of shape"):
        frozen.synthesis(torch.zeros(1, 2, 32), frozen.lifted("none"))


def test_a_search_finds_what_it_found_by_the_networks_themselves(generator: StyleGAN2, prior: Prior) -> None:
    """In float64, so that the course of the steps does not multiply rounding into something to be seen."""
    precise, known = copy.deepcopy(generator).double(), copy.deepcopy(prior).double()
    settings = SearchSettings(steps=30, group=3)
    w = latents(precise, 3)
    measured = COARSE(unit(precise.synthesis(w)))
    maps = noise_maps(precise, torch.arange(3))

    def energy(variables: Sequence[torch.Tensor], step: int) -> dict[str, torch.Tensor]:
        seen = COARSE(unit(precise.synthesis(variables[0], maps)))
        floor = COARSE.floor(measured)
        return settings.objective.terms(seen, measured, variables[0], floor=floor, prior=known)

    begin = known.mean.expand(3, precise.layers, -1)
    wanted = descend([begin], energy, steps=30, rates=[settings.rate])
    found = search(precise, known, measured, COARSE, settings)
    torch.testing.assert_close(found.latents, wanted.variables[0], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.losses, wanted.losses, atol=1e-8, rtol=0)
    assert torch.equal(found.steps, wanted.steps)


def test_mixed_arithmetic_ends_in_fp32_and_does_not_depend_on_the_batch(generator: StyleGAN2, prior: Prior) -> None:
    measured = COARSE(unit(generator.synthesis(latents(generator, 6))))
    settings = SearchSettings(steps=30, rate=0.05, group=4, maps="fixed", arithmetic="mixed")
    found = search(generator, prior, measured, COARSE, settings)
    assert found.images.dtype == torch.float32
    # What is met in bf16 does not count.
    assert int(found.steps.min()) >= 27
    alone = search(generator, prior, measured[5:], COARSE, settings, ids=torch.tensor([5]))
    assert torch.equal(alone.images[0], found.images[5])
    plain = search(generator, prior, measured, COARSE, replace(settings, arithmetic="fp32"))
    torch.testing.assert_close(found.losses, plain.losses, rtol=0.1, atol=0)
    assert not torch.equal(found.images, plain.images)
