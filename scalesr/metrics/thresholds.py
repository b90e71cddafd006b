"""Where a Fourier ring correlation counts as lost, and which period that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from scalesr.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from scalesr.metrics.frame import Threshold

SEVENTH = 1 / 7
"""Nieuwenhuizen et al. (2013)."""
SNR: dict[str, float] = {"half-bit": (math.sqrt(2) - 1) / 2, "one-bit": 0.5}
"""Signal-to-noise ratio of a ring that carries so much information in each pixel (van Heel and Schatz, 2005)."""
_SNR = "snr:"

AT_NYQUIST = 0.0
"""Period that stands for a curve that never falls below the threshold: finer than can be told."""
NO_CORRELATION = math.inf
"""Period that stands for a curve that lies below the threshold from its start."""


def read_threshold(text: str) -> Threshold:
    """Return a threshold that is known.

    Raises
    ------
    InputError
        It is not; the message lists those that are.
    """
    known = ("1/7", "0.5", "three-sigma", *SNR)
    if text.startswith(_SNR):
        try:
            ratio = float(text.removeprefix(_SNR))
        except ValueError:
            ratio = math.nan
        if 0 < ratio < math.inf:
            return text
    elif text in known:
        return text
    raise InputError(
        f"There is no threshold {text!r} for Fourier correlations.",
        remedy=f"Give one of {', '.join(known)}, or a ratio of signal to noise such as snr:0.3.",
    )


def threshold_of(name: Threshold, n: ArrayLike) -> NDArray[np.float64]:
    """Return the correlation below which a ring counts as lost.

    Parameters
    ----------
    name
        ``1/7`` and ``0.5`` are the same for all rings. ``half-bit`` and ``one-bit`` are those of van Heel and Schatz
        (2005), and ``snr:X`` is the same for a ratio X of signal to noise. ``three-sigma`` is
        ``3 / (sqrt(n) + 3 - 1)``, as it is usual in microscopy.
    n
        Fourier pixels in each ring.
    """
    root = np.sqrt(np.maximum(np.asarray(n, np.float64), 1.0))
    if name == "1/7":
        return np.full(root.shape, SEVENTH)
    if name == "0.5":
        return np.full(root.shape, 0.5)
    if name == "three-sigma":
        return np.asarray(3 / (root + 3 - 1))
    snr = float(name.removeprefix(_SNR)) if name.startswith(_SNR) else SNR[name]
    spread = 2 * math.sqrt(snr) / root
    return np.asarray((snr + spread + 1 / root) / (snr + 1 + spread))


def crossing(
    frequency: NDArray[np.float64], correlation: NDArray[np.float64], threshold: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the frequency at which curves first fall below a threshold, by linear interpolation between rings.

    The ring of the mean, which is the first, is passed over.

    Parameters
    ----------
    frequency
        Of the rings, ascending, at least two.
    correlation
        Curves, shape (..., rings).
    threshold
        In the same shape, or one that broadcasts to it.

    Returns
    -------
    numpy.ndarray
        Shape (...): infinite where a curve never falls below, and 0 where it begins below. One over it is the period:
        `AT_NYQUIST` and `NO_CORRELATION` in these cases.
    """
    above = (correlation - threshold)[..., 1:]
    rings = np.asarray(frequency)[1:]
    below = above < 0
    found = below.any(axis=-1)
    first = np.where(found, below.argmax(axis=-1), 1)
    after = np.maximum(first, 1)
    high = np.take_along_axis(above, (after - 1)[..., None], axis=-1)[..., 0]
    low = np.take_along_axis(above, after[..., None], axis=-1)[..., 0]
    drop = np.where(found & (first > 0), high - low, 1.0)
    place = rings[after - 1] + high / drop * (rings[after] - rings[after - 1])
    return np.where(found, np.where(first == 0, 0.0, place), np.inf)


def period_of(frequency: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return one over frequencies: 0 for infinite ones and infinite for 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(1.0 / np.asarray(frequency, np.float64))


def told(period: float) -> tuple[float | None, str]:
    """Return a period as a figure and its note: no number where there is none."""
    if period == AT_NYQUIST:
        return None, "at or below Nyquist"
    if not math.isfinite(period):
        return None, "no correlation"
    return period, ""


def quantile(periods: NDArray[np.float64], share: float) -> float:
    """Return a quantile of periods, of which some stand for `AT_NYQUIST` and `NO_CORRELATION`.

    Between two numbers it is interpolated linearly; where one of the neighbours is not a number it is the coarser one.
    """
    ordered = np.sort(periods)
    place = share * (len(ordered) - 1)
    low, high = float(ordered[math.floor(place)]), float(ordered[math.ceil(place)])
    if low == AT_NYQUIST or not math.isfinite(high):
        return high
    return low + (place - math.floor(place)) * (high - low)
