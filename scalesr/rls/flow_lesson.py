"""Training the flow on the standardised latents of a generator, as `scalesr.learning` teaches it."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import torch

from scalesr.learning import Learner, Pace
from scalesr.models import determinism
from scalesr.models.network import torch_device
from scalesr.rls.checkpoints import FACTOR, save
from scalesr.rls.degradation import Degradation
from scalesr.rls.flow import MAF
from scalesr.rls.norms import draw_norms, squared_norms
from scalesr.rls.prior import Prior, draw, spread
from scalesr.rls.ranges import MANY, measured_range
from scalesr.rls.settings import FlowSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from scalesr.learning import Scores
    from scalesr.learning.lesson import Part
    from scalesr.models import Percentiles
    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.teaching import FlowTraining

SETTLED, JUDGED, STEPS = 1, 2, 3
"""Streams of latents: those of the moments, of validation, and from here on those of the steps."""


class FlowLesson:
    """The negative log-density of latents, which are drawn anew for each step.

    While it learns the flow normalises each batch by itself; before it is scored or kept, the moments of the moving
    average are set to those of a whole set.

    Parameters
    ----------
    settings
        All that decides the outcome beside the generator.
    generator
        Whose latents are learned; it is written into the file with the flow.
    factor
        What is written into the file, see `scalesr.rls.checkpoints.save`.
    title
        One line on the two, put into the file.
    figure
        Picture of the norms of latents, drawn whenever the flow is kept; none draws none, and neither does a machine
        without matplotlib.

    Raises
    ------
    ModelError
        The device is absent.
    """

    chief = "loss"

    def __init__(
        self,
        settings: FlowTraining,
        generator: StyleGAN2,
        *,
        factor: int = FACTOR,
        title: str = "StyleGAN2 generator with a flow of its latents, for regularised latent search",
        figure: Path | None = None,
    ) -> None:
        determinism.settle()
        self.settings, self.title, self.factor, self.figure = settings, title, factor, figure
        self.percentiles: Percentiles | None = None
        device = torch_device(settings.device)
        self.generator = generator.eval().requires_grad_(requires_grad=False).to(device)
        self.mean, self.std = spread(self.generator, count=settings.settled, seed=settings.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            flow = MAF(FlowSettings(latent=generator.settings.latent, blocks=settings.blocks, hidden=settings.hidden))
        pace = Pace(rate=settings.rate, average=settings.average, clip=settings.clip, decay=settings.decay)
        self.learner = Learner(flow, pace, device=device)
        latent = generator.settings.latent
        squares = torch.cat([part.square().mean(dim=1) for part in self._latents(JUDGED, settings.judged)]).mean()
        norm = self._norm(self._latents(JUDGED, settings.judged), latent)
        # A normal density of each entry by itself, which is what PULSE and BRGM take for granted.
        self.reference: Scores = {"loss": 0.5 * (float(squares) + math.log(2 * math.pi)), "norm": norm}

    @property
    def identity(self) -> Mapping[str, Any]:
        """Settings, and the weights of the generator."""
        digest = hashlib.sha256()
        for value in self.generator.mapping.state_dict().values():
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        return {"settings": self.settings.to_json(), "weights": [f"mapping {digest.hexdigest()}"]}

    @property
    def parts(self) -> Mapping[str, Part]:
        """The flow, its average and the optimiser."""
        return self.learner.parts

    @property
    def notes(self) -> Mapping[str, Any]:
        """None."""
        return {}

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on from none."""

    @property
    def prior(self) -> Prior:
        """The moving average as a prior, its moments those of the last validation."""
        return Prior(self.learner.average, self.mean, self.std).eval()

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Do a step; see `Lesson`."""
        latents = next(self._latents(STEPS + number, self.settings.batch))
        loss = -self.learner.network.log_prob(latents).mean() / latents.shape[1]
        return {"loss": loss.item()} if self.learner.descend(loss, step=number, share=share) else None

    def score(self) -> Scores:
        """Return the loss in nats for each entry, and how far norms of u are from those of normal numbers."""
        average = self.learner.average
        average.settle(lambda: self._latents(SETTLED, self.settings.settled))
        latent = self.generator.settings.latent
        losses, images = [], []
        with torch.inference_mode():
            for part in self._latents(JUDGED, self.settings.judged):
                u, _ = average(part)
                losses.append(-average.log_prob(part) / latent)
                images.append(u)
        return {"loss": float(torch.cat(losses).double().mean()), "norm": self._norm(iter(images), latent)}

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the generator with the prior, and the paper's figure 1 of them."""
        if self.figure is not None:
            draw_norms(squared_norms(self.generator, self.prior, seed=self.settings.seed + 1), self.figure)
        if self.percentiles is None:
            self.percentiles = measured_range(self.generator, Degradation(factor=self.factor), images=MANY)
        save(
            path,
            self.generator,
            self.prior,
            title=self.title,
            factor=self.factor,
            percentiles=self.percentiles,
            extra={"flow.step": step, **scores},
        )

    def _latents(self, stream: int, count: int) -> Iterator[torch.Tensor]:
        for w in draw(self.generator, count=count, seed=self.settings.seed, stream=stream):
            yield (w - self.mean) / self.std

    @staticmethod
    def _norm(parts: Iterator[torch.Tensor], latent: int) -> float:
        """Return the mean of (|u| - sqrt(latent))^2, which is 0.5 for normal numbers: the ring of the objective."""
        norms = torch.cat([part.norm(dim=1) for part in parts]).double()
        return float((norms - math.sqrt(latent)).square().mean())
