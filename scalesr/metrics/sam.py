"""Spectral angles: how far the direction of each pixel's spectrum is from that of the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics import moments
from scalesr.metrics.exact import ExactSum
from scalesr.metrics.measure import Measure
from scalesr.metrics.moments import Differences
from scalesr.metrics.slabs import ROW, SLAB, Buffer, slabs, small_integers
from scalesr.metrics.state import Count, State
from scalesr.metrics.windows import require_reference

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.metrics.frame import Frame, Settings
    from scalesr.metrics.patch import Patch

ANGLES = "angles"
"""Part with the sum of the angles in radians."""
SPECTRA = "spectra"
"""Part with how many spectra have an angle, have a length of zero in either image, and lack a band."""
PIXELS = 4096
"""Most pixels of a slab: it has that many of as many bands as fit in the cache."""
NEAR = 1 - 5e-9
"""Cosine of 1e-4 radian. Below that angle the arc cosine loses half of its digits, and a longer way is taken."""


@dataclass(frozen=True)
class SpectralAngles:
    """The sum of the angles between the spectra of two images, in radians, and how many have none.

    A spectrum of which a band is missing in either image is left out, and so is one of zeros: it has no direction.
    """

    ndim: int
    """Axes of space."""

    @property
    def context(self) -> tuple[int, ...]:
        """None is needed."""
        return (0,) * self.ndim

    def update(self, state: State, patch: Patch) -> State:
        """Add one cell."""
        return _gather(state, patch, None)


def update_together(state: State, differences: State, patch: Patch) -> bool:
    """Add one cell to the states of `SpectralAngles` and of `Differences`, to the bits that either adds alone.

    Each pixel is brought from memory and converted once for both. Only sums that are exact do not show the order in
    which they are taken: where the images are not integers of at most 16 bits nothing is added, and false returned.
    """
    assert patch.reference is not None, "the makers of the metrics see to it"
    if not small_integers(patch.output, patch.reference):
        return False
    sums = np.zeros((len(patch.output), 2))
    found = _gather(State(), patch, sums)
    lost = int(found.counts(SPECTRA)[2])
    state.merge(found)
    counts = [(math.prod(patch.cell) - lost, lost)] * len(sums)
    differences.add(moments.PIXELS, Count(counts)).add(moments.SUMS, ExactSum(sums.shape).add(sums))
    return True


def _gather(state: State, patch: Patch, differences: NDArray[np.float64] | None) -> State:
    assert patch.reference is not None, "the maker of the metric sees to it"
    output, reference = patch.output[patch.own], patch.reference[patch.own]
    missing: NDArray[np.bool_] | None = None
    if patch.missing is not None:
        missing = np.any(patch.missing[patch.own], axis=0)
    products = _Products(bands=len(output), differences=differences)
    angles = 0.0
    counts = np.zeros(3, np.int64)
    for index in slabs(output.shape[1:], most=PIXELS):
        x, y = output[(slice(None), *index)], reference[(slice(None), *index)]
        gone = None if missing is None else missing[index]
        gone = gone if gone is not None and gone.any() else None
        xx, yy, xy = products.of(x, y, gone)
        lengths = np.sqrt(xx)
        lengths *= np.sqrt(yy)
        there = lengths > 0
        if there.all():
            xy /= lengths
            angles += float(_angles(xy, x, y).sum())
        else:
            used = there.reshape(x.shape[1:])
            angles += float(_angles(xy[there] / lengths[there], x[:, used], y[:, used]).sum())
        n, lost = int(np.count_nonzero(there)), 0 if gone is None else int(np.count_nonzero(gone))
        counts += (n, there.size - n - lost, lost)
    return state.add(ANGLES, ExactSum().add(angles)).add(SPECTRA, Count(counts))


@dataclass(frozen=True)
class Sam:
    """Spectral angle mapper: the mean angle, in degrees and in radians (Kruse et al. 1993).

    The figure does not see the brightness of a spectrum, only the proportions of its bands.
    """

    statistic: SpectralAngles
    name: str = "sam"

    def finalize(self, state: State, frame: Frame) -> list[Measure]:
        """Return the mean in degrees, then in radians."""
        del frame
        n, zero, lost = map(int, state.counts(SPECTRA, (3,)))
        mean = float(state.sums(ANGLES)) / n if n else None

        def of(kind: str, unit: Literal["degree", "radian"]) -> Measure:
            value = math.degrees(mean) if mean is not None and unit == "degree" else mean
            left_out = {"zero spectra": zero, "not finite or masked": lost}
            return Measure(
                metric=self.name,
                kind=kind,
                value=value,
                unit=unit,
                n=n,
                left_out={reason: count for reason, count in left_out.items() if count},
                note="" if n else "no spectrum to compare",
            )

        return [of("mean", "degree"), of("radian", "radian")]


def make_sam(frame: Frame, settings: Settings) -> Sam:
    """Return the metric.

    Raises
    ------
    InputError
        There is no reference, or only one band.
    """
    del settings
    require_reference(frame, "sam")
    if frame.bands < 2:
        raise InputError(
            "sam compares directions of spectra, and one band has none.", remedy="Measure psnr or ssim instead."
        )
    return Sam(SpectralAngles(frame.ndim))


class _Products:
    """Inner products of the spectra of a slab, a few bands at a time so that they stay in the cache."""

    def __init__(self, *, bands: int, differences: NDArray[np.float64] | None = None) -> None:
        self._group = min(bands, SLAB // PIXELS)
        self._differences = differences
        self._buffers = Buffer(), Buffer()

    def of(
        self, x: NDArray[Any], y: NDArray[Any], gone: NDArray[np.bool_] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Return x.x, y.y and x.y of each pixel, zeros where `gone`."""
        shape = x.shape[1:]
        sums = np.empty((3, math.prod(shape)))
        for first in range(0, len(x), self._group):
            flat: list[NDArray[np.float64]] = []
            for image, buffer in zip((x, y), self._buffers, strict=True):
                bands = image[first : first + self._group]
                shaped, _ = buffer.shaped(bands.shape)
                np.copyto(shaped, bands)
                if gone is not None:
                    shaped[:, gone] = 0
                flat.append(shaped.reshape(len(bands), -1))
            a, b = flat
            for place, (one, other) in enumerate(((a, a), (b, b), (a, b))):
                if first:
                    sums[place] += np.einsum("bp,bp->p", one, other)
                else:
                    np.einsum("bp,bp->p", one, other, out=sums[place])
            if self._differences is not None:
                self._add_differences(a, b, self._differences[first : first + len(a)])
        return sums[0], sums[1], sums[2]

    @staticmethod
    def _add_differences(a: NDArray[np.float64], b: NDArray[np.float64], sums: NDArray[np.float64]) -> None:
        """Add |a - b| and its square to the sums of each band; writes over `a`."""
        np.subtract(a, b, out=a)
        # Sums of integers that fit: the way they are cut into rows cannot show. What for: see `ROW`.
        rows = a.reshape(len(a), -1, ROW if a.shape[1] % ROW == 0 else a.shape[1])
        sums[:, Differences.SQUARED] += np.vecdot(rows, rows).sum(axis=1)
        np.abs(a, out=a)
        sums[:, Differences.ABSOLUTE] += a.sum(axis=1)


def _angles(cosines: NDArray[np.float64], x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return the angles, in radians; x and y are the spectra, shape (bands, *pixels), of as many pixels."""
    near = cosines > NEAR
    angles = np.arccos(np.clip(cosines, -1, 1, out=cosines), out=cosines)
    if near.any():
        there = near.reshape(x.shape[1:])
        angles[near] = _small_angles(x[:, there], y[:, there])
    return angles


def _small_angles(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Return the angles from the difference of the unit vectors (Kahan), accurate to the last bits near zero."""
    if np.array_equal(x, y):
        return np.zeros(x.shape[1])
    one, other = _units(x), _units(y)
    return 2 * np.arctan2(_lengths(one - other), _lengths(one + other))


def _units(spectra: NDArray[Any]) -> NDArray[np.float64]:
    numbers = spectra.astype(np.float64)
    return numbers / _lengths(numbers)


def _lengths(spectra: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt(np.square(spectra).sum(axis=0))
    return lengths
