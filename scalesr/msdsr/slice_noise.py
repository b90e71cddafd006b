"""The noise of slices, as a function of the places of their voxels in the whole output."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import torch

from scalesr.models.noise import normal, stream

if TYPE_CHECKING:
    from collections.abc import Callable

    from scalesr.msdsr.slicing import Slicing


def slice_noise(
    slicing: Slicing,
    origins: torch.Tensor,
    *,
    channels: int,
    draw: int,
    sample: int,
    seed: int,
    noise: Literal["shared", "independent"],
    correlation: int,
    lane: int | Literal["unlike", "unknown"] = "unknown",
) -> torch.Tensor:
    """Return standard normal noise for slices; what is reflected in them has that of the voxels it stands in for.

    Where slices are correlated, those at multiples of the distance L, counted from the output's first voxel, have noise
    of their own, and slice k + t between two of them has ``cos(pi t / 2 L) n_k + sin(pi t / 2 L) n_(k+L)``. The idea is
    that of correlated noise between slices (arXiv 2602.04162), the recipe is our own choice.

    Parameters
    ----------
    slicing
        Which slices.
    origins
        int64, shape ``(n, 3)``, on the device that the noise is wanted on: place of each tile's first voxel in the
        output, as row, y and x.
    channels
        Of an image.
    draw, sample, seed
        Number of the draw, of the sample, and seed; see `scalesr.models.noise.stream`.
    noise
        Whether a voxel has the same noise in XZ as in YZ slices.
    correlation
        Distance L; 1 for independent slices.
    lane
        Of the tiles' first rows, see `scalesr.models.noise.normal`.

    Returns
    -------
    torch.Tensor
        float32, shape ``(slicing.count, channels, *slicing.shape)``.
    """
    device = origins.device
    rows, columns = slicing.shape
    across, along = (1, 2) if slicing.orientation == "xz" else (2, 1)
    part = torch.arange(slicing.part.start, slicing.part.stop, device=device)
    third = (origins[:, across, None] + part).reshape(-1, 1, 1)
    first = origins[:, 0].repeat_interleave(len(part)).view(-1, 1, 1)
    line = origins[:, along].repeat_interleave(len(part)).view(-1, 1, 1) + torch.arange(columns, device=device)
    orientation = int(noise == "independent" and slicing.orientation == "yz")
    streams = torch.tensor(
        [stream(draw=draw, sample=sample, channel=c, orientation=orientation) for c in range(channels)], device=device
    ).view(1, -1, 1)

    def at(place: torch.Tensor) -> torch.Tensor:
        y, x = (place, line) if slicing.orientation == "xz" else (line, place)
        return normal(first=first, rows=rows, y=y, x=x, streams=streams, seed=seed, lane=lane).transpose(-1, -2)

    return (at(third) if correlation == 1 else _mixed(at, third, correlation)).contiguous()


def _mixed(at: Callable[[torch.Tensor], torch.Tensor], third: torch.Tensor, distance: int) -> torch.Tensor:
    key = third.div(distance, rounding_mode="floor") * distance
    angle = (third - key).unsqueeze(-1).double() * (math.pi / 2 / distance)
    return at(key) * angle.cos().float() + at(key + distance) * angle.sin().float()
