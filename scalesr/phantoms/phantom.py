"""What a phantom is: an image that exists as a function of position and is made where it is looked at."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, runtime_checkable

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

Image: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
Labels: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Box: TypeAlias = tuple[tuple[int, int], ...]
"""First pixel and end (exclusive) along each axis."""


@runtime_checkable
class Phantom(Protocol):
    """An image of any size whose pixels are a function of the seed and of their position in the whole image.

    A pixel has the same bits whichever region it is asked for with, so that regions can be made in any order, by any
    number of processes, and fit together without a seam.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""

    @property
    def axes(self) -> str:
        """One letter for each axis, slowest first: of ``t``, ``c``, ``z``, ``y``, ``x``."""

    def region(self, slices: Sequence[slice]) -> Image:
        """Return one region.

        Parameters
        ----------
        slices
            One for each axis, without a step, inside the image.

        Returns
        -------
        numpy.ndarray
            float32, as large as the region; the phantom's own memory is a small multiple of it.

        Raises
        ------
        InputError
            The region is not inside the image.
        """


def box(slices: Sequence[slice], shape: tuple[int, ...]) -> Box:
    """Return the region's first and end pixel along each axis.

    Raises
    ------
    InputError
        Another number of axes, a step, or a region that is empty or reaches over the edge.
    """
    if len(slices) != len(shape):
        raise InputError(
            f"A region of {len(slices)} axes was asked of a phantom of {len(shape)}.", remedy="Give one slice per axis."
        )
    bounds = []
    for axis, (part, length) in enumerate(zip(slices, shape, strict=True)):
        start = 0 if part.start is None else operator.index(part.start)
        stop = length if part.stop is None else operator.index(part.stop)
        if not 0 <= start < stop <= length or part.step not in (None, 1):
            raise InputError(
                f"Slice {start}:{stop}:{part.step or 1} of axis {axis} is not a region of 0:{length}.",
                remedy="Ask for a region inside the phantom, at least one pixel long and without a step.",
            )
        bounds.append((start, stop))
    return tuple(bounds)


def positive(shape: Sequence[int], *, axes: tuple[str, ...], kind: str) -> tuple[tuple[int, ...], str]:
    """Return the shape as a tuple with the axes that fit its length.

    Raises
    ------
    InputError
        No axes fit, or an axis is empty.
    """
    lengths = tuple(operator.index(n) for n in shape)
    fitting = [letters for letters in axes if len(letters) == len(lengths)]
    if not fitting or min(lengths) < 1:
        raise InputError(
            f"{kind} cannot have the shape {lengths}.", remedy=f"Give the positive lengths of {' or '.join(axes)}."
        )
    return lengths, fitting[0]
