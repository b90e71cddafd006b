"""Planes that see more than a point along z, and the least change of rows that agrees with what they saw."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from scalesr.errors import PlanError
from scalesr.models import row_of
from scalesr.tiling import reflect

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

_SIGMAS = 4.0
"""Where a Gaussian ends."""
_FWHM = 2 * math.sqrt(2 * math.log(2))
_WORST = 1e3
"""Largest condition number: a wider PSF makes measured planes so alike that their noise would be multiplied by 30."""


@dataclass(frozen=True, kw_only=True)
class AxialPSF:
    """How a plane sees along z, the same at all planes."""

    kind: Literal["gaussian", "box"]
    """Its shape."""
    width: float
    """Its width at half maximum, in distances between planes."""

    @classmethod
    def read(cls, text: str) -> AxialPSF:
        """Return what ``gaussian:0.9`` or ``box:1`` describes.

        Raises
        ------
        PlanError
            It cannot be read, or is not wider than nothing.
        """
        name, _, size = text.partition(":")
        try:
            width = float(size)
        except ValueError:
            width = math.nan
        if name not in ("gaussian", "box") or not 0 < width < math.inf:
            raise PlanError(
                f"psf is '{text}'.",
                remedy="Give point, gaussian:W or box:W, with W its width in distances between planes, such as box:1.",
            )
        return cls(kind="gaussian" if name == "gaussian" else "box", width=width)

    def weights(self, scale: Fraction) -> NDArray[np.float64]:
        """Return the weights of rows around a plane, an odd number of them; they sum to 1."""
        rows = self.width * float(scale)
        if self.kind == "box":
            reach = math.ceil(max(rows - 1, 0) / 2)
            place = np.abs(np.arange(-reach, reach + 1))
            found = np.clip(rows / 2 - place + 0.5, 0.0, min(rows, 1.0))
        else:
            sigma = rows / _FWHM
            reach = math.ceil(_SIGMAS * sigma)
            found = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        weights: NDArray[np.float64] = found / found.sum()
        return weights

    def matrix(self, planes: int, *, scale: Fraction) -> NDArray[np.float64]:
        """Return what planes see of rows, shape (planes, rows); beyond the outermost rows these are reflected."""
        rows = int(planes * scale)
        weights = self.weights(scale)
        reach = len(weights) // 2
        found = np.zeros((planes, rows))
        for plane in range(planes):
            for offset, weight in enumerate(weights, -reach):
                found[plane, reflect(row_of(plane, scale) + offset, rows)] += weight
        return found


class AxialProjection:
    """Makes rows agree with measured planes by the least change (in the sum of squares) that does.

    With A what the planes see of the rows, x becomes ``x + A^T (A A^T)^-1 (y - A x)``, the projection onto the null
    space of the measurement (Wang, Yu & Zhang 2023, "Zero-shot image restoration using denoising diffusion null-space
    model"). Pixels of planes that were not measured are no condition.

    Parameters
    ----------
    psf
        How a plane sees.
    planes
        How many there are in a tile.
    scale
        Rows for each plane.
    device
        Where the rows are.

    Raises
    ------
    PlanError
        The PSF is so wide that neighbouring planes see nearly the same.
    """

    def __init__(self, psf: AxialPSF, *, planes: int, scale: Fraction, device: torch.device) -> None:
        seen = psf.matrix(planes, scale=scale)
        gram = seen @ seen.T
        if np.linalg.cond(gram) > _WORST:
            raise PlanError(
                f"Planes with an axial PSF of {psf.width:g} distances see too much of each other.",
                remedy="Give a width of 2 at most, or psf=point.",
            )
        self._seen = torch.from_numpy(seen).to(device, torch.float32)
        self._back = torch.from_numpy(np.linalg.solve(gram, seen).T.copy()).to(device, torch.float32)
        self._places = torch.tensor([row_of(plane, scale) for plane in range(planes)], device=device)

    def __call__(self, rows: torch.Tensor, measured: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
        """Return the rows, changed.

        Parameters
        ----------
        rows
            Shape (n, C, rows, columns).
        measured
            Of the same shape, with the planes in their rows.
        known
            Shape (n, 1, rows, columns), 1 where measured.
        """
        wanted, there = measured[:, :, self._places], known[:, :, self._places]
        apart = (wanted - torch.einsum("pr,ncrx->ncpx", self._seen, rows)) * there
        return rows + torch.einsum("rp,ncpx->ncrx", self._back, apart)
