"""The receptive field of a network, measured on its weights: how much context a tile needs."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from scalesr.tiling import round_up

if TYPE_CHECKING:
    from fractions import Fraction

    from torch import nn

TAIL = 2.0**-30
"""Share of the whole influence on an output that may lie outside the field: a sixty-fourth of what float32 resolves."""

_LARGEST = 1024
_FIRST = 48
_ACROSS = 8
_INPUTS = 3
_LARGE = 2_000_000
"""Parameters from which on a single input is followed: so many paths do not all meet dead rectifiers."""
_WORK = 60_000_000_000
"""Parameters times pixels of the largest tile: some half a minute, on one core."""
_TELLING = 192
"""From this edge on, an influence from afar that does not fade while the tile doubles is taken to be global."""


def receptive_field(
    network: nn.Module,
    *,
    channels: int,
    scale: tuple[Fraction, ...],
    multiple: int = 1,
    minimum: int = 1,
    tail: float = TAIL,
    largest: int = _LARGEST,
) -> tuple[int, ...] | None:
    """Measure how many input pixels away an input pixel can still change an output pixel, along each axis.

    The gradient of the outputs of one group of `multiple` pixels is followed to the input, for several random inputs;
    the field holds all but `tail` of the sum of its absolute values. It is counted from the group, which is aligned to
    `multiple`, as cells are: a window of attention lies inside its group. An output j belongs to input pixel
    ``floor(j / scale)``.

    Parameters
    ----------
    network
        Maps ``(n, channels, *axes)`` to ``(n, any, *(axes * scale))``. It is copied, never changed.
    channels, scale, multiple, minimum
        What a tile looks like; see `ModelSpec`.
    tail
        0 counts every dependence however small.
    largest
        Edge of the largest tile tried; less for networks of many parameters, so that the time stays bounded. Tiles are
        narrow across the axis that is measured: the cost is that of about ``16 * largest`` pixels.

    Returns
    -------
    tuple of int or None
        Input pixels for each axis; None when the field of an axis reaches the border of the largest tile, or the
        influence from afar does not fade as the tile grows, as with pooling over the whole tile.
    """
    try:
        return _measure(
            copy.deepcopy(network).double(), torch.float64, channels, scale, multiple, minimum, tail, largest
        )
    except (RuntimeError, TypeError):
        # Networks with constants fixed to float32 inside; rounding may then add a pixel, never take one.
        return _measure(
            copy.deepcopy(network).float(), torch.float32, channels, scale, multiple, minimum, tail, largest
        )


def _measure(
    network: nn.Module,
    dtype: torch.dtype,
    channels: int,
    scale: tuple[Fraction, ...],
    multiple: int,
    minimum: int,
    tail: float,
    largest: int,
) -> tuple[int, ...] | None:
    network.eval().requires_grad_(requires_grad=False)
    across = round_up(max(minimum, _ACROSS), multiple)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    inputs = _INPUTS if parameters < _LARGE else 1
    affordable = _WORK // max(1, parameters * inputs * across ** (len(scale) - 1))
    field = []
    for axis in range(len(scale)):
        edge = round_up(max(minimum, _FIRST), multiple)
        limit = max(min(largest, affordable), edge)
        reach, outer = None, 1.0
        while reach is None and edge <= limit:
            shape = [inputs, channels, *[across] * len(scale)]
            shape[2 + axis] = edge
            first = edge // 2 // multiple * multiple
            profile = _influence(
                network, shape, axis=axis, first=first, count=multiple, factor=scale[axis], dtype=dtype
            )
            reach = _reach(profile, first=first, last=first + multiple - 1, tail=tail)
            before, outer = outer, _outer(profile)
            if reach is None and edge >= _TELLING and outer > before / 2:
                return None
            edge = round_up(2 * edge, multiple)
        if reach is None:
            return None
        field.append(reach)
    return tuple(field)


def _outer(profile: torch.Tensor) -> float:
    """Share of the influence that comes from the outer half of the tile."""
    quarter = profile.shape[1] // 4
    inner = profile[:, quarter:-quarter].sum(1)
    return float((1 - inner / profile.sum(1)).max())


def _influence(
    network: nn.Module,
    shape: list[int],
    *,
    axis: int,
    first: int,
    count: int,
    factor: Fraction,
    dtype: torch.dtype,
) -> torch.Tensor:
    """How strongly each position of an axis acts on the outputs of `count` pixels from `first`, for each input."""
    generator = torch.Generator().manual_seed(0)
    tile = torch.rand(shape, generator=generator, dtype=dtype).requires_grad_()
    with torch.enable_grad():
        # Not the leaf itself, as some networks normalise their input in place.
        output = network(tile * 1)
        part = output.narrow(2 + axis, int(first * factor), int(count * factor))
        signs = torch.randn(part.shape, generator=generator, dtype=dtype)
        (gradient,) = torch.autograd.grad((part * signs).sum(), tile)
    others = [dimension for dimension in range(1, tile.ndim) if dimension != 2 + axis]
    return gradient.abs().sum(dim=others)


def _reach(profile: torch.Tensor, *, first: int, last: int, tail: float) -> int | None:
    position = torch.arange(profile.shape[1])
    distance = torch.maximum(first - position, position - last).clamp(min=0)
    room = min(first, profile.shape[1] - 1 - last)
    by_distance = torch.zeros(profile.shape[0], int(distance.max()) + 1, dtype=profile.dtype)
    by_distance.index_add_(1, distance, profile)
    # Summed from the far end, so that the faint tail is not lost beside the strong centre.
    beyond = by_distance.flip(1).cumsum(1).flip(1)
    needed = int((beyond > tail * beyond[:, :1]).sum(1).max()) - 1
    if needed < 0:
        return 0
    return needed if needed < room else None
