"""Which places of a sample a classifier is trained on, and which it is tested on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.cube import Cube, Span

SQUARES = 8
"""Squares along the shorter side, where the user says nothing."""
GAP = 4
"""Pixels of the coarser image in the gap, where the user says nothing."""
TRAIN, TEST, NEITHER = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """A chessboard over the sample: one colour for training, the other for testing, and a gap that serves neither.

    Pixels are not drawn one by one. Neighbours share the structure, the blur of the instrument and, in a restored
    image, the measured pixels they were made of, so that a test pixel between training pixels is no unseen pixel and
    the score would be too good. The gap keeps places apart that still know of each other.
    """

    edge: float
    """Edge of a square, in the unit of the training image."""
    gap: float
    """Width of the strip that is left out along each border of squares, half of it on either side, in that unit."""
    origin: tuple[float, float]
    """Corner of a square, y and x, in that unit."""

    @classmethod
    def of(cls, train: Cube, test: Cube, *, square: float | None, gap: float | None) -> Holdout:
        """Return the chessboard of two images of one sample.

        Parameters
        ----------
        train, test
            The images.
        square
            Edge of a square in the unit of the training image; when not given, an eighth of its shorter side, and three
            gaps at least.
        gap
            Width of the gap in that unit; `GAP` pixels of the coarser image when not given.

        Raises
        ------
        InputError
            The gap leaves nothing of the squares.
        """
        factor = test.in_units_of(train)
        sides = [n * size for n, size in zip(train.shape, train.pixel_size, strict=True)]
        pixel = max(*train.pixel_size, *(size * factor for size in test.pixel_size))
        width = GAP * pixel if gap is None else gap
        edge = max(min(sides) / SQUARES, 3 * width) if square is None else square
        if not 0 <= width < edge or 2 * edge > max(sides):
            raise InputError(
                f"Squares of {edge:g} with a gap of {width:g} {train.unit or 'units'} do not divide an image of "
                f"{sides[0]:g} x {sides[1]:g} into parts for training and testing.",
                remedy="Give square and gap, or other images for training and testing with holdout='none'.",
            )
        return cls(edge=edge, gap=width, origin=train.edge)

    def part(self, cube: Cube, rows: Span, columns: Span, *, factor: float) -> NDArray[np.int8]:
        """Return `TRAIN`, `TEST` or `NEITHER` for the centres of some pixels, shape (y, x).

        Parameters
        ----------
        cube
            Whose pixels.
        rows, columns
            Which.
        factor
            From the unit of that image to the training image's.
        """
        squares, near = [], []
        for axis, span in enumerate((rows, columns)):
            centre = (cube.edge[axis] + (np.arange(*span) + 0.5) * cube.pixel_size[axis]) * factor
            place = (centre - self.origin[axis]) / self.edge
            squares.append(np.floor(place).astype(np.int64))
            near.append(np.abs(place - np.rint(place)) * self.edge < self.gap / 2)
        colour = (squares[0][:, None] + squares[1]) % 2
        return np.where(near[0][:, None] | near[1], NEITHER, np.where(colour == 0, TRAIN, TEST)).astype(np.int8)
