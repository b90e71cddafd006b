"""Training the networks that restore slices in one pass, on the images and patches of the diffusion network."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scalesr.errors import PlanError
from scalesr.msdsr.degrading import Degradation
from scalesr.msdsr.quality import psnr
from scalesr.msdsr.rows import guide
from scalesr.msdsr.schooling import Schooling
from scalesr.msdsr.settings import TrainingSettings
from scalesr.msdsr.slice_net import CONDITIONING, restore, save_slice_net

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scalesr.learning import Scores, Source
    from scalesr.msdsr.network import Denoiser
    from scalesr.msdsr.slice_net import Kind

_DEGRADING = 1
"""Keeps the random numbers of the degradation apart from those of the patches."""


@dataclass(frozen=True, kw_only=True)
class SliceSettings:
    """All that decides what such a network becomes, beside the images.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    kind: Kind
    """Which network."""
    training: TrainingSettings = field(default_factory=lambda: TrainingSettings(loss="l1"))
    """What diffusion is trained with. The network's `conditioning` follows from the kind, its `prediction` has no
    meaning, and ``care`` counts all pixels."""
    degradation: Degradation = field(default_factory=Degradation)
    """How ``care`` makes its input."""

    def __post_init__(self) -> None:
        if self.kind == "e2e" and self.degradation != Degradation():
            raise PlanError(
                "A network of the kind e2e is trained on rows as they are.", remedy="Leave out blur, noise and spacing."
            )
        network = replace(self.training.network, conditioning=CONDITIONING[self.kind])
        object.__setattr__(self, "training", replace(self.training, network=network))

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return {
            "kind": self.kind,
            "training": self.training.to_json(),
            "degradation": self.degradation.to_json(),
        }


class SliceLesson(Schooling):
    """Restoration of slices in one pass; see `scalesr.learning.Lesson`.

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

    Raises
    ------
    InputError
        No image, or one whose planes do not fit the network's channels.
    ModelError
        The device is absent, or diffusers not installed.
    """

    chief = "psnr"

    def __init__(
        self,
        settings: SliceSettings,
        sources: Sequence[Source],
        *,
        validation: Sequence[Source],
        title: str = "U-Net for slices in one pass",
    ) -> None:
        super().__init__(settings.training, sources, validation=validation)
        self.settings, self.title = settings, title

    @property
    def identity(self) -> Mapping[str, Any]:
        """Settings and images."""
        return {"settings": self.settings.to_json(), "images": self.names}

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Do a step; see `Lesson`."""
        pixels, known = self.patches.batch(number, self.settings.training.batch)
        loss = self._loss(pixels, known, number)
        return {"loss": loss.item()} if self.learner.descend(loss, step=number, share=share) else None

    def score(self) -> Scores:
        """Return the PSNR in dB at rows that were not measured, of patches that measure every fourth row.

        The rows are measured as they are, without the blur and noise that ``care`` may be trained on, so that both
        kinds and the diffusion network are judged by the same.
        """
        pixels, known = self.judged
        with torch.inference_mode():
            found = self._restored(self.learner.average, guide(pixels, known), known)
        return {"psnr": psnr(found, pixels, known)}

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the moving average of the network."""
        extra = {
            "step": step,
            "images": len(self.names),
            "degradation": self.settings.degradation.to_json(),
            **scores,
        }
        save_slice_net(self.learner.average, path, kind=self.settings.kind, title=self.title, extra=extra)

    def _loss(self, pixels: torch.Tensor, known: torch.Tensor, number: int) -> torch.Tensor:
        given = self.settings.training
        if self.settings.kind == "care":
            random = np.random.default_rng((given.seed, number, _DEGRADING))
            between, weight = self.settings.degradation(pixels, random), torch.ones_like(known)
        else:
            between, weight = guide(pixels, known), 1 - known
        apart = self._restored(self.learner.network, between, known) - pixels.to(self.device)
        apart = apart.abs() if given.loss == "l1" else apart.square()
        weight = weight.to(self.device)
        return (apart * weight).sum() / (weight.sum() * pixels.shape[1]).clamp(min=1)

    def _restored(self, network: Denoiser, between: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        with self.learner.casting(self.settings.training.precision):
            return restore(network, between.to(self.device), known.to(self.device))
