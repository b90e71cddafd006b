"""How far images are from the measurements that they were found for, object by object."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.rls.degradation import Degradation


def misfits_of(
    images: NDArray[np.floating], measured: NDArray[np.floating], degradation: Degradation
) -> dict[str, NDArray[np.float64]]:
    """Return figures of each object, the same whatever others there are.

    Parameters
    ----------
    images, measured
        Intensities as the generator knows them, shape (n, channels, y, x), the second coarser by the factor.
    degradation
        What a measurement sees of an image, and its noise.

    Returns
    -------
    dict
        float64 of shape (n,): ``misfit``, the mean magnitude of D(image) - measured, as `Solutions.misfits`;
        ``largest``, the largest one; ``bias``, the mean; ``floor``, what noise alone makes of the misfit on average.
    """
    rows = []
    for image, coarse in zip(images, measured, strict=True):
        # One by one: products of other shapes may differ in the last bits.
        wide = torch.from_numpy(np.asarray(coarse, np.float64))[None]
        apart = degradation(torch.from_numpy(np.asarray(image, np.float64))[None]) - wide
        size = apart.abs()
        rows.append([size.mean().item(), size.max().item(), apart.mean().item(), degradation.floor(wide).item()])
    columns = np.asarray(rows, np.float64).reshape(-1, 4).T
    return dict(zip(("misfit", "largest", "bias", "floor"), columns, strict=True))
