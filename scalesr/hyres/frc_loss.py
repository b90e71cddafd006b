"""The Fourier ring correlation as a loss: how well prediction and target agree at each spatial frequency."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.metrics.rings import rings_of, window_of

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

Window = Literal["hann", "tukey", "none"]
"""How a patch is faded out towards its edges before its transform; see `scalesr.metrics.rings.window_of`."""
Weights = Literal["flat", "linear"]
"""How much a ring counts: all the same, or in proportion to its frequency."""

_ROUNDING = 8.0
"""A patch that leaves its mean by no more than so many units in the last place is taken to be flat."""


@dataclass(frozen=True, eq=False)
class _Geometry:
    """The rings of patches of one size, on one device."""

    window: Tensor
    """Shape (y, x)."""
    pixels: Tensor
    """Places in the flattened ``rfft2`` of the pixels of each ring, shape (rings, most pixels of a ring)."""
    counts: Tensor
    """How often each of these stands in the full transform: 2 or 1, and 0 behind the last pixel of a shorter ring."""


class FRCLoss(nn.Module):
    """One less the mean Fourier ring correlation of prediction and target: 0 at best, 1 without correlation, 2 at most.

    Of each patch and channel by itself: the mean is removed, a window fades the patch out, and in each ring r of its
    transform

        FRC_r = Re sum(P conj(T)) / sqrt(max(sum |P|^2, e) max(sum |T|^2, e)),

    with sums over the ring in the full transform, and e the `floor` times the power of the target's strongest ring. The
    loss is ``1 - sum(w_r FRC_r) / sum(w_r)``, averaged over patches and channels. The rings are those of the metric
    `frc`: as wide as one cycle over the longer edge, rounded to the nearest. The first, which holds the mean, and the
    last, which Nyquist cuts in two, are left out.

    **It is blind to gain and offset** where both spectra lie above e: ``0.1 * target + 5`` is a perfect prediction to
    it. It cannot keep intensities, so a loss such as L1 must stay beside it.

    The floor keeps gradients finite where there is nothing to correlate. In rings with less power than e the FRC grows
    with the amplitude of the prediction until that reaches e: a floor among the rings of the signal rewards exaggerated
    detail. Of a fluorescence micrograph of nuclei in patches of 128 px, L1 with a tenth of this loss is least where all
    above half of Nyquist is amplified 1.5 times for a floor of 1e-3, and at the truth for 1e-4 and below. A flat target
    has an FRC of 0 and no gradient; it is counted like the others.

    That HyReS trains with a loss of this kind is published; its rings, window and weights are not, and these are our
    choice.

    Parameters
    ----------
    window
        Without one, the jump between opposite edges adds a cross of high frequencies to both spectra.
    weights
        ``linear`` raises the finest structures above the others.
    floor
        Between 0 and 1, both excluded.

    Raises
    ------
    ModelError
        If a choice is unknown or the floor lies elsewhere.

    References
    ----------
    Van Heel, "Similarity measures between images", Ultramicroscopy 21 (1987): the correlation.
    """

    def __init__(self, *, window: Window = "hann", weights: Weights = "flat", floor: float = 1e-5) -> None:
        super().__init__()
        for name, choice, known in (("window", window, get_args(Window)), ("weights", weights, get_args(Weights))):
            if choice not in known:
                raise ModelError(f"There is no {name} '{choice}' of an FRC loss.", remedy=f"Use {', '.join(known)}.")
        if not 0 < floor < 1:
            raise ModelError(
                f"A floor of {floor} cannot keep gradients finite.", remedy="Give one above 0 and below 1."
            )
        self.window = window
        self.weights = weights
        self.floor = floor
        self._known: dict[tuple[tuple[int, ...], torch.device, torch.dtype], _Geometry] = {}

    def forward(self, prediction: Tensor, target: Tensor, *, limit: float = 1.0) -> Tensor:
        """Return the loss of a batch, one number.

        Parameters
        ----------
        prediction, target
            Shape (n, channels, y, x), of at least 4 px along the longer edge. Computed in float32, or in float64 where
            one of them is, also under automatic casting: half floats cannot hold the range of a spectrum.
        limit
            Highest frequency that counts, as a share of Nyquist. The weight of rings falls from full to nothing within
            one ring below it, so that a limit which rises in training takes each ring in smoothly.

        Raises
        ------
        ModelError
            If the shapes differ or are too small, or no ring lies below the limit.
        """
        correlation = self.correlation(prediction, target)
        rings = torch.arange(1, correlation.shape[-1] + 1, device=correlation.device, dtype=correlation.dtype)
        nyquist = max(prediction.shape[-2:]) / 2
        weights = (limit * nyquist - rings).clamp(0.0, 1.0)
        if not 1 / nyquist < limit <= 1:
            raise ModelError(
                f"A limit of {limit} times Nyquist leaves no ring of patches of {tuple(prediction.shape[-2:])} px, or "
                "lies beyond the last.",
                remedy=f"Use one above {1 / nyquist:.3g} and up to 1.",
            )
        if self.weights == "linear":
            weights = weights * rings
        # No product of matrices: automatic casting would shorten it.
        return 1.0 - (correlation * weights).sum(-1).mean() / weights.sum()

    def correlation(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Return the correlation of each ring, from the second of the metric `frc` to the last but one.

        Parameters
        ----------
        prediction, target
            As in `forward`.

        Returns
        -------
        Tensor
            Shape (n, channels, rings); from -1 to 1. Ring i is the frequency of ``(i + 1) / max(y, x)`` cycles per
            pixel.
        """
        if prediction.shape != target.shape or prediction.ndim != 4:
            raise ModelError(
                f"The FRC loss was given shapes {tuple(prediction.shape)} and {tuple(target.shape)}.",
                remedy="Use the same shape (n, channels, y, x) for both.",
            )
        dtype = torch.promote_types(torch.promote_types(prediction.dtype, target.dtype), torch.float32)
        geometry = self._geometry(tuple(prediction.shape[-2:]), prediction.device, dtype)
        with torch.autocast(prediction.device.type, enabled=False):
            first, second = (
                _rings(_centred(prediction.to(dtype)), geometry),
                _rings(_target(target.to(dtype)), geometry),
            )
            counts = geometry.counts
            cross = ((first[..., 0] * second[..., 0] + first[..., 1] * second[..., 1]) * counts).sum(-1)
            power, wanted = (((part[..., 0] ** 2 + part[..., 1] ** 2) * counts).sum(-1) for part in (first, second))
            least = self.floor * wanted.detach().amax(-1, keepdim=True)
            # A flat target has no scale of its own; any will do, as its correlation is 0.
            least = torch.where(least > 0, least, torch.ones_like(least))
            # Two roots, since the product of two small powers is none in float32.
            scale = torch.maximum(power, least).sqrt() * torch.maximum(wanted, least).sqrt()
            # By Cauchy and Schwarz; rounding alone can lead beyond.
            return (cross / scale).clamp(-1.0, 1.0)

    def extra_repr(self) -> str:
        """Say how the loss was made."""
        return f"window={self.window!r}, weights={self.weights!r}, floor={self.floor}"

    def _geometry(self, patch: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> _Geometry:
        key = (patch, device, dtype)
        if key not in self._known:
            pixels, counts = _members(patch)
            window = np.ones(patch) if self.window == "none" else window_of(patch, self.window)
            self._known[key] = _Geometry(
                window=torch.tensor(window, device=device, dtype=dtype),
                pixels=torch.tensor(pixels, device=device),
                counts=torch.tensor(counts, device=device, dtype=dtype),
            )
        return self._known[key]


def _centred(image: Tensor) -> Tensor:
    """Return patches less their means."""
    return image - image.mean((-2, -1), keepdim=True)


def _target(image: Tensor) -> Tensor:
    """Return patches less their means, and exact zeros where they differ from these by rounding alone.

    Rounding would correlate with the prediction by chance, with gradients as large as it is small. The prediction needs
    no such care, as its power is floored by the target's, and must not have it: a flat one would never learn.
    """
    centred = _centred(image)
    noise = _ROUNDING * torch.finfo(image.dtype).eps * image.abs().amax((-2, -1), keepdim=True)
    return torch.where(centred.abs().amax((-2, -1), keepdim=True) <= noise, 0.0, centred)


def _rings(image: Tensor, geometry: _Geometry) -> Tensor:
    """Return the transforms of patches under the window, sorted by ring: shape (n, channels, rings, pixels, 2)."""
    spectrum = torch.fft.rfft2(image * geometry.window, norm="ortho")
    # Sums of rows of equal length run in the same order on every device; those by `index_add` need not.
    return torch.view_as_real(spectrum.flatten(-2)[..., geometry.pixels])


def _members(patch: tuple[int, ...]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the pixels of each ring but the first and the last, and how often each counts; see `_Geometry`."""
    rings = rings_of(patch, (1.0, 1.0))
    if rings.count < 3:
        raise ModelError(
            f"Patches of {patch[0]} x {patch[1]} px have no ring between that of the mean and Nyquist's.",
            remedy="Use patches of at least 4 px; an FRC says something from some 32 px on.",
        )
    number = rings.number.ravel()
    columns = np.broadcast_to(rings.weights, rings.number.shape).ravel()
    members = [np.flatnonzero(number == ring) for ring in range(1, rings.count - 1)]
    pixels = np.zeros((len(members), max(map(len, members))), np.int64)
    counts = np.zeros(pixels.shape)
    for row, places in enumerate(members):
        pixels[row, : len(places)] = places
        counts[row, : len(places)] = columns[places]
    return pixels, counts
