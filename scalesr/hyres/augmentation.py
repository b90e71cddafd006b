"""Changes to a truth before it is measured, so that a network meets more kinds of images than there are files."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAMMA, INVERTED, SPARSE, COUNTED, NOISY = 0.2, 0.05, 0.1, 0.35, 0.15
"""Shares of the patches that get another gamma, are inverted, lose their lower intensities, become counts, and get
Gaussian noise."""


def turn(truth: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Return a square patch in one of its eight positions."""
    turned = np.rot90(truth, int(random.integers(4)))
    return np.ascontiguousarray(turned[::-1] if random.random() < 0.5 else turned)


def augment(truth: NDArray[np.float32], random: np.random.Generator) -> NDArray[np.float32]:
    """Return a truth of other intensities.

    All patches get another gain and offset. Some get another gamma, some are inverted. Some lose all that is below a
    quantile, so that most pixels are exactly zero, as in the images of rare ions. And some become Poisson counts, with
    1 to 300 counts at an intensity of 1, or get Gaussian noise of 1 to 20 %: where the truth of real data is itself
    noisy, the network shall learn the mean of what the measurement allows, and not to draw the noise of one reading.

    Parameters
    ----------
    truth
        Finite numbers, about 0 to 1.
    random
        Where all choices come from.
    """
    values = truth.astype(np.float64)
    if random.random() < GAMMA:
        values = np.sign(values) * np.abs(values) ** random.uniform(0.6, 1.6)
    if random.random() < INVERTED:
        values = 1 - values
    values = values * random.uniform(0.6, 1.2) + random.uniform(0.0, 0.05)
    if random.random() < SPARSE:
        threshold = np.quantile(values, random.uniform(0.3, 0.9))
        top = max(float(values.max()) - threshold, 1e-6)
        values = np.maximum(values - threshold, 0.0) * (random.uniform(0.5, 1.2) / top)
    kind = random.random()
    if kind < COUNTED:
        counts = math.exp(random.random() * math.log(300.0))
        floor = min(0.0, float(values.min()))
        values = random.poisson((values - floor) * counts) / counts + floor
    elif kind < COUNTED + NOISY:
        values = values + 0.01 * math.exp(random.random() * math.log(20.0)) * random.standard_normal(values.shape)
    return values.astype(np.float32)
