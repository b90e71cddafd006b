"""Eigenimages: the few linear combinations of bands that hold most of a spectral image's variance.

Projecting spectra onto the basis and mixing eigenimages back into bands are matrix products, and libraries round those
in an order that depends on the shape, the threads and the device. Here both factors are whole multiples of powers of
two of few bits, so that every partial sum is a number that float64 holds, and all orders give the same bits.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
import torch
from scipy import linalg

from scalesr.errors import ModelError
from scalesr.models.eigen_views import choose_views, from_views, most_views

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from scalesr.models.spectral_sums import SpectralSums

VECTOR_BITS = 18
"""Bits behind the point of a loading. Rounding moves a vector by at most sqrt(bands) * 2^-19: 9e-5 for 2,000 bands."""
SPECTRUM_BITS = 20
"""Bits behind the point of the values that are projected: a millionth of a band's range."""
DETAIL_BITS = 24
"""Bits behind the point of the details that are mixed: as many as a float32 between 1/2 and 1 has."""
MOST = 512
"""Most eigenimages of a basis: with more, little is saved over the network on each band."""
PERCENTILES = 0.1, 99.9
"""What of a view becomes 0 and 1 for the network, as for bands: what networks are trained on. Two and four
standard deviations around the mean instead cost 0.7 dB on a phantom without noise (32.2 against 32.9)."""
_FLAT = 2.0**-12
"""Least range of a view: below that there is nothing but the rounding of the sums it was fitted to."""


@dataclass(frozen=True, eq=False)
class EigenBasis:
    """Orthonormal spectra, and the views of the eigenimages that a network is given.

    With x the normalised spectrum of a pixel, eigenimage k is ``e_k = sum over c of vectors[c, k] x_c``. View m is a
    sum of eigenimages, ``v_m = sum over c of views[c, m] x_c``; the network is given ``(v_m - offset[m]) / gain[m]``.
    Eigenimages are sums of views again: ``e_k = sum over m of back[k, m] v_m``.

    Raises
    ------
    ValueError
        The shapes do not go together, the vectors are not orthonormal, views are longer than 1, or either are no whole
        multiples of 2^-18.
    """

    vectors: NDArray[np.float64]
    """Shape ``(bands, k)``: whole multiples of 2^-18; columns orthonormal but for that rounding."""
    views: NDArray[np.float64]
    """Shape ``(bands, views)``: whole multiples of 2^-18; columns of length 1 but for that rounding."""
    back: NDArray[np.float64]
    """Shape ``(k, views)``: each eigenimage as a sum of views."""
    offset: NDArray[np.float64]
    """Shape ``(views,)``: value of each view that becomes 0."""
    gain: NDArray[np.float64]
    """Shape ``(views,)``: difference from 0 to 1, positive."""
    explained: NDArray[np.float64]
    """Shape ``(bands,)``: share of the variance of each band that the eigenimages hold; 1 for a constant band."""

    def __post_init__(self) -> None:
        bands, k = self.vectors.shape
        seen = self.views.shape[1]
        shapes = (self.views.shape, self.back.shape, self.offset.shape, self.gain.shape, self.explained.shape)
        if shapes != ((bands, seen), (k, seen), (seen,), (seen,), (bands,)):
            raise ValueError("one offset and gain per view, and one share per band")
        if not 1 <= k <= min(bands, MOST):
            raise ValueError(f"{k} were asked for, and an image of {bands} bands has {min(bands, MOST)} at the most")
        for loadings in (self.vectors, self.views):
            whole = loadings * 2.0**VECTOR_BITS
            if not np.array_equal(whole, np.rint(whole)):
                raise ValueError(f"loadings are whole multiples of 2^-{VECTOR_BITS}")
        # `product` relies on both: no row or column is then longer than 1.05.
        if not np.linalg.norm(self.vectors.T @ self.vectors - np.eye(k)) < 0.1:
            raise ValueError("vectors are orthonormal")
        if not (np.linalg.norm(self.views, axis=0) < 1.05).all():
            raise ValueError("views are no longer than 1")
        if not np.isfinite(self.back).all():
            raise ValueError("eigenimages are finite sums of views")
        if not (self.gain > 0).all():
            raise ValueError("gains are positive")

    @property
    def bands(self) -> int:
        """Number of bands."""
        return int(self.vectors.shape[0])

    @property
    def k(self) -> int:
        """Number of eigenimages."""
        return int(self.vectors.shape[1])

    @property
    def seen(self) -> int:
        """Number of views, each of which goes through the network."""
        return int(self.views.shape[1])

    @classmethod
    def blank(cls, *, bands: int, k: int) -> EigenBasis:
        """Return a basis of the largest size that `fit` may give, to plan with before there is one.

        Raises
        ------
        ValueError
            `k` is out of range.
        """
        seen = most_views(bands=bands, k=k)
        return cls(
            vectors=np.eye(bands, k),
            views=np.eye(bands, seen),
            back=np.eye(k, seen),
            offset=np.zeros(seen),
            gain=np.ones(seen),
            explained=np.zeros(bands),
        )

    @classmethod
    def fit(cls, sums: SpectralSums, k: int) -> EigenBasis:
        """Return the `k` directions of most variance about the mean spectrum, and what the network is to see of them.

        Eigenimages look like no band, and a network that is not linear does worse on them. It is given views of their
        space instead, some three for each, in directions that the bands gather around (`choose_views`): these look
        like bands without what the eigenimages do not hold. As many eigenimages as bands are seen as the bands.

        Eigenimages are in the order of their variance. Each vector has the sign that makes its loadings sum to
        something positive (of a sum of 0: that makes its first loading positive).

        Libraries differ in the last bits of eigenvectors: fit once and keep `to_bytes`.

        Parameters
        ----------
        sums
            Of all spectra of the image.
        k
            How many, 1 to 512, no more than bands.

        Raises
        ------
        ModelError
            `k` is out of range.
        InputError
            No spectrum was summed.
        """
        if not 1 <= k <= min(sums.bands, MOST):
            raise ModelError(
                f"{k} eigenimages were asked for, and the image has {sums.bands} bands.",
                remedy=f"Ask for 1 to {min(sums.bands, MOST)}, such as --strategy eigen:{min(sums.bands, 32)}.",
            )
        covariance = sums.covariance()
        # Of 2,000 bands the 32 largest take 1.4 s, and all of them 3.5 s.
        _, found = linalg.eigh(covariance, subset_by_index=[sums.bands - k, sums.bands - 1], driver="evr")
        whole = np.rint(found[:, ::-1] * 2.0**VECTOR_BITS).astype(np.int64)
        vectors = (whole * [_sign(column) for column in whole.T]) * 2.0**-VECTOR_BITS
        views = vectors @ choose_views(vectors, most_views(bands=sums.bands, k=k)).T
        views = np.rint(views * 2.0**VECTOR_BITS) * 2.0**-VECTOR_BITS
        mixed = covariance @ vectors
        within = vectors.T @ mixed
        low, high = np.percentile(views.T @ sums.sample(), PERCENTILES, axis=1)
        return cls(
            vectors=vectors,
            views=views,
            back=from_views(views.T @ vectors),
            offset=low,
            gain=np.maximum(high - low, _FLAT),
            explained=_explained(np.diag(covariance), vectors, mixed, within),
        )

    def to_bytes(self) -> bytes:
        """Return the basis as the bytes of a safetensors file; the same basis gives the same bytes."""
        names = ("vectors", "views", "back", "offset", "gain", "explained")
        data: bytes = safetensors.numpy.save({name: np.ascontiguousarray(getattr(self, name)) for name in names})
        return data

    @classmethod
    def from_bytes(cls, data: bytes) -> EigenBasis:
        """Return the basis that `to_bytes` wrote.

        Raises
        ------
        ModelError
            The bytes are damaged or of something else.
        """
        try:
            return cls(**safetensors.numpy.load(data))
        except (safetensors.SafetensorError, TypeError, ValueError) as error:
            raise ModelError(
                f"A basis of eigenimages cannot be read: {error}.", remedy="Start the run again with --overwrite."
            ) from error

    @property
    def sha256(self) -> str:
        """Hash of `to_bytes`."""
        return hashlib.sha256(self.to_bytes()).hexdigest()


def mix(details: NDArray[Any], basis: EigenBasis, *, bands: range) -> NDArray[np.float64]:
    """Return what eigenimages add to some bands, the same bits for any cut of the image and of the bands.

    The details are rounded to whole multiples of 2^-24 on each call, which costs as much as some ten bands: ask for
    many bands at a time, and cut the image in space instead.

    Parameters
    ----------
    details
        Shape ``(k, *pixels)``, on the normalised scale, finite.
    basis
        The basis that the details were made with.
    bands
        Which bands.

    Returns
    -------
    numpy.ndarray
        Shape ``(len(bands), *pixels)``: ``sum over k of vectors[c, k] details[k]`` on the normalised scale.

    Raises
    ------
    ModelError
        A detail is so large (above 2^32) that the sum would be rounded on the way.
    """
    loadings = np.ascontiguousarray(basis.vectors[bands.start : bands.stop : bands.step])
    flat = np.ascontiguousarray(details.reshape(basis.k, -1), np.float64)
    with torch.inference_mode():
        mixed = product(torch.from_numpy(loadings), torch.from_numpy(flat), bits=DETAIL_BITS)
    return mixed.numpy().reshape(len(loadings), *details.shape[1:])


def product(matrix: torch.Tensor, numbers: torch.Tensor, *, bits: int) -> torch.Tensor:
    """Return a matrix product whose bits depend on nothing but its factors' values.

    The numbers, times ``2^bits``, are rounded to integers and these split, ``low + part * high`` with
    ``|low| <= part / 2`` and ``part = 2^(35 - ceil(log2(n) / 2))`` for n terms in each sum. Rows of length 1 and
    loadings of 18 bits then make sums of at most ``sqrt(n) * part / 2 * 2^18 <= 2^52`` by Cauchy and Schwarz, whatever
    part of the terms is taken: each is an integer that float64 holds (2^53), with or without fused additions. High
    parts are rare and have a product of their own; joining the two rounds once, in each element.

    Parameters
    ----------
    matrix
        float64, shape ``(m, n)``: whole multiples of 2^-18, rows of length 1 at most (up to rounding).
    numbers
        Shape ``(n, p)``, real and finite.
    bits
        Bits behind the point that are kept of the numbers.

    Returns
    -------
    torch.Tensor
        float64, shape ``(m, p)``, without negative zeros.

    Raises
    ------
    ModelError
        A number is too large for its high part to be summed without rounding, or not finite.
    """
    part = 2.0 ** (35 - math.ceil(math.log2(len(numbers)) / 2))
    low = (numbers.double() * 2.0**bits).round_()
    largest = max(abs(end.item()) for end in torch.aminmax(low))
    if not largest <= part * part / 2:
        raise ModelError(
            f"A value of {largest * 2.0**-bits:.3g} on the normalised scale is too large to be mixed exactly.",
            remedy="Use another --normalise, or mask what is saturated.",
        )
    if largest <= part / 2:
        result = matrix @ low
    else:
        high = (low / part).round_()
        low -= high * part
        # Where a high part is 0 this adds 0, so that the same number comes out whatever it was split together with.
        result = (matrix @ low).add_(matrix @ high * part)
    return result.mul_(2.0**-bits).add_(0.0)


def _sign(loadings: NDArray[np.int64]) -> int:
    total = int(loadings.sum())
    if total == 0:
        total = int(loadings[np.flatnonzero(loadings)[0]])
    return 1 if total > 0 else -1


def _explained(
    variances: NDArray[np.float64],
    vectors: NDArray[np.float64],
    mixed: NDArray[np.float64],
    within: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return 1 - the variance of what is left of each band over its variance; `vectors` need not be quite orthonormal.

    The covariance of what is left is (1 - V V') S (1 - V V'), of which the diagonal is taken term by term.
    """
    left = variances - 2 * (vectors * mixed).sum(axis=1) + (vectors @ within * vectors).sum(axis=1)
    missed = np.divide(left, variances, out=np.zeros_like(left), where=variances > 0)
    # Rounding can leave a variance of a little below zero.
    explained: NDArray[np.float64] = 1 - np.maximum(missed, 0)
    return explained
