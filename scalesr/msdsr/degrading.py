"""What a coarse stack sees of a fine one, along the rows of 2-D images: blur, noise, and the rows that are measured."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from fractions import Fraction
from math import inf
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from scalesr.errors import PlanError
from scalesr.msdsr.psf import AxialPSF
from scalesr.msdsr.rows import DENSEST, FRACTIONS, SPARSEST, guide, spaced_rows

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """How images with isotropic pixels become ones as an anisotropic stack has them (Weigert et al. 2018).

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    psf: str = "point"
    """How a measured plane sees along z: ``point``, ``gaussian:W`` or ``box:W``, see `AxialPSF`."""
    counts: float = inf
    """Photons of an intensity of 1; infinite: no Poisson noise."""
    noise: float = 0.0
    """Standard deviation of Gaussian noise that is added."""
    spacing: float | None = None
    """Rows from one plane to the next; None draws 2 to 8 for each image, fractions as well."""

    def __post_init__(self) -> None:
        if self.psf != "point":
            AxialPSF.read(self.psf)
        if not (self.counts > 0 and 0 <= self.noise < inf and (self.spacing is None or 1 < self.spacing < inf)):
            raise PlanError(
                f"counts {self.counts}, noise {self.noise} and spacing {self.spacing} cannot be used together.",
                remedy="Give counts above 0, noise from 0, and a spacing above 1.",
            )

    def __call__(self, images: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
        """Return what becomes of images: blurred along the rows, measured with noise, and enlarged linearly.

        Parameters
        ----------
        images
            float32, shape (n, C, rows, columns), intensities of about 0..1.
        random
            What chance follows from.
        """
        found = []
        rows = images.shape[-2]
        for image in images:
            spacing = self._spacing(random)
            phase = int(random.integers(int(spacing) + 1))
            seen = image[None] if self.psf == "point" else _blurred(image[None], AxialPSF.read(self.psf), spacing)
            noisy = torch.from_numpy(self._measured(seen.numpy(), random))
            known = torch.from_numpy(spaced_rows(rows, spacing, phase=phase)).view(1, 1, -1, 1)
            found.append(guide(noisy, known.expand(1, 1, *image.shape[-2:])))
        return torch.cat(found)

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return {name: None if value == inf else value for name, value in asdict(self).items()}

    def _spacing(self, random: np.random.Generator) -> Fraction:
        if self.spacing is not None:
            return Fraction(self.spacing).limit_denominator(FRACTIONS)
        return Fraction(int(random.integers(DENSEST * FRACTIONS, SPARSEST * FRACTIONS + 1)), FRACTIONS)

    def _measured(self, seen: np.ndarray[Any, Any], random: np.random.Generator) -> np.ndarray[Any, Any]:
        if self.counts < inf:
            seen = random.poisson(seen.clip(min=0) * self.counts) / self.counts
        if self.noise:
            seen = seen + self.noise * random.standard_normal(seen.shape)
        return seen.astype("float32")


def _blurred(images: torch.Tensor, psf: AxialPSF, spacing: Fraction) -> torch.Tensor:
    weights = torch.from_numpy(psf.weights(spacing)).float()
    reach = len(weights) // 2
    # Images may be lower than the PSF is wide, which reflection refuses.
    padded = functional.pad(images, (0, 0, reach, reach), mode="reflect" if reach < images.shape[-2] else "replicate")
    return torch.einsum("ncrxk,k->ncrx", padded.unfold(-2, len(weights), 1), weights)
