"""What the trainings on patches of 2-D images have in common: the network, its patches, and those it is judged by."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from scalesr.errors import ModelError
from scalesr.learning import Learner, Pace
from scalesr.models import determinism
from scalesr.models.network import torch_device
from scalesr.msdsr.network import Denoiser
from scalesr.msdsr.patches import Patches
from scalesr.msdsr.quality import psnr
from scalesr.msdsr.rows import guide, spaced_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.learning import Scores, Source
    from scalesr.learning.lesson import Part
    from scalesr.msdsr.settings import TrainingSettings

JUDGED, SPACING = 48, 4
"""Patches of a validation, and the spacing of their measured rows."""
STREAM = 1 << 32
"""Keeps the random numbers of validation apart from those of the steps."""


class Schooling:
    """A network with its optimiser, what it learns from, and patches with every fourth row measured to judge it by.

    Parameters
    ----------
    settings
        The network, and how it is trained.
    sources
        What to train on.
    validation
        What to validate on.
    begun
        A trained network to go on with; a new one when not given.

    Raises
    ------
    InputError
        No image, or one whose planes do not fit the network's channels.
    ModelError
        The device is absent, diffusers not installed, or the trained network is another than the settings say.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        sources: Sequence[Source],
        *,
        validation: Sequence[Source],
        begun: Denoiser | None = None,
    ) -> None:
        determinism.settle()
        self.device = torch_device(settings.device)
        if begun is not None and begun.settings != settings.network:
            raise ModelError(
                "The network to go on with is not the one that the settings describe.",
                remedy="Train with its own settings: `begun.settings`.",
            )
        self.begun = "nothing" if begun is None else _digest(begun)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = Denoiser(settings.network)
        if begun is not None:
            network.load_state_dict(begun.state_dict())
        pace = Pace(
            rate=settings.rate,
            warm_up=settings.warm_up,
            average=settings.average,
            clip=settings.clip,
            decay=settings.decay,
        )
        self.learner = Learner(network, pace, device=self.device)
        self.patches = _patches(settings, sources)
        self.names = [source.identity for source in (*sources, *validation)]
        pixels, _ = _patches(settings, validation).batch(STREAM, JUDGED)
        edge = settings.network.tile
        known = torch.from_numpy(spaced_rows(edge, Fraction(SPACING))).float().view(1, 1, -1, 1)
        self.judged = pixels.to(self.device), known.expand(JUDGED, 1, edge, edge).to(self.device)
        self.reference: Scores = {"psnr": psnr(guide(*self.judged), *self.judged)}

    @property
    def parts(self) -> Mapping[str, Part]:
        """The network, its average and the optimiser."""
        return self.learner.parts

    @property
    def notes(self) -> Mapping[str, Any]:
        """What happened to the patches."""
        return self.patches.draws.to_json()

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting from these."""
        self.patches.take_notes(notes)


def _digest(network: Denoiser) -> str:
    """Return a SHA-256 of the weights."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode())
        found.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def _patches(settings: TrainingSettings, sources: Sequence[Source]) -> Patches:
    return Patches(
        sources,
        channels=settings.network.channels,
        edge=settings.network.tile,
        seed=settings.seed,
        turns=settings.turns,
        measured=settings.measured,
        flat=settings.flat,
    )
