"""Means of an image over the ground of another's pixels, whatever the ratio and the offset of the two grids."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.cube import Cube, Span

SLACK = 1e-6
"""Part of a pixel by which two edges may differ and be the same: positions in metadata are rounded."""
AREA_BYTES = 2**26
"""Bytes of float64 that are averaged at a time."""


@dataclass(frozen=True, kw_only=True)
class Areas:
    """The pixels of a finer image that lie on those of a coarser one, by the metadata of both.

    A mean counts a pixel that lies across the border for the part that lies inside.
    """

    coarse: Cube
    """On whose pixels the means are taken."""
    fine: Cube
    """Of which image they are."""

    def covered(self, axis: int) -> Span:
        """Return which pixels of the coarser image lie on the finer one with all their ground, along y (0) or x (1)."""
        first, pixel = self._geometry(axis)
        size = self.coarse.shape[axis]
        start = int(np.ceil(-first / pixel - SLACK))
        stop = int(np.floor((self.fine.shape[axis] - first) / pixel + SLACK))
        return max(0, start), max(min(size, stop), 0, start)

    def read(self, rows: Span, columns: Span, *, bands: Span | None = None) -> NDArray[np.float64]:
        """Return the means on some covered pixels of the coarser image, float64 (bands, y, x).

        A mean over a pixel that is not finite is NaN. Sums are taken in a fixed order.

        Parameters
        ----------
        rows, columns
            Of the coarser image.
        bands
            Of the finer one; all when not given.
        """
        (y, weights_y), (x, weights_x) = self._weights(0, rows), self._weights(1, columns)
        pixels = self.fine.read(y, x, bands=bands)
        out = np.empty((len(pixels), rows[1] - rows[0], columns[1] - columns[0]))
        for band, plane in enumerate(pixels):
            values = plane.astype(np.float64)
            bad = ~np.isfinite(values)
            values[bad] = 0
            out[band] = _weighted(values, weights_y, weights_x)
            if bad.any():
                out[band][_weighted(bad.astype(np.float64), weights_y, weights_x) > 0] = np.nan
        return out

    def measured(self, rows: Span, columns: Span) -> NDArray[np.bool_]:
        """Return where all of a coarser pixel was measured by the finer image, by the mask beside it."""
        (y, weights_y), (x, weights_x) = self._weights(0, rows), self._weights(1, columns)
        gone = (~self.fine.measured(y, x)).astype(np.float64)
        return np.asarray(_weighted(gone, weights_y, weights_x) == 0)

    def step(self) -> int:
        """Return the edge of a square of the coarser image on which the means can be read within the memory."""
        pixels = max(self._geometry(0)[1], 1) * max(self._geometry(1)[1], 1)
        return max(1, int((AREA_BYTES / 8 / max(pixels * self.fine.bands, self.coarse.bands)) ** 0.5))

    def _geometry(self, axis: int) -> tuple[float, float]:
        """Return first edge and size of the coarser pixels in pixels of the finer image."""
        factor = self.coarse.in_units_of(self.fine)
        small = self.fine.pixel_size[axis]
        return (self.coarse.edge[axis] * factor - self.fine.edge[axis]) / small, (
            self.coarse.pixel_size[axis] * factor / small
        )

    def _weights(self, axis: int, span: Span) -> tuple[Span, Any]:
        """Return which finer pixels lie on a span of coarser ones, and the parts of each, rows that sum to 1."""
        first, pixel = self._geometry(axis)
        edges = first + pixel * np.arange(span[0], span[1] + 1)
        whole = np.rint(edges)
        edges = np.clip(np.where(np.abs(edges - whole) < SLACK, whole, edges), 0, self.fine.shape[axis])
        start, stop = int(np.floor(edges[0])), int(np.ceil(edges[-1]))
        rows, columns, parts = [], [], []
        for k, (low, high) in enumerate(pairwise(edges)):
            inside = np.arange(int(np.floor(low)), int(np.ceil(high)))
            overlap = np.minimum(inside + 1, high) - np.maximum(inside, low)
            rows += [k] * len(inside)
            columns += (inside - start).tolist()
            parts += (overlap / (high - low)).tolist()
        shape = (span[1] - span[0], stop - start)
        return (start, stop), scipy.sparse.csr_array((parts, (rows, columns)), shape=shape)


def _weighted(values: NDArray[np.float64], rows: Any, columns: Any) -> NDArray[np.float64]:
    return np.asarray((columns @ (rows @ values).T).T)
