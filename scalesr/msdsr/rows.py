"""Which rows of an image were measured, and the linear interpolation between them."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch

from scalesr.models.spec import row_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEAST, MOST = 5, 20
"""Measured rows of 48 in the released code, both inclusive: 28 to 43 of them are predicted."""
RELEASED_EDGE = 48
"""Rows of its images."""
DENSEST, SPARSEST = 2, 8
"""Spacings of regular rows, as in the paper's comparison."""
FRACTIONS = 8
"""Spacings are multiples of one such part of a row."""


def random_rows(rows: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of so many rows are measured, anywhere: 5 to 20 of 48, drawn evenly, as in the released code."""
    count = int(random.integers(LEAST, MOST + 1)) * rows // RELEASED_EDGE
    known = np.zeros(rows, bool)
    known[random.permutation(rows)[: max(count, 1)]] = True
    return known


def regular_rows(rows: int, random: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of so many rows are measured, at one spacing of 2 to 8 rows, from a phase that is drawn, too."""
    spacing = Fraction(int(random.integers(DENSEST * FRACTIONS, SPARSEST * FRACTIONS + 1)), FRACTIONS)
    return spaced_rows(rows, spacing, phase=int(random.integers(int(spacing) + 1)))


def spaced_rows(rows: int, spacing: Fraction, *, phase: int = 0) -> NDArray[np.bool_]:
    """Return which of so many rows are measured when plane k lies at row ``row_of(k, spacing) + phase``."""
    known = np.zeros(rows, bool)
    places = np.array([row_of(plane, spacing) + phase for plane in range(-1, int(rows / spacing) + 2)])
    known[places[(places >= 0) & (places < rows)]] = True
    return known


def guide(clean: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Interpolate linearly along the rows between measured pixels; beyond the outermost ones these are repeated.

    Parameters
    ----------
    clean
        Shape (n, C, rows, columns); only measured pixels are looked at.
    known
        Shape (n, 1, rows, columns), above zero where measured.

    Returns
    -------
    torch.Tensor
        Shape as `clean`; measured pixels as they are, zero in columns without any.
    """
    there = known > 0
    clean = torch.where(there, clean, torch.zeros((), dtype=clean.dtype, device=clean.device))
    low, high = beside(there)
    place = torch.arange(clean.shape[-2], device=clean.device).view(1, 1, -1, 1)
    share = (place - low).to(clean.dtype) / (high - low).clamp(min=1).to(clean.dtype)
    shape = clean.shape
    values = [torch.gather(clean, -2, at.expand(shape)) for at in (low, high)]
    return torch.lerp(values[0], values[1], share.clamp(0, 1).expand(shape))


def beside(known: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return for each pixel the measured rows before and after it in its column, or that row itself.

    Parameters
    ----------
    known
        bool, shape (n, 1, rows, columns).

    Returns
    -------
    tuple of torch.Tensor
        int64, shape as `known`: beyond the outermost measured row both are that row; any row in columns without one.
    """
    rows = known.shape[-2]
    place = torch.arange(rows, device=known.device).view(1, 1, -1, 1).expand(known.shape)
    before = torch.where(known, place, -1).cummax(dim=-2).values
    after = torch.where(known, place, rows).flip(-2).cummin(dim=-2).values.flip(-2)
    low = torch.where(before < 0, after, before).clamp(max=rows - 1)
    high = torch.where(after >= rows, before, after).clamp(min=0)
    return low, high
