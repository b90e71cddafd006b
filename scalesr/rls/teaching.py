"""Everything that decides what the training of a generator or a flow comes to, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import PlanError
from scalesr.rls.settings import GeneratorSettings

if TYPE_CHECKING:
    from collections.abc import Mapping

Augmentation = Literal["none", "flips", "full"]
"""What is done to real and made images alike before they are judged. ``flips``: both mirrored; ``full``: and moved by
up to an eighth of an edge, and other brightness and contrast. The choice is ours, after Zhao et al. 2020."""


@dataclass(frozen=True, kw_only=True)
class GeneratorTraining:
    """How a generator is trained; the defaults are those of StyleGAN2's training but for augmentation and sizes.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    network: GeneratorSettings = field(default_factory=GeneratorSettings)
    """What is trained."""
    batch: int = 16
    """Objects of a step."""
    rate: float = 2e-3
    """Rate of Adam, constant."""
    r1: float = 10.0
    """Weight of the squared gradients of the judgement of real images."""
    r1_every: int = 16
    """Steps from one such penalty to the next, which counts as often."""
    path: float = 2.0
    """Weight of deviations of path lengths from their mean."""
    path_every: int = 4
    """Steps from one such penalty to the next, which counts as often; of half a batch."""
    mixing: float = 0.9
    """Share of the steps with two styles in an image."""
    average: float = 0.999
    """Weight of the past in the moving average of the generator, which is what is kept."""
    augment: Augmentation = "full"
    """What is done to images before they are judged."""
    guided: float = 0.0
    """Share of the training, at its begin, in which generator and encoder learn to reproduce objects, see
    `scalesr.rls.guidance`; our own choice, for trainings of hours on a CPU: 0 is the published training."""
    reproduced: float = 0.1
    """Deviation that pixels of -1..1 of a reproduction are taken to have in it."""
    anchor: float = 10.0
    """Weight of squared differences of reproductions afterwards, at every other step."""
    factor: int = 16
    """Pixels of an image for each measured one that the file recommends."""
    judged: int = 256
    """Images of a validation."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the networks' arithmetic, but for the penalties, which are float32."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:1``."""
    seed: int = 0
    """Seed of the weights, and with the number of the step that of its chance."""

    def __post_init__(self) -> None:
        check_limits(
            self,
            batch=(2, inf),
            rate=(1e-12, inf),
            r1=(0, inf),
            r1_every=(1, inf),
            path=(0, inf),
            path_every=(1, inf),
            mixing=(0, 1),
            average=(0, 1),
            guided=(0, 1),
            reproduced=(1e-6, inf),
            anchor=(0, inf),
            factor=(1, self.network.size),
            judged=(2, inf),
            seed=(0, inf),
        )

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return {**asdict(self), "network": self.network.to_json()}


@dataclass(frozen=True, kw_only=True)
class FlowTraining:
    """How a flow is trained on the latents of a generator.

    The released code draws two million latents once; here each step draws its own, which never repeat. Rate and decay
    are those of the released code, the batch is not.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    blocks: int = 5
    """Blocks of the flow."""
    hidden: int = 256
    """Features of its hidden layers."""
    batch: int = 256
    """Latents of a step; 100 in the released code."""
    rate: float = 1e-4
    """Highest rate of AdamW."""
    decay: float = 1e-6
    """Decay of the weights."""
    average: float = 0.999
    """Weight of the past in the moving average of the weights, which is what is kept."""
    clip: float = 10.0
    """Largest norm of the gradients of a step."""
    settled: int = 65_536
    """Latents of the set that mean, deviation and the moments of the normalisations are of."""
    judged: int = 8192
    """Latents of a validation."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:1``."""
    seed: int = 0
    """Seed of the weights, and with the number of the step that of its latents."""

    def __post_init__(self) -> None:
        check_limits(
            self,
            blocks=(1, inf),
            hidden=(1, inf),
            batch=(2, inf),
            rate=(1e-12, inf),
            decay=(0, inf),
            average=(0, 1),
            clip=(1e-12, inf),
            settled=(2, inf),
            judged=(2, inf),
            seed=(0, inf),
        )

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return asdict(self)


def check_limits(settings: Any, **limits: tuple[float, float]) -> None:
    """Refuse settings with a value beyond its limits, by name.

    Raises
    ------
    PlanError
        There is one.
    """
    found: Mapping[str, Any] = vars(settings)
    for name, (least, most) in limits.items():
        if not least <= found[name] <= most:
            raise PlanError(
                f"{name} is {found[name]}.",
                remedy=f"Give at least {least:g}" + ("." if most == inf else f", at most {most:g}."),
            )
