"""What a diffusion network learns from: patches of 2-D images, with some of their rows taken as measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from scalesr.errors import InputError
from scalesr.learning import cut
from scalesr.msdsr.rows import random_rows, regular_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from scalesr.learning import Source

TRIES = 64
"""Places that are tried for each patch."""
FLAT, FLAT_TRIES = 0.02, 8
"""Standard deviation below which a patch is flat, and how many such are drawn again before one is taken, where they
shall be rare."""


@dataclass
class Draws:
    """What happened to the patches."""

    missing: int = 0
    """Drawn again, as pixels were missing."""
    flat: int = 0
    """Drawn again, as they were flat."""
    flat_kept: int = 0
    """Flat and taken: all others were, too, or they are taken as they come."""

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


class Patches:
    """Draws patches; those of a step follow from the seed and its number.

    Parameters
    ----------
    sources
        What to draw from; each draw gives the channels of one place, which are neighbouring planes of a source.
    channels
        How many that are.
    edge
        Edge of a patch in pixels.
    seed
        Seed.
    turns
        ``flips``: mirrored along both axes at random; ``turns``: and transposed.
    measured
        How rows are chosen, see `TrainingSettings.measured`.
    flat
        How often patches are flat, see `TrainingSettings.flat`.

    Raises
    ------
    InputError
        A source whose planes are no multiple of the channels, or none at all.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        channels: int,
        edge: int,
        seed: int,
        turns: Literal["flips", "turns"],
        measured: Literal["random", "mixed"],
        flat: Literal["rare", "drawn"] = "rare",
    ) -> None:
        if not sources:
            raise InputError("There is no image to train on.", remedy="Name at least one.")
        for source in sources:
            if source.shape[0] % channels:
                raise InputError(
                    f"{source.name} has {source.shape[0]} planes, and the network takes {channels} together.",
                    remedy="Train a network of one channel, or give images with that many channels.",
                )
        self.sources = list(sources)
        self.draws = Draws()
        self._channels, self._edge, self._seed = channels, edge, seed
        self._turns, self._measured = turns, measured
        self._flat_tries = FLAT_TRIES if flat == "rare" else 0
        shares = np.array([source.weight for source in sources], float)
        self._shares = shares / shares.sum()

    def batch(self, number: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the patches of a step.

        Returns
        -------
        tuple
            Intensities, float32 of shape (count, channels, edge, edge), and which pixels are measured, 1 or 0, of
            shape (count, 1, edge, edge).
        """
        random = np.random.default_rng((self._seed, number))
        pixels, known = [], []
        for _ in range(count):
            pixels.append(self._crop(random))
            rows = self._rows(random)
            known.append(np.broadcast_to(rows[None, :, None], (1, self._edge, self._edge)))
        return (
            torch.from_numpy(np.stack(pixels).astype(np.float32)),
            torch.from_numpy(np.stack(known).astype(np.float32)),
        )

    def take_notes(self, notes: Mapping[str, Any]) -> None:
        """Go on counting from these."""
        self.draws = Draws(**notes)

    def _rows(self, random: np.random.Generator) -> NDArray[np.bool_]:
        if self._measured == "mixed" and random.random() < 0.5:
            return regular_rows(self._edge, random)
        return random_rows(self._edge, random)

    def _crop(self, random: np.random.Generator) -> NDArray[np.float32]:
        flat = 0
        for _ in range(TRIES):
            source = self.sources[random.choice(len(self.sources), p=self._shares)]
            planes, height, width = source.shape
            first = int(random.integers(planes // self._channels)) * self._channels
            y, x = (int(random.integers(max(size - self._edge, 0) + 1)) for size in (height, width))
            crop = np.stack(
                [
                    cut(source, first + channel, y=y, x=x, edge=(self._edge, self._edge))
                    for channel in range(self._channels)
                ]
            )
            if np.isnan(crop).any():
                self.draws.missing += 1
                continue
            if float(crop.std()) < FLAT:
                flat += 1
                if flat <= self._flat_tries:
                    self.draws.flat += 1
                    continue
                self.draws.flat_kept += 1
            if random.random() < 0.5:
                crop = crop[:, ::-1]
            if random.random() < 0.5:
                crop = crop[:, :, ::-1]
            if self._turns == "turns" and random.random() < 0.5:
                crop = crop.transpose(0, 2, 1)
            return np.ascontiguousarray(crop, np.float32)
        names = ", ".join(source.name for source in self.sources[:3])
        raise InputError(
            f"{TRIES} patches of {self._edge} pixels in a row had missing pixels ({names}).",
            remedy="Use images with more measured pixels, or a network of smaller tiles.",
        )
