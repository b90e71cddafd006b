"""What a generator is trained to make small: the losses, weighted, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from scalesr.hyres.adversarial import generator_loss
from scalesr.hyres.frc_loss import FRCLoss
from scalesr.hyres.perceptual import PerceptualLoss

if TYPE_CHECKING:
    from torch import nn

    from scalesr.hyres.patches import Pairs
    from scalesr.hyres.settings import TrainingSettings

COARSEST = 0.25
"""Share of Nyquist up to which the FRC loss looks at first: that of the measurement at a scale of 4."""


class Objective:
    """The sum of the pixels' loss and those that the settings give a weight.

    The paper (arXiv 2503.02908) names a GAN with a Fourier ring correlation loss and gives no weights; ours are those
    of the settings. The highest frequency of the FRC loss rises from a quarter of Nyquist to Nyquist over the first
    half of the training, so that coarse structures are in place before finer ones count. The adversarial loss sets in
    later still, since until then any discriminator wins.
    """

    def __init__(self, settings: TrainingSettings, device: torch.device) -> None:
        self._settings = settings
        self._frc = FRCLoss().to(device)
        self._perceptual: PerceptualLoss | None = None
        if settings.perceptual and settings.perceptual_weights is not None:
            self._perceptual = PerceptualLoss(Path(settings.perceptual_weights)).to(device)

    def terms(
        self, out: torch.Tensor, pairs: Pairs, *, progress: float, discriminator: nn.Module | None
    ) -> dict[str, torch.Tensor]:
        """Return the losses as weighted, by name; their sum is what counts.

        Parameters
        ----------
        out
            Output of the generator, shape (n, 1, y, x). Where the truth is missing it is taken for right.
        pairs
            Truth and what is known of it.
        progress
            Share of the training that is done.
        discriminator
            What to deceive; its own parameters must not ask for gradients.
        """
        settings = self._settings
        found = {"pixel": self.pixel(out, pairs)}
        seen = torch.where(pairs.known > 0, out, pairs.high)
        if settings.frc:
            limit = COARSEST + (1 - COARSEST) * min(1.0, 2 * progress)
            found["frc"] = settings.frc * self._frc(seen, pairs.high, limit=limit)
        if self._perceptual is not None:
            found["perceptual"] = settings.perceptual * self._perceptual(seen, pairs.high)
        if discriminator is not None:
            found["adversarial"] = settings.adversarial * generator_loss(discriminator(seen))
        return found

    def pixel(self, out: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        """Return the mean over the known pixels of how far the output is from the truth."""
        distance = out - pairs.high
        match self._settings.pixel:
            case "l1":
                each = distance.abs()
            case "l2":
                each = distance.square()
            case "charbonnier":
                rounding = self._settings.rounding
                each = torch.sqrt(distance.square() + rounding**2) - rounding
        return (each * pairs.known).sum() / pairs.known.sum().clamp(min=1.0)
