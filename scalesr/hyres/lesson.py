"""What a generator is taught: pairs of a truth and its measurement, losses, and a discriminator if one is asked for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from scalesr.errors import ModelError
from scalesr.hyres.adversarial import discriminator_loss
from scalesr.hyres.discriminator import UNetDiscriminator
from scalesr.hyres.family import InstrumentFamily
from scalesr.hyres.flux import conserve_flux
from scalesr.hyres.generator import save_generator
from scalesr.hyres.objective import Objective
from scalesr.hyres.patches import Draws, Patches
from scalesr.hyres.start import start_as_linear
from scalesr.hyres.tuning import sizes_of
from scalesr.hyres.validation import Validation
from scalesr.learning import Learner, Pace, judges
from scalesr.models import checkpoint, determinism
from scalesr.models.network import torch_device
from scalesr.models.rrdb import RRDBNet

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from scalesr.hyres.patches import Pairs
    from scalesr.hyres.settings import TrainingSettings
    from scalesr.learning import Scores, Source
    from scalesr.learning.lesson import Part


class GeneratorLesson:
    """Patches of finely measured images, and what the instrument makes of them, to be undone.

    A step whose loss or gradient is not finite changes nothing.

    Parameters
    ----------
    settings
        All that decides the outcome beside the images.
    sources
        What to train on.
    validation
        What to validate on. Without it a strip of each source is held out, see `scalesr.learning.judges`.
    start
        A generator to go on from, which is changed; without one a new one begins as linear interpolation.
    title
        One line on the network, put into its file.

    Raises
    ------
    InputError
        No image, or none that patches or tiles can be cut from.
    PlanError
        The instrument cannot be used.
    ModelError
        The device is absent, or `start` has other sizes than the settings.
    """

    chief = "psnr"

    def __init__(
        self,
        settings: TrainingSettings,
        sources: Sequence[Source],
        *,
        validation: Sequence[Source] | None = None,
        start: RRDBNet | None = None,
        title: str | None = None,
    ) -> None:
        determinism.settle()
        self.settings, self.device = settings, torch_device(settings.device)
        self.title = (
            title or f"RRDB network, {settings.scale}x in y and x, each band alone, trained for spectral images"
        )
        family = InstrumentFamily.read(settings.instrument, factor=settings.scale, vary=settings.vary)
        used, judging, self.judged = judges(sources, validation)
        self.patches = Patches(
            used,
            family,
            edge=settings.patch,
            batch=settings.batch,
            seed=settings.seed,
            augmentation=settings.augment,
        )
        self.identity: dict[str, Any] = {
            "settings": settings.to_json(),
            "physics": str(family),
            "images": [source.identity for source in (*used, *judging)],
            "weights": _weights(settings, start),
            "judged": self.judged,
        }
        network, rival = _networks(settings, start)
        self.learner = Learner(network, _pace(settings, average=settings.average), device=self.device)
        self.rival = None if rival is None else Learner(rival, _pace(settings, average=None), device=self.device)
        self.objective = Objective(settings, self.device)
        self.validation = Validation(judging, family.centres, seed=settings.seed)

    @property
    def parts(self) -> Mapping[str, Part]:
        """The generator, its average and the optimiser, and those of the discriminator, if there is one."""
        rival = {} if self.rival is None else self.rival.parts
        return {**self.learner.parts, **{f"rival {name}": part for name, part in rival.items()}}

    @property
    def notes(self) -> Mapping[str, Any]:
        """What happened to the patches, see `Draws`."""
        return self.patches.draws.to_json()

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting from these."""
        self.patches.draws = Draws(**notes)

    @property
    def reference(self) -> Scores:
        """Scores of cubic interpolation."""
        return self.validation.cubic

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Do a step of the generator, then one of the discriminator on the same images; see `Lesson`."""
        settings = self.settings
        pairs = self.patches.batch(number).to(self.device)
        rival = self.rival if share >= settings.adversarial_from else None
        with self.learner.casting(settings.precision):
            out = self.learner.network(pairs.low.contiguous(memory_format=torch.channels_last))
        raw = out.float()
        out = self._projected(raw, pairs.low, pairs.measured, pairs.zero)
        if rival is not None:
            rival.network.requires_grad_(requires_grad=False)
        with self.learner.casting(settings.precision):
            terms = self.objective.terms(
                out, pairs, progress=share, discriminator=None if rival is None else rival.network
            )
        if settings.flux == "conserved" and settings.free:
            terms["free"] = settings.free * self.objective.pixel(raw, pairs)
        if not self.learner.descend(torch.stack(list(terms.values())).sum(), step=number, share=share):
            return None
        losses = {name: term.item() for name, term in terms.items()}
        if rival is not None:
            losses |= self._answer(rival, out, pairs, step=number, share=share)
        return losses

    def score(self) -> Scores:
        """Return the scores of the moving average, see `Validation`."""
        return self.validation.score(self._enlarged)

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the moving average of the generator."""
        extra: dict[str, str | float] = {
            "instrument": str(self.patches.instruments),
            "frc": self.settings.frc,
            "adversarial": self.settings.adversarial,
            "step": step,
            "psnr": scores["psnr"],
            "psnr_of_cubic": self.reference["psnr"],
            "judged": self.judged,
        }
        save_generator(self.learner.average, path, title=self.title, flux=self.settings.flux, extra=extra)

    def _answer(
        self, rival: Learner[UNetDiscriminator], out: torch.Tensor, pairs: Pairs, *, step: int, share: float
    ) -> dict[str, float]:
        """Train the discriminator, and return its loss if that was finite."""
        rival.network.requires_grad_(requires_grad=True)
        made = torch.where(pairs.known > 0, out.detach(), pairs.high)
        with rival.casting(self.settings.precision):
            loss = discriminator_loss(rival.network(pairs.high), rival.network(made))
        return {"discriminator": loss.item()} if rival.descend(loss, step=step, share=share) else {}

    def _enlarged(self, low: torch.Tensor, measured: torch.Tensor, zero: torch.Tensor) -> torch.Tensor:
        low, measured, zero = (each.to(self.device) for each in (low, measured, zero))
        out = self.learner.average(low.contiguous(memory_format=torch.channels_last))
        return self._projected(out, low, measured, zero)

    def _projected(
        self, out: torch.Tensor, low: torch.Tensor, measured: torch.Tensor, zero: torch.Tensor
    ) -> torch.Tensor:
        """Return an output as the losses and the validation see it."""
        if self.settings.flux == "free":
            return out
        return conserve_flux(out, low, zero=zero, measured=measured)


def _pace(settings: TrainingSettings, *, average: float | None) -> Pace:
    return Pace(rate=settings.rate, warm_up=settings.warm_up, average=average, clip=settings.clip)


def _networks(settings: TrainingSettings, start: RRDBNet | None) -> tuple[RRDBNet, UNetDiscriminator | None]:
    """Return generator and discriminator before the first step; torch's own random numbers are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        network = start or start_as_linear(
            RRDBNet(features=settings.features, growth=settings.growth, blocks=settings.blocks, scale=settings.scale)
        )
        return network, UNetDiscriminator(1) if settings.adversarial else None


def _weights(settings: TrainingSettings, start: RRDBNet | None) -> list[str]:
    """Return what identifies the weights that a training begins with."""
    found = []
    if start is not None:
        sizes = sizes_of(start)
        if any(getattr(settings, name) != size for name, size in sizes.items()) or start.conv_last.out_channels != 1:
            raise ModelError(
                f"The network to begin with has {', '.join(f'{name} {size}' for name, size in sizes.items())}.",
                remedy="Give the settings the same, and a network of one channel.",
            )
        digest = hashlib.sha256()
        for value in start.state_dict().values():
            digest.update(value.detach().cpu().contiguous().numpy().tobytes())
        found.append(f"start {digest.hexdigest()}")
    if settings.perceptual_weights is not None:
        found.append(f"perceptual {checkpoint.fingerprint(Path(settings.perceptual_weights))}")
    return found
