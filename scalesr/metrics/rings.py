"""Fourier rings and shells of a tile, its window, and sums of spectra over rings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

WindowKind = Literal["tukey", "hann", "hamming"]
"""How a tile is faded out towards its edges before its transform."""
WINDOWS: dict[WindowKind, str] = {"tukey": "Tukey 0.25", "hann": "Hann", "hamming": "Hamming"}
"""What a note calls them."""

TAPER = 0.25
"""Share of a tile's edge that the Tukey window fades, both ends together."""
_TINY = 1e-9
"""Relative slack of comparisons of radii that are equal but for rounding."""


@dataclass(frozen=True)
class Rings:
    """The rings (shells in 3-D) of the Fourier transform of a tile, by spatial frequency in cycles per unit.

    Ring r holds the frequencies nearest to r times `step`, the frequency of one cycle over the tile's longest side, so
    that no ring is empty. The last ring ends at the lowest Nyquist frequency of the axes: the corners beyond belong to
    no ring. Tiles need not be square, nor pixels isotropic. Use `rings_of`, which makes each geometry once.

    Parameters
    ----------
    tile
        Pixels along each axis, two or three.
    pixel_size
        Size of a pixel along each axis.
    """

    tile: tuple[int, ...]
    pixel_size: tuple[float, ...]

    @cached_property
    def step(self) -> float:
        """Frequency from one ring to the next."""
        return 1.0 / max(n * size for n, size in zip(self.tile, self.pixel_size, strict=True))

    @cached_property
    def nyquist(self) -> float:
        """Lowest Nyquist frequency of the axes."""
        return 0.5 / max(self.pixel_size)

    @cached_property
    def radius(self) -> NDArray[np.float64]:
        """Frequency of each pixel of ``rfftn`` in steps of the rings, shape (*tile with the last axis halved)."""
        squares: NDArray[Any] = np.zeros(())
        for axis, (n, size) in enumerate(zip(self.tile, self.pixel_size, strict=True)):
            cycles = np.arange(n // 2 + 1) if axis == len(self.tile) - 1 else np.abs(np.fft.fftfreq(n, 1 / n))
            squares = squares[..., None] + np.square(cycles / (n * size * self.step))
        return np.asarray(np.sqrt(squares))

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How often each column of ``rfftn`` stands in the full transform: 2, or 1 where it mirrors itself."""
        columns = np.full(self.tile[-1] // 2 + 1, 2.0)
        columns[0] = 1.0
        if self.tile[-1] % 2 == 0:
            columns[-1] = 1.0
        return columns

    @cached_property
    def number(self) -> NDArray[np.int64]:
        """Ring of each pixel of ``rfftn``, -1 beyond the lowest Nyquist frequency."""
        rings = np.floor(self.radius + 0.5 + _TINY).astype(np.int64)
        inside = self.radius * self.step <= self.nyquist * (1 + _TINY)
        return np.where(inside & (rings < self.count), rings, -1)

    @cached_property
    def count(self) -> int:
        """Rings, with that of the mean, which is the first."""
        return math.floor(self.nyquist / self.step * (1 + _TINY)) + 1

    @cached_property
    def frequency(self) -> NDArray[np.float64]:
        """Frequency of each ring, in cycles per unit of the pixel size."""
        return np.arange(self.count, dtype=np.float64) * self.step

    @cached_property
    def n(self) -> NDArray[np.int64]:
        """Pixels of the full transform in each ring."""
        return np.rint(self.sums_of(np.ones(self.radius.shape))).astype(np.int64)

    def sums_of(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sums over the rings of the full transform of values that are the same at a frequency and minus it.

        Parameters
        ----------
        values
            One for each pixel of ``rfftn``.
        """
        folded = values.copy()
        half = (self.tile[0] - 1) // 2
        folded[1 : 1 + half] += values[: -half - 1 : -1]
        return np.asarray(self._matrix @ folded[: self.tile[0] // 2 + 1].ravel())

    def correlate(self, first: NDArray[np.complex128], second: NDArray[np.complex128]) -> NDArray[np.float64]:
        """Return the sums over the rings of the cross-spectrum's real part and of both power spectra.

        They equal those of the full transforms: the columns that ``rfftn`` leaves out are counted in.

        Parameters
        ----------
        first, second
            Transforms of two tiles by ``rfftn``.

        Returns
        -------
        numpy.ndarray
            Shape (3, rings).
        """
        # Rows of opposite frequency belong to the same ring, and real and imaginary part of a pixel do. They are added
        # first, whole rows at a time, so that a quarter of the products is left to the slower sums over rings.
        a, b = first.view(np.float64), second.view(np.float64)
        half, rows = (self.tile[0] - 1) // 2, self.tile[0] // 2 + 1
        product = np.empty_like(a)
        folded = np.empty((rows, *first.shape[1:]))
        sums = np.empty((3, self.count))
        for place, (x, y) in enumerate(((a, b), (a, a), (b, b))):
            np.multiply(x, y, out=product)
            product[1 : 1 + half] += product[: -half - 1 : -1]
            np.add(product[:rows, ..., 0::2], product[:rows, ..., 1::2], out=folded)
            sums[place] = self._matrix @ folded.ravel()
        return sums

    @cached_property
    def _matrix(self) -> Any:
        """The sparse matrix that sums over rings the rows of ``rfftn`` that are left when opposite ones are added.

        Its products run in one thread and in a fixed order, which those of BLAS do not promise.
        """
        upper = self.number[: self.tile[0] // 2 + 1]
        inside = np.flatnonzero(upper.ravel() >= 0)
        weights = np.broadcast_to(self.weights, upper.shape).ravel()[inside]
        return scipy.sparse.csr_array((weights, (upper.ravel()[inside], inside)), shape=(self.count, upper.size))


@lru_cache(maxsize=8)
def rings_of(tile: tuple[int, ...], pixel_size: tuple[float, ...]) -> Rings:
    """Return the rings of a tile, made once for each geometry."""
    return Rings(tile, pixel_size)


@lru_cache(maxsize=8)
def window_of(tile: tuple[int, ...], kind: WindowKind) -> NDArray[np.float64]:
    """Return the window of a tile, the product of one for each axis; it must not be changed.

    ``tukey`` is flat but for a cosine over an eighth of the edge at both ends. ``hann`` is a cosine all along: it keeps
    less of the tile, and spreads a frequency over fewer rings. ``hamming`` is the Hamming window to
    the power of one over the number of axes, which the calibration of Koho et al. (2019) was made with.
    """
    window: NDArray[Any] = np.ones(())
    for n in tile:
        if kind == "hamming":
            along = (0.54 - 0.46 * np.cos(2 * np.pi * np.arange(n) / (n - 1))) ** (1 / len(tile))
        else:
            along = _faded(n, share=TAPER if kind == "tukey" else 1.0)
        window = window[..., None] * along
    window.setflags(write=False)
    return window


def centre(pixels: NDArray[Any], out: NDArray[np.float64]) -> float:
    """Write pixels less their mean into an array, exact zeros where they differ by rounding alone; return the mean.

    It is NaN or infinite where a pixel is, and the array is of no use then.
    """
    out[...] = pixels
    with np.errstate(invalid="ignore"):
        mean = float(np.add.reduce(out, axis=None)) / out.size
    if not math.isfinite(mean):
        return mean
    out -= mean
    noise = 8 * np.finfo(np.float64).eps * abs(mean)
    # Looking at one pixel first spares the others a look in nearly all tiles.
    if abs(out[(0,) * out.ndim]) <= noise and np.abs(out).max() <= noise:
        out[...] = 0.0
    return mean


def spectra_of(shape: tuple[int, ...]) -> NDArray[np.complex128]:
    """Return an array for the transforms of tiles, shape (..., *tile), which `transform` fills."""
    return np.empty((*shape[:-1], shape[-1] // 2 + 1), np.complex128)


def transform(
    pixels: NDArray[np.float64], window: NDArray[np.float64], out: NDArray[np.complex128] | None = None
) -> NDArray[np.complex128]:
    """Return ``rfftn`` of tiles under a window, in float64 and in this thread; the tiles are overwritten.

    Parameters
    ----------
    pixels
        Shape (..., *tile).
    window
        Shape (*tile).
    out
        Array from `spectra_of` that takes the transforms; a new one when not given.
    """
    pixels *= window
    # Axis by axis in one array: ``rfftn`` takes new ones at each call, which shows even where no page must be cleared.
    out = spectra_of(pixels.shape) if out is None else out
    np.fft.rfft(pixels, out=out)
    for axis in range(-window.ndim, -1):
        np.fft.fft(out, axis=axis, out=out)
    return out


def spectrum(pixels: NDArray[Any], window: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Return ``rfftn`` of a tile less its mean under a window, and leave the tile as it is."""
    centred = np.empty(pixels.shape)
    centre(pixels, centred)
    return transform(centred, window)


def correlation_of(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of rings from the sums of `Rings.correlate`; 0 where a ring has no power.

    Parameters
    ----------
    sums
        Shape (..., 3, rings).

    Returns
    -------
    numpy.ndarray
        Shape (..., rings), from -1 to 1.
    """
    cross, first, second = (sums[..., part, :] for part in range(3))
    power = np.sqrt(first) * np.sqrt(second)
    return np.asarray(np.divide(cross, power, out=np.zeros_like(power), where=power > 0))


def _faded(n: int, *, share: float) -> NDArray[np.float64]:
    """Return Tukey's window, which is that of Hann where the share is 1."""
    from_edge = np.minimum(np.arange(n), np.arange(n)[::-1])
    fading = np.minimum(from_edge / (share * (n - 1) / 2), 1.0)
    return np.asarray(0.5 * (1 - np.cos(np.pi * fading)))
