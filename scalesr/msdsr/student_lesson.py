"""Training of the fast network on what its teacher, the diffusion network, made of stacks."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import torch

from scalesr.errors import PlanError
from scalesr.learning import Learner, Pace
from scalesr.models import determinism
from scalesr.models.baselines import Interpolation
from scalesr.models.network import torch_device
from scalesr.msdsr.distilling import GapPatches
from scalesr.msdsr.quality import psnr
from scalesr.msdsr.student import Student, save_student

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from scalesr.learning import Scores
    from scalesr.learning.lesson import Part
    from scalesr.msdsr.distilling import Pair

JUDGED = 96
"""Patches of a validation."""
STREAM = 1 << 32
"""Keeps the random numbers of validation apart from those of the steps."""
_SOFT = 1e-3
"""Where Charbonnier's loss goes over from squares to absolutes."""


@dataclass(frozen=True, kw_only=True)
class StudentSettings:
    """All that decides what a fast network becomes, beside stacks and teacher. The defaults are our own choice.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    scale: int = 4
    """Rows for each plane."""
    features: int = 48
    """Channels inside."""
    blocks: int = 2
    """Residual blocks of two convolutions."""
    planes: int = 4
    """Planes that a row is made of."""
    loss: Literal["charbonnier", "l2"] = "l2"
    """How far a row is from the teacher's: squares, or beyond 0.001 absolutes (Charbonnier)."""
    edge: int = 48
    """Edge of a patch in pixels."""
    batch: int = 16
    """Patches of a step."""
    rate: float = 2e-3
    """Highest rate of the optimiser."""
    warm_up: int = 100
    """Steps over which it rises."""
    average: float = 0.995
    """Weight of the past in the moving average of the weights, which is what is kept."""
    clip: float = 1.0
    """Largest norm of the gradients of a step."""
    precision: str = "fp32"
    """``fp32`` or ``bf16``: number format of the network's arithmetic."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:1``."""
    seed: int = 0
    """Seed of the weights, and with the number of the step that of its patches."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("edge", 8, inf),
            ("batch", 1, inf),
            ("rate", 1e-12, inf),
            ("warm_up", 0, inf),
            ("average", 0, 1),
            ("clip", 1e-12, inf),
            ("seed", 0, inf),
        ):
            if not least <= getattr(self, name) <= most:
                raise PlanError(
                    f"{name} is {getattr(self, name)}.",
                    remedy=f"Give at least {least:g}" + ("." if most == inf else f", at most {most:g}."),
                )

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return asdict(self)


class StudentLesson:
    """The rows between planes as the teacher has them; see `scalesr.learning.Lesson`.

    Parameters
    ----------
    settings
        All that decides the outcome beside the pairs.
    pairs
        What to train on.
    validation
        What to validate on.
    teacher
        Name of the teacher and how it was asked, put into the file.
    title
        One line on the network, put into its file.

    Raises
    ------
    InputError
        No pair, or one that is too small or of another scale.
    ModelError
        The device is absent.
    """

    chief = "fidelity"

    def __init__(
        self,
        settings: StudentSettings,
        pairs: Sequence[Pair],
        *,
        validation: Sequence[Pair],
        teacher: str,
        title: str = "Fast network for stacks of planes",
    ) -> None:
        if {pair.scale for pair in (*pairs, *validation)} - {settings.scale}:
            raise PlanError(
                f"The network has a scale of {settings.scale}, and volumes have others.", remedy="Give one scale."
            )
        determinism.settle()
        self.settings, self.teacher, self.title = settings, teacher, title
        self.device = torch_device(settings.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            network = Student(
                scale=settings.scale, features=settings.features, blocks=settings.blocks, planes=settings.planes
            )
        pace = Pace(rate=settings.rate, warm_up=settings.warm_up, average=settings.average, clip=settings.clip)
        self.learner = Learner(network, pace, device=self.device)
        self.patches = self._patches(pairs)
        self.names = [pair.identity for pair in (*pairs, *validation)]
        self.judged = self._patches(validation).batch(STREAM, JUDGED)
        kernels: tuple[Literal["linear", "cubic"], ...] = ("linear", "cubic")
        judged = [self._scores(self._interpolated(kernel)) for kernel in kernels]
        self.reference: Scores = {name: max(scores[name] for scores in judged) for name in judged[0]}
        """Of linear or cubic interpolation, whichever is better."""

    @property
    def identity(self) -> Mapping[str, Any]:
        """Settings, teacher and pairs."""
        return {"settings": self.settings.to_json(), "teacher": self.teacher, "images": self.names}

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

    def step(self, number: int, share: float) -> Mapping[str, float] | None:
        """Do a step; see `Lesson`."""
        gaps = self.patches.batch(number, self.settings.batch)
        squares = (self._rows(self.learner.network, gaps.stacks) - gaps.rows.to(self.device)).square()
        # What lies beyond the patch is not known, and the outermost pixels would need it.
        rim = min(self.learner.network.reach, self.settings.edge // 4)
        squares = squares[..., rim:-rim, rim:-rim]
        loss = squares.mean() if self.settings.loss == "l2" else (squares + _SOFT**2).sqrt().mean()
        return {"loss": loss.item()} if self.learner.descend(loss, step=number, share=share) else None

    def score(self) -> Scores:
        """Return the PSNR in dB against the teacher, ``fidelity``, and, where known, against the truth, ``psnr``."""
        with torch.inference_mode():
            return self._scores(self._rows(self.learner.average, self.judged.stacks).cpu())

    def keep(self, path: Path, scores: Scores, *, step: int) -> None:
        """Write the moving average of the network."""
        extra = {"teacher": self.teacher, "step": step, "pairs": len(self.names), **scores}
        save_student(self.learner.average, path, title=self.title, extra=extra)

    def _patches(self, pairs: Sequence[Pair]) -> GapPatches:
        settings = self.settings
        return GapPatches(pairs, planes=settings.planes, edge=settings.edge, seed=settings.seed)

    def _rows(self, network: Student, stacks: torch.Tensor) -> torch.Tensor:
        with self.learner.casting(self.settings.precision):
            return network.between(stacks.to(self.device))[:, :, 0].float()

    def _interpolated(self, kernel: Literal["linear", "cubic"]) -> torch.Tensor:
        scale = self.settings.scale
        model = Interpolation(
            kernel,
            axes="zyx",
            scale=(Fraction(scale), Fraction(1), Fraction(1)),
            sampling=("point", "area", "area"),
        )
        stacks = self.judged.stacks
        first = (self.settings.planes // 2 - 1) * scale + 1
        return model(stacks, torch.zeros(len(stacks), 3, dtype=torch.int64))[:, 0, first : first + scale - 1]

    def _scores(self, rows: torch.Tensor) -> Scores:
        found = {"fidelity": psnr(rows, self.judged.rows)}
        there = self.judged.truth.isfinite().all(dim=(1, 2, 3))
        return {**found, "psnr": psnr(rows[there], self.judged.truth[there])} if there.any() else found
