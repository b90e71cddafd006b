"""Which region each pixel belongs to: an image of whole numbers, 0 where a pixel belongs to none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.analysis.cube import Cube, Source, Span, ratio_of
from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MOST = 4096
"""More different labels are not regions but single objects, and tables of them mean nothing."""
_LARGEST = 2**63 - 1
NOT_LABELLED = "pixels without a label"
MIXED = "pixels of several labels"
NOT_FINITE = "pixels with values that are not finite"
NOT_MEASURED = "pixels outside the mask"


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Labels for the pixels of a cube, from an image on its grid or on one that divides its pixels evenly.

    On a finer grid a pixel of the cube has a label where all pixels in it agree, and else none, for a spectrum from
    both sides of a border belongs to neither.
    """

    cube: Cube
    """The image of labels."""
    ratio: tuple[int, int]
    """Its pixels for each one of the labelled cube, along y and x."""

    @classmethod
    def open(cls, source: Source, *, of: Cube, storage_options: Mapping[str, Any] | None = None) -> Labels:
        """Open the labels of a cube.

        Raises
        ------
        InputError
            The image is no plane of integers, or does not cover the same ground.
        """
        cube = open_labels(source, storage_options=storage_options)
        return cls(cube=cube, ratio=ratio_of(of, cube))

    def read(self, rows: Span, columns: Span) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the labels of some pixels of the cube, and which have none for being mixed, both of shape (y, x).

        Raises
        ------
        InputError
            A label is too large.
        """
        (up, along), ((top, end), (left, right)) = self.ratio, (rows, columns)
        fine = self.cube.read((top * up, end * up), (left * along, right * along))[0]
        blocks = fine.reshape(end - top, up, right - left, along)
        low, high = blocks.min(axis=(1, 3)), blocks.max(axis=(1, 3))
        if high.size and int(high.max()) > _LARGEST:
            raise InputError(
                f"{self.cube.image.url} has the label {int(high.max())}, which is beyond 64-bit integers with a sign.",
                remedy="Number the regions from 1.",
            )
        return np.where(low == high, low, 0).astype(np.int64), low != high


def open_labels(source: Source, *, storage_options: Mapping[str, Any] | None = None) -> Cube:
    """Open an image of labels.

    Raises
    ------
    InputError
        The image has several bands, or pixels that are no integers.
    """
    cube = Cube.open(source, storage_options=storage_options)
    if cube.bands > 1 or cube.image.dtype.kind not in "iu":
        raise InputError(
            f"{cube.image.url} has {cube.bands} band(s) of {cube.image.dtype}, and labels are one plane of integers.",
            remedy="Give an image with one whole number for each pixel, 0 where it belongs to no region.",
        )
    return cube


def check_number(labels: int, *, where: str) -> None:
    """Refuse more labels than regions can have.

    Raises
    ------
    InputError
        There are more than `MOST`.
    """
    if labels > MOST:
        raise InputError(
            f"{where} has more than {MOST} different labels: it seems to number single objects, not regions.",
            remedy="Give an image in which all pixels of one kind have one label.",
        )
