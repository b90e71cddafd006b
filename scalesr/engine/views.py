"""An image as metrics see it: bands first, then the axes of space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from scalesr.images import BadChunk, Image


@dataclass(frozen=True, kw_only=True)
class View:
    """An image as metrics see it: bands first, then space, cut to what the images share."""

    image: Image
    """The image."""
    planes: tuple[int | None, ...]
    """Which of its axes each axis of planes is; `None` where it has no such axis."""
    band: int | None
    """Which of its axes holds the bands."""
    space: tuple[int, ...]
    """Which of its axes are the axes of space."""
    start: tuple[int, ...]
    """First pixel of what is shared, along these."""

    def read(
        self, plane: tuple[int, ...], spans: Sequence[tuple[int, int]], *, on_bad: Literal["stop", "fill"]
    ) -> tuple[NDArray[Any], tuple[BadChunk, ...]]:
        """Return a region as (bands, *space), and the chunks that had to be filled.

        Raises
        ------
        StorageError
            A chunk cannot be read, and `on_bad` is ``stop``.
        """
        region = [slice(0, 1)] * self.image.ndim
        for axis, index in zip(self.planes, plane, strict=True):
            if axis is not None:
                region[axis] = slice(index, index + 1)
        if self.band is not None:
            region[self.band] = slice(0, self.image.shape[self.band])
        for axis, first, (start, stop) in zip(self.space, self.start, spans, strict=True):
            region[axis] = slice(first + start, first + stop)
        bad: tuple[BadChunk, ...] = ()
        if on_bad == "fill":
            pixels, bad = self.image.read(tuple(region), on_bad="fill")
        else:
            pixels = self.image.read(tuple(region))
        order = (() if self.band is None else (self.band,)) + self.space
        rest = tuple(axis for axis in range(self.image.ndim) if axis not in order)
        moved = pixels.transpose(rest + order)
        return moved.reshape((moved.shape[len(rest)] if self.band is not None else 1, *moved.shape[-len(spans) :])), bad


def read_mask(view: View, plane: tuple[int, ...], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return where a mask is not zero, shape (*space); of several bands, the first counts."""
    pixels, _ = view.read(plane, spans, on_bad="stop")
    return np.asarray(pixels[0] != 0)
