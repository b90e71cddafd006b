"""How near an image comes to the truth."""

from __future__ import annotations

from math import inf, log10
from typing import TYPE_CHECKING

import numpy as np
from skimage.metrics import structural_similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray


def psnr(truth: NDArray[np.float32], image: NDArray[np.float32], *, span: float) -> float:
    """Return the peak signal-to-noise ratio in dB: ``10 log10(span^2 / mean squared error)`` over all voxels."""
    error = float(np.mean(np.square(image.astype(np.float64) - truth)))
    return 10 * log10(span * span / error) if error else inf


def ssim(truth: NDArray[np.float32], image: NDArray[np.float32], *, span: float) -> float:
    """Return the structural similarity (Wang et al. 2004: Gaussian window of 1.5 px), mean over the first axis."""
    values = [
        structural_similarity(  # type: ignore[no-untyped-call]
            there, here, data_range=span, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        for there, here in zip(truth, image, strict=True)
    ]
    return float(np.mean(values))
