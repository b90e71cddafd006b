"""What the output has to say of a measurement: the measured pixels that a cell answers for, and which of them count."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.metrics.degradation import degrade, weights_of
from scalesr.metrics.patch import measured_span

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.degradation import Degradation
    from scalesr.metrics.frame import Frame
    from scalesr.metrics.patch import Patch


@dataclass(frozen=True, eq=False, kw_only=True)
class Ground:
    """The measured pixels that a patch answers for, and what the output has to say of them."""

    output: NDArray[Any]
    """The output, zero where it is missing, shape (bands, *space)."""
    measured: NDArray[np.float64]
    """The measurement, zero where it must not count, shape (bands, *measured pixels)."""
    counts: NDArray[np.bool_] | None
    """Which measured pixels count, in the shape of `measured`; `None` means all."""
    spans: tuple[tuple[int, int], ...]
    """Where they lie in the patch, along each axis of space."""
    pixels: int
    """Measured pixels under the cell, in each band."""

    @property
    def missing(self) -> NDArray[np.int64]:
        """How many do not count, for each band."""
        if self.counts is None:
            return np.zeros(len(self.measured), np.int64)
        return np.asarray(np.sum(~self.counts, axis=tuple(range(1, self.counts.ndim))))

    @property
    def size(self) -> int:
        """Measured pixels that are answered for, in each band."""
        return math.prod(stop - first for first, stop in self.spans)

    def weighed(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values with zeros where they must not count."""
        return values if self.counts is None else np.where(self.counts, values, 0.0)


def ground_of(patch: Patch, degradation: Degradation) -> Ground:
    """Return the measured pixels that a patch answers for.

    A measured pixel does not count where it is not finite, or where any pixel of the output that it is made of is not
    finite or is masked. What the reference holds makes no difference.
    """
    assert patch.measured is not None
    spans = answered(patch, degradation)
    missing = replace(patch, reference=None).missing
    output = patch.output if missing is None else np.where(missing, patch.output.dtype.type(0), patch.output)
    measured = patch.measured[(slice(None), *(slice(*span) for span in spans))].astype(np.float64, order="C")
    counts = np.isfinite(measured)
    if missing is not None:
        counts &= degrade(missing.view(np.uint8), degradation, ratio=patch.ratio, spans=spans) == 0
    whole_ground = bool(counts.all())
    return Ground(
        output=output,
        measured=measured if whole_ground else np.where(counts, measured, 0.0),
        counts=None if whole_ground else counts,
        spans=spans,
        pixels=measured_pixels(patch),
    )


def answered(patch: Patch, degradation: Degradation) -> tuple[tuple[int, int], ...]:
    """Return the measured pixels of a patch that the patch answers for, first and stop along each axis of space.

    They begin at the margin and are as many as the cell has, less at the image's end, where the ground of a measured
    pixel or its margin is not whole.

    Parameters
    ----------
    patch
        With a context of twice the margin.
    degradation
        Whose ground must be whole.
    """
    weights = weights_of(degradation, patch.ratio)
    spans = []
    for axis, (lead, ratio) in enumerate(zip(weights.margins, patch.ratio, strict=True)):
        low, high = measured_span(patch.start[axis], patch.start[axis] + patch.cell[axis], ratio)
        first = int(lead / ratio)
        stop = min(first + high - low, weights.whole(axis, step=ratio.numerator, length=patch.output.shape[axis + 1]))
        spans.append((first, max(first, stop)))
    return tuple(spans)


def measured_pixels(patch: Patch) -> int:
    """Return how many measured pixels lie under the cell itself, in each band."""
    ends = [measured_span(s, s + n, r) for s, n, r in zip(patch.start, patch.cell, patch.ratio, strict=True)]
    return math.prod(stop - start for start, stop in ends)


def place(values: NDArray[np.float64], ground: Ground, patch: Patch, frame: Frame) -> NDArray[np.float32]:
    """Return values of the measured pixels of a patch as the map of its cell, NaN where there are none or none count.

    Parameters
    ----------
    values
        Shape (bands, *measured pixels that are answered for).
    ground
        Which measured pixels those are.
    patch
        May begin below its cell by a whole number of measured pixels, see `PixelMap`.
    frame
        Says where cells begin.
    """
    drawn, given = [], []
    shape = [len(values)]
    for axis, (first, stop) in enumerate(ground.spans):
        start, ratio, edge = patch.start[axis], patch.ratio[axis], frame.cell[axis]
        origin = (start + patch.cell[axis] - 1) // edge * edge
        low, high = measured_span(origin, start + patch.cell[axis], ratio)
        skipped = int((origin - start) / ratio)
        begin, end = max(first, skipped), min(stop, skipped + high - low)
        shape.append(high - low)
        drawn.append(slice(begin - skipped, max(begin, end) - skipped))
        given.append(slice(begin - first, max(begin, end) - first))
    result = np.full(shape, np.nan, np.float32)
    kept = values if ground.counts is None else np.where(ground.counts, values, np.nan)
    result[(slice(None), *drawn)] = kept[(slice(None), *given)]
    return result
