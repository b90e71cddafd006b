"""Structural similarity at five resolutions (Wang, Simoncelli, Bovik 2003), cell by cell, in 2-D or 3-D."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from scalesr.metrics.bandwise import band_measures
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.gaussian import RADIUS, REACH, TAPS
from scalesr.metrics.ssim import contrast, range_of, similarity
from scalesr.metrics.state import Count
from scalesr.metrics.windows import (
    BORDER,
    WINDOW,
    border_pixels,
    missing_of,
    moments,
    require_reference,
    sum_up,
    touched,
    window_count,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.measure import Measure
    from scalesr.metrics.patch import Patch
    from scalesr.metrics.state import State
    from scalesr.metrics.windows import Moments

BETAS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponent of each scale, the finest first."""
SCALES = len(BETAS)
COARSEST = 2 ** (SCALES - 1)
"""Pixels along each axis that become one at the last scale."""
REFLECTED = "reflected border"
"""Kind of the figure that torchmetrics gives."""


@dataclass(frozen=True, eq=False)
class Scale:
    """One band of both images at one resolution, as far as a patch holds it."""

    x: NDArray[Any]
    y: NDArray[Any]
    missing: NDArray[np.bool_] | None
    """Pixels in which a pixel of the image is missing."""
    first: tuple[int, ...]
    """Place of the first pixel, in pixels of this resolution."""
    stop: tuple[int, ...]
    """Windows that begin here or beyond are another cell's."""
    size: tuple[int, ...]
    """Pixels of the whole image at this resolution."""

    def halved(self) -> Scale:
        """Return the next scale: means over two pixels along each axis, paired from the image's origin on.

        An odd pixel at the image's end is dropped, as torchmetrics does.
        """
        skip = [start % 2 for start in self.first]
        pairs = [(n - odd) // 2 for n, odd in zip(self.x.shape, skip, strict=True)]
        part = tuple(slice(odd, odd + 2 * n) for odd, n in zip(skip, pairs, strict=True))
        missing = None
        if self.missing is not None:
            split = self.missing[part].reshape([n for pair in pairs for n in (pair, 2)])
            missing = np.asarray(split.any(axis=tuple(range(1, 2 * len(pairs), 2))))
        return Scale(
            _halve(self.x[part]),
            _halve(self.y[part]),
            missing,
            first=tuple(-(-start // 2) for start in self.first),
            stop=tuple(-(-stop // 2) for stop in self.stop),
            size=tuple(n // 2 for n in self.size),
        )

    def reflected(self) -> Scale:
        """Return the scale with its border mirrored, so that every pixel of the image has a window."""
        edges = []
        for start, n, size in zip(self.first, self.x.shape, self.size, strict=True):
            whole = n > RADIUS
            edges.append((RADIUS * (whole and start == 0), RADIUS * (whole and start + n == size)))
        x, y = (np.pad(image, edges, mode="reflect") for image in (self.x, self.y))
        missing = None if self.missing is None else np.pad(self.missing, edges, mode="reflect")
        first = tuple(start - low for start, (low, _) in zip(self.first, edges, strict=True))
        return Scale(x, y, missing, first, self.stop, self.size)

    def add_up(self, formula: Callable[[Moments], NDArray[np.float64]]) -> tuple[float, int, int]:
        """Return the sum of a formula over the windows that begin in the cell, how many, and how many were left out."""
        ends = [
            min(n, max(0, stop - start) + REACH)
            for n, start, stop in zip(self.x.shape, self.first, self.stop, strict=True)
        ]
        own = tuple(slice(0, end) for end in ends)
        missing = None if self.missing is None else self.missing[own]
        left = None if missing is None else touched(missing)
        total, counted = 0.0, 0
        for piece in moments(self.x[own], self.y[own], missing):
            more, number = sum_up(formula(piece), None if left is None else left[piece.rows])
            total += more
            counted += number
        return total, counted, window_count(tuple(ends)) - counted


@dataclass(frozen=True)
class MultiscaleSimilarity:
    """Sums of the factors of the multi-scale structural similarity: `SCALES` + 1 for each band.

    They are those of the contrast at the first four scales and of the similarity at the last, over windows that lie
    fully inside the image; and once more of the similarity at the last scale with the image's border mirrored.
    """

    data_range: float
    """Largest minus smallest possible intensity."""
    context: tuple[int, ...]
    """Pixels above the cell that the windows of the last scale reach."""

    def update(self, state: State, patch: Patch) -> State:
        """Add the windows that begin in a cell, at each scale."""
        bands = len(patch.output)
        sums = np.zeros((SCALES + 1, bands))
        counted, left = np.zeros((2, SCALES + 1, bands), np.int64)
        with np.errstate(over="ignore", invalid="ignore"):
            for band in range(bands):
                scale = _finest(patch, band)
                for number in range(SCALES):
                    last = number == SCALES - 1
                    formula = self._similarity if last else self._contrast
                    sums[number, band], counted[number, band], left[number, band] = scale.add_up(formula)
                    if last:
                        mirrored = scale.reflected().add_up(self._similarity)
                        sums[SCALES, band], counted[SCALES, band], left[SCALES, band] = mirrored
                    else:
                        scale = scale.halved()
        state.add("factors", ExactSum(sums.shape).add(sums)).add("windows", Count(counted))
        return state.add("missing", Count(left)).add("border", Count([border_pixels(patch)] * bands))

    def _contrast(self, piece: Moments) -> NDArray[np.float64]:
        return contrast(piece, self.data_range)

    def _similarity(self, piece: Moments) -> NDArray[np.float64]:
        return similarity(piece, self.data_range)


@dataclass(frozen=True)
class MsSsim:
    """Multi-scale structural similarity of each band, and their mean.

    The headline takes the mean over windows that lie fully inside the image at all scales, as the paper does.
    torchmetrics does so for the contrast, but takes the last scale over all pixels, with the image's border mirrored:
    that is the figure of kind ``reflected border``, its ``multiscale_structural_similarity_index_measure`` with bands
    as a batch and ``normalize="relu"``, its default: a negative factor counts as zero.
    """

    statistic: MultiscaleSimilarity
    note: str
    """Where the data range is from."""
    name: str = "ms_ssim"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the mean of the bands, each band, and then the mean as torchmetrics takes it."""
        table = (SCALES + 1, frame.bands)
        sums, counted = state.sums("factors", table), state.counts("windows", table)
        missing = state.counts("missing", table)
        with np.errstate(invalid="ignore"):
            factors = sums / counted
        clipped = "a factor was negative and counts as zero" if (factors < 0).any() else ""
        # The image may be so small that only mirroring makes windows; then it has no figure of either kind.
        there = np.asarray(np.all(counted[:SCALES] > 0, axis=0))
        mirrored = "last scale over all pixels, the border mirrored, as torchmetrics does"
        least = TAPS * COARSEST
        small = f"smaller than {least} pixels, the window at the last scale"
        undefined = small if min(frame.shape) < least else "no window to count at one of the scales"
        figures: list[Measure] = []
        for kind, rows in (("mean of bands", tuple(range(SCALES))), (REFLECTED, (*range(SCALES - 1), SCALES))):
            values = [_product(factors[list(rows), band]) if there[band] else None for band in range(frame.bands)]
            lost = {f"{WINDOW}{_at(scale)}": missing[row] for scale, row in enumerate(rows)}
            made = band_measures(
                self.name,
                values,
                n=counted[0],
                left_out={**lost, BORDER: state.counts("border", table[1:])},
                frame=frame,
                note="; ".join(filter(None, [clipped, mirrored if kind == REFLECTED else "", self.note])),
                undefined=undefined,
                kind=kind,
            )
            figures += made[:1] if kind == REFLECTED else made
        return figures


def make_ms_ssim(frame: Frame, settings: Settings) -> MsSsim:
    """Return the metric `ms_ssim`.

    Raises
    ------
    InputError
        There is no reference, or no data range for floats.
    """
    require_reference(frame, "ms_ssim")
    data_range, note = range_of(frame, settings, "ms_ssim")
    # Pixels of the last scale begin at multiples of `COARSEST`; cells that do not must see to the end of the next one.
    context = tuple(REACH * COARSEST + (COARSEST - 1 if edge % COARSEST else 0) for edge in frame.cell)
    return MsSsim(MultiscaleSimilarity(data_range, context), note)


def _finest(patch: Patch, band: int) -> Scale:
    assert patch.reference is not None
    missing = missing_of(patch, band)
    x, y = patch.output[band], patch.reference[band]
    if missing is not None:
        # Whatever stands there must not spread over a pixel of the next scale: infinities make warnings.
        x, y = (np.where(missing, image.dtype.type(0), image) for image in (x, y))
    stop = tuple(start + size for start, size in zip(patch.start, patch.cell, strict=True))
    return Scale(x, y, missing, patch.start, stop, patch.shape)


def _halve(image: NDArray[Any]) -> NDArray[np.float64]:
    """Return means over two pixels along each axis; all axes have an even number of them."""
    rows = image.shape[0] // 2
    halved = np.empty([n // 2 for n in image.shape])
    step = max(1, 2**15 // max(1, int(np.prod(image.shape[1:]))))
    for row in range(0, rows, step):
        part = image[2 * row : 2 * min(row + step, rows)]
        made = np.add(part[::2], part[1::2], dtype=np.float64)
        for axis in range(1, image.ndim):
            pairs = np.moveaxis(made, axis, 0)
            made = np.moveaxis(pairs[::2] + pairs[1::2], 0, axis)
        np.multiply(made, 0.5**image.ndim, out=halved[row : row + len(made)])
    return halved


def _product(factors: NDArray[np.float64]) -> float:
    """Return the factors of all scales, weighted: equation 7 of the paper."""
    return float(np.prod(np.maximum(factors, 0.0) ** np.array(BETAS)))


def _at(scale: int) -> str:
    return f", scale 1/{2**scale}" if scale else ""
