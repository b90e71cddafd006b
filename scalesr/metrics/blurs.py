"""The blurs of instruments: the beam of a laser, the tail of a flushed chamber, a crater of ablation, a lens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import InputError
from scalesr.metrics.blur import STAY, Blur, Line
from scalesr.metrics.resampling import Neighbours

if TYPE_CHECKING:
    from numpy.typing import NDArray

TRUNCATE = 4.0
"""Standard deviations after which a Gaussian ends, as in ``scipy.ndimage.gaussian_filter``."""
TAIL = 10.0
"""Decay lengths after which a tail ends: what is cut off is 5e-5 of it, as much as of a Gaussian."""
WIDTH = 2 * math.sqrt(2 * math.log(2))
"""Full width at half maximum of a Gaussian, in standard deviations."""


def number(value: float) -> str:
    """Return the shortest text that reads as the same number."""
    return repr(float(value)).removesuffix(".0")


@dataclass(frozen=True)
class Gaussian(Blur):
    """A Gaussian, such as the beam of a laser.

    It is sampled at the pixels, ends after 4 standard deviations and sums to 1, as that of
    ``scipy.ndimage.gaussian_filter`` does. It acts along all axes of space unless `along` says which.
    """

    sigma: float
    """Standard deviation in pixels of the output; 0 is no blur."""
    along: tuple[int, ...] | None = None
    """Axes of space that are blurred; `None` means all."""

    def __post_init__(self) -> None:
        _refuse_bad(self.sigma, "Gaussian", "standard deviation")

    def __str__(self) -> str:
        return f"gaussian:{number(self.sigma)}"

    @classmethod
    def of_width(cls, fwhm: float) -> Gaussian:
        """Return the Gaussian of a full width at half maximum, in pixels of the output."""
        return cls(fwhm / WIDTH)

    @property
    def blurs(self) -> str:
        """What it does."""
        return f"Gaussian blur of {self.sigma:g} pixels of the output"

    @property
    def reach(self) -> int:
        """Four standard deviations, rounded."""
        return int(TRUNCATE * self.sigma + 0.5)

    def lines(self, space: int, band: int) -> tuple[tuple[Line, ...], ...]:
        """Return one bell for each axis; see `Blur`."""
        del band
        bell = _bell(self.sigma, self.reach)
        return (tuple(bell if self.along is None or axis in self.along else STAY for axis in range(space)),)

    def scaled(self, factor: float) -> Gaussian:
        """Return a Gaussian `factor` times as wide."""
        return Gaussian(self.sigma * factor, self.along)


def _bell(sigma: float, radius: int) -> Line:
    if radius == 0:
        return STAY
    bell = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    bell /= bell.sum()
    return Neighbours(-radius, tuple(bell.tolist()))


@dataclass(frozen=True)
class Washout(Blur):
    """An exponential tail along the last axis, the direction of the scan: what came before has not all left yet.

    A pixel holds shares of itself and of those before it that fall off as ``exp(-k / length)``: the answer to a pulse
    of a chamber that is flushed at a constant rate. The tail ends after 10 decay lengths, and the shares sum to 1.
    """

    length: float
    """Decay length in pixels of the output; 0 is no tail."""

    def __post_init__(self) -> None:
        _refuse_bad(self.length, "washout", "decay length")

    def __str__(self) -> str:
        return f"washout:{number(self.length)}"

    @property
    def blurs(self) -> str:
        """What it does."""
        return f"washout of {self.length:g} pixels of the output along the last axis"

    @property
    def reach(self) -> int:
        """Ten decay lengths."""
        return math.ceil(TAIL * self.length)

    def lines(self, space: int, band: int) -> tuple[tuple[Line, ...], ...]:
        """Return the tail along the last axis; see `Blur`."""
        del band
        if not self.reach:
            return ((STAY,) * space,)
        tail = math.exp(-1 / self.length) ** np.arange(self.reach, -1, -1)
        tail /= tail.sum()
        return ((*(STAY,) * (space - 1), Neighbours(-self.reach, tuple(tail.tolist()))),)

    def scaled(self, factor: float) -> Washout:
        """Return a tail `factor` times as long."""
        return Washout(self.length * factor)


@dataclass(frozen=True)
class Disc(Blur):
    """A disc of constant depth in the last two axes, such as a crater of ablation: each pixel counts by its overlap."""

    diameter: float
    """In pixels of the output; up to 1 is no blur."""

    def __post_init__(self) -> None:
        _refuse_bad(self.diameter, "disc", "diameter")

    def __str__(self) -> str:
        return f"disc:{number(self.diameter)}"

    @property
    def blurs(self) -> str:
        """What it does."""
        return f"mean over a disc of {self.diameter:g} pixels of the output"

    @property
    def reach(self) -> int:
        """Pixels on either side of the middle that the disc touches."""
        return max(0, math.ceil((self.diameter - 1) / 2))

    def lines(self, space: int, band: int) -> tuple[tuple[Line, ...], ...]:
        """Return one term for each pair of rows; see `Blur`."""
        del band
        if not self.reach:
            return ((STAY,) * space,)
        before = (STAY,) * (space - 2)
        rows = _rows(self.diameter, self.reach)
        pairs = [Neighbours(-k, (1.0, *(0.0,) * (2 * k - 1), 1.0)) if k else STAY for k in range(len(rows))]
        return tuple((*before, pair, Neighbours(-self.reach, row)) for pair, row in zip(pairs, rows, strict=True))

    def scaled(self, factor: float) -> Disc:
        """Return a disc `factor` times as wide."""
        return Disc(self.diameter * factor)


@lru_cache(maxsize=16)
def _rows(diameter: float, reach: int) -> tuple[tuple[float, ...], ...]:
    """Return the overlaps of a disc with the pixels of its middle row and of those above it, as shares of the disc."""
    edges = np.arange(-reach, reach + 2) - 0.5
    corners = _quadrant(np.abs(edges)[:, None], np.abs(edges), diameter / 2) * np.sign(edges)[:, None] * np.sign(edges)
    overlaps = np.maximum(np.diff(np.diff(corners, axis=0), axis=1), 0.0)
    overlaps /= overlaps.sum()
    return tuple(tuple(row.tolist()) for row in overlaps[reach:])


def _quadrant(y: NDArray[np.float64], x: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return the area that the disc around the origin has in common with the rectangle from there to (y, x)."""
    y, x = np.minimum(y, radius), np.minimum(x, radius)
    full = np.minimum(np.sqrt((radius - y) * (radius + y)), x)  # so far the rectangle's upper edge lies inside the disc

    def under(t: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(t * np.sqrt((radius - t) * (radius + t)) + radius**2 * np.arcsin(t / radius)) / 2

    return np.asarray(full * y + under(x) - under(full))


@dataclass(frozen=True)
class Diffraction(Blur):
    """The blur of a lens in focus, which widens with the wavelength of the band: 0.51 wavelength / NA at half maximum.

    That is the full width of the Airy pattern's middle (incoherent light, Born and Wolf, Principles of Optics, 8.5).
    It is taken as a Gaussian of that width; the rings around the middle, 16 % of the light, are left out.
    """

    aperture: float
    """Numerical aperture on the side of the sample."""
    pixel: float
    """Edge of a pixel of the output on the sample, in the unit of the wavelengths."""
    wavelengths: tuple[float, ...]
    """One for each band."""

    def __post_init__(self) -> None:
        given = (self.aperture, self.pixel, *self.wavelengths)
        if not self.wavelengths or not all(0 < each < math.inf for each in given):
            raise InputError(
                f"Diffraction of aperture {self.aperture:g} with pixels of {self.pixel:g} and "
                f"{len(self.wavelengths)} wavelengths is none: all must be positive.",
                remedy="Give the numerical aperture, the size of a pixel, and one wavelength for each band.",
            )

    def __str__(self) -> str:
        waves = "/".join(map(number, self.wavelengths))
        return f"diffraction:{number(self.aperture)}:{number(self.pixel)}:{waves}"

    @property
    def blurs(self) -> str:
        """What it does."""
        sigmas = [self._sigma(wave) for wave in (min(self.wavelengths), max(self.wavelengths))]
        return f"Gaussian blur of {sigmas[0]:.3g} to {sigmas[1]:.3g} pixels of the output, growing with the wavelength"

    @property
    def reach(self) -> int:
        """That of the longest wavelength."""
        return Gaussian(self._sigma(max(self.wavelengths))).reach

    @property
    def bands(self) -> int:
        """One for each wavelength."""
        return len(self.wavelengths)

    def lines(self, space: int, band: int) -> tuple[tuple[Line, ...], ...]:
        """Return the Gaussian of a band along each axis; see `Blur`."""
        return Gaussian(self._sigma(self.wavelengths[band])).lines(space, band)

    def scaled(self, factor: float) -> Diffraction:
        """Return the same lens with pixels `factor` times as small."""
        return Diffraction(self.aperture, self.pixel / factor, self.wavelengths)

    def _sigma(self, wavelength: float) -> float:
        return 0.51 * wavelength / (self.aperture * self.pixel) / WIDTH


def _refuse_bad(value: float, name: str, what: str) -> None:
    if not 0 <= value < math.inf:
        raise InputError(
            f"A {name} with a {what} of {value:g} pixels is none.", remedy="Give a number that is 0 or above."
        )
