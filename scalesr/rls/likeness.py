"""How alike two sets of images are: distances of the distributions of the built-in features of `scalesr.metrics`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from scalesr.metrics.features import BATCH, extract, open_extractor
from scalesr.metrics.frechet import frechet_distance
from scalesr.metrics.kernel import kernel_distance

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from scalesr.learning import Scores


def features_of(images: torch.Tensor) -> NDArray[np.float64]:
    """Return the features of images, those of each channel as of a grey image beside one another.

    Parameters
    ----------
    images
        Intensities of 0..1, clipped to them, shape (n, channels, y, x) of at least 8 px.

    Returns
    -------
    numpy.ndarray
        Shape (n, channels * 73).
    """
    values = images.detach().float().clamp(0, 1).cpu().numpy()
    extractor, _ = open_extractor("small", edge=values.shape[-1])
    channels = [
        np.concatenate([extract(extractor, grey[start : start + BATCH]) for start in range(0, len(grey), BATCH)])
        for grey in (values[:, n : n + 1] for n in range(values.shape[1]))
    ]
    return np.concatenate(channels, axis=1)


def distances(made: NDArray[np.float64], real: NDArray[np.float64]) -> Scores:
    """Return ``frechet loss`` and ``kernel loss``, the Frechet and the kernel distance between two sets of features.

    Neither is an Inception distance. The Frechet distance falls with the number of images: compare at equal numbers.
    """
    (mean, covariance), (other, apart) = ((each.mean(axis=0), np.cov(each, rowvar=False)) for each in (made, real))
    return {
        "frechet loss": frechet_distance(mean, np.atleast_2d(covariance), other, np.atleast_2d(apart)),
        "kernel loss": kernel_distance(made, real),
    }
