"""Pairs of a truth and its measurement, cut from the sources at random: a function of the seed and the step alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from scalesr.errors import InputError
from scalesr.hyres.augmentation import augment, turn
from scalesr.learning import cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.hyres.family import InstrumentFamily
    from scalesr.hyres.instrument import Instrument
    from scalesr.learning import Source

TRIES = 32
"""Patches that are drawn again for missing pixels before the sources are refused."""
FLAT_TRIES = 4
"""Patches that are drawn again for being flat; then a flat one stays in, as flat parts must be learnt too."""
FLAT = 0.03
"""Standard deviation, in units of the normalised intensity, below which a patch is flat."""
MISSING = 0.1
"""Largest share of missing pixels in a patch."""
DEEP, DEPTH = 0.5, 0.5
"""How often zero lies below the lowest pixel of an altered patch, and how far at most."""
MARGIN = 2
"""Pixels of the measurement around a patch that are simulated and cut off, so that spots reach in from all sides."""


@dataclass(frozen=True, eq=False)
class Pairs:
    """Truths and their measurements, as float32 tensors on the normalised scale."""

    low: torch.Tensor
    """Measured, shape (n, 1, patch, patch)."""
    high: torch.Tensor
    """True, shape (n, 1, scale * patch, scale * patch)."""
    known: torch.Tensor
    """1 where the truth is known and 0 where it is missing, in the shape of `high`."""
    measured: torch.Tensor
    """1 where the measurement says something and 0 at dead and missing pixels, in the shape of `low`."""
    zero: torch.Tensor
    """Where an intensity of zero lies on the normalised scale, shape (n, 1, 1, 1)."""

    def to(self, device: torch.device) -> Pairs:
        """Return the same on a device."""
        return Pairs(*(getattr(self, name).to(device) for name in ("low", "high", "known", "measured", "zero")))


@dataclass
class Draws:
    """How many patches were drawn, and what was not taken as it came."""

    patches: int = 0
    """Patches taken."""
    missing: int = 0
    """Drawn again since too many pixels were missing."""
    flat: int = 0
    """Drawn again since they were flat."""
    flat_kept: int = 0
    """Flat all the same, after some tries."""
    filled: int = 0
    """Missing pixels in the patches taken; they become 0 on the normalised scale and do not count in the loss."""
    saturated: int = 0
    """Measured pixels that were cut off at the instrument's full scale."""
    dead: int = 0
    """Dead pixels; they are 0, and the loss sees what the network makes of them."""

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


class Patches:
    """Cuts, turns, alters and measures patches.

    Parameters
    ----------
    sources
        Where the truth comes from, each drawn by its weight, and its planes alike.
    instruments
        What measures it.
    edge
        Edge of a patch in pixels of the measurement.
    batch
        Patches of a step.
    seed
        Seed of all of it.
    augmentation
        ``turns``: quarter turns and mirrors only.

    Raises
    ------
    InputError
        There is no source.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        instruments: InstrumentFamily,
        *,
        edge: int,
        batch: int,
        seed: int,
        augmentation: Literal["full", "turns"] = "full",
    ) -> None:
        if not sources:
            raise InputError("There is no image to train on.", remedy="Name at least one.")
        self.sources = list(sources)
        self.instruments = instruments
        self.draws = Draws()
        self._edge, self._batch, self._seed, self._augmentation = edge, batch, seed, augmentation
        weights = np.array([source.weight for source in sources], np.float64)
        self._shares = weights / weights.sum()

    def batch(self, step: int) -> Pairs:
        """Return the pairs of a step.

        Raises
        ------
        InputError
            No patch was found without too many missing pixels.
        StorageError
            A chunk of a source cannot be read.
        """
        random = np.random.default_rng((self._seed, step))
        pairs = [self._pair(random) for _ in range(self._batch)]
        return Pairs(*(torch.from_numpy(np.stack(side))[:, None] for side in zip(*pairs, strict=True)))

    def _pair(self, random: np.random.Generator) -> tuple[NDArray[np.float32], ...]:
        truth = turn(self._crop(random), random)
        missing = np.isnan(truth)
        truth[missing] = 0.0
        if self._augmentation == "full":
            truth = augment(truth, random)
        self.draws.patches += 1
        self.draws.filled += int(missing.sum())
        instrument = self.instruments.draw(random)
        low, dead, saturated = measure(truth, instrument, seed=int(random.integers(2**31)))
        self.draws.saturated += saturated
        self.draws.dead += int(dead.sum())
        gone = missing.reshape(low.shape[0], instrument.factor, low.shape[1], instrument.factor).any(axis=(1, 3))
        inner, outer = slice(MARGIN, -MARGIN), slice(MARGIN * instrument.factor, -MARGIN * instrument.factor)
        # Normalisation moves zero to somewhere at or below the lowest pixel; how far below is left to chance.
        lowest = min(0.0, float(truth.min())) if self._augmentation == "turns" else float(truth.min())
        below = float(random.uniform(0.0, DEPTH)) * (self._augmentation == "full") * (random.random() < DEEP)
        zero = np.full((1, 1), lowest - below)
        sides = (low[inner, inner], truth[outer, outer], ~missing[outer, outer], ~(dead | gone)[inner, inner], zero)
        return tuple(np.ascontiguousarray(side, np.float32) for side in sides)

    def _crop(self, random: np.random.Generator) -> NDArray[np.float32]:
        edge = (self._edge + 2 * MARGIN) * self.instruments.factor
        flat = 0
        for _ in range(TRIES):
            source = self.sources[random.choice(len(self.sources), p=self._shares)]
            planes, height, width = source.shape
            plane, y, x = int(random.integers(planes)), _start(height, edge, random), _start(width, edge, random)
            crop = np.array(cut(source, plane, y=y, x=x, edge=(edge, edge)), np.float32)
            missing = np.isnan(crop)
            if missing.mean() > MISSING:
                self.draws.missing += 1
                continue
            if float(crop[~missing].std()) < FLAT:
                flat += 1
                if flat <= FLAT_TRIES:
                    self.draws.flat += 1
                    continue
                self.draws.flat_kept += 1
            return crop
        names = ", ".join(source.name for source in self.sources[:3])
        raise InputError(
            f"{TRIES} patches of {edge} pixels in a row had too many missing pixels ({names}).",
            remedy="Use smaller patches (--patch), or images with more measured pixels.",
        )


def _start(size: int, edge: int, random: np.random.Generator) -> int:
    """Return where a patch begins; it may reach past a plane that is smaller than it."""
    return int(random.integers(size - edge + 1)) if size > edge else int(random.integers(size - edge, 1))


def measure(
    truth: NDArray[np.float32], instrument: Instrument, *, seed: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_], int]:
    """Return the measurement of a plane, its dead pixels, and how many were cut off at full scale.

    Counts need intensities from zero upwards. Normalised ones may lie a little below, so that the lowest is made zero
    first, and the measurement moved back after.
    """
    floor = min(0.0, float(truth.min()))
    if floor and instrument.full_scale is not None:
        instrument = replace(instrument, full_scale=instrument.full_scale - floor)
    seen = instrument.measure(truth[None] - np.float32(floor), seed=seed)
    values = np.where(seen.dead, np.float32(0.0), seen.values[0] + np.float32(floor))
    return values.astype(np.float32), seen.dead, seen.saturated
