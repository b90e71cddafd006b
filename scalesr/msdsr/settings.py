"""Everything that decides what a diffusion network is and what its training comes to, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

Conditioning = Literal["rows", "mask", "guide"]
"""How the network is told of the measured rows. ``rows``: they stand clean in its input, and it must recognise them, as
in the paper; ``mask``: and a channel says where; ``guide``: and another holds the linear interpolation between them."""
Prediction = Literal["epsilon", "v_prediction"]
"""What the network predicts: the noise, as in the paper, or the velocity (Salimans & Ho 2022), which is as well
conditioned at the first step of a short sampling as at the last."""
Span = Literal["unit", "signed"]
"""Which values intensities of 0..1 have in the network: those, as in the paper, or -1..1."""


@dataclass(frozen=True, kw_only=True)
class NetworkSettings:
    """The U-Net of diffusers, ``UNet2DModel``: its sizes, and what goes in and out.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    channels: int = 1
    """Channels of an image; several are restored together."""
    widths: tuple[int, ...] = (32, 64, 96, 128)
    """Features on each level, from the finest; each next level has half the pixels along both axes."""
    layers: int = 1
    """Residual blocks of a level on the way down; on the way up there is one more."""
    attention: tuple[bool, ...] = (False, False, False, False)
    """On which levels pixels attend to each other; with any, those of the bottom do, too."""
    conditioning: Conditioning = "guide"
    """How the network is told of the measured rows."""
    prediction: Prediction = "v_prediction"
    """What it predicts."""
    span: Span = "signed"
    """Its values for intensities of 0..1."""
    tile: int = 48
    """Edge of the images that it is trained on, in pixels."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "attention", tuple(self.attention))
        if len(self.attention) != len(self.widths) or not self.widths:
            raise PlanError(
                f"{len(self.widths)} widths and {len(self.attention)} levels of attention do not go together.",
                remedy="Give one of each for every level.",
            )
        if min(*self.widths, self.layers, self.channels) < 1 or any(width % 8 for width in self.widths):
            raise PlanError(f"Widths of {self.widths} cannot be used.", remedy="Give multiples of 8.")
        if self.tile < self.multiple or self.tile % self.multiple:
            raise PlanError(
                f"A tile of {self.tile} px does not halve {len(self.widths) - 1} times.",
                remedy=f"Give a multiple of {self.multiple}.",
            )

    @classmethod
    def paper(cls) -> NetworkSettings:
        """Return the released network: three channels, 274,056,163 parameters (train_msdsr.yaml)."""
        return cls(
            channels=3,
            widths=(224, 448, 672, 896),
            layers=2,
            attention=(False, True, True, True),
            conditioning="rows",
            prediction="epsilon",
            span="unit",
        )

    @property
    def multiple(self) -> int:
        """Edges of an image are multiples of this."""
        return int(2 ** (len(self.widths) - 1))

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> NetworkSettings:
        """Return what `to_json` described; other entries are left out."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a diffusion network is trained on 2-D images alone.

    The defaults are our own choice, for small networks and few images; `paper` has those of the released code.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    network: NetworkSettings = NetworkSettings()
    """What is trained."""
    measured: Literal["random", "mixed"] = "mixed"
    """Which rows of a patch are measured: ``random``, as released: any, 5 to 20 of 48; ``mixed``: half of the patches
    have rows at a regular spacing of 2 to 8, fractions as well, as stacks have them."""
    loss: Literal["l1", "l2"] = "l2"
    """How far a prediction is from the target: absolutes, as in the paper, or squares, whose minimum is the mean."""
    weighting: Literal["all", "unknown"] = "unknown"
    """Over which pixels the loss is the mean: all, measured ones with a target of zero, as in the paper, or others."""
    turns: Literal["flips", "turns"] = "turns"
    """``flips``: patches are mirrored along both axes, as in the paper; ``turns``: and transposed."""
    flat: Literal["rare", "drawn"] = "rare"
    """Patches in which nothing is to be seen: ``rare``, drawn again up to eight times; ``drawn``, taken as images have
    them, so that the network learns to leave empty space empty."""
    batch: int = 8
    """Patches of a step."""
    rate: float = 4e-4
    """Highest rate of AdamW."""
    warm_up: int = 300
    """Steps over which it rises."""
    decay: float = 0.01
    """Decay of the weights."""
    average: float = 0.999
    """Weight of the past in the moving average of the weights, which is what is kept."""
    clip: float = 1.0
    """Largest norm of the gradients of a step."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """Number format of the network's arithmetic; weights, losses and the optimiser are float32 always."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:1``."""
    seed: int = 0
    """Seed of the weights, and with the number of the step that of its patches."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("batch", 1, inf),
            ("rate", 1e-12, inf),
            ("warm_up", 0, inf),
            ("decay", 0, inf),
            ("average", 0, 1),
            ("clip", 1e-12, inf),
            ("seed", 0, inf),
        ):
            if not least <= getattr(self, name) <= most:
                raise PlanError(
                    f"{name} is {getattr(self, name)}.",
                    remedy=f"Give at least {least:g}" + ("." if most == inf else f", at most {most:g}."),
                )

    @classmethod
    def paper(cls, **changes: Any) -> TrainingSettings:
        """Return the settings of the released sample configuration (train_msdsr.yaml, improc.py).

        The released schedule is linear warm-up over 1,356 of 13,560 steps, a batch of 1,024 over four GPUs at a rate of
        4e-6, gradients clipped at 0.5, and a moving average of 0.9999. The cosine of this package falls to 1/500 of the
        rate and not to zero.
        """
        settings = cls(
            network=NetworkSettings.paper(),
            measured="random",
            loss="l1",
            weighting="all",
            turns="flips",
            batch=1024,
            rate=4e-6,
            warm_up=1356,
            decay=0.01,
            average=0.9999,
            clip=0.5,
            seed=1000,
        )
        return replace(settings, **changes)

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return {**asdict(self), "network": self.network.to_json()}
