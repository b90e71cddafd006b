"""A part of an image that is small enough to be held, and says of what it is: a coarse level, or some of its planes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.images import Image

MOST = 2**22
"""Voxels of a sample at most."""
READS = 1024
"""Most regions that a sample is read in."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Voxels of an image, of all parts of it as far as that can be."""

    pixels: NDArray[Any]
    """One axis for each of the image."""
    level: int
    """Level of the pyramid that they are of."""
    picks: tuple[range, ...]
    """Which entries of the level they are, along each axis."""
    factors: tuple[float, ...]
    """Pixels of the full resolution for each of the level, along each axis."""
    words: str
    """What was read, for the reader."""

    def place(self, axis: int, entry: int) -> int:
        """Return where an entry of the sample lies along an axis at full resolution."""
        return int((self.picks[axis][entry] + 0.5) * self.factors[axis])


def sample(image: Image, *, most: int = MOST) -> Sample:
    """Return the finest level of an image that has so few voxels, or evenly spaced planes of its coarsest one.

    What is read does not grow with the image.

    Raises
    ------
    StorageError
        A chunk cannot be read.
    """
    sizes = [prod(level.shape) for level in image.levels]
    number = next((n for n, size in enumerate(sizes) if size <= most), len(sizes) - 1)
    level = image.levels[number]
    picks = _picks(image, level.shape, most=most)
    pieces = [
        [slice(pick.start, pick.stop)] if pick.step == 1 else [slice(entry, entry + 1) for entry in pick]
        for pick in picks
    ]
    pixels = np.empty([len(pick) for pick in picks], np.dtype(level.dtype))
    for region, target in zip(product(*pieces), product(*map(_targets, picks)), strict=True):
        pixels[target] = image.read(region, level=number)
    factors = tuple(coarse / fine for coarse, fine in zip(level.scale, image.levels[0].scale, strict=True))
    return Sample(
        pixels=pixels,
        level=number,
        picks=picks,
        factors=factors,
        words=_words(image, number, picks, factors),
    )


def _picks(image: Image, shape: Sequence[int], *, most: int) -> tuple[range, ...]:
    """Return evenly spaced planes, bands and times, and of too large planes their middle."""
    picks = [range(size) for size in shape]
    planes = [a for a in range(image.ndim) if a not in image_plane(image)]
    while prod(map(len, picks)) > most or prod(len(pick) for pick in picks if pick.step > 1) > READS:
        long = max(planes, key=lambda a: len(picks[a]), default=None)
        if long is not None and len(picks[long]) > 1:
            picks[long] = picks[long][::2]
            continue
        wide = max(image_plane(image), key=lambda a: len(picks[a]))
        size = len(picks[wide])
        picks[wide] = picks[wide][size // 4 : size // 4 + size // 2]
    return tuple(picks)


def image_plane(image: Image) -> tuple[int, int]:
    """Return the two axes of an image that are shown as a picture: the last two of space, or the last two of all."""
    space = [a for a, axis in enumerate(image.axes) if axis.kind == "space"]
    first, second = space[-2:] if len(space) > 1 else range(image.ndim - 2, image.ndim)
    return first, second


def _targets(pick: range) -> list[slice]:
    return [slice(0, len(pick))] if pick.step == 1 else [slice(n, n + 1) for n in range(len(pick))]


def _words(image: Image, number: int, picks: tuple[range, ...], factors: tuple[float, ...]) -> str:
    shape = image.levels[number].shape
    parts = ["every pixel"] if number == 0 else [f"level {number}, whose pixels are means over " + " x ".join(
        f"{factor:g} {axis.name}" for axis, factor in zip(image.axes, factors, strict=True) if factor > 1
    )]  # fmt: skip
    for axis, pick, size in zip(image.axes, picks, shape, strict=True):
        if pick.step > 1:
            parts.append(f"{len(pick):,} of {size:,} along {axis.name}")
        elif len(pick) < size:
            parts.append(f"the middle {len(pick):,} of {size:,} pixels along {axis.name}")
    return parts[0] if len(parts) == 1 else f"{parts[0].replace('every pixel', 'full resolution')}: " + ", ".join(
        parts[1:]
    )  # fmt: skip
