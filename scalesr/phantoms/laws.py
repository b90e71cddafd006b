"""Random numbers of a given law, made of uniform ones: the quantiles of the normal law and of Poisson's.

`lattice.uniform` gives one chance to each position, and a quantile turns it into a count or a deviation. So noise is a
function of position, as the phantoms are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from .lattice import Reals

_MANY = 25.0
"""From this many expected counts on, the quantile of Poisson's law is taken from the normal law with two corrections
(Cornish and Fisher, 1938), exact to a count."""
_PIECE = 2**14
"""Pixels that are counted at a time: they stay in the cache of a core."""


def poisson(expected: Reals, chance: Reals) -> Reals:
    """Return the quantiles of Poisson's law: random counts, if the chances are uniform.

    Parameters
    ----------
    expected
        Expected counts, not negative.
    chance
        Numbers in [0, 1), of the same shape.

    Returns
    -------
    numpy.ndarray
        Whole numbers as float64, of the same shape; exact below 25 expected counts, to a count above.
    """
    means, chances = np.ravel(expected), np.ravel(chance)
    counts = np.empty(means.shape)
    for start in range(0, means.size, _PIECE):
        part = slice(start, start + _PIECE)
        mean, own, out = means[part], chances[part], counts[part]
        few = mean < _MANY
        out[few] = _few(mean[few], own[few])
        if not few.all():
            out[~few] = _many(mean[~few], own[~few])
    return counts.reshape(np.shape(expected))


def _few(expected: Reals, chance: Reals) -> Reals:
    term = np.exp(-expected)
    cumulated, counts = term.copy(), np.zeros_like(expected)
    for k in range(1, 80):  # P(more than 79 | 25) < 1e-16
        more = chance >= cumulated
        if not more.any():
            break
        counts += more
        term *= expected
        term /= k
        cumulated += term
    return counts


def _many(expected: Reals, chance: Reals) -> Reals:
    z = normal(chance)
    return np.asarray(np.maximum(np.floor(expected + z * np.sqrt(expected) + (z * z - 1.0) / 6.0 + 0.5), 0.0))


def normal(chance: Reals) -> Reals:
    """Return the quantile of the normal law to 5e-4 (Abramowitz and Stegun 1964, 26.2.23).

    Chances in [0, 1) give numbers between -8.2 and 8.2: the mean is 0, the standard deviation 1.
    """
    tail = np.clip(np.minimum(chance, 1.0 - chance), 2.0**-54, 0.5)
    t = np.sqrt(-2.0 * np.log(tail))
    z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    return np.asarray(np.where(chance < 0.5, -z, z))
