"""The instrument without its noise: blur and area means of an image that is mirrored at its edge, in numpy and torch.

Both take their weights from `scalesr.metrics.degradation`, so that what makes training pairs is what consistency is
measured with.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scalesr.metrics.degradation import degrade_band, margin, weights_of
from scalesr.tiling import reflect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.metrics.blur import Term
    from scalesr.metrics.degradation import Degradation


def degrade_plane(plane: NDArray[Any], degradation: Degradation, *, factor: int, band: int) -> NDArray[np.float64]:
    """Return the expected measurement of one band.

    Parameters
    ----------
    plane
        Finite numbers of any format, shape (y, x), at least `factor` along both. Past its edge it is mirrored about the
        centre of its outermost pixel, as often as it takes.
    degradation
        What the instrument does.
    factor
        Pixels of the truth for each measured one along y and x. What does not fill a measured pixel at the end is
        context and nothing else.
    band
        Which band it is, for degradations that differ.

    Returns
    -------
    numpy.ndarray
        float64, shape (y // factor, x // factor). The same pixels give the same bits, whatever lies beyond the reach.
    """
    ratio = (Fraction(factor), Fraction(factor))
    margins = margin(degradation, ratio)
    spans = []
    padded = plane
    for axis, (size, pad) in enumerate(zip(plane.shape, margins, strict=True)):
        stop = size // factor
        spans.append((pad // factor, pad // factor + stop))
        if pad:
            padded = padded.take([reflect(n, size) for n in range(-pad, stop * factor + pad)], axis)
    return degrade_band(padded, weights_of(degradation, ratio).of(band), ratio=ratio, spans=spans)


def degrade_tensor(truth: torch.Tensor, degradation: Degradation, *, factor: int) -> torch.Tensor:
    """Return the expected measurement of a batch, which gradients flow through.

    Sums of strided slices and no convolution: nothing is left to the choice of a library, to TF32, or to autocast.

    Parameters
    ----------
    truth
        float32 or float64, shape (n, bands, y, x), y and x at least `factor`; mirrored as in `degrade_plane`.
    degradation
        What the instrument does.
    factor
        Pixels of the truth for each measured one along y and x.

    Returns
    -------
    torch.Tensor
        Of the same format, shape (n, bands, y // factor, x // factor): `degrade_plane` up to rounding.
    """
    weights = weights_of(degradation, (Fraction(factor), Fraction(factor)))
    total: torch.Tensor | None = None
    for each in zip(*weights.terms, strict=True):  # the same term of every band
        part = truth
        for axis in (0, 1):
            part = _along(part, each, axis=axis, factor=factor)
        total = part if total is None else total + part
    assert total is not None
    return total


def _along(values: torch.Tensor, terms: Sequence[Term], *, axis: int, factor: int) -> torch.Tensor:
    """Return the weighted sums along y or x; all bands are given one term, or each its own."""
    lines = [term[axis][0] for term in terms]
    first = min(line.start for line in lines)
    width = max(line.start + len(line.weights) for line in lines) - first
    table = np.zeros((len(lines), width))
    for row, line in zip(table, lines, strict=True):
        row[line.start - first : line.start - first + len(line.weights)] = line.weights
    dim = 2 + axis
    size = values.shape[dim]
    count = size // factor
    if first < 0 or first + (count - 1) * factor + width > size:
        near = [reflect(n, size) for n in range(first, first + (count - 1) * factor + width)]
        values, first = values.index_select(dim, torch.tensor(near, device=values.device)), 0
    shape = list(values.shape)
    shape[dim] = count
    total = values.new_zeros(shape)
    column = torch.as_tensor(table, dtype=values.dtype, device=values.device)[:, :, None, None]
    for k in range(width):
        part = (slice(None),) * dim
        taps = values[(*part, slice(first + k, first + k + (count - 1) * factor + 1, factor))]
        if len(lines) > 1:
            total.addcmul_(taps, column[:, k])
        elif table[0, k]:
            total.add_(taps, alpha=float(table[0, k]))
    return total
