"""Cells: nuclei with chromatin and nucleoli, in a cytoplasm of filaments and vesicles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from .lattice import Reals, Sites, boxes, noise, step, uniform
from .phantom import Box, Image, Labels, box, positive

if TYPE_CHECKING:
    from collections.abc import Sequence

Stain: TypeAlias = Literal["nuclei", "cytoplasm", "both"]
"""What is bright: the nuclei, all that is around them, or the nuclei and fainter the cytoplasm."""

_SITES, _SHAPE, _CHROMATIN, _FILAMENTS, _VESICLES, _NUCLEOLI, _GROUND = 0, 32, 40, 48, 64, 80, 96
"""First of the streams of random numbers that each structure takes."""
_SPREAD = 2.3
"""Radius of a cell in radii of its nucleus."""
_WOBBLE = 0.25
"""How much the outline of a cell deviates from an ellipse, as a share of its radius."""


def cells(shape: Sequence[int], *, seed: int = 0, pitch: float = 40.0, stain: Stain = "both") -> Cells:
    """Return an image of cells, some three quarters of the lattice cells of ``pitch`` pixels filled with one.

    Parameters
    ----------
    shape
        ``(y, x)`` or ``(z, y, x)``.
    seed
        The same seed gives the same cells, whatever the shape.
    pitch
        Mean distance of neighbours, in pixels. The radius of a nucleus is 0.16 to 0.3 of it.
    stain
        What is bright.

    Raises
    ------
    InputError
        The shape has another number of axes, or an empty one.
    """
    lengths, axes = positive(shape, axes=("yx", "zyx"), kind="An image of cells")
    return Cells(shape=lengths, axes=axes, seed=seed, pitch=pitch, stain=stain)


@dataclass(frozen=True, kw_only=True)
class Cells:
    """An image of cells, of intensity from about 0 to 1.2; see `cells`."""

    shape: tuple[int, ...]
    axes: str
    seed: int
    pitch: float
    stain: Stain

    def region(self, slices: Sequence[slice]) -> Image:
        """Return one region, float32; each pixel has the same value in any region."""
        where = box(slices, self.shape)
        nuclei, cytoplasm, _ = self._layers(where)
        out = 0.02 + 0.03 * self._noise(where, 4.0 * self.pitch, _GROUND)
        if self.stain != "cytoplasm":
            fine = self._noise(where, 0.06 * self.pitch, _CHROMATIN)
            coarse = self._noise(where, 0.17 * self.pitch, _CHROMATIN + 1)
            nucleoli = self._spots(where, _NUCLEOLI, spacing=0.16, radius=0.055, share=0.3)
            out = out + nuclei * (0.5 + 0.6 * (0.5 * fine + 0.5 * coarse)) * (1.0 - 0.5 * nucleoli)
        if self.stain != "nuclei":
            out = out + (0.35 if self.stain == "both" else 1.0) * self._cytoplasm(where, cytoplasm, nuclei)
        return out.astype(np.float32)

    def labels(self, slices: Sequence[slice]) -> Labels:
        """Return which nucleus covers each pixel, int64: 0 for none, and numbers that are the same in any region."""
        return self._layers(box(slices, self.shape))[2]

    def _layers(self, where: Box) -> tuple[Reals, Reals, Labels]:
        """Return nuclei and cytoplasm, each with the brightness of its cell, and the labels of the nuclei."""
        lengths = [stop - start for start, stop in where]
        nuclei, cytoplasm = np.zeros(lengths), np.zeros(lengths)
        labels, depth = np.zeros(lengths, np.int64), np.ones(lengths)
        wobble = 1.0 + 2.0 * _WOBBLE * (self._noise(where, 0.22 * self.pitch, _SHAPE) - 0.5)
        sites = Sites(self.seed, _SITES, self.pitch)
        reach = _SPREAD * 0.3 * self.pitch / (1.0 - _WOBBLE)
        index = list(sites.near(where, reach=reach).T)
        crowding = uniform(self.seed, _SHAPE + 1, *(axis // 4 for axis in index))
        kept = sites.draw(index, 0) < 0.55 + 0.4 * crowding
        index = [axis[kept] for axis in index]
        if not kept.any():
            return nuclei, cytoplasm, labels
        centre = sites.centre(index)
        radius = self.pitch * (0.16 + 0.1 * sites.draw(index, 1))
        long = radius * (1.0 + 0.15 * sites.draw(index, 2))
        bright = 0.35 + 0.65 * sites.draw(index, 3)
        names = (uniform(self.seed, _SHAPE + 2, *index) * 2.0**53).astype(np.int64) + 1
        turn = 2.0 * sites.draw(index, 4) - 1.0
        cosine, sine = (1.0 - turn * turn) / (1.0 + turn * turn), 2.0 * turn / (1.0 + turn * turn)
        for n, part, at in boxes(where, [c - reach for c in centre], [c + reach for c in centre]):
            away = [axis - c[n] for axis, c in zip(at, centre, strict=True)]
            along, across = away[-2] * cosine[n] + away[-1] * sine[n], away[-1] * cosine[n] - away[-2] * sine[n]
            square = (along / long[n]) * (along / long[n]) + (across / radius[n]) * (across / radius[n])
            if len(away) == 3:
                square = square + (away[0] / radius[n]) * (away[0] / radius[n])
            distance = np.sqrt(square) * wobble[part]
            edge = step((1.0 - distance) * radius[n] / 2.0 + 0.5)
            nuclei[part] = np.maximum(nuclei[part], bright[n] * edge)
            fade = np.clip(1.0 - (distance / _SPREAD) * (distance / _SPREAD), 0.0, 1.0)
            cytoplasm[part] = np.maximum(cytoplasm[part], (0.5 + 0.5 * bright[n]) * step(2.0 * fade))
            mine = distance < depth[part]
            depth[part] = np.where(mine, distance, depth[part])
            labels[part] = np.where(mine, names[n], labels[part])
        return nuclei, cytoplasm, labels

    def _cytoplasm(self, where: Box, envelope: Reals, nuclei: Reals) -> Reals:
        ridges = [
            1.0 - np.abs(2.0 * self._noise(where, spacing * self.pitch, _FILAMENTS + n) - 1.0)
            for n, spacing in enumerate((0.3, 0.13))
        ]
        filaments = ridges[0] * ridges[0] * ridges[0] * (0.4 + 0.6 * ridges[1] * ridges[1])
        vesicles = 0.9 * self._spots(where, _VESICLES, spacing=0.2, radius=0.05, share=0.5)
        return envelope * (0.15 + 0.6 * filaments + vesicles) * (1.0 - 0.7 * np.minimum(nuclei, 1.0))

    def _spots(self, where: Box, stream: int, *, spacing: float, radius: float, share: float) -> Reals:
        """Return round spots of 0 to 1; lengths in units of the pitch, ``share`` of the places taken."""
        spots = np.zeros([stop - start for start, stop in where])
        sites = Sites(self.seed, stream, spacing * self.pitch)
        index = list(sites.near(where, reach=1.5 * radius * self.pitch).T)
        centre = sites.centre(index)
        edge = radius * self.pitch * (0.5 + sites.draw(index, 0))
        bright = step(3.0 * (share - sites.draw(index, 1)))
        for n, part, at in boxes(where, [c - edge for c in centre], [c + edge for c in centre]):
            square = np.zeros([1] * len(at))
            for axis, c in zip(at, centre, strict=True):
                square = square + (axis - c[n]) * (axis - c[n])
            spot = np.clip(1.0 - square / (edge[n] * edge[n]), 0.0, 1.0)
            spots[part] = np.maximum(spots[part], bright[n] * spot * spot)
        return spots

    def _noise(self, where: Box, spacing: float, stream: int) -> Reals:
        return noise(where, spacing=spacing, seed=self.seed, stream=stream)
