"""Everything that decides what a generator and a flow are, as values."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from scalesr.errors import PlanError

if TYPE_CHECKING:
    from collections.abc import Mapping

SMALLEST, LARGEST = 16, 1024
"""Edges of images that a generator can make, in pixels."""
_WIDEST = 512
"""Features of the coarsest levels of the published networks."""


@dataclass(frozen=True, kw_only=True)
class GeneratorSettings:
    """The sizes of a StyleGAN2 generator.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    size: int = 64
    """Edge of its images in pixels, a power of two from 16 to 1024."""
    channels: int = 1
    """Channels of its images."""
    latent: int = 128
    """Entries of z and of w."""
    depth: int = 8
    """Layers between z and w."""
    widths: tuple[int, ...] = ()
    """Features at 4, 8, 16, ... pixels; none: 2048/edge, at least 32 and at most 128, which is our own choice."""

    def __post_init__(self) -> None:
        if not SMALLEST <= self.size <= LARGEST or self.size & (self.size - 1):
            raise PlanError(
                f"A generator of {self.size} px cannot be built.",
                remedy=f"Give a power of two from {SMALLEST} to {LARGEST}.",
            )
        edges = [4 << level for level in range(self.levels)]
        widths = tuple(self.widths) or tuple(min(128, max(32, 2048 // edge)) for edge in edges)
        object.__setattr__(self, "widths", widths)
        if len(widths) != len(edges):
            raise PlanError(
                f"{len(widths)} widths do not go with images of {self.size} px.",
                remedy=f"Give {len(edges)}: for {', '.join(map(str, edges))} px.",
            )
        if min(*widths, self.channels, self.latent, self.depth) < 1:
            raise PlanError(f"The sizes {self} cannot be used.", remedy="Give numbers above zero.")

    @classmethod
    def published(cls, *, size: int, channels: int = 3, multiplier: int = 2) -> GeneratorSettings:
        """Return the sizes of the released networks: 512 features up to 32 px, then 16384 x multiplier / edge."""
        edges = [4 << level for level in range(size.bit_length() - 2)]
        widths = tuple(_WIDEST if edge <= 32 else 16384 * multiplier // edge for edge in edges)
        return cls(size=size, channels=channels, latent=512, depth=8, widths=widths)

    @property
    def levels(self) -> int:
        """Resolutions, from 4 px."""
        return self.size.bit_length() - 2

    @property
    def layers(self) -> int:
        """Rows of w that a generator takes, one for each convolution and one for the last image: 2 log2(size) - 2."""
        return 2 * self.levels

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return _json(asdict(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> GeneratorSettings:
        """Return what `to_json` described; other entries are left out."""
        return cls(**{**_known(cls, values), "widths": tuple(values.get("widths", ()))})


@dataclass(frozen=True, kw_only=True)
class FlowSettings:
    """The sizes of a masked autoregressive flow.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    latent: int = 128
    """Entries of what it takes."""
    blocks: int = 5
    """Blocks, each of an autoregressive network, a normalisation and a reversal; 5 in the released code."""
    hidden: int = 256
    """Features of the two hidden layers of each network; 1024 in the released code, for 512 entries."""

    def __post_init__(self) -> None:
        if self.latent < 2 or min(self.blocks, self.hidden) < 1:
            raise PlanError(f"The sizes {self} cannot be used.", remedy="Give two entries and one feature at least.")

    @classmethod
    def published(cls) -> FlowSettings:
        """Return the sizes of the released flow."""
        return cls(latent=512, blocks=5, hidden=1024)

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return _json(asdict(self))

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FlowSettings:
        """Return what `to_json` described; other entries are left out."""
        return cls(**_known(cls, values))


def _json(values: dict[str, Any]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _known(cls: type[Any], values: Mapping[str, Any]) -> dict[str, Any]:
    return {field.name: values[field.name] for field in fields(cls) if field.name in values}
