"""A generator that learns from an encoder first: it can make every object before a discriminator judges how it looks.

Adversaries need hundreds of thousands of images before what they make differs as much as what they are shown; a
variational autoencoder (Kingma & Welling 2014) needs a tenth. Our own choice, and no part of the published method:

1. For a share of the training the synthesis makes objects from the latents w that an encoder tells of them.
2. The mapping then learns to draw such w: the sliced Wasserstein distance (Bonneel et al. 2015) of what it makes from
   what the encoder tells of many objects is made small.
3. In the rest, against the discriminator, reproductions at half the resolution must stay near the objects, with the
   encoder as it is, so that no object is forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from scalesr.learning import Learner, Pace
from scalesr.rls.augmentation import augmented
from scalesr.rls.discriminator import levels
from scalesr.rls.layers import EqualConv, EqualLinear

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.settings import GeneratorSettings
    from scalesr.rls.teaching import GeneratorTraining

RATE, BETAS = 8e-3, (0.9, 0.99)
"""Highest rate of Adam while generator and encoder learn together, and its betas."""
WARM_UP = 600
"""Steps over which the weight of the divergence rises to one."""
NARROWEST, WIDEST = -8.0, 8.0
"""Logarithms of the variances that the encoder may tell."""
TOLD, SOME, LINES = 4096, 1024, 128
"""Objects whose latents the mapping is compared with, how many of them at a time, and along how many lines."""
MAPPED, MAPPING_RATE = 1500, 0.3
"""Steps in which the mapping learns to draw latents, and their highest rate: its weights count a hundredth."""


class Encoder(nn.Module):
    """Tells mean and logarithm of the variance of the latents of objects, each of shape (n, latent).

    Parameters
    ----------
    settings
        Sizes of the generator; it has as many features at each resolution.
    """

    def __init__(self, settings: GeneratorSettings) -> None:
        super().__init__()
        widths = settings.widths
        self.entry, self.levels = levels(settings)
        self.last = EqualConv(widths[0], widths[0], 3)
        self.head = EqualLinear(widths[0] * 16, 2 * settings.latent)

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both for images of shape (n, channels, size, size), intensities of -1..1."""
        mean, wide = self.head(self.last(self.levels(self.entry(images))).flatten(1)).float().chunk(2, dim=1)
        return mean, wide.clamp(NARROWEST, WIDEST)


def drawn(mean: torch.Tensor, wide: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Return latents from the normal distributions that an encoder tells."""
    chance = torch.randn(mean.shape, generator=random).to(mean.device)
    return mean + (wide / 2).exp() * chance


class Guidance:
    """The encoder, and what it has to do with the generator.

    Parameters
    ----------
    generator
        What is trained.
    settings
        How.
    device
        Where.
    """

    def __init__(self, generator: StyleGAN2, settings: GeneratorTraining, *, device: torch.device) -> None:
        self.settings, self.encoder = settings, Encoder(settings.network)
        self._generator = generator
        pair = nn.ModuleDict({"generator": generator, "encoder": self.encoder})
        self._pair = Learner(pair, Pace(rate=RATE, average=None, betas=BETAS), device=device)
        self.settled = False
        self.known = torch.zeros(0, settings.network.latent)
        """Latents that the encoder tells of objects, once it has learned; see `scalesr.rls.beginning`."""

    def state_dict(self) -> dict[str, Any]:
        """Return encoder and optimiser, and whether the mapping has learned; the generator is not among them."""
        return {
            "encoder": self.encoder.state_dict(),
            "optimiser": self._pair.optimiser.state_dict(),
            "settled": self.settled,
            "known": self.known,
        }

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Take a state over."""
        self.encoder.load_state_dict(state_dict["encoder"])
        self._pair.optimiser.load_state_dict(state_dict["optimiser"])
        self.settled = state_dict["settled"]
        self.known = state_dict["known"]

    def step(
        self, images: torch.Tensor, random: torch.Generator, *, number: int, share: float
    ) -> Mapping[str, float] | None:
        """Do a step of generator and encoder together; return the losses, None where they were not finite.

        Parameters
        ----------
        images
            Objects, of -1..1.
        random
            On the CPU.
        number
            Of the step.
        share
            How much of this part of the training is done.
        """
        settings = self.settings
        self._pair.network.requires_grad_(requires_grad=True)
        images = self._turned(images, random)
        with self._pair.casting(settings.precision):
            mean, wide = self.encoder(images)
            made = self._made(drawn(mean, wide, random), random)
        apart = (made - images).square().flatten(1).sum(dim=1).mean() / (2 * settings.reproduced**2)
        divergence = 0.5 * (mean.square() + wide.exp() - 1 - wide).sum(dim=1).mean()
        loss = (apart + min(1.0, number / WARM_UP) * divergence) / images[0].numel()
        if not self._pair.descend(loss, step=number, share=share):
            return None
        return {"reproduction": apart.item(), "divergence": divergence.item()}

    def settle(self, batch: Callable[[int], torch.Tensor], *, random: torch.Generator) -> None:
        """Teach the mapping to draw latents as the encoder tells them of objects.

        Parameters
        ----------
        batch
            Returns so many objects.
        random
            On the CPU.
        """
        size = 2 * self.settings.batch
        device = next(self.encoder.parameters()).device
        self._pair.network.requires_grad_(requires_grad=False)
        told, known = [], []
        for _ in range(-(-TOLD // size)):
            images = self._turned(batch(size).to(device), random)
            with self._pair.casting(self.settings.precision):
                mean, wide = self.encoder(images)
            told.append(drawn(mean, wide, random))
            known.append(mean.detach().cpu())
        latents = torch.cat(told)
        mapping = self._generator.mapping.requires_grad_(requires_grad=True)
        learner = Learner(mapping, Pace(rate=MAPPING_RATE, average=None, betas=BETAS, clip=float("inf")), device=device)
        for step in range(MAPPED):
            some = latents[torch.randint(len(latents), (SOME,), generator=random).to(device)]
            z = torch.randn(SOME, latents.shape[1], generator=random).to(device)
            lines = torch.randn(latents.shape[1], LINES, generator=random).to(device)
            lines = lines / lines.norm(dim=0)
            apart = (some @ lines).sort(dim=0).values - (mapping(z) @ lines).sort(dim=0).values
            learner.descend(apart.square().mean(), step=step, share=step / MAPPED)
        self.settled, self.known = True, torch.cat(known)

    def forgotten(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Return the mean squared difference of reproductions from objects, at half the resolution."""
        with self._pair.casting(self.settings.precision):
            with torch.no_grad():
                mean, wide = self.encoder(images)
                latents = drawn(mean, wide, random)
            made = self._made(latents, random)
        return functional.avg_pool2d(made - images, 2).square().mean()

    def _made(self, latents: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        noise = self._generator.drawn_noise(random, len(latents))
        return self._generator.synthesis(latents, noise).float()

    def _turned(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        return augmented(images, random, kind="none" if self.settings.augment == "none" else "flips")
