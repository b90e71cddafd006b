"""The physics of a measurement: what an instrument makes of the truth, and what noise comes with it.

The paper on HyReS (arXiv 2503.02908) does not disclose the degradation that it trains with. The one here is our own
choice: pixels add up over their area, the beam or the crater of ablation is wider than a point, a line scan drags a
tail, ions and photons are counted, pixels differ in gain, the reading adds noise, some pixels are dead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from scalesr.errors import InputError
from scalesr.hyres.noise import Noise
from scalesr.hyres.optics import degrade_plane, degrade_tensor
from scalesr.metrics.blurs import Diffraction, Disc, Gaussian, Washout, number
from scalesr.metrics.degradation import blurred, margin, read_blur

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from scalesr.metrics.degradation import Degradation

Spot: TypeAlias = Gaussian | Disc | Diffraction
"""What a point of the sample is smeared over: a beam, a crater of ablation, or the blur of a lens."""

MOST_REACH = 4096
"""Pixels of the truth beyond which no instrument looks; a longer blur is a slip in its units."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Measured:
    """A measurement, and what happened to it on the way."""

    values: NDArray[np.float32]
    """Shape (bands, y, x)."""
    dead: NDArray[np.bool_]
    """Which pixels gave nothing, in all bands, shape (y, x); their values are 0."""
    saturated: int
    """Values that were cut off at full scale."""
    negative: int
    """Values whose expected intensity was below 0, of which no counts could be drawn."""


@dataclass(frozen=True, kw_only=True)
class Instrument:
    """An instrument that measures `factor` x `factor` pixels of the truth at once.

    In this order: spot and washout on the truth's grid, the mean over the area of each measured pixel, the gain of the
    pixel, counts, the noise of the reading, full scale, dead pixels. Past its edge the truth is mirrored about the
    centre of its outermost pixel. ``str`` of an instrument is the setting that `parse` reads.

    Raises
    ------
    InputError
        A number out of its range; the message names it.
    """

    factor: int
    """Pixels of the truth for each measured one, along y and along x."""
    spot: Spot | None = None
    """Profile of the beam or of the crater, in pixels of the truth; `None` is a point."""
    washout: float = 0.0
    """Decay length of the exponential tail along x, the direction of the scan, in pixels of the truth; 0 is none."""
    counts: float | None = None
    """Counts that are expected of a measured pixel for an intensity of 1; `None` draws none."""
    gain: float = 0.0
    """Relative standard deviation of the gain of a measured pixel: log-normal, mean 1, the same for all bands."""
    read_noise: float = 0.0
    """Standard deviation of the Gaussian noise of the reading, in units of intensity."""
    dead: float = 0.0
    """Share of measured pixels that give nothing."""
    full_scale: float | None = None
    """Highest intensity that can be read; `None` is no limit."""

    def __post_init__(self) -> None:
        wrong = [name for name, holds in self._ranges().items() if not holds]
        if wrong:
            found = ", ".join(f"{name}={getattr(self, name)}" for name in wrong)
            raise InputError(
                f"No instrument has {found}.",
                remedy="Give factor as a whole number from 1; counts and full_scale are above 0; washout, gain and "
                "read_noise are 0 or above; dead is a share below 1; a spot is round and reaches "
                f"{MOST_REACH} pixels at most.",
            )

    def _ranges(self) -> Mapping[str, bool]:
        washout = 0 <= self.washout < math.inf
        return {
            "factor": type(self.factor) is int and self.factor >= 1,
            "spot": self.spot is None or (self.spot.reach <= MOST_REACH and getattr(self.spot, "along", None) is None),
            "washout": washout and Washout(self.washout).reach <= MOST_REACH,
            "counts": self.counts is None or 0 < self.counts < math.inf,
            "gain": 0 <= self.gain < math.inf,
            "read_noise": 0 <= self.read_noise < math.inf,
            "dead": 0 <= self.dead < 1,
            "full_scale": self.full_scale is None or 0 < self.full_scale < math.inf,
        }

    def __str__(self) -> str:
        said = [f"factor={self.factor}"]
        for each in fields(self)[1:]:
            value = getattr(self, each.name)
            if value != each.default:
                said.append(f"{each.name}={value if each.name == 'spot' else number(value)}")
        return ",".join(said)

    @classmethod
    def parse(cls, text: str) -> Instrument:
        """Return the instrument of a setting such as ``factor=4,spot=gaussian:1.5,washout=0.5,counts=200``.

        Raises
        ------
        InputError
            A name or number that is none, no factor, or a name given twice.
        """
        found = read_fields(text)
        if "factor" not in found:
            raise InputError(
                f"The instrument {text!r} does not say how many pixels become one.", remedy="Give factor=N, such as 4."
            )
        return cls(**found)

    @cached_property
    def degradation(self) -> Degradation:
        """All but the noise, as `scalesr.metrics` knows it: what the metric ``consistency`` is measured with."""
        tail = Washout(self.washout) if self.washout else None
        return blurred([each for each in (self.spot, tail) if each is not None])

    @cached_property
    def noise(self) -> Noise:
        """All that is left to chance."""
        return Noise(**{each.name: getattr(self, each.name) for each in fields(Noise)})

    @property
    def context(self) -> tuple[int, int]:
        """How many measured pixels around a region its values depend on, along y and x."""
        y, x = margin(self.degradation, (Fraction(self.factor),) * 2)
        return y // self.factor, x // self.factor

    def at(self, factor: int) -> Instrument:
        """Return the same instrument for a truth of another grid: `factor` pixels of it for each measured one.

        Spot and tail keep their size on the sample. Counts, gain and noise are those of measured pixels and stay.
        """
        by = factor / self.factor
        spot = None if self.spot is None else self.spot.scaled(by)
        return replace(self, factor=factor, spot=spot, washout=self.washout * by)

    def expected(self, truth: NDArray[Any]) -> NDArray[np.float64]:
        """Return what is measured on average: blur and area means, without any noise.

        Parameters
        ----------
        truth
            Finite numbers of any real format, shape (bands, y, x), y and x at least `factor`. Rows and columns at the
            end that do not fill a measured pixel are context and nothing else.

        Returns
        -------
        numpy.ndarray
            float64, shape (bands, y // factor, x // factor).

        Raises
        ------
        InputError
            Another number of axes, too few pixels, a number that is not finite, or other bands than the lens has.
        """
        self._check(truth.shape)
        return np.stack([self._plane(plane, band) for band, plane in enumerate(truth)])

    def measure(self, truth: NDArray[Any], *, seed: int, origin: tuple[int, int, int] = (0, 0, 0)) -> Measured:
        """Return one measurement.

        Its noise is a function of the seed, the band, and the position of the pixel: a region measured with `context`
        around it equals that region of the whole.

        Parameters
        ----------
        truth
            As in `expected`.
        seed
            Of the noise.
        origin
            First band and first measured pixel of `truth` in a larger measurement that it is a region of.

        Raises
        ------
        InputError
            As in `expected`.
        """
        bands, height, width = self._check(truth.shape, first=origin[0])
        rows = np.arange(height // self.factor) + origin[1]
        columns = np.arange(width // self.factor) + origin[2]
        pixels = self.noise.pixels(seed, rows, columns)
        values = np.empty((bands, len(rows), len(columns)), np.float32)
        saturated = negative = 0
        for band in range(
            bands
        ):  # one after the other: float64 of all of them would take twice the memory of the truth
            expected = self._plane(truth[band], band + origin[0])
            noisy = self.noise.of_band(expected, pixels, seed=seed, band=band + origin[0])
            values[band] = noisy.values
            saturated, negative = saturated + noisy.saturated, negative + noisy.negative
        return Measured(values=values, dead=pixels.dead, saturated=saturated, negative=negative)

    def expected_torch(self, truth: torch.Tensor) -> torch.Tensor:
        """Return `expected` of a batch, up to the rounding of its number format; gradients flow through it.

        Parameters
        ----------
        truth
            Shape (n, bands, y, x); float64 stays, all else is computed in float32, under autocast too.

        Returns
        -------
        torch.Tensor
            Shape (n, bands, y // factor, x // factor).

        Raises
        ------
        InputError
            Another number of axes, too few pixels, or other bands than the lens has.
        """
        if truth.ndim != 4:
            raise InputError(
                f"A batch of shape {tuple(truth.shape)} is no batch of spectral images.",
                remedy="Give a tensor of shape (n, bands, y, x).",
            )
        self._check(tuple(truth.shape[1:]))
        truth = truth if truth.dtype == torch.float64 else truth.float()
        return degrade_tensor(truth, self.degradation, factor=self.factor)

    def measure_torch(self, truth: torch.Tensor, *, generator: torch.Generator) -> torch.Tensor:
        """Return one measurement of a batch, for training: the physics of `measure`, and the random numbers of torch.

        Each image of the batch has its own gains and dead pixels; dead pixels are 0. No gradients.

        Parameters
        ----------
        truth
            Shape (n, bands, y, x).
        generator
            On the device of `truth`.

        Returns
        -------
        torch.Tensor
            Shape (n, bands, y // factor, x // factor), in the format of `expected_torch`.

        Raises
        ------
        InputError
            As in `expected_torch`.
        """
        with torch.no_grad():
            return self.noise.of_tensor(self.expected_torch(truth), generator)

    def _plane(self, plane: NDArray[Any], band: int) -> NDArray[np.float64]:
        if not np.isfinite(plane).all():
            raise InputError(
                f"Band {band} of the truth has pixels that are not finite, which no instrument measures.",
                remedy="Fill or cut away what is missing before measuring.",
            )
        return degrade_plane(plane, self.degradation, factor=self.factor, band=band)

    def _check(self, shape: tuple[int, ...], *, first: int | None = None) -> tuple[int, ...]:
        """Refuse what cannot be measured: `first` is that of some bands of the lens, `None` where all must be there."""
        if len(shape) != 3 or shape[0] < 1 or min(shape[1:]) < self.factor:
            raise InputError(
                f"A truth of shape {shape} cannot be measured by {self.factor} x {self.factor} pixels.",
                remedy=f"Give an array of shape (bands, y, x) with at least {self.factor} pixels along y and x.",
            )
        known = self.degradation.bands
        if known is not None and (shape[0] != known if first is None else first + shape[0] > known):
            raise InputError(
                f"The lens of this instrument has {known} wavelengths, and the truth has {shape[0]} bands"
                f"{f' from {first} on' if first else ''}.",
                remedy="Give one wavelength for each band.",
            )
        return shape


def read_fields(text: str) -> dict[str, Any]:
    """Return the properties of an instrument that a setting names, such as ``counts=200,gain=0.05``.

    Raises
    ------
    InputError
        A name or a number that is none, or a name given twice.
    """
    names = [each.name for each in fields(Instrument)]
    found: dict[str, Any] = {}
    for part in text.split(","):
        name, _, value = (each.strip() for each in part.partition("="))
        if name not in names or name in found:
            raise InputError(
                f"{part.strip()!r} {'is said twice' if name in found else 'is no property'} of an instrument.",
                remedy=f"Give NAME=VALUE once for each, joined by commas; the names are {', '.join(names)}.",
            )
        if name == "spot":
            found[name] = _read_spot(value)
            continue
        try:
            found[name] = int(value) if name == "factor" else float(value)
        except ValueError as error:
            kind = "whole number" if name == "factor" else "number"
            raise InputError(f"{value!r} is no {kind} for {name}.", remedy=f"Give {name}=NUMBER.") from error
    return found


def _read_spot(text: str) -> Spot:
    blur = read_blur(text)
    if not isinstance(blur, Spot):
        raise InputError(f"{text!r} is no spot.", remedy="Give gaussian:SIGMA or disc:DIAMETER, and washout=LENGTH.")
    return blur
