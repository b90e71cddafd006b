"""Cutting patches out of cells, on one lattice for the whole image, and bringing their intensities to [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.patch import Patch

EQUALISED_BITS = {1: (8.0,), 3: (7.5, 8.0, 8.0)}
"""Bits to which each channel of a grey or a colour patch is equalised."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One way to cut an image into square patches: they meet without overlap, from the image's origin on."""

    name: str
    """Under which its sums are gathered."""
    image: Literal["output", "reference"]
    """Which image is cut."""
    axes: tuple[int, int]
    """Axes of space along the rows and columns of the patches; along others each pixel is a plane of its own."""
    edge: int
    """Pixels along the edges of a patch."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """The line that takes intensities to [0, 1]; one for both images, so that a difference between them is seen."""

    low: float
    """What becomes 0."""
    span: float
    """What lies between 0 and 1."""

    @classmethod
    def of(cls, frame: Frame, settings: Settings) -> Scale:
        """Return the scale that the user chose, or else that of the number format.

        Raises
        ------
        InputError
            The data range is not positive, or the image has floats and no data range is given.
        """
        kind = np.dtype(frame.dtype).kind
        if settings.data_range is not None:
            if not 0 < settings.data_range < np.inf:
                raise InputError(f"A data range of {settings.data_range:g} is none.", remedy="Give a positive number.")
            return cls(low=0.0, span=float(settings.data_range))
        if kind == "b":
            return cls(low=0.0, span=1.0)
        if kind in "iu":
            limits = np.iinfo(frame.dtype)
            return cls(low=float(limits.min), span=float(limits.max) - float(limits.min))
        raise InputError(
            f"Features need intensities between 0 and 1, and those of {frame.dtype} can be any.",
            remedy="Give the data range, the largest intensity that can be.",
        )

    def __call__(self, values: NDArray[Any]) -> tuple[NDArray[np.float32], int]:
        """Return values in [0, 1], and how many had to be clipped for that."""
        scaled = (values.astype(np.float64) - self.low) / self.span
        clipped = np.clip(scaled, 0, 1)
        return clipped.astype(np.float32), int(np.count_nonzero(clipped != scaled))


def context_for(frame: Frame, cuts: tuple[Cut, ...]) -> tuple[int, ...]:
    """Return the context in which every patch that begins in a cell ends."""
    needed = [0] * frame.ndim
    for cut in cuts:
        for axis in cut.axes:
            if frame.cell[axis] % cut.edge and frame.cell[axis] < frame.shape[axis]:
                needed[axis] = max(needed[axis], cut.edge - 1)
    return tuple(needed)


def origins(patch: Patch, cut: Cut) -> tuple[list[tuple[int, ...]], int]:
    """Return where the patches that begin in a cell lie in the image, and how many the image's end cuts off."""
    along: list[list[int]] = []
    whole = total = 1
    for axis, (start, size) in enumerate(zip(patch.start, patch.cell, strict=True)):
        step = cut.edge if axis in cut.axes else 1
        places = range(-(-start // step) * step, start + size, step)
        along.append([place for place in places if place + step <= patch.shape[axis]])
        whole *= len(along[-1])
        total *= len(places)
    return list(product(*along)), total - whole


def patches_of(
    patch: Patch, cut: Cut, *, bands: Literal["apart", "together"]
) -> Iterator[tuple[tuple[int, ...], NDArray[Any] | None]]:
    """Yield the place, that of the band first, and the pixels of each patch of a cell, shape (1 or 3, edge, edge).

    `None` stands for a patch with a pixel that must not count.
    """
    image = patch.output if cut.image == "output" else patch.reference
    if image is None:
        return
    groups = [slice(band, band + 1) for band in range(len(image))] if bands == "apart" else [slice(0, len(image))]
    places, _ = origins(patch, cut)
    for group, place in product(groups, places):
        region = tuple(
            slice(at - start, at - start + (cut.edge if axis in cut.axes else 1))
            for axis, (at, start) in enumerate(zip(place, patch.start, strict=True))
        )
        here = (group, *region)
        key = (group.start, *place)
        if patch.missing is not None and patch.missing[here].any():
            yield key, None
        else:
            yield key, image[here].reshape(-1, cut.edge, cut.edge)


def equalised(patch: NDArray[Any]) -> NDArray[np.float32]:
    """Return a patch of which each channel has its histogram equalised, as the released MSDSR code shows its slices.

    Each channel is sorted into floor(2^bits) bins between its smallest and its largest value; the first bin is emptied,
    and the cumulative histogram, scaled to the number of bins less one, is interpolated at the lower ends of the bins
    and truncated to whole grey levels, of which 255 is 1. Bits are 7.5, 8 and 8 for three channels and 8 for one. A
    flat channel gets the highest level, as numpy's histogram has it in the middle of its bins.

    Source: MLNeurosurg/msdsr, ``viz_rescale_hist`` (arXiv 2404.09425).
    """
    levels = np.zeros(patch.shape, np.float32)
    for channel, bits in enumerate(EQUALISED_BITS[len(patch)]):
        values = patch[channel].astype(np.float64)
        low, span = values.min(), np.ptp(values)
        bins = int(2**bits)
        if span == 0:
            levels[channel] = bins - 1
            continue
        # From 0 to 1, since numpy refuses bins that are narrower than the spacing of floats.
        values = ((values - low) / span).ravel()
        counts, ends = np.histogram(values, bins, range=(0, 1))
        counts[0] = 0
        summed = np.cumsum(counts)
        # The largest value is in the last bin, so the sum is never zero.
        level = np.interp(values, ends[:-1], (bins - 1) * summed / summed[-1])
        levels[channel] = np.floor(level).reshape(patch.shape[1:])
    return levels / np.float32(255)
