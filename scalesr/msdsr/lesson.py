"""Training the diffusion network on 2-D images alone, as `scalesr.learning` teaches it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from scalesr.msdsr.network import from_span, save_denoiser, to_span
from scalesr.msdsr.quality import psnr
from scalesr.msdsr.rows import guide
from scalesr.msdsr.schedule import signal_shares
from scalesr.msdsr.schooling import STREAM, Schooling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scalesr.learning import Scores, Source
    from scalesr.msdsr.network import Denoiser
    from scalesr.msdsr.settings import TrainingSettings

SAMPLING = 10
"""Steps in which patches are restored to be judged."""
_RANGE = (-1.0, 2.0)
"""Intensities beyond are no worse than these: a network that has learnt little yet can return any."""


class DiffusionLesson(Schooling):
    """Denoising of patches whose measured rows stand clean in the network's input.

    Parameters
    ----------
    settings
        All that decides the outcome beside the images.
    sources
        What to train on.
    validation
        What to validate on.
    title
        One line on the network, put into its file.
    begun
        A trained network to go on with, of the settings' kind; a new one when not given.

    Raises
    ------
    InputError
        No image, or one whose planes do not fit the network's channels.
    ModelError
        The device is absent, diffusers not installed, or the trained network is another than the settings say.
    """

    chief = "loss"

    def __init__(
        self,
        settings: TrainingSettings,
        sources: Sequence[Source],
        *,
        validation: Sequence[Source],
        title: str = "U-Net for masked diffusion of slices",
        begun: Denoiser | None = None,
    ) -> None:
        super().__init__(settings, sources, validation=validation, begun=begun)
        self.settings, self.title = settings, title
        self.shares = signal_shares().to(self.device, torch.float32)

    @property
    def identity(self) -> Mapping[str, Any]:
        """Settings and images, and what it began with."""
        return {"settings": self.settings.to_json(), "images": self.names, "begun": self.begun}

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Do a step; see `Lesson`."""
        settings = self.settings
        pixels, known = (part.to(self.device) for part in self.patches.batch(number, settings.batch))
        random = torch.Generator().manual_seed(hash((settings.seed, number)) % 2**63)
        steps = torch.randint(len(self.shares), (len(pixels),), generator=random)
        noise = torch.randn(pixels.shape, generator=random)
        loss = self._loss(self.learner.network, pixels, known, steps.to(self.device), noise.to(self.device))
        return {"loss": loss.item()} if self.learner.descend(loss, step=number, share=share) else None

    def score(self) -> Scores:
        """Return the loss at steps spread evenly over the schedule, and the PSNR in dB of patches restored in ten."""
        pixels, known = self.judged
        random = torch.Generator().manual_seed(STREAM)
        noise = torch.randn(pixels.shape, generator=random).to(self.device)
        last = len(self.shares) - 1
        steps = torch.linspace(0, last, len(pixels)).long().to(self.device)
        with torch.inference_mode():
            loss = self._loss(self.learner.average, pixels, known, steps, noise)
            restored = self._restored(noise)
        return {"loss": loss.item(), "psnr": psnr(restored.clamp(*_RANGE), pixels, known)}

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the moving average of the network."""
        extra = {"step": step, "images": len(self.names), **scores}
        save_denoiser(self.learner.average, path, title=self.title, extra=extra)

    def _loss(
        self, network: Denoiser, pixels: torch.Tensor, known: torch.Tensor, steps: torch.Tensor, noise: torch.Tensor
    ) -> torch.Tensor:
        settings = self.settings
        clean = to_span(pixels, settings.network.span)
        share = self.shares[steps].view(-1, 1, 1, 1)
        noisy = share.sqrt() * clean + (1 - share).sqrt() * noise
        target = (
            noise if settings.network.prediction == "epsilon" else share.sqrt() * noise - (1 - share).sqrt() * clean
        )
        # The paper's target on measured rows: nothing.
        target = torch.where(known > 0, torch.zeros_like(target), target)
        found = self._predicted(network, torch.where(known > 0, clean, noisy), steps, known, guide(clean, known))
        weight = torch.ones_like(known) if settings.weighting == "all" else 1 - known
        apart = (found - target).abs() if settings.loss == "l1" else (found - target).square()
        return (apart * weight).sum() / (weight.sum() * pixels.shape[1]).clamp(min=1)

    def _predicted(self, network: Denoiser, *given: torch.Tensor) -> torch.Tensor:
        with self.learner.casting(self.settings.precision):
            found: torch.Tensor = network(*given)
        return found.float()

    def _restored(self, noise: torch.Tensor) -> torch.Tensor:
        """Return the patches restored from noise by DDIM (Song et al. 2021) without noise in between."""
        pixels, known = self.judged
        network = self.settings.network
        clean = to_span(pixels, network.span)
        between, now = guide(clean, known), noise
        last = len(self.shares) - 1
        for at in torch.linspace(last, last // SAMPLING, SAMPLING).long().tolist():
            share = self.shares[at]
            earlier = self.shares[max(at - last // SAMPLING, 0)]
            now = torch.where(known > 0, clean, now)
            steps = torch.full((len(now),), at, device=self.device)
            found = self._predicted(self.learner.average, now, steps, known, between)
            if network.prediction == "epsilon":
                image, wave = (now - (1 - share).sqrt() * found) / share.sqrt(), found
            else:
                image = share.sqrt() * now - (1 - share).sqrt() * found
                wave = share.sqrt() * found + (1 - share).sqrt() * now
            now = earlier.sqrt() * image + (1 - earlier).sqrt() * wave
        return from_span(now, network.span)
