"""Several images for one measurement, how much they differ, and whether that says how far they are from the truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

from scalesr.errors import PlanError
from scalesr.rls.descent import descend
from scalesr.rls.frozen import FrozenGenerator, FrozenPrior
from scalesr.rls.generator import unit
from scalesr.rls.maps import deviates, noise_maps
from scalesr.rls.search import SearchSettings, Solutions, in_groups, restarted, search, solved

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.degradation import Degradation
    from scalesr.rls.descent import Terms
    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

Way = Literal["restarts", "variational"]
"""How several images come about, see `restarts` and `variational`."""
STATEMENTS: dict[Way, str] = {
    "restarts": (
        "Not calibrated: the spread of searches that begin at different latents. It says how much solutions differ, "
        "not how far they are from the truth; searches from near one another end near one another, so that it is "
        "mostly too small."
    ),
    "variational": (
        "Not calibrated: the spread of a normal distribution of latents, entry by entry, fitted to the objective at a "
        "temperature. It is that of the posterior only where the flow is the true prior, the noise is what the "
        "temperature implies, and the posterior is such a distribution; it is mostly too small."
    ),
}
"""What the deviation of samples means."""
STEADY = 1e-3
"""Least deviation that a truth is compared with, a quarter of a grey level of eight bits."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How far truths are from the mean of samples, in their standard deviations."""

    within: dict[float, float]
    """Share of pixels within so many standard deviations."""
    expected: dict[float, float]
    """What that would be for normal errors of these deviations."""
    factor: float
    """What deviations have to be multiplied by for the root mean square of errors over deviations to be one."""
    pixels: int
    """Pixels that were compared."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Samples:
    """Several solutions for each of some objects."""

    images: torch.Tensor
    """Intensities of about 0..1, shape (samples, n, channels, size, size)."""
    latents: torch.Tensor
    """Shape (samples, n, layers, latent)."""
    flagged: torch.Tensor
    """Solutions that do not agree with the measurement, see `Solutions`; bool of shape (samples, n)."""
    way: Way
    """How they came about."""

    @property
    def mean(self) -> torch.Tensor:
        """Mean over the samples, shape (n, channels, size, size)."""
        return self.images.mean(dim=0)

    @property
    def deviation(self) -> torch.Tensor:
        """Standard deviation over the samples, with one degree of freedom less; of a single one 0."""
        return self.images.std(dim=0) if len(self.images) > 1 else torch.zeros_like(self.images[0])

    @property
    def statement(self) -> str:
        """What the deviation means, and that it is not calibrated."""
        return STATEMENTS[self.way]

    def against(self, truth: torch.Tensor, *, widths: Sequence[float] = (1.0, 2.0)) -> Calibration:
        """Return how well deviations say how far a truth is from the mean.

        Parameters
        ----------
        truth
            Intensities, shape (n, channels, size, size).
        widths
            Numbers of standard deviations.
        """
        apart = (truth - self.mean).abs() / self.deviation.clamp(min=STEADY)
        return Calibration(
            within={width: float((apart <= width).double().mean()) for width in widths},
            expected={width: math.erf(width / math.sqrt(2)) for width in widths},
            factor=float(apart.double().square().mean().sqrt()),
            pixels=apart.numel(),
        )


def restarts(
    generator: StyleGAN2,
    prior: Prior | None,
    measured: torch.Tensor,
    degradation: Degradation,
    settings: SearchSettings | None = None,
    *,
    samples: int = 5,
    ids: torch.Tensor | None = None,
) -> Samples:
    """Return the solutions of searches that begin at different latents, as in the paper's figure of five solutions.

    Each begins ``settings.reach`` of the way from the mean latent to one that is drawn; all else is the same. The
    released code has 0.2 or 0.4 for it, and other weights, `Objective.several`.

    Raises
    ------
    PlanError
        Not 1 to 256 samples.
    """
    _refuse_count(samples, 256)
    chosen = settings or SearchSettings()
    found = [
        search(generator, prior, measured, degradation, restarted(chosen, sample), ids=ids) for sample in range(samples)
    ]
    return Samples(
        images=torch.stack([each.images for each in found]),
        latents=torch.stack([each.latents for each in found]),
        flagged=torch.stack([each.flagged for each in found]),
        way="restarts",
    )


@dataclass(frozen=True, kw_only=True)
class VariationalSettings:
    """How a normal distribution of latents is fitted; after BRGM's (Marinescu et al. 2020), with RLS's objective."""

    draws: int = 4
    """Draws of each step, whose mean objective counts."""
    temperature: float | None = None
    """What the entropy is multiplied by. None: the weight of the density over the layers, at which the objective over
    the temperature holds the flow's log-density of each layer once, and the data term that of Laplace noise."""
    width: float = 0.1
    """Deviation at the start, in deviations of the latents."""
    rate: float = 0.05
    """Highest rate of the logarithms of the deviations."""


def variational(
    generator: StyleGAN2,
    prior: Prior,
    measured: torch.Tensor,
    degradation: Degradation,
    settings: SearchSettings | None = None,
    *,
    fit: VariationalSettings | None = None,
    samples: int = 5,
    ids: torch.Tensor | None = None,
) -> Samples:
    """Return draws of a normal distribution of latents, independent entry by entry, fitted to the objective.

    What is minimised is the mean objective of draws less temperature times entropy. The last step counts, as chance
    makes the lowest of all steps no best one.

    Raises
    ------
    PlanError
        Not 1 to 128 samples, or no temperature where the density has no weight.
    """
    _refuse_count(samples, 128)
    chosen, how = settings or SearchSettings(), fit or VariationalSettings()
    layers = generator.layers if chosen.space == "w+" else 1
    temperature = chosen.objective.density / layers if how.temperature is None else how.temperature
    if not temperature > 0:
        raise PlanError("Without a weight of the density there is no temperature.", remedy="Give one.")
    numbers = torch.arange(len(measured)) if ids is None else ids
    fits: list[tuple[Solutions, ...]] = []

    def solve(part: torch.Tensor, which: torch.Tensor) -> Solutions:
        fitted = _Fit(generator, prior, part, degradation, chosen, how, temperature, which)
        fits.append(fitted.solve(samples))
        return fits[-1][0]

    in_groups(solve, measured, numbers, generator, degradation, group=chosen.group)
    found = [Solutions.joined([part[sample] for part in fits], count=len(measured)) for sample in range(samples)]
    return Samples(
        images=torch.stack([each.images for each in found]),
        latents=torch.stack([each.latents for each in found]),
        flagged=torch.stack([each.flagged for each in found]),
        way="variational",
    )


class _Fit:
    def __init__(
        self,
        generator: StyleGAN2,
        prior: Prior,
        measured: torch.Tensor,
        degradation: Degradation,
        settings: SearchSettings,
        fit: VariationalSettings,
        temperature: float,
        ids: torch.Tensor,
    ) -> None:
        self.generator, self.prior, self.settings, self.fit = generator, prior, settings, fit
        self.frozen, self.density = FrozenGenerator(generator), FrozenPrior(prior)
        self.measured, self.degradation, self.temperature, self.ids = measured, degradation, temperature, ids
        self.shape = (generator.layers if settings.space == "w+" else 1, generator.settings.latent)
        self.maps = self.frozen.lifted(noise_maps(generator, ids, choice=settings.maps, seed=settings.seed))

    def solve(self, samples: int) -> tuple[Solutions, ...]:
        mean = self.prior.mean.expand(len(self.ids), *self.shape).clone()
        log_width = torch.full_like(mean, math.log(self.fit.width))
        found = descend(
            [mean, log_width],
            self.energy,
            steps=self.settings.steps,
            rates=[self.settings.rate, self.fit.rate],
            kept="last",
        )
        with torch.no_grad():
            # One step more than there are: chance that the fit has not met.
            drawn = self.drawn(found.variables, samples, self.settings.steps)
            rows = drawn.expand(-1, -1, self.generator.layers, -1)
            return tuple(
                solved(
                    self.frozen,
                    w,
                    self.maps,
                    self.measured,
                    self.degradation,
                    gate=self.settings.gate,
                    losses=found.losses,
                    terms=found.terms,
                    steps=found.steps,
                )
                for w in rows
            )

    def drawn(self, variables: Sequence[torch.Tensor], draws: int, step: int) -> torch.Tensor:
        mean, log_width = variables
        chance = deviates(
            self.ids, shape=self.shape, draws=draws, step=step, seed=self.settings.seed, device=mean.device
        )
        return mean + self.prior.std * log_width.exp() * chance.to(mean.dtype)

    def energy(self, variables: Sequence[torch.Tensor], step: int) -> Terms:
        draws = self.fit.draws
        w = self.drawn(variables, draws, step).flatten(0, 1)
        maps = [each.repeated(draws) for each in self.maps]
        seen = self.degradation(unit(self.frozen.synthesis(w.expand(-1, self.generator.layers, -1), maps)))
        measured = self.measured.repeat(draws, 1, 1, 1)
        terms = self.settings.objective.terms(
            seen, measured, w, floor=self.degradation.floor(measured), prior=self.density
        )
        means = {name: term.view(draws, -1).mean(dim=0) for name, term in terms.items()}
        # Of a normal distribution the entropy is the sum of the logarithms of its deviations, and a constant.
        return {**means, "entropy": -self.temperature * variables[1].sum(dim=(1, 2))}


def _refuse_count(samples: int, most: int) -> None:
    if not 1 <= samples <= most:
        raise PlanError(f"{samples} samples were asked for.", remedy=f"Give 1 to {most}.")
