"""What a generator learns from: whole objects of a stack, or crops from anywhere of larger images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scalesr.errors import InputError
from scalesr.learning import cut

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.learning import Source

TRIES = 64
"""Places that are tried for each crop."""


@dataclass
class Draws:
    """What happened to the crops."""

    missing: int = 0
    """Drawn again, as pixels were missing."""
    clipped: int = 0
    """Pixels beyond what a generator makes, -1..1 for 0..1, that were clipped."""

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


class Crops:
    """Draws crops; those of a step follow from the seed and its number.

    A plane of the crops' size is an object and taken whole; of a larger one any place is taken. Nothing is turned here,
    see `scalesr.rls.augmentation`.

    Parameters
    ----------
    sources
        What to draw from; the channels of an object are neighbouring planes.
    channels
        How many these are.
    edge
        Edge of a crop in pixels.
    seed
        Seed.

    Raises
    ------
    InputError
        There is no source, one whose planes are no multiple of the channels, or are smaller than a crop.
    """

    def __init__(self, sources: Sequence[Source], *, channels: int, edge: int, seed: int) -> None:
        if not sources:
            raise InputError("There is no image to train on.", remedy="Name at least one.")
        for source in sources:
            planes, *edges = source.shape
            if planes % channels or min(edges) < edge:
                raise InputError(
                    f"{source.name} has {planes} planes of {edges[0]} x {edges[1]} px; the generator makes {channels} "
                    f"channel(s) of {edge} px.",
                    remedy="Give images with as many channels and of at least that size, or another size.",
                )
        self.sources, self.draws = list(sources), Draws()
        self._channels, self._edge, self._seed = channels, edge, seed
        shares = np.array([source.weight for source in sources], float)
        self._shares = shares / shares.sum()

    def batch(self, number: int, count: int) -> torch.Tensor:
        """Return the crops of a step, float32 of shape (count, channels, edge, edge), intensities of -1..1.

        Raises
        ------
        InputError
            No crop without missing pixels was found.
        """
        random = np.random.default_rng((self._seed, number))
        found = np.stack([self._crop(random) for _ in range(count)])
        beyond = (found < 0) | (found > 1)
        self.draws.clipped += int(beyond.sum())
        return torch.from_numpy(2 * found.clip(0, 1) - 1)

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting from these."""
        self.draws = Draws(**notes)

    def _crop(self, random: np.random.Generator) -> NDArray[np.float32]:
        edge = self._edge
        for _ in range(TRIES):
            source = self.sources[random.choice(len(self.sources), p=self._shares)]
            planes, height, width = source.shape
            first = int(random.integers(planes // self._channels)) * self._channels
            y, x = (int(random.integers(size - edge + 1)) for size in (height, width))
            crop = np.stack(
                [cut(source, first + channel, y=y, x=x, edge=(edge, edge)) for channel in range(self._channels)]
            )
            if not np.isnan(crop).any():
                return crop.astype(np.float32)
            self.draws.missing += 1
        names = ", ".join(source.name for source in self.sources[:3])
        raise InputError(
            f"{TRIES} crops of {edge} px in a row had missing pixels ({names}).",
            remedy="Use images with more measured pixels, or a smaller generator.",
        )
