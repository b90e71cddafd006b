"""What one update of a statistic sees: a cell of the images, with context above it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from fractions import Fraction

    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False, kw_only=True)
class Patch:
    """A cell of the output and of what it is compared with, in their own number formats.

    The lattice of cells starts at the image's origin; the last cells are cut by its end. Context lies on the upper
    side only: a statistic that looks h pixels around asks for 2 h, and answers for the pixels from h to h + cell on
    of each patch, as far as the image goes. So every pixel that has its full neighbourhood is counted once, whatever
    the blocks, and a block needs nothing from its lower neighbours. Arrays must not be changed.
    """

    output: NDArray[Any]
    """Shape (bands, *space): the cell and its context, less where the image ends."""
    reference: NDArray[Any] | None
    """The same pixels of the reference, same shape; its number format may differ."""
    measured: NDArray[Any] | None
    """The pixels of the measurement that cover the same ground: `output` has `ratio` times as many along each axis."""
    mask: NDArray[np.bool_] | None
    """Pixels of the output that the user wants counted, shape (*space); `None` means all."""
    start: tuple[int, ...]
    """Position of the first pixel in the image, along each axis of space."""
    cell: tuple[int, ...]
    """Pixels of the cell itself along each axis of space; what lies beyond is context."""
    shape: tuple[int, ...]
    """Pixels of the whole image along each axis of space."""
    ratio: tuple[Fraction, ...]
    """Pixels of the output for each of the measurement along each axis of space; ones where there is none."""
    plane: tuple[int, ...] = ()
    """Index along the axes that are neither bands nor space."""

    @cached_property
    def own(self) -> tuple[slice, ...]:
        """Where the cell itself lies in the arrays: all bands, no context."""
        return (slice(None), *(slice(0, size) for size in self.cell))

    def within(self, context: Sequence[int]) -> Patch:
        """Return the patch with less context, so that a statistic sees the same whatever is measured beside it."""
        keep = [min(n, size + c) for n, size, c in zip(self.output.shape[1:], self.cell, context, strict=True)]
        if tuple(keep) == self.output.shape[1:]:
            return self
        part = (slice(None), *(slice(0, n) for n in keep))
        spans = [measured_span(s, s + n, r) for s, n, r in zip(self.start, keep, self.ratio, strict=True)]
        coarse = (slice(None), *(slice(0, stop - start) for start, stop in spans))
        return replace(
            self,
            output=self.output[part],
            reference=None if self.reference is None else self.reference[part],
            measured=None if self.measured is None else self.measured[coarse],
            mask=None if self.mask is None else self.mask[part[1:]],
        )

    @cached_property
    def missing(self) -> NDArray[np.bool_] | None:
        """Pixels that must not count, in the shape of `output`: masked, NaN or infinite in either; `None`: none."""
        found: NDArray[np.bool_] | None = None
        for image in (self.output, self.reference):
            if image is not None and image.dtype.kind == "f":
                bad = ~np.isfinite(image)
                if bad.any():
                    found = bad if found is None else found | bad
        if self.mask is not None and not self.mask.all():
            left = np.broadcast_to(~self.mask, self.output.shape)
            found = left.copy() if found is None else found | left
        return found


def measured_span(start: int, stop: int, ratio: Fraction) -> tuple[int, int]:
    """Return which pixels of the measurement lie under some pixels of the output."""
    return int(start / ratio), math.ceil(stop / ratio)
