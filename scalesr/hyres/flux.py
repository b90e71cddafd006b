"""Flux on tensors: what a run does to an output so that its block means are the measurement, differentiably."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from scalesr.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

LEAST = 0.02
"""Block mean, in units of the normalised intensity, below which a block is not stretched further, but shifted."""


def project_flux(sr: Tensor, low: Tensor, *, measured: Tensor | None = None) -> Tensor:
    """Return the nearest image, in the sense of least squares, whose block means are the measurement.

    Each block gets the difference of its mean to the measured pixel added: additive, local, and differentiable with
    respect to both.

    Parameters
    ----------
    sr
        Enlarged images, shape (n, c, sy, sx).
    low
        Measurements, shape (n, c, y, x), in the same units of intensity; sy and sx are whole multiples of y and x.
    measured
        Shape (n, c, y, x) or one that broadcasts to it; blocks are left as they are where it is 0, as at dead pixels.

    Raises
    ------
    ModelError
        The sizes are not whole multiples.
    """
    factors = _factors(sr, low)
    lacking = low - functional.avg_pool2d(sr, factors)
    if measured is not None:
        lacking = lacking * measured
    return sr + _repeated(lacking, factors)


def conserve_flux(sr: Tensor, low: Tensor, *, zero: Tensor | float, measured: Tensor | None = None) -> Tensor:
    """Return an image whose block means are the measurement and which is nowhere below zero, as a run makes it.

    Where the measurement is above zero, what is below zero becomes zero and each block is stretched by one factor. A
    block of zero becomes zero, and one below is shifted. A run does the same (`scalesr.engine`, ``--flux conserved``).
    The difference is in blocks whose mean is below `LEAST`: these are stretched less and then shifted, since the
    gradient of a factor over nothing is infinite.

    Parameters
    ----------
    sr, low, measured
        See `project_flux`.
    zero
        Where an intensity of zero lies on the normalised scale; a number, or shape (n, 1, 1, 1).

    Raises
    ------
    ModelError
        The sizes are not whole multiples.
    """
    factors = _factors(sr, low)
    above, target = sr - zero, low - zero
    kept = torch.where(_repeated(target, factors) >= 0, above.clamp(min=0.0), above)
    factor = torch.where(target >= 0, target / functional.avg_pool2d(kept, factors).clamp(min=LEAST), 1.0)
    scaled = kept * _repeated(factor, factors) + zero
    if measured is not None:
        scaled = torch.where(_repeated(measured.expand_as(low), factors) > 0, scaled, sr)
    return project_flux(scaled, low, measured=measured)


def _factors(sr: Tensor, low: Tensor) -> tuple[int, int]:
    y, x = (n // m for n, m in zip(sr.shape[-2:], low.shape[-2:], strict=True))
    if (low.shape[-2] * y, low.shape[-1] * x) != tuple(sr.shape[-2:]):
        raise ModelError(
            f"An output of {tuple(sr.shape[-2:])} pixels is no whole multiple of {tuple(low.shape[-2:])}.",
            remedy="Use a model with a whole scale.",
        )
    return y, x


def _repeated(blocks: Tensor, factors: tuple[int, int]) -> Tensor:
    return blocks.repeat_interleave(factors[0], -2).repeat_interleave(factors[1], -1)
