"""Training a U-Net on fine objects and what is measured of them, as `scalesr.learning` teaches it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from scalesr.learning import Learner, Pace
from scalesr.models import determinism
from scalesr.models.network import torch_device
from scalesr.rls.augmentation import augmented
from scalesr.rls.baselines import cubic
from scalesr.rls.crops import Crops
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.ranges import percentiles_of
from scalesr.rls.teaching import check_limits
from scalesr.rls.unet import UNet, save_unet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scalesr.learning import Scores, Source
    from scalesr.learning.lesson import Part

STREAM = 1 << 32
"""Keeps the random numbers of validation apart from those of the steps."""
_MEASURING = 1
"""Keeps the noise of measurements apart from the choice of objects."""


@dataclass(frozen=True, kw_only=True)
class UNetTraining:
    """How a U-Net of objects is trained; all of it is our own choice.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    degradation: Degradation = field(default_factory=Degradation)
    """What makes its input: the operator of the search, and noise that is drawn anew each time."""
    size: int = 64
    """Edge of its images in pixels."""
    channels: int = 1
    """Channels of its images."""
    widths: tuple[int, ...] = (32, 64, 128)
    """Features on each level, from the finest."""
    loss: Literal["l1", "l2"] = "l1"
    """Absolute or squared differences from the truth."""
    batch: int = 16
    """Objects of a step."""
    rate: float = 5e-4
    """Highest rate of AdamW."""
    warm_up: int = 100
    """Steps over which it rises."""
    average: float = 0.999
    """Weight of the past in the moving average of the weights, which is what is kept."""
    augment: Literal["none", "flips"] = "flips"
    """Whether objects are mirrored at random along both axes."""
    judged: int = 256
    """Objects of a validation."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the network's arithmetic."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:1``."""
    seed: int = 0
    """Seed of the weights, and with the number of the step that of its chance."""

    def __post_init__(self) -> None:
        check_limits(
            self, batch=(1, inf), rate=(1e-12, inf), warm_up=(0, inf), average=(0, 1), judged=(2, inf), seed=(0, inf)
        )

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return {**asdict(self), "widths": list(self.widths), "degradation": self.degradation.to_json()}


class UNetLesson:
    """Fine objects of what is measured of them; see `scalesr.learning.Lesson`.

    Parameters
    ----------
    settings
        All that decides the outcome beside the images.
    sources, validation
        What to train on, and what to validate on.
    title
        One line on the network, put into its file.

    Raises
    ------
    InputError
        No image, or one that does not fit the network.
    PlanError
        Sizes that do not fit each other.
    ModelError
        The device is absent.
    """

    chief = "psnr"

    def __init__(
        self,
        settings: UNetTraining,
        sources: Sequence[Source],
        *,
        validation: Sequence[Source],
        title: str = "U-Net from coarse objects to fine ones",
    ) -> None:
        determinism.settle()
        self.settings, self.title = settings, title
        self.device = torch_device(settings.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = UNet(
                size=settings.size,
                factor=settings.degradation.factor,
                channels=settings.channels,
                widths=settings.widths,
            )
        pace = Pace(rate=settings.rate, warm_up=settings.warm_up, average=settings.average)
        self.learner = Learner(network, pace, device=self.device)
        self.crops = self._crops(sources)
        self.names = [source.identity for source in (*sources, *validation)]
        self.truth = unit(self._crops(validation).batch(STREAM, settings.judged))
        self.coarse = settings.degradation.measure(self.truth, np.random.default_rng((settings.seed, STREAM)))
        self.reference: Scores = {"psnr": self._psnr(cubic(self.coarse, settings.degradation.factor))}

    @property
    def identity(self) -> Mapping[str, Any]:
        """Settings and images."""
        return {"settings": self.settings.to_json(), "images": self.names}

    @property
    def parts(self) -> Mapping[str, Part]:
        """The network, its average and the optimiser."""
        return self.learner.parts

    @property
    def notes(self) -> Mapping[str, Any]:
        """What happened to the crops."""
        return self.crops.draws.to_json()

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting from these."""
        self.crops.take_notes(notes)

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Do a step; see `Lesson`."""
        settings = self.settings
        random = torch.Generator().manual_seed(hash((settings.seed, number)) % 2**63)
        crops = augmented(self.crops.batch(number, settings.batch), random, kind=settings.augment)
        truth = unit(crops)
        coarse = settings.degradation.measure(truth, np.random.default_rng((settings.seed, number, _MEASURING)))
        apart = self._restored(self.learner.network, coarse) - truth.to(self.device)
        loss = apart.abs().mean() if settings.loss == "l1" else apart.square().mean()
        return {"loss": loss.item()} if self.learner.descend(loss, step=number, share=share) else None

    def score(self) -> Scores:
        """Return the PSNR in dB of what is held out, for intensities of 0..1, over all pixels and channels."""
        with torch.inference_mode():
            parts = torch.split(self.coarse, self.settings.batch)
            found = torch.cat([self._restored(self.learner.average, part).cpu() for part in parts])
        return {"psnr": self._psnr(found)}

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the moving average of the network, with the range of what it was shown."""
        extra = {"step": step, "images": len(self.names), **scores}
        save_unet(
            self.learner.average,
            path,
            degradation=self.settings.degradation,
            percentiles=percentiles_of(self.coarse),
            title=self.title,
            extra=extra,
        )

    def _crops(self, sources: Sequence[Source]) -> Crops:
        settings = self.settings
        return Crops(sources, channels=settings.channels, edge=settings.size, seed=settings.seed)

    def _restored(self, network: UNet, coarse: torch.Tensor) -> torch.Tensor:
        with self.learner.casting(self.settings.precision):
            found: torch.Tensor = network(coarse.to(self.device))
        return found.float()

    def _psnr(self, found: torch.Tensor) -> float:
        error = float((found.double() - self.truth.double()).square().mean())
        return math.inf if error == 0 else -10 * math.log10(error)
