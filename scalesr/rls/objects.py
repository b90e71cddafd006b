"""Objects of stacks to train and to validate on: every eighth is held out, or a strip of larger fields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from scalesr.learning import hold_out

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from scalesr.learning import Judged, Source

SHARE = 8
"""One object in so many is held out."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Part:
    """Every eighth object of a source, or all others, as a source of its own.

    Every eighth and not the last eighth: stacks are often sorted by what was done to the objects.
    """

    source: Source
    """What it is a part of; the channels of an object are neighbouring planes."""
    channels: int
    """How many these are."""
    kind: Literal["taught", "held out"]
    """Seven of eight objects, or the eighth."""

    @property
    def name(self) -> str:
        """Name of the whole, and which part."""
        return f"{self.source.name}, objects {self.kind}"

    @property
    def weight(self) -> float:
        """That of the whole."""
        return self.source.weight

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, and pixels along y and x."""
        planes, y, x = self.source.shape
        held = planes // self.channels // SHARE
        objects = held if self.kind == "held out" else planes // self.channels - held
        return objects * self.channels, y, x

    @property
    def identity(self) -> str:
        """That of the whole, and which part."""
        return f"{self.kind}, one in {SHARE} of {self.channels} planes, of {self.source.identity}"

    def read(self, plane: int, y: slice, x: slice) -> NDArray[np.float32]:
        """Return some pixels of a plane."""
        number, channel = divmod(plane, self.channels)
        whole = SHARE * number + SHARE - 1 if self.kind == "held out" else number + number // (SHARE - 1)
        return self.source.read(whole * self.channels + channel, y, x)


def judges_of_objects(
    sources: Sequence[Source], validation: Sequence[Source] | None, *, channels: int, edge: int
) -> tuple[Sequence[Source], Sequence[Source], Judged]:
    """Return what to train on, what to validate on, and what that is.

    Parameters
    ----------
    sources
        What there is to train on.
    validation
        What to validate on. Without it every eighth object of each source is held out, or where there are fewer than
        eight, a strip, see `hold_out`. Sources that are too small for both are trained on as a whole; if all are, they
        are what is validated on, too.
    channels
        Neighbouring planes of an object.
    edge
        Edge of the network's images in pixels: strips have as many rows at least.
    """
    if validation is not None:
        return sources, validation, "given images"
    taught: list[Source] = []
    held: list[Source] = []
    many = False
    for source in sources:
        if source.shape[0] // channels >= SHARE:
            many = True
            taught.append(Part(source=source, channels=channels, kind="taught"))
            held.append(Part(source=source, channels=channels, kind="held out"))
            continue
        whole, strips = hold_out([source], rows=max(64, edge))
        taught += whole
        held += strips
    if not held:
        return sources, sources, "training pixels"
    return taught, held, "held-out objects" if many else "held-out strips"
