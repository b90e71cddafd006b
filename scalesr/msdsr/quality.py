"""How near restored rows are to the truth."""

from __future__ import annotations

import torch


def psnr(restored: torch.Tensor, truth: torch.Tensor, known: torch.Tensor | None = None) -> float:
    """Return the peak signal-to-noise ratio in dB, for a peak of 1, over pixels that were not measured.

    Parameters
    ----------
    restored, truth
        Shape (n, C, rows, columns).
    known
        Shape (n, 1, rows, columns), 1 where measured; without it all pixels count.
    """
    error = (restored - truth).square()
    if known is None:
        mean = error.mean()
    else:
        weight = (1 - known).expand_as(error)
        mean = (error * weight).sum() / weight.sum()
    return float(-10 * torch.log10(mean.clamp(min=1e-12)))
