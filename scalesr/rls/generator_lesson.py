"""Training a generator on objects, as `scalesr.learning` teaches it."""

from __future__ import annotations

import math
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from scalesr.learning import Learner, Pace
from scalesr.models import determinism
from scalesr.models.network import torch_device
from scalesr.rls.augmentation import augmented
from scalesr.rls.checkpoints import MEAN_OF, save
from scalesr.rls.crops import Crops
from scalesr.rls.discriminator import Discriminator
from scalesr.rls.generator import StyleGAN2, unit
from scalesr.rls.grids import tiled, write_png
from scalesr.rls.guidance import Guidance
from scalesr.rls.likeness import distances, features_of
from scalesr.rls.prior import spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scalesr.learning import Scores, Source
    from scalesr.learning.lesson import Part
    from scalesr.rls.teaching import GeneratorTraining

STREAM = 1 << 32
"""Keeps the random numbers of validation apart from those of the steps."""
SHOWN, COLUMNS = 64, 8
"""Images of a grid."""
SETTLING = 2 * STREAM
"""Likewise those with which the mapping learns what latents are like."""
ANCHORED_EVERY = 2
"""Steps from one look at reproductions to the next."""
FORGOTTEN = 0.01
"""Share of the mean path length that each step replaces."""


class Remembered:
    """The mean of the path lengths so far, as a part of a checkpoint."""

    def __init__(self) -> None:
        self.length = torch.zeros(())

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        return {"length": self.length}

    def load_state_dict(self, state_dict: dict[str, Any], /) -> None:
        """Take a state over."""
        self.length = state_dict["length"]


class GeneratorLesson:
    """A generator and a discriminator against each other, by the losses of StyleGAN2.

    Non-saturating logistic losses; the penalty R1 on real images every so many steps, that of path lengths likewise;
    two styles in most images; and the moving average of the generator is what is kept. Which step is best is decided by
    the Frechet distance of the built-in features from what is held out.

    Parameters
    ----------
    settings
        All that decides the outcome beside the images.
    sources, validation
        What to train on, and what to compare with.
    grids
        Folder for a picture of images at each validation, the same latents each time; none makes none.
    title
        One line on the network, put into its file.

    Raises
    ------
    InputError
        No image, or one that does not fit the network.
    ModelError
        The device is absent.
    """

    chief = "frechet loss"

    def __init__(
        self,
        settings: GeneratorTraining,
        sources: Sequence[Source],
        *,
        validation: Sequence[Source],
        grids: Path | None = None,
        title: str = "StyleGAN2 generator of objects",
    ) -> None:
        determinism.settle()
        self.settings, self.title, self.grids = settings, title, grids
        self.device = torch_device(settings.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network, rival = StyleGAN2(settings.network), Discriminator(settings.network)
        self.learner = Learner(network, _pace(settings, settings.average, settings.path_every), device=self.device)
        self.rival = Learner(rival, _pace(settings, None, settings.r1_every), device=self.device)
        self.guidance = self._guidance() if settings.guided else None
        self.lengths = Remembered()
        self.crops, held = self._crops(sources), self._crops(validation)
        self.names = [source.identity for source in (*sources, *validation)]
        self.wanted = features_of(unit(held.batch(STREAM, settings.judged)))
        self.done = 0
        self.reference: Scores = {}

    @property
    def identity(self) -> Mapping[str, Any]:
        """Settings and images."""
        return {"settings": self.settings.to_json(), "images": self.names}

    @property
    def parts(self) -> Mapping[str, Part]:
        """Both networks, the generator's average, optimisers, the mean path length, and an encoder if there is one."""
        rival = {f"rival {name}": part for name, part in self.rival.parts.items()}
        guidance = {} if self.guidance is None else {"guidance": self.guidance}
        return {**self.learner.parts, **rival, "lengths": self.lengths, **guidance}

    @property
    def notes(self) -> Mapping[str, Any]:
        """What happened to the crops."""
        return self.crops.draws.to_json()

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting from these."""
        self.crops.take_notes(notes)

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Do a step of the discriminator, then one of the generator, and the penalties when it is their turn.

        While there is guidance it is a step of generator and encoder.
        """
        settings, self.done = self.settings, number + 1
        random = torch.Generator().manual_seed(hash((settings.seed, number)) % 2**63)
        if self.guidance is not None and not self.guidance.settled:
            if share < settings.guided:
                return self._guided(self.guidance, number, random, share=share / settings.guided)
            self._settle(self.guidance)
        real = self.crops.batch(number, settings.batch).to(self.device)
        losses: dict[str, float] = {}
        self._free(self.rival, self.learner)
        with torch.no_grad():
            made = self._made(random, settings.batch)
        told = [self._judged(images, random) for images in (made, real)]
        loss = functional.softplus(told[0]).mean() + functional.softplus(-told[1]).mean()
        if not self.rival.descend(loss, step=number, share=share):
            return None
        losses["discriminator"] = loss.item()
        if settings.r1 and number % settings.r1_every == 0:
            penalty = self._r1(real, random)
            if not self.rival.descend(settings.r1 / 2 * settings.r1_every * penalty, step=number, share=share):
                return None
            losses["r1"] = penalty.item()
        self._free(self.learner, self.rival)
        loss = functional.softplus(-self._judged(self._made(random, settings.batch), random)).mean()
        losses["generator"] = loss.item()
        if self.guidance is not None and number % ANCHORED_EVERY == 0:
            forgotten = self.guidance.forgotten(real, random)
            losses["forgotten"] = forgotten.item()
            loss = loss + settings.anchor * forgotten
        if not self.learner.descend(loss, step=number, share=share):
            return None
        if settings.path and number % settings.path_every == 0:
            penalty = self._path(random, max(1, settings.batch // 2))
            if not self.learner.descend(settings.path * settings.path_every * penalty, step=number, share=share):
                return None
            losses["path"] = penalty.item()
        return losses

    def score(self) -> Scores:
        """Return how far images of the moving average are from those held out; both are better lower."""
        average, settings = self.learner.average, self.settings
        random = torch.Generator().manual_seed(STREAM + settings.seed)
        z = torch.randn(settings.judged, settings.network.latent, generator=random)
        with torch.inference_mode():
            made = torch.cat([unit(average(part.to(self.device))).cpu() for part in torch.split(z, settings.batch)])
        if self.grids is not None:
            write_png(tiled(made[:SHOWN], columns=COLUMNS), self.grids / f"step-{self.done:07}.png")
        return distances(features_of(made), self.wanted)

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the moving average of the generator, with the mean of its latents."""
        average = self.learner.average
        with torch.no_grad():
            # The average follows the network's buffers, so that both have to know it.
            for network in (average, self.learner.network):
                network.mean.copy_(spread(average, count=MEAN_OF, seed=self.settings.seed)[0])
        if self.guidance is not None:
            average.known = self.guidance.known.to(average.mean.device)
        extra = {"step": step, "images": len(self.names), **scores}
        save(path, average, title=self.title, factor=self.settings.factor, extra=extra)

    def _crops(self, sources: Sequence[Source]) -> Crops:
        network = self.settings.network
        return Crops(sources, channels=network.channels, edge=network.size, seed=self.settings.seed)

    def _guidance(self) -> Guidance:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.settings.seed + 1)
            return Guidance(self.learner.network, self.settings, device=self.device)

    def _guided(
        self, guidance: Guidance, number: int, random: torch.Generator, *, share: float
    ) -> Mapping[str, float] | None:
        images = self.crops.batch(number, 2 * self.settings.batch).to(self.device)
        losses = guidance.step(images, random, number=number, share=share)
        self.learner.follow(number)
        return losses

    def _settle(self, guidance: Guidance) -> None:
        """Have the mapping learn what latents are like; what is kept begins at the network of now."""
        random = torch.Generator().manual_seed(SETTLING + self.settings.seed)
        numbers = count(SETTLING)
        guidance.settle(lambda size: self.crops.batch(next(numbers), size), random=random)
        self.learner.average.load_state_dict(self.learner.network.state_dict())

    @staticmethod
    def _free(one: Learner[Any], other: Learner[Any]) -> None:
        one.network.requires_grad_(requires_grad=True)
        other.network.requires_grad_(requires_grad=False)

    def _latents(self, random: torch.Generator, count: int) -> torch.Tensor:
        """Return w for all layers, in most steps of one z up to a layer and of another from there on."""
        network = self.learner.network
        z = torch.randn(2, count, self.settings.network.latent, generator=random).to(self.device)
        mixed = float(torch.rand((), generator=random)) < self.settings.mixing
        place = int(torch.randint(1, network.layers, (), generator=random))
        one: torch.Tensor = network.mapping(z[0])[:, None].expand(-1, network.layers, -1)
        if not mixed:
            return one
        other = network.mapping(z[1])[:, None].expand(-1, network.layers, -1)
        return torch.cat([one[:, :place], other[:, place:]], dim=1)

    def _made(self, random: torch.Generator, count: int) -> torch.Tensor:
        w, noise = self._latents(random, count), self.learner.network.drawn_noise(random, count)
        with self.learner.casting(self.settings.precision):
            return self.learner.network.synthesis(w, noise).float()

    def _judged(self, images: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        changed = augmented(images, random, kind=self.settings.augment)
        with self.rival.casting(self.settings.precision):
            told: torch.Tensor = self.rival.network(changed)
        return told.float()

    def _r1(self, real: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Return the mean squared gradient of the judgement of real images (Mescheder et al. 2018)."""
        images = augmented(real, random, kind=self.settings.augment).detach().requires_grad_()
        (slope,) = torch.autograd.grad(self.rival.network(images).sum(), images, create_graph=True)
        found: torch.Tensor = slope.square().sum(dim=(1, 2, 3)).mean()
        return found

    def _path(self, random: torch.Generator, count: int) -> torch.Tensor:
        """Return the mean squared deviation of path lengths from their mean so far (StyleGAN2, equation 4)."""
        network = self.learner.network
        w, noise = self._latents(random, count), self.learner.network.drawn_noise(random, count)
        if not w.requires_grad:
            w = w.detach().requires_grad_()
        images = network.synthesis(w, noise)
        chance = torch.randn(images.shape, generator=random).to(self.device) / math.sqrt(math.prod(images.shape[2:]))
        (slope,) = torch.autograd.grad((images * chance).sum(), w, create_graph=True)
        lengths = slope.square().sum(dim=2).mean(dim=1).sqrt()
        before = self.lengths.length.to(self.device)
        mean = before + FORGOTTEN * (lengths.detach().mean() - before)
        self.lengths.length = mean.cpu()
        found: torch.Tensor = (lengths - mean).square().mean()
        return found


def _pace(settings: GeneratorTraining, average: float | None, every: int) -> Pace:
    """Return a constant rate; with a penalty every so many steps, rate and betas are those of as many steps more."""
    share = every / (every + 1)
    return Pace(
        rate=settings.rate * share,
        warm_up=0,
        final=1.0,
        average=average,
        clip=math.inf,
        betas=(0.0, 0.99**share),
    )
