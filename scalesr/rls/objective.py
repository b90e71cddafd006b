"""What regularised latent search minimises: disagreement with the measurement, and what makes latents unlikely."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch

from scalesr.errors import ModelError, PlanError

if TYPE_CHECKING:
    from scalesr.rls.descent import Terms
    from scalesr.rls.frozen import FrozenPrior
    from scalesr.rls.prior import Prior

_SMALL = 1e-12


@dataclass(frozen=True, kw_only=True)
class Objective:
    """Weights of the terms; one of weight 0 is left out. The defaults are those of the released code of August 2023.

    For latents w of L rows, u = F((w - mean) / std) and log p its log-density under the flow::

        data    * mean |D(G(w)) - y|                   over pixels and channels, intensities of 0..1
        density * -mean_l log p(w_l)
        ring    * mean_l (|u_l| - sqrt(latent))^2
        cross   * 2 / (L (L - 1)) sum_{i<j} |w_i - w_j|

    In the paper's words the second and the third are p_w, and the last is p_cross. Where noise is declared, the data
    term is that above the noise's own mean magnitude, and nothing below it (the discrepancy principle of Morozov, our
    own choice). The weights were set for 512 entries: log p is a sum over entries, so that the same weights regularise
    a smaller generator less.

    Raises
    ------
    PlanError
        A weight is negative.
    """

    data: float = 10.0
    density: float = 0.002
    ring: float = 0.004
    cross: float = 0.5

    def __post_init__(self) -> None:
        wrong = [name for name, weight in asdict(self).items() if not 0 <= weight < math.inf]
        if wrong:
            raise PlanError(f"The weight {wrong[0]} is {getattr(self, wrong[0])}.", remedy="Give 0 or more.")

    @classmethod
    def several(cls) -> Objective:
        """Return the weights of the released script for several solutions: half of p_w, and a fifth of p_cross."""
        return cls(density=0.001, ring=0.002, cross=0.1)

    @classmethod
    def data_alone(cls) -> Objective:
        """Return the objective without regularisation, the paper's 'w/o Regu.'."""
        return cls(density=0.0, ring=0.0, cross=0.0)

    @property
    def needs_flow(self) -> bool:
        """Whether a term asks for the density of latents."""
        return bool(self.density or self.ring)

    def terms(
        self,
        seen: torch.Tensor,
        measured: torch.Tensor,
        w: torch.Tensor,
        *,
        floor: torch.Tensor,
        prior: Prior | FrozenPrior | None,
    ) -> Terms:
        """Return the weighted terms of each object.

        Parameters
        ----------
        seen
            D(G(w)) in intensities of 0..1, shape (n, channels, y, x).
        measured
            Of the same shape.
        w
            Latents, shape (n, layers, latent).
        floor
            Mean magnitude of the measurements' noise, shape (n,).
        prior
            Of the latents.

        Raises
        ------
        ModelError
            A term asks for the density of latents, and there is no prior.
        """
        misfit = (seen - measured).abs().mean(dim=(1, 2, 3))
        found = {"data": self.data * (misfit - floor).clamp(min=0)}
        if self.needs_flow:
            if prior is None:
                raise ModelError(
                    "The density of latents was asked for, and the generator comes without a flow.",
                    remedy="Train one by `scalesr train rls-flow`, or set density and ring to 0.",
                )
            norms, density = prior(w)
            if self.density:
                found["density"] = self.density * -density.mean(dim=1)
            if self.ring:
                found["ring"] = self.ring * (norms - math.sqrt(w.shape[2])).square().mean(dim=1)
        if self.cross:
            found["cross"] = self.cross * mean_distance(w)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)


def mean_distance(w: torch.Tensor) -> torch.Tensor:
    """Return the mean Euclidean distance of pairs of rows, shape (n,), for w of shape (n, layers, latent).

    0 for a single row. Where two rows are equal the gradient is 0, as that of `torch.cdist`.
    """
    layers = w.shape[1]
    if layers < 2:
        return w.new_zeros(len(w))
    one, other = torch.triu_indices(layers, layers, 1, device=w.device)
    squares = (w[:, one] - w[:, other]).square().sum(dim=2)
    apart = squares > _SMALL
    lengths = torch.where(apart, torch.where(apart, squares, 1.0).sqrt(), 0.0)
    return lengths.mean(dim=1)
