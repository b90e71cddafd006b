"""What a coarse measurement sees of a fine image: blur, then larger pixels; and the noise that it is said to have."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from scalesr.errors import PlanError
from scalesr.tiling import reflect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

Kind = Literal["area", "bicubic", "pulse"]
"""How pixels become larger. ``area``: means over them, as a camera has it; ``bicubic``: by the cubic kernel (Keys 1981,
a = -1/2) stretched by the factor, as torch and Pillow have it with their filter against aliases, its weights normalised
at the border; ``pulse``: the same with the image mirrored about its outermost pixels, as in the code of PULSE and
RLS."""

_SIGMAS = 4.0
"""Where a Gaussian ends."""
_MEAN_OF_NORMAL = math.sqrt(2 / math.pi)
"""Mean magnitude of a standard normal number."""


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """A linear, separable operator from images to measurements, and the noise of these.

    Noise that is declared is not fitted: a measurement counts as met where it differs from the truth's by no more than
    its noise does on average, see `floor`. The published method has no such thing, this is our own choice.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    kind: Kind = "bicubic"
    """How pixels become larger."""
    factor: int = 16
    """Pixels of an image for each measured one along each axis."""
    psf: float = 0.0
    """Standard deviation in pixels of the image of a Gaussian that blurs it first; beyond its border it is mirrored."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise of the measurement, in its normalised units."""
    counts: float = math.inf
    """Photons of an intensity of 1; infinite: no Poisson noise."""

    def __post_init__(self) -> None:
        if self.kind not in ("area", "bicubic", "pulse"):
            raise PlanError(f"operator is '{self.kind}'.", remedy="Give area, bicubic or pulse.")
        if self.factor < 1 or not (0 <= self.psf < math.inf and 0 <= self.noise < math.inf and self.counts > 0):
            raise PlanError(
                f"A factor of {self.factor}, a PSF of {self.psf} px, noise of {self.noise} and {self.counts} photons "
                "cannot be used together.",
                remedy="Give a factor from 1, a PSF and noise from 0, and counts above 0.",
            )

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return what would be measured without noise.

        Parameters
        ----------
        images
            Shape (n, channels, y, x); both edges are multiples of the factor.

        Returns
        -------
        torch.Tensor
            Shape (n, channels, y / factor, x / factor).

        Raises
        ------
        PlanError
            An edge is no multiple of the factor.
        """
        down, across = (self._matrix(edge, images) for edge in images.shape[2:])
        # As two products of matrices, whose gradients are the same bits on every device.
        return down @ images @ across.t()

    def floor(self, measured: torch.Tensor) -> torch.Tensor:
        """Return how far measurements are from those without noise on average, shape (n,): 0 where none is declared.

        For normal noise of deviation s the mean magnitude is s sqrt(2/pi); s^2 = noise^2 + intensity / counts.
        """
        variance = self.noise**2 + measured.clamp(min=0) / self.counts
        return _MEAN_OF_NORMAL * variance.sqrt().mean(dim=(1, 2, 3))

    def measure(self, images: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        """Return measurements with their noise, to try a method out: on the CPU, float32."""
        seen = self(images).cpu().numpy()
        if self.counts < math.inf:
            seen = random.poisson(seen.clip(min=0) * self.counts) / self.counts
        if self.noise:
            seen = seen + self.noise * random.standard_normal(seen.shape)
        return torch.from_numpy(np.asarray(seen, np.float32))

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {name: None if value == math.inf else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Degradation:
        """Return what `to_json` described; other entries are left out."""
        names = {field.name for field in fields(cls)}
        known: dict[str, Any] = {
            name: math.inf if value is None else value for name, value in values.items() if name in names
        }
        return cls(**known)

    def _matrix(self, edge: int, images: torch.Tensor) -> torch.Tensor:
        if edge % self.factor:
            raise PlanError(
                f"An image of {edge} px cannot be measured in pixels of {self.factor}.",
                remedy="Choose a factor that divides the size of the generator's images.",
            )
        return _tensor(self.kind, self.factor, self.psf, edge, images.device, images.dtype)


@lru_cache(maxsize=64)
def _tensor(kind: Kind, factor: int, psf: float, edge: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Return the matrix where images are: searches ask for it at each step, and a copy would hold up the device."""
    # Who asks first may be inside inference mode, whose tensors can be part of no gradient.
    with torch.inference_mode(mode=False):
        return torch.from_numpy(_matrix(kind, factor, psf, edge)).to(device, dtype)


@lru_cache(maxsize=64)
def _matrix(kind: Kind, factor: int, psf: float, edge: int) -> NDArray[np.float64]:
    """Return what measured pixels see along an axis, shape (edge / factor, edge); rows sum to 1."""
    found = _enlarging(kind, factor, edge)
    if psf:
        reach = math.ceil(_SIGMAS * psf)
        weights = np.exp(-0.5 * np.minimum(np.abs(np.arange(-reach, reach + 1)) / max(psf, 1e-3), 40.0) ** 2)
        found = found @ _placed(weights / weights.sum(), np.arange(edge) - reach, edge)
    return found


def _enlarging(kind: Kind, factor: int, edge: int) -> NDArray[np.float64]:
    pixels = edge // factor
    if kind == "area":
        return np.kron(np.eye(pixels), np.full((1, factor), 1 / factor))
    # The kernel covers four measured pixels around (row + 1/2) factor - 1/2, which is a pixel if the factor is odd.
    taps = 4 * factor + factor % 2
    weights = _keys(np.abs(np.arange(taps) - (taps - 1) / 2) / factor)
    starts = np.arange(pixels) * factor + factor // 2 - 2 * factor
    if kind == "pulse":
        return _placed(weights / weights.sum(), starts, edge)
    found = np.zeros((pixels, edge))
    for row, start in enumerate(starts):
        for offset, weight in enumerate(weights):
            if 0 <= start + offset < edge:
                found[row, start + offset] = weight
    inside: NDArray[np.float64] = found / found.sum(axis=1, keepdims=True)
    return inside


def _placed(weights: NDArray[np.float64], starts: NDArray[np.int64], edge: int) -> NDArray[np.float64]:
    """Return rows with the weights from each start on, mirrored about the centres of the outermost pixels."""
    found = np.zeros((len(starts), edge))
    for row, start in enumerate(starts):
        for offset, weight in enumerate(weights):
            found[row, reflect(int(start) + offset, edge)] += weight
    return found


def _keys(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cubic kernel of Keys (1981) with a = -1/2."""
    near = 1 - 2.5 * distance**2 + 1.5 * distance**3
    far = 2 - 4 * distance + 2.5 * distance**2 - 0.5 * distance**3
    return np.where(distance < 1, near, np.where(distance < 2, far, 0.0))
