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
        return self._read(plane, range(self.bands), spans, on_bad=on_bad)

    def read_into(
        self,
        out: NDArray[Any],
        plane: tuple[int, ...],
        spans: Sequence[tuple[int, int]],
        *,
        on_bad: Literal["stop", "fill"],
    ) -> tuple[BadChunk, ...]:
        """Write a region into an array of shape (bands, *space), and return the chunks that had to be filled.

        So many bands are read at a time as are stored together: what is being decoded then stays in the caches, and no
        more memory is touched than that of `out`.

        Raises
        ------
        StorageError
            A chunk cannot be read, and `on_bad` is ``stop``.
        """
        found: list[BadChunk] = []
        step = self._bands_together()
        for first in range(0, self.bands, step):
            some = range(first, min(first + step, self.bands))
            if not self._decode_into(out[some.start : some.stop], plane, some, spans):
                pixels, bad = self._read(plane, some, spans, on_bad=on_bad)
                out[some.start : some.stop] = pixels
                found.extend(bad)
        return tuple(found)

    @property
    def bands(self) -> int:
        """How many bands there are; 1 where no axis holds them."""
        return 1 if self.band is None else self.image.shape[self.band]

    @property
    def in_place(self) -> bool:
        """Whether Zarr can decode straight into an array of shape (bands, *space)."""
        order = (() if self.band is None else (self.band,)) + self.space
        return self.image.dtype.isnative and list(order) == sorted(order)

    def _bands_together(self) -> int:
        """Return how many bands lie in one stored object."""
        level = self.image.levels[0]
        return 1 if self.band is None else (level.shards or level.chunks)[self.band]

    def _decode_into(
        self, out: NDArray[Any], plane: tuple[int, ...], bands: range, spans: Sequence[tuple[int, int]]
    ) -> bool:
        """Let Zarr decode into the array; false where it cannot, or where it fails, and the pixels must be read."""
        if not self.in_place:
            return False
        region = self._region(plane, bands, spans)
        # The axes that are left out have a length of 1, so that this is a view.
        return self.image.decode_into(region, out.reshape([piece.stop - piece.start for piece in region]))

    def _region(self, plane: tuple[int, ...], bands: range, spans: Sequence[tuple[int, int]]) -> tuple[slice, ...]:
        region = [slice(0, 1)] * self.image.ndim
        for axis, index in zip(self.planes, plane, strict=True):
            if axis is not None:
                region[axis] = slice(index, index + 1)
        if self.band is not None:
            region[self.band] = slice(bands.start, bands.stop)
        for axis, first, (start, stop) in zip(self.space, self.start, spans, strict=True):
            region[axis] = slice(first + start, first + stop)
        return tuple(region)

    def _read(
        self, plane: tuple[int, ...], bands: range, spans: Sequence[tuple[int, int]], *, on_bad: Literal["stop", "fill"]
    ) -> tuple[NDArray[Any], tuple[BadChunk, ...]]:
        region = self._region(plane, bands, spans)
        bad: tuple[BadChunk, ...] = ()
        if on_bad == "fill":
            pixels, bad = self.image.read(region, on_bad="fill")
        else:
            pixels = self.image.read(region)
        order = (() if self.band is None else (self.band,)) + self.space
        rest = tuple(axis for axis in range(self.image.ndim) if axis not in order)
        moved = pixels.transpose(rest + order)
        return moved.reshape((moved.shape[len(rest)] if self.band is not None else 1, *moved.shape[-len(spans) :])), bad


def read_mask(view: View, plane: tuple[int, ...], spans: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return where a mask is not zero, shape (*space); of several bands, the first counts."""
    pixels, _ = view.read(plane, spans, on_bad="stop")
    return np.asarray(pixels[0] != 0)
