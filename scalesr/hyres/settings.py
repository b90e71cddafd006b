"""Everything that decides what a training comes to, as one value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import PlanError
from scalesr.learning import Length

if TYPE_CHECKING:
    from collections.abc import Mapping

    from scalesr.models.spec import Flux

Pixel = Literal["charbonnier", "l1", "l2"]
"""How far an output is from the truth, pixel by pixel."""
Vary = Literal["family", "fixed"]
"""Whether each patch is measured by an instrument near the one that is named, or by that very one."""
Precision = Literal["fp32", "bf16"]
"""Number format of the networks' arithmetic; weights, losses and optimisers are float32 always."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a network is trained. The paper (arXiv 2503.02908) gives none of these: every default is our own choice.

    Raises
    ------
    PlanError
        A value that cannot be used, or not exactly one of `steps` and `minutes`.
    """

    scale: Literal[2, 4] = 4
    """Pixels of the output for each of the input, along y and x."""
    features: int = 32
    """Channels between the blocks of the generator."""
    growth: int = 32
    """Channels that each of its dense convolutions adds."""
    blocks: int = 1
    """Its residual-in-residual dense blocks."""
    instrument: str = "binning"
    """What measures the truth: presets or properties as `read_instrument` reads them, several joined by semicolons."""
    vary: Vary = "family"
    """Whether patches are measured by that instrument, or by ones around it."""
    augment: Literal["full", "turns"] = "full"
    """``turns``: quarter turns and mirrors. ``full``: also gain, offset, gamma, inversion, sparseness and noise."""
    patch: int = 24
    """Edge of a patch in pixels of the input."""
    batch: int = 8
    """Patches of a step."""
    steps: int | None = None
    """How many steps; the outcome is then the same bits on the same machine."""
    minutes: float | None = None
    """How long; the schedule is then a share of the time, and the run ends on time on a machine of any speed."""
    rate: float = 5e-4
    """Highest rate of the optimisers, Adam with betas of 0.9 and 0.99. It falls as half a cosine to 1/500."""
    warm_up: int = 200
    """Steps over which the rate rises from nothing."""
    pixel: Pixel = "charbonnier"
    """``charbonnier`` is sqrt(d^2 + rounding^2) - rounding: squares below `rounding`, absolutes above."""
    rounding: float = 0.03
    """Where it goes over, in units of the normalised intensity."""
    frc: float = 0.1
    """Weight of the Fourier ring correlation loss; the pixels' loss has a weight of 1."""
    perceptual: float = 0.0
    """Weight of the perceptual loss, which needs `perceptual_weights`."""
    perceptual_weights: str | None = None
    """File of the weights of VGG19."""
    adversarial: float = 0.0
    """Weight of the adversarial loss."""
    adversarial_from: float = 0.5
    """Share of the training before it sets in."""
    flux: Flux = "conserved"
    """``conserved``: the losses see the output with its block means made those of the input, as a run makes them."""
    free: float = 0.1
    """Weight of the pixels' loss of the output before that, which would leave block means to chance otherwise."""
    average: float = 0.999
    """Weight of the past in the moving average of the weights, which is what is kept."""
    clip: float = 1.0
    """Largest norm of the gradients of a step."""
    validations: int = 20
    """How often the network is validated and everything saved, at even shares of the training."""
    precision: Precision = "fp32"
    """``bf16`` is about twice as fast on CPUs with AMX and on GPUs, and much slower on CPUs without."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:1``."""
    seed: int = 0
    """Seed of the weights, and with the number of the step that of its patches."""

    def __post_init__(self) -> None:
        _ = self.length  # refuses what cannot be used
        if self.scale not in (2, 4):
            raise PlanError(f"A network is trained for a scale of 2 or 4, not {self.scale}.", remedy="Give --scale 4.")
        least = {"features": 2, "growth": 1, "blocks": 1, "patch": 8, "batch": 1}
        for name, low in least.items():
            self._within(name, low, inf)
        for name in ("free", "frc", "perceptual", "adversarial", "warm_up", "seed"):
            self._within(name, 0, inf)
        for name in ("adversarial_from", "average"):
            self._within(name, 0, 1)
        for name in ("rate", "rounding", "clip"):
            if not 0 < getattr(self, name) < inf:
                raise PlanError(f"{name} is {getattr(self, name)}.", remedy="Give a number above zero.")
        if self.patch * self.scale % 8:
            raise PlanError(
                f"A patch of {self.patch} pixels becomes one of {self.patch * self.scale}, and 8 must divide that.",
                remedy="Give a multiple of 4, such as --patch 24.",
            )
        if self.perceptual and self.perceptual_weights is None:
            raise PlanError(
                "The perceptual loss needs the weights of VGG19, which are not part of this package.",
                remedy="Name their file with --perceptual-weights, or leave --perceptual out.",
            )

    def _within(self, name: str, low: float, high: float) -> None:
        if not low <= getattr(self, name) <= high:
            raise PlanError(
                f"{name} is {getattr(self, name)}.",
                remedy=f"Give at least {low}" + ("." if high == inf else f", at most {high}."),
            )

    @property
    def length(self) -> Length:
        """How long the training is."""
        return Length(steps=self.steps, minutes=self.minutes, validations=self.validations)

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TrainingSettings:
        """Return what `to_json` described."""
        return cls(**values)
