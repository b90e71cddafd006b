"""Measured planes of a stack, found again in the output bit for bit: what a model makes is what lies between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.errors import ModelError
from scalesr.models import row_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.engine.job import Job
    from scalesr.models import ModelSpec
    from scalesr.tiling import Index, Lattice

Cut = tuple[slice, ...]
"""A piece of a block, counted from its first voxel."""


@dataclass(frozen=True, kw_only=True)
class Verbatim:
    """The rows of a block that measured planes lie at."""

    axis: int
    """Axis of the planes."""
    rows: NDArray[np.intp]
    """Rows, counted from the block's first, ascending."""
    planes: NDArray[np.intp]
    """The planes that lie there, counted from the block's first input pixel."""
    there: NDArray[np.bool_] | None
    """Which of the block's own input pixels were measured; axes that do not matter are of size 1. ``None``: all."""

    def put(self, values: NDArray[Any], cut: Cut, wanted: NDArray[Any] | float) -> None:
        """Put what is wanted into a piece of the block, in place, wherever a plane was measured.

        Parameters
        ----------
        values
            The piece.
        cut
            Which part of the block it is.
        wanted
            The block's own input pixels, or one number.
        """
        first, stop, _ = cut[self.axis].indices(int(self.rows.max(initial=-1)) + 1)
        others = tuple(slice(None) if a == self.axis else part for a, part in enumerate(cut))
        for row, plane in zip(self.rows, self.planes, strict=True):
            if first <= row < stop:
                at = self._at(int(row) - first)
                source = wanted[others][self._at(int(plane))] if isinstance(wanted, np.ndarray) else wanted
                kept = True if self.there is None else self._kept(others, int(plane))
                np.copyto(values[at], source, where=kept, casting="unsafe")

    def _kept(self, others: Cut, plane: int) -> NDArray[np.bool_]:
        assert self.there is not None
        there = self.there
        part = tuple(slice(None) if size == 1 else cut for size, cut in zip(there.shape, others, strict=True))
        return there[part][self._at(plane if there.shape[self.axis] > 1 else 0)]

    def _at(self, place: int) -> tuple[slice, ...]:
        return (*(slice(None),) * self.axis, slice(place, place + 1))


def choose_verbatim(spec: ModelSpec, lattice: Lattice) -> Literal["none", "planes"]:
    """Return whether a run keeps the measured planes.

    Raises
    ------
    ModelError
        The model is to keep planes that it enlarges.
    """
    if spec.verbatim == "planes":
        scaled = [axis for axis in lattice.axes if axis.name != spec.axes[0] and axis.scale != 1]
        if scaled:
            raise ModelError(
                f"The model {spec.name!r} is to keep planes, and scales {scaled[0].name!r} by {scaled[0].scale}.",
                remedy=f"Correct its spec: verbatim planes may be scaled along {spec.axes[0]!r} alone.",
            )
    return spec.verbatim


def verbatim_rows(job: Job, index: Index, gone: NDArray[np.bool_] | None) -> Verbatim | None:
    """Return at which rows of a block measured planes lie; None where the run does not keep them.

    Parameters
    ----------
    job, index
        What is done, and which block it is.
    gone
        Which of the block's own input pixels are missing or outside the mask, if any.
    """
    if job.plan.verbatim == "none":
        return None
    a = job.spatial_axes[0]
    axis = job.plan.lattice.axes[a]
    owns = [each.own(i) for each, i in zip(job.plan.lattice.axes, index, strict=True)]
    (start, stop), (first, _) = owns[a], axis.owned(index[a])
    planes = [plane for plane in range(start, stop) if plane not in job.plan.missing_planes]
    return Verbatim(
        axis=a,
        rows=np.array([row_of(plane, axis.scale) - first for plane in planes], np.intp),
        planes=np.array(planes, np.intp) - start,
        # Lazily computed blocks know of their upper neighbours too.
        there=None if gone is None else ~gone[tuple(slice(0, end - begin) for begin, end in owns)],
    )
