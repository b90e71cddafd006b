"""A sample of pixels that depends on the image and the seed alone: not on chunks, and not on the order of reading."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scalesr.phantoms.lattice import uniform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.cube import Span

_STREAM = 2048
"""Stream of the random numbers that pixels are drawn by."""


@dataclass(kw_only=True)
class Sample:
    """At most so many pixels, those of the lowest random number, which is a hash of the seed and of the pixel's place.

    Every set of pixels of the image is as likely as any other of that size, for every order of adding.
    """

    most: int
    """So many are kept."""
    seed: int
    """Another seed draws other pixels."""
    _chances: list[NDArray[np.float64]] = field(default_factory=list)
    _places: list[NDArray[np.int64]] = field(default_factory=list)
    _values: list[NDArray[np.float64]] = field(default_factory=list)
    _held: int = 0

    def add(self, rows: Span, columns: Span, used: NDArray[np.bool_], values: NDArray[np.float64]) -> None:
        """Add the pixels of a cell.

        Parameters
        ----------
        rows, columns
            Where the cell lies in the image.
        used
            Which of its pixels count, shape (y, x).
        values
            Of those, shape (values, pixels that count).
        """
        y, x = np.nonzero(used)
        y, x = y + rows[0], x + columns[0]
        chance = uniform(self.seed, _STREAM, y, x)
        best = np.argsort(chance, kind="stable")[: self.most]
        self._chances.append(chance[best])
        self._places.append(np.stack([y[best], x[best]], axis=1))
        self._values.append(values.T[best])
        self._held += len(best)
        if self._held > 4 * self.most:
            self._thin()

    @property
    def places(self) -> NDArray[np.int64]:
        """Where the pixels lie, shape (n, 2), in rows from top to bottom."""
        self._thin()
        return self._places[0] if self._places else np.zeros((0, 2), np.int64)

    @property
    def values(self) -> NDArray[np.float64]:
        """What was added of them, shape (n, values), in the same order."""
        self._thin()
        return self._values[0] if self._values else np.zeros((0, 0))

    def _thin(self) -> None:
        if not self._chances:
            return
        chance, places = np.concatenate(self._chances), np.concatenate(self._places)
        values = np.concatenate(self._values)
        best = np.argsort(chance, kind="stable")[: self.most]
        # The order of places is that of no reading.
        best = best[np.lexsort((places[best, 1], places[best, 0]))]
        self._chances, self._places, self._values = [chance[best]], [places[best]], [values[best]]
        self._held = len(best)
