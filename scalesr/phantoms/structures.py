"""Volumes, equally sharp along all axes: walls around compartments, a net of tubes, and round granules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np

from scalesr.errors import InputError

from .lattice import Reals, Sites, boxes, noise, step
from .phantom import Box, Image, box, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

Structure: TypeAlias = Literal["membranes", "tubes", "blobs"]

_WALLS, _TUBES, _BLOBS, _GROUND = 0, 32, 64, 96
"""First of the streams of random numbers that each structure takes."""


def volume(
    shape: Sequence[int],
    *,
    seed: int = 0,
    pitch: float = 24.0,
    structures: Sequence[Structure] = ("membranes", "tubes", "blobs"),
) -> Volume:
    """Return a volume with the same statistics along z, y and x, so that what was lost along z is known.

    Parameters
    ----------
    shape
        ``(z, y, x)``.
    seed
        The same seed gives the same volume, whatever the shape.
    pitch
        Mean diameter of a compartment, in pixels; walls and tubes are some tenth of it thick.
    structures
        What is in it.

    Raises
    ------
    InputError
        The shape does not have three axes, or has an empty one; an unknown structure.
    """
    lengths, axes = positive(shape, axes=("zyx",), kind="A volume")
    unknown = sorted(set(structures) - set(get_args(Structure)))
    if unknown:
        raise InputError(
            f"A volume has no structures named {', '.join(unknown)}.",
            remedy=f"Choose from {', '.join(get_args(Structure))}.",
        )
    return Volume(shape=lengths, axes=axes, seed=seed, pitch=pitch, structures=tuple(structures))


@dataclass(frozen=True, kw_only=True)
class Volume:
    """A volume of intensity from about 0.1 to 1; see `volume`."""

    shape: tuple[int, ...]
    axes: str
    seed: int
    pitch: float
    structures: tuple[Structure, ...]

    def region(self, slices: Sequence[slice]) -> Image:
        """Return one region, float32; each voxel has the same value in any region."""
        where = box(slices, self.shape)
        out = 0.1 + 0.12 * noise(where, spacing=0.7 * self.pitch, seed=self.seed, stream=_GROUND)
        out += 0.06 * noise(where, spacing=0.12 * self.pitch, seed=self.seed, stream=_GROUND + 1)
        if "membranes" in self.structures:
            out = np.maximum(out, self._membranes(where))
        if "tubes" in self.structures:
            out = np.maximum(out, self._tubes(where))
        if "blobs" in self.structures:
            out = np.maximum(out, self._blobs(where))
        return out.astype(np.float32)

    def _membranes(self, where: Box) -> Reals:
        away = Sites(self.seed, _WALLS, self.pitch).wall_distance(where)
        uneven = 0.4 + 0.3 * noise(where, spacing=self.pitch, seed=self.seed, stream=_GROUND + 2)
        return uneven * step(1.5 - away / (0.05 * self.pitch))

    def _tubes(self, where: Box) -> Reals:
        """Return tubes from point to neighbouring point of a lattice, with a bright wall and a darker inside."""
        out = np.zeros([stop - start for start, stop in where])
        sites = Sites(self.seed, _TUBES, 1.6 * self.pitch)
        index = list(sites.near(where, reach=2.2 * sites.pitch).T)
        for direction in range(3):
            kept = sites.draw(index, direction) < 0.6
            here = [axis[kept] for axis in index]
            neighbour = [own + (axis == direction) for axis, own in enumerate(here)]
            begin, end = sites.centre(here), sites.centre(neighbour)
            radius = self.pitch * (0.06 + 0.09 * sites.draw(here, 3 + direction))
            low = [np.minimum(a, b) - radius - 2.0 for a, b in zip(begin, end, strict=True)]
            high = [np.maximum(a, b) + radius + 2.0 for a, b in zip(begin, end, strict=True)]
            for n, part, at in boxes(where, low, high):
                span = [b[n] - a[n] for a, b in zip(begin, end, strict=True)]
                away = [axis - a[n] for axis, a in zip(at, begin, strict=True)]
                length = span[0] * span[0] + span[1] * span[1] + span[2] * span[2]
                share = np.clip((away[0] * span[0] + away[1] * span[1] + away[2] * span[2]) / length, 0.0, 1.0)
                square = np.zeros([1, 1, 1])
                for offset, along in zip(away, span, strict=True):
                    beside = offset - share * along
                    square = square + beside * beside
                distance = np.sqrt(square)
                wall = step((radius[n] - distance) / 1.5 + 0.5)
                inside = step((0.6 * radius[n] - distance) / 1.5 + 0.5)
                out[part] = np.maximum(out[part], 0.85 * wall - 0.35 * inside)
        return out

    def _blobs(self, where: Box) -> Reals:
        out = np.zeros([stop - start for start, stop in where])
        sites = Sites(self.seed, _BLOBS, 0.6 * self.pitch)
        index = list(sites.near(where, reach=0.2 * self.pitch + 2.0).T)
        kept = sites.draw(index, 0) < 0.25
        index = [axis[kept] for axis in index]
        centre = sites.centre(index)
        radius = self.pitch * (0.06 + 0.14 * sites.draw(index, 1))
        bright = 0.5 + 0.5 * sites.draw(index, 2)
        reach = radius + 2.0
        for n, part, at in boxes(where, [c - reach for c in centre], [c + reach for c in centre]):
            square = np.zeros([1, 1, 1])
            for axis, c in zip(at, centre, strict=True):
                square = square + (axis - c[n]) * (axis - c[n])
            out[part] = np.maximum(out[part], bright[n] * step((radius[n] - np.sqrt(square)) / 2.0 + 0.5))
        return out
