"""A screen of two conditions: cells one by one, in DNA and in a protein that moves into the nucleus, all known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from scalesr.errors import InputError

from .lattice import Integers, Reals, noise, step, uniform
from .laws import normal, poisson

if TYPE_CHECKING:
    from .phantom import Image, Labels

Condition: TypeAlias = Literal["control", "treated"]
"""``control``: the protein is mostly in the cytoplasm, and in a few large spots at one side of the nucleus, as a Golgi
apparatus; ``treated``: mostly in the nucleus, and in many small spots all around it."""

DNA, PROTEIN = 0, 1
"""Channels."""
EDGE = 64
"""Edge of the image of a cell in pixels."""
_SPOTS = 24
"""Most spots that a cell has."""
_APART = 1 << 12
"""Pixels between the patches of noise of neighbouring cells, along y."""
_RATIO, _DISPERSAL = {"control": -0.4, "treated": 0.4}, {"control": 0.3, "treated": 0.7}
"""Means of the logarithm of the ratio, and of the dispersal; each deviates by `_RATIO_SPREAD`, `_DISPERSAL_SPREAD`:
the means of the conditions are two deviations apart."""
_RATIO_SPREAD, _DISPERSAL_SPREAD = 0.4, 0.2
_PSF = 0.9
"""Standard deviation of the PSF in pixels."""
_BACKGROUND = 0.03


@dataclass(frozen=True, kw_only=True, eq=False)
class ScreenCells:
    """Cells of one condition, and what is known of each of them."""

    images: Image
    """Intensities of about 0..1, shape (cells, 2, y, x): DNA and protein."""
    nuclei: Labels
    """1 in the nucleus and 0 elsewhere, shape (cells, y, x)."""
    ratio: Reals
    """Concentration of the diffuse protein in the nucleus over that in the cytoplasm, shape (cells,)."""
    dispersal: Reals
    """0: few large spots in one place, to 1: many small ones all around; shape (cells,)."""
    spots: Integers
    """Number of spots, shape (cells,)."""


def screen_cells(
    count: int, *, condition: Condition, seed: int = 0, first: int = 0, photons: float | None = 1000.0
) -> ScreenCells:
    """Return cells of one condition, each a function of seed, condition and its number.

    The distributions of the conditions overlap: ratio and dispersal are independent of each other within a condition,
    the logarithm of the ratio and the dispersal are normal with means two standard deviations apart, the dispersal
    clipped to 0..1. All other properties, such as size, shape, brightness and texture, are distributed alike. A cell is
    blurred by a Gaussian of 0.9 px, lies on a background of 0.03, and has Poisson noise. All numbers are our own
    choice.

    Parameters
    ----------
    count
        How many cells.
    condition
        Which.
    seed
        The same seed gives the same cells.
    first
        Number of the first one: cells 0 to 9 and then 10 to 19 are cells 0 to 19.
    photons
        Photons for an intensity of 1. None: no noise.

    Raises
    ------
    InputError
        No such condition, a negative number of cells, or ``photons`` that are not positive.
    """
    if condition not in get_args(Condition):
        raise InputError(f"There is no condition '{condition}'.", remedy=f"Use {' or '.join(get_args(Condition))}.")
    if count < 0 or first < 0 or (photons is not None and not photons > 0):
        raise InputError(
            f"{count} cells from number {first} on with {photons} photons were asked for.",
            remedy="Give no negative numbers, and photons above 0 or None.",
        )
    numbers = np.arange(first, first + count)
    made = _Cells(numbers, condition, seed)
    images = np.stack([_blurred(made.dna()), _blurred(made.protein())], axis=1) + _BACKGROUND
    if photons is not None:
        where = (numbers[:, None, None, None], *np.ix_((DNA, PROTEIN), range(EDGE), range(EDGE)))
        images = poisson(images * photons, made.chance(40, *where)) / photons
    return ScreenCells(
        images=images.astype(np.float32),
        nuclei=(made.depth < 1.0).astype(np.int64),
        ratio=made.ratio,
        dispersal=made.dispersal,
        spots=made.spots,
    )


class _Cells:
    """Some cells on a grid of their own; lengths in pixels."""

    def __init__(self, numbers: Integers, condition: Condition, seed: int) -> None:
        self.numbers, self.seed = numbers, seed
        # Cells of two conditions share no random number.
        self.stream = 2048 + 64 * get_args(Condition).index(condition)
        self.ratio = np.exp(_RATIO[condition] + _RATIO_SPREAD * normal(self.each(0)))
        self.dispersal = np.clip(_DISPERSAL[condition] + _DISPERSAL_SPREAD * normal(self.each(1)), 0.0, 1.0)
        self.spots = np.floor(3.5 + (_SPOTS - 4) * self.dispersal).astype(np.int64)
        self.radius = 8.5 + 2.5 * self.each(2)
        middle = (EDGE - 1) / 2
        self.centre = [middle + 3.0 * (self.each(3 + axis) - 0.5) for axis in range(2)]
        self.turn = _direction(self.each(5), self.each(6))
        grid = np.arange(EDGE, dtype=np.float64)
        self.away = [grid[None, :, None] - self.across(self.centre[0]), grid[None, None] - self.across(self.centre[1])]
        self.depth = self._depth()

    def chance(self, which: int, *where: Integers) -> Reals:
        return uniform(self.seed, self.stream + which, *where)

    def each(self, which: int) -> Reals:
        return self.chance(which, self.numbers)

    @staticmethod
    def across(values: Reals) -> Reals:
        """Return one value for each cell, to broadcast over its pixels."""
        return values[:, None, None]

    def texture(self, spacing: float, which: int) -> Reals:
        """Return smooth noise of 0..1, for each cell another part of one plane of it."""
        rows = [(int(number) * _APART, int(number) * _APART + EDGE) for number in self.numbers]
        parts = [noise((row, (0, EDGE)), spacing=spacing, seed=self.seed, stream=self.stream + which) for row in rows]
        return np.stack(parts) if parts else np.zeros((0, EDGE, EDGE))

    def dna(self) -> Reals:
        """Return chromatin of two scales with nucleoli that are darker."""
        chromatin = 0.55 + 0.45 * (0.6 * self.texture(7.0, 20) + 0.4 * self.texture(3.0, 21))
        dark = np.zeros_like(chromatin)
        for n in range(3):
            where = [self.across((0.9 * self.each(8 + 4 * n + axis) - 0.45) * self.radius) for axis in range(2)]
            size = self.across(1.2 + 1.6 * self.each(10 + 4 * n))
            dark = np.maximum(dark, _spot(self.away, where, size))
        bright = self.across(0.45 + 0.4 * self.each(7))
        return bright * self.nucleus() * chromatin * (1.0 - 0.45 * dark)

    def protein(self) -> Reals:
        """Return the diffuse protein at two concentrations of one mean, and the spots in the cytoplasm."""
        inside, bright = self.nucleus(), self.across(0.18 + 0.14 * self.each(24))
        fade = np.clip(1.0 - (self.depth / 2.4) * (self.depth / 2.4), 0.0, 1.0)
        outside = step(2.0 * fade) * (0.75 + 0.5 * self.texture(6.0, 22))
        ratio = self.across(self.ratio)
        diffuse = 2.0 * bright / (1.0 + ratio) * (outside * (1.0 - inside) + ratio * inside)
        return diffuse + 0.45 * self._spots() * (1.0 - 0.8 * inside)

    def nucleus(self) -> Reals:
        """Return 1 inside the nucleus and 0 outside, with an edge of two pixels."""
        return step((1.0 - self.depth) * self.across(self.radius) / 2.0 + 0.5)

    def _depth(self) -> Reals:
        """Return distances from the middle in radii of the nucleus: an ellipse whose outline wobbles a little."""
        cosine, sine = (self.across(part) for part in self.turn)
        longer = self.across(1.0 + 0.3 * self.each(25))
        along = self.away[0] * cosine + self.away[1] * sine
        beside = self.away[1] * cosine - self.away[0] * sine
        square = along * along / longer + beside * beside * longer
        wobble = 1.0 + 0.3 * (self.texture(10.0, 23) - 0.5)
        return np.asarray(np.sqrt(square) / self.across(self.radius) * wobble)

    def _spots(self) -> Reals:
        """Return the spots: with dispersal there are more and smaller ones, farther from where the few have been."""
        found = np.zeros_like(self.depth)
        home = _direction(self.each(26), self.each(27))
        size = 3.0 - 1.7 * self.dispersal
        for n in range(_SPOTS):
            number = np.full_like(self.numbers, n)
            draw = [self.chance(30 + which, self.numbers, number) for which in range(4)]
            own = _direction(draw[0], draw[1])
            far = self.radius * (1.25 + 0.5 * self.dispersal * draw[2])
            where = []
            for axis in range(2):
                gathered = home[axis] * self.radius * 1.45 + 0.4 * self.radius * (draw[2 + axis] - 0.5) * 2.0
                where.append((1.0 - self.dispersal) * gathered + self.dispersal * far * own[axis])
            there = np.where(n < self.spots, 1.0, 0.0)
            spot = _spot(self.away, [self.across(each) for each in where], self.across(size))
            found = np.maximum(found, self.across(there) * spot)
        return found


def _direction(slope: Reals, half: Reals) -> tuple[Reals, Reals]:
    """Return cosine and sine of about any angle, without a function that is rounded differently by arrays."""
    turn = 2.0 * slope - 1.0
    cosine, sine = (1.0 - turn * turn) / (1.0 + turn * turn), 2.0 * turn / (1.0 + turn * turn)
    sign = np.where(half < 0.5, -1.0, 1.0)
    return sign * cosine, sign * sine


def _spot(away: list[Reals], where: list[Reals], size: Reals) -> Reals:
    """Return a round spot, 1 in its middle and 0 from twice its radius at half of that on."""
    square = sum((axis - place) * (axis - place) for axis, place in zip(away, where, strict=True))
    shape = np.clip(1.0 - square / (2.0 * size * size), 0.0, 1.0)
    return np.asarray(shape * shape)


def _blurred(images: Reals) -> Reals:
    """Return images seen through the PSF; beyond their border there is nothing."""
    reach = 3
    weights = [np.exp(-0.5 * (tap / _PSF) ** 2) for tap in range(-reach, reach + 1)]
    total = sum(weights)
    for axis in (1, 2):
        wide = np.pad(images, [(reach, reach) if each == axis else (0, 0) for each in range(3)])
        images = np.zeros_like(images)
        for tap, weight in enumerate(weights):
            part = [slice(None)] * 3
            part[axis] = slice(tap, tap + EDGE)
            images = images + weight / total * wide[tuple(part)]
    return images
