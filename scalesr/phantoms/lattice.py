"""Randomness as a function of position: hashed numbers, smooth noise, and points scattered over a jittered lattice.

Only additions, products, quotients, square roots and comparisons are used on pixels. These are exactly rounded, so that
a pixel has the same bits whatever array it is calculated in; exponentials and sines are not.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .phantom import Box

Reals: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Integers: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]


def uniform(seed: int, stream: int, *coordinates: Integers) -> Reals:
    """Return one number in [0, 1) for each position: a hash of (seed, stream, position), independent of all others.

    The hash is a chain of the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), one link to a coordinate.
    """
    with np.errstate(over="ignore"):
        state = _mix(_mix(np.asarray([seed], np.int64).astype(np.uint64)) ^ np.asarray([stream], np.uint64))
        for coordinate in coordinates:
            state = _mix(state ^ np.asarray(coordinate, np.int64).astype(np.uint64))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(state: np.ndarray[Any, np.dtype[np.uint64]]) -> np.ndarray[Any, np.dtype[np.uint64]]:
    state = state + np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))


def step(x: Reals) -> Reals:
    """Return 0 below 0, 1 above 1, and between them a cubic without a kink."""
    clipped = np.clip(x, 0.0, 1.0)
    return np.asarray(clipped * clipped * (3.0 - 2.0 * clipped))


def noise(region: Box, *, spacing: float, seed: int, stream: int) -> Reals:
    """Return smooth noise in [0, 1] on a region, with features of about ``spacing`` pixels.

    Random values on a lattice are blended with cubic B-splines, whose round kernel hides the lattice; the contrast that
    blending takes away is given back and what then leaves the range is clipped.
    """
    values, lows, shares = [], [], []
    for start, stop in region:
        position = np.arange(start, stop, dtype=np.float64) / (0.75 * spacing)
        low = np.floor(position)
        shares.append(_spline(position - low))
        first = int(low[0])
        lows.append(low.astype(np.int64) - first)
        values.append(np.arange(first - 1, first + int(lows[-1][-1]) + 3))
    table = uniform(seed, stream, *np.ix_(*values))
    for axis, (low, weights) in enumerate(zip(lows, shares, strict=True)):
        taken = [np.take(table, low + tap, axis) * _along(weights[tap], axis, len(region)) for tap in range(4)]
        table = (taken[0] + taken[1]) + (taken[2] + taken[3])
    # blending leaves a share of 0.48 of the variance for each axis, which is 1.45 squared the other way round
    return np.clip(0.5 + (table - 0.5) * 1.45 ** len(region), 0.0, 1.0)


def _spline(t: Reals) -> tuple[Reals, Reals, Reals, Reals]:
    """Return the four weights of a cubic B-spline, ``t`` of the way from the second lattice point to the third."""
    u = 1.0 - t
    return (
        u * u * u / 6.0,
        2.0 / 3.0 - t * t * (1.0 - 0.5 * t),
        2.0 / 3.0 - u * u * (1.0 - 0.5 * u),
        t * t * t / 6.0,
    )


def positions(region: Box) -> list[Reals]:
    """Return the pixel positions along each axis, shaped to broadcast over the region."""
    return [
        _along(np.arange(start, stop, dtype=np.float64), axis, len(region)) for axis, (start, stop) in enumerate(region)
    ]


def _along(line: Reals, axis: int, dimensions: int) -> Reals:
    return line.reshape([-1 if a == axis else 1 for a in range(dimensions)])


@dataclass(frozen=True)
class Sites:
    """Points of a jittered lattice: one in each cell of ``pitch`` pixels, off its middle by a random amount."""

    seed: int
    stream: int
    """Streams from this one up to this one + 7 place the points; `draw` takes those from + 8 on."""
    pitch: float
    jitter: float = 0.7
    """Edge of the part of a cell where its point can lie, in cells."""

    def near(self, region: Box, *, reach: float) -> Integers:
        """Return the index of each lattice cell whose point can lie within ``reach`` of the region, shape (n, axes)."""
        ranges = [
            np.arange(math.floor((start - reach) / self.pitch), math.floor((stop - 1 + reach) / self.pitch) + 1)
            for start, stop in region
        ]
        return np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, len(region))

    def centre(self, index: Sequence[Integers]) -> list[Reals]:
        """Return the position of each point along each axis, in pixels."""
        return [
            (own + 0.5 + self.jitter * (uniform(self.seed, self.stream + axis, *index) - 0.5)) * self.pitch
            for axis, own in enumerate(index)
        ]

    def draw(self, index: Sequence[Integers], which: int) -> Reals:
        """Return the ``which``-th random property of each point, in [0, 1)."""
        return uniform(self.seed, self.stream + 8 + which, *index)

    def wall_distance(self, region: Box) -> Reals:
        """Return each pixel's distance to the nearest wall of the Voronoi diagram of the points, in pixels.

        Only points of the pixel's own lattice cell and of those around it are looked at.
        """
        where = positions(region)
        own = [np.floor(axis / self.pitch).astype(np.int64) for axis in where]
        shape = [stop - start for start, stop in region]
        nearest, centre = np.full(shape, np.inf), [np.zeros(shape) for _ in region]
        around = [self._shifted(own, offset) for offset in itertools.product((-1, 0, 1), repeat=len(region))]
        for points in around:
            square = _square([axis - point for axis, point in zip(where, points, strict=True)])
            mine = square < nearest
            nearest = np.where(mine, square, nearest)
            centre = [np.where(mine, point, held) for point, held in zip(points, centre, strict=True)]
        out = np.full(shape, np.inf)
        for points in around:
            square = _square([axis - point for axis, point in zip(where, points, strict=True)])
            apart = _square([point - held for point, held in zip(points, centre, strict=True)])
            wall = (square - nearest) / (2.0 * np.sqrt(np.where(apart > 0.0, apart, np.nan)))
            out = np.fmin(out, wall)
        return out

    def _shifted(self, own: list[Integers], offset: tuple[int, ...]) -> list[Reals]:
        """Return, for each pixel, the point of the lattice cell ``offset`` away from the pixel's own."""
        lattice = np.ix_(*(np.arange(a.min() + o, a.max() + o + 1) for a, o in zip(own, offset, strict=True)))
        pick = tuple(axis - axis.min() for axis in own)
        return [centre[pick] for centre in self.centre(lattice)]


def _square(away: Sequence[Reals]) -> Reals:
    total = away[0] * away[0]
    for axis in away[1:]:
        total = total + axis * axis
    return total


def boxes(
    region: Box, low: Sequence[Reals], high: Sequence[Reals]
) -> Iterator[tuple[int, tuple[slice, ...], list[Reals]]]:
    """Visit the objects that reach into a region.

    Parameters
    ----------
    region
        Where to look.
    low, high
        For each axis, the first and last position that each object can touch, in pixels.

    Yields
    ------
    tuple
        Number of the object; its part of the region, as slices of an array of the region; positions as `positions`.
    """
    starts = np.array([start for start, _ in region])
    stops = np.array([stop for _, stop in region])
    first = np.maximum(np.floor(np.stack(low, -1)).astype(np.int64), starts)
    end = np.minimum(np.ceil(np.stack(high, -1)).astype(np.int64) + 1, stops)
    for number in np.flatnonzero((first < end).all(-1)):
        part = tuple((int(a), int(b)) for a, b in zip(first[number], end[number], strict=True))
        slices = tuple(slice(a - start, b - start) for (a, b), (start, _) in zip(part, region, strict=True))
        yield int(number), slices, positions(part)
