"""The paper's figure 1: how the squared norms of latents are distributed, which for a normal prior is chi-squared."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import stats
from torch.nn import functional

from scalesr.rls.prior import PART, draw
from scalesr.rls.pulse import STEEP, steep_moments

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

TITLES = {
    "z": "z",
    "w": "w",
    "pulse": "LeakyReLU_5(w), PULSE",
    "rls": "F(w), RLS",
}
"""What is compared, by name."""
_BINS = 80


@dataclass(frozen=True, kw_only=True)
class Norms:
    """Squared norms of one kind of latents, beside what they would be of normal ones."""

    values: NDArray[np.float64]
    """Squared Euclidean norms, one for each latent."""
    latent: int
    """Entries of a latent: the degrees of freedom of the chi-squared distribution."""

    @property
    def mean(self) -> float:
        """Their mean; of normal latents `latent`."""
        return float(self.values.mean())

    @property
    def variance(self) -> float:
        """Their variance; of normal latents 2 x `latent`."""
        return float(self.values.var(ddof=1))

    @property
    def distance(self) -> float:
        """Largest difference of their distribution function from chi-squared's (Kolmogorov and Smirnov), 0 to 1."""
        return float(stats.kstest(self.values, stats.chi2(self.latent).cdf).statistic)


def squared_norms(generator: StyleGAN2, prior: Prior, *, count: int = 10_000, seed: int = 1) -> dict[str, Norms]:
    """Return the squared norms of z, of w as it is, of what PULSE and of what RLS takes for normal, by name.

    Parameters
    ----------
    generator, prior
        Whose latents they are.
    count
        How many are drawn.
    seed
        What z follows from; another than that of the training, so that the flow has not seen them.
    """
    latent = generator.settings.latent
    mean, std = steep_moments(generator, count=max(count, PART), seed=seed + 1)
    found: dict[str, list[torch.Tensor]] = {name: [] for name in TITLES}
    random = torch.Generator().manual_seed(seed)
    with torch.inference_mode():
        for w in draw(generator, count=count, seed=seed):
            u, _ = prior.flow(prior.standardised(w))
            kinds = {
                "z": torch.randn(len(w), latent, generator=random),
                "w": w,
                "pulse": (functional.leaky_relu(w, STEEP) - mean) / std,
                "rls": u,
            }
            for name, values in kinds.items():
                found[name].append(values.double().square().sum(dim=1).cpu())
    return {name: Norms(values=torch.cat(parts).numpy(), latent=latent) for name, parts in found.items()}


def draw_norms(norms: dict[str, Norms], path: Path) -> Path | None:
    """Draw the distributions beside chi-squared's, and return the picture; None where matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 an extra
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(3.2 * len(norms), 3), layout="constrained")
    for panel, (name, each) in zip(figure.subplots(1, len(norms), squeeze=False)[0], norms.items(), strict=True):
        # A few latents are so far out that they would hide the others.
        low, high = np.quantile(each.values, (0.002, 0.998))
        panel.hist(each.values, bins=_BINS, range=(low, high), density=True, color="tab:blue", alpha=0.6)
        wanted = stats.chi2(each.latent)
        least, most = wanted.ppf((1e-4, 1 - 1e-4))
        place = np.linspace(min(low, least), max(high, most), 400)
        panel.plot(place, wanted.pdf(place), color="black", label=f"chi-squared({each.latent})")
        panel.set(title=TITLES.get(name, name), xlabel="squared norm", yticks=[])
        panel.legend(frameon=False, fontsize="small", title=f"distance {each.distance:.3f}", title_fontsize="small")
    FigureCanvasAgg(figure)
    figure.savefig(path, dpi=100)
    return path
