"""Principal components of the spectra of an image, streamed and exact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import torch
from scipy import linalg

from scalesr.errors import InputError
from scalesr.metrics import ExactSum
from scalesr.models.eigen_basis import SPECTRUM_BITS, VECTOR_BITS, product
from scalesr.models.spectral_sums import SpectralSums

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.analysis.walk import Walk

Scaling: TypeAlias = Literal["standard", "poisson", "none"]
"""What bands are divided by before their variances are compared: ``standard``, their standard deviation, so that all
have the same say; ``poisson``, the square root of their mean, which makes counting noise the same in all (Keenan and
Kotula, Surface and Interface Analysis 36, 203, 2004); ``none``, one number for all."""
BEYOND = "pixels more than 256 standard deviations from the mean in a band"


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """The directions of most variance among the spectra of an image, and how bands are scaled before."""

    offset: NDArray[np.float64]
    """Mean of each band, shape (bands,)."""
    gain: NDArray[np.float64]
    """What each band is divided by, shape (bands,)."""
    vectors: NDArray[np.float64]
    """Loadings of the scaled bands, shape (bands, components), columns orthonormal but for rounding to 2^-18."""
    explained: NDArray[np.float64]
    """Share of the scaled variance that each component holds, shape (components,), falling."""
    beyond: int
    """Pixels that were left out of the sums for lying too far out."""

    @classmethod
    def fit(cls, walk: Walk, *, components: int, scaling: Scaling) -> Components:
        """Return the components of all pixels that count, in two passes: means, then sums of products.

        `components` is a number of at most that of the bands.

        The sums are integers (see `SpectralSums`), so that chunks and order cannot show. Memory: a stretch of the
        image, and some numbers for each pair of bands.

        Raises
        ------
        InputError
            No pixel counts, or all spectra are equal.
        """
        mean, deviation = _moments(walk)
        if not deviation.any():
            raise InputError(
                f"All spectra of {walk.cube.image.url} that count are equal.", remedy="Check the image and the mask."
            )
        if scaling == "poisson" and (mean < 0).any():
            raise InputError(
                f"A band of {walk.cube.image.url} has the negative mean {mean.min():g}, which counts cannot have.",
                remedy="Choose the scaling 'standard' or 'none'.",
            )
        gain = {"standard": deviation, "poisson": np.sqrt(np.maximum(mean, 0)), "none": np.ones(len(mean))}[scaling]
        # A band that never changes says nothing, whatever it is divided by.
        varies = (deviation > 0) & (gain > 0)
        # One factor for all bands changes no component. This one brings the largest deviation to 1, as the sums have a
        # fixed range and so many bits.
        gain = np.where(varies, gain * (deviation[varies] / gain[varies]).max(), 1.0)
        sums = SpectralSums(offset=mean, gain=gain)
        for _, _, pixels, used in walk.cells():
            sums.add(pixels, missing=~used)
        covariance = sums.covariance()
        vectors = _directions(covariance, components)
        held = (vectors * (covariance @ vectors)).sum(axis=0)
        return cls(
            offset=mean,
            gain=gain,
            vectors=vectors,
            explained=held / np.trace(covariance),
            beyond=sums.beyond,
        )

    def project(self, spectra: NDArray[Any]) -> NDArray[np.float64]:
        """Return the components of spectra, float64 (components, pixels); a pixel's bits depend on it alone.

        Parameters
        ----------
        spectra
            Shape (bands, pixels), finite.

        Raises
        ------
        ModelError
            A value is so large that its components cannot be summed exactly.
        """
        scaled = (spectra - self.offset[:, None]) / self.gain[:, None]
        if not scaled.shape[1]:
            return np.zeros((self.vectors.shape[1], 0))
        with torch.inference_mode():
            found = product(
                torch.from_numpy(np.ascontiguousarray(self.vectors.T)), torch.from_numpy(scaled), bits=SPECTRUM_BITS
            )
        return np.asarray(found.numpy())


def _directions(covariance: NDArray[np.float64], components: int) -> NDArray[np.float64]:
    """Return the eigenvectors of the largest eigenvalues, the largest loading of each above zero, as `product` asks."""
    _, found = linalg.eigh(covariance, subset_by_index=[len(covariance) - components, len(covariance) - 1])
    falling = found[:, ::-1]
    largest = falling[np.abs(falling).argmax(axis=0), np.arange(components)]
    return np.asarray(np.ldexp(np.rint(np.ldexp(falling * np.sign(largest), VECTOR_BITS)), -VECTOR_BITS))


def _moments(walk: Walk) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each band over the pixels that count."""
    count, total = 0, ExactSum((2, walk.cube.bands))
    for _, _, pixels, used in walk.cells():
        spectra = pixels[:, used].astype(np.float64)
        count += spectra.shape[1]
        total.add(np.stack([spectra.sum(axis=1), np.square(spectra).sum(axis=1)]))
    if not count:
        raise InputError(
            f"No pixel of {walk.cube.image.url} counts.", remedy="Check the mask, and whether the image holds NaN."
        )
    first, second = total.value()
    mean = first / count
    variance = second / count - np.square(mean)
    # What is left of a constant band is rounding.
    noise = 1e-13 * second / count
    return mean, np.sqrt(np.where(variance > noise, variance, 0.0))
