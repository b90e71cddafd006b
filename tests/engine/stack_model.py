"""A small model of stacks: planes are points and kept, missing ones are made up, and it knows how unsure it is."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch

from scalesr.models import Cost, ModelSpec, row_of

if TYPE_CHECKING:
    from scalesr.models import Precision

REACH = 3
"""Planes that it looks up and down for one that was measured."""


def noise(rows: torch.Tensor, ys: torch.Tensor, xs: torch.Tensor) -> torch.Tensor:
    """Return numbers of [0, 1) that are a function of the global voxel alone."""
    mixed = (rows[:, None, None] * 73856093) ^ (ys[:, None] * 19349663) ^ (xs * 83492791)
    return ((mixed * 2654435761 % 2**31) >> 7).to(torch.float32) / 2**24


class Stack:
    """Linear between the nearest measured planes, means of 3 x 3 pixels, plus noise; its deviations are made up too."""

    def __init__(self, scale: Fraction, margins: tuple[int, ...] = (0, 0, 0), *, channels: int = 1) -> None:
        self.scale, self.margins, self.channels = scale, margins, channels

    @property
    def spec(self) -> ModelSpec:
        return ModelSpec(
            name="stack",
            axes="zyx",
            scale=(self.scale, Fraction(1), Fraction(1)),
            channels=self.channels,
            out_channels=self.channels,
            receptive=(REACH, 1, 1),
            randomness="seeded",
            activation_bytes=64.0,
            sampling=("point", "area", "area"),
            verbatim="planes",
            deviation="returned",
            holes="inpainted",
        )

    def to(self, *, device: str, precision: Precision) -> Stack:
        return self

    def tailored(self, margins: tuple[int, ...]) -> Stack:
        return Stack(self.scale, margins, channels=self.channels)

    def cost(self, tile: tuple[int, ...], margins: tuple[int, ...]) -> Cost:
        return Cost(passes=tile[0] - 2 * margins[0], flops=float(math.prod(tile)))

    def __call__(self, tiles: torch.Tensor, origins: torch.Tensor) -> torch.Tensor:
        results = []
        for tile, origin in zip(tiles, origins, strict=True):
            values, deviations = zip(*(self._one(channel, origin) for channel in tile), strict=True)
            results.append(torch.stack([*values, *deviations]))
        return torch.stack(results)

    def _one(self, tile: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        measured = [not bool(plane.isnan().any()) for plane in tile]
        smooth = torch.nn.functional.avg_pool2d(tile[:, None], 3, stride=1, padding=1)[:, 0]
        planes, *edges = tile.shape
        first = int(origin[0]) * self.scale
        assert first.denominator == 1
        rows = int(planes * self.scale)
        values, deviations = [], []
        for row in range(rows):
            at = row / self.scale
            below = next((k for k in range(math.floor(at), math.floor(at) - REACH, -1) if k >= 0 and measured[k]), None)
            above = next(
                (k for k in range(math.floor(at) + 1, math.floor(at) + REACH) if k < planes and measured[k]), None
            )
            if below is None and above is None:
                values.append(torch.full(edges, 0.5))
                deviations.append(torch.ones(edges))
                continue
            low, high = (above if below is None else below), (below if above is None else above)
            assert low is not None
            assert high is not None
            weight = float((at - low) / (high - low)) if high != low else 0.0
            values.append(smooth[low] * (1 - weight) + smooth[high] * weight)
            deviations.append(torch.full(edges, 0.02 * min(abs(float(at - k)) for k in (low, high))))
        spots = [torch.arange(int(o), int(o) + n) for o, n in zip(origin[1:], edges, strict=True)]
        grain = 0.05 * noise(torch.arange(rows) + int(first), *spots)
        found = torch.stack([torch.stack(values) + grain, torch.stack(deviations) + grain])
        z, y, x = self.margins
        assert (z * self.scale).denominator == 1
        inner = torch.zeros(found.shape[1:], dtype=torch.bool)
        inner[int(z * self.scale) : rows - int(z * self.scale), y : edges[0] - y, x : edges[1] - x] = True
        # Nobody asked for it, so nobody must use it.
        return torch.where(inner, found, torch.tensor(1e4))


def whole() -> Stack:
    """Four rows to a plane."""
    return Stack(Fraction(4))


def fraction() -> Stack:
    """48 rows to 13 planes."""
    return Stack(Fraction(48, 13))


def two() -> Stack:
    """Two channels at once."""
    return Stack(Fraction(4), channels=2)


class Thick(Stack):
    """One that enlarges the planes that it is to keep."""

    @property
    def spec(self) -> ModelSpec:
        return replace(super().spec, scale=(self.scale, Fraction(2), Fraction(2)))


def thick() -> Thick:
    """A model that contradicts itself."""
    return Thick(Fraction(4))


def rows(planes: int, scale: Fraction) -> list[int]:
    """Return where planes lie in the output."""
    return [row_of(plane, scale) for plane in range(planes)]


MODELS: dict[str, tuple[str, Fraction]] = {
    "whole": ("engine.stack_model:whole", Fraction(4)),
    "fraction": ("engine.stack_model:fraction", Fraction(48, 13)),
}
TILES: dict[str, dict[str, Any]] = {
    "whole": {"cell": (4, 8, 10), "halo": (5, 3, 4), "blend": (2, 2, 3)},
    "fraction": {"cell": (26, 8, 10), "halo": (26, 3, 4), "blend": (13, 2, 3)},
}
"""Cells with ramps along all three axes."""
SIZES = {"whole": (11, 19, 23), "fraction": (33, 19, 23)}
"""Stacks of a few such cells, none of them whole at the end."""
