"""Walking over an image with those pixels marked that count, and the others counted by reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.cube import Cube
from scalesr.analysis.labels import NOT_FINITE, NOT_MEASURED, Labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from scalesr.analysis.cube import Source, Span


@dataclass(frozen=True, kw_only=True)
class Walk:
    """An image with the masks that say which of its pixels count."""

    cube: Cube
    """The image."""
    mask: Labels | None = None
    """Not zero where a pixel counts; all do when not given. A mask beside the image's levels always has its say."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Pixels that did not count, by reason: those of the last walk over the whole image, or of all since it was
    emptied."""

    @classmethod
    def open(cls, cube: Source, *, mask: Source | None, storage_options: Mapping[str, Any] | None) -> Walk:
        """Open an image and its mask.

        Raises
        ------
        InputError
            Either is no plane, or they do not cover the same ground.
        """
        image = Cube.open(cube, storage_options=storage_options)
        kept = None if mask is None else Labels.open(mask, of=image, storage_options=storage_options)
        return cls(cube=image, mask=kept)

    def cells(
        self, *, rows: Span | None = None, columns: Span | None = None
    ) -> Iterator[tuple[Span, Span, NDArray[Any], NDArray[np.bool_]]]:
        """Yield rows, columns, pixels (bands, y, x) of each cell, and which pixels count, shape (y, x).

        A pixel counts where the masks say so and all its bands are finite. See `Cube.cells` for the parameters; a walk
        over a part of the image adds to what was left out.
        """
        if rows is None and columns is None:
            self.left_out.clear()
        for y, x, pixels in self.cube.cells(rows=rows, columns=columns):
            used = self.cube.measured(y, x)
            if self.mask is not None:
                used &= self.mask.read(y, x)[0] != 0
            finite = np.isfinite(pixels).all(axis=0)
            self.left_out[NOT_MEASURED] += int(np.count_nonzero(~used))
            self.left_out[NOT_FINITE] += int(np.count_nonzero(used & ~finite))
            yield y, x, pixels, used & finite

    def lost(self) -> dict[str, int]:
        """Return the reasons for which pixels did not count in the last walk, with their numbers."""
        return {reason: count for reason, count in self.left_out.items() if count}
