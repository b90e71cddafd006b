"""Regularised latent search: for each measured object, the latents whose image agrees with it and is likely."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from math import inf
from typing import TYPE_CHECKING, Any, Literal

import torch

from scalesr.errors import ModelError, PlanError
from scalesr.rls.beginning import begin_at
from scalesr.rls.descent import RISING, descend
from scalesr.rls.frozen import FrozenGenerator, FrozenPrior
from scalesr.rls.generator import unit
from scalesr.rls.maps import MapChoice, noise_maps, starts
from scalesr.rls.objective import Objective

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalesr.rls.degradation import Degradation
    from scalesr.rls.descent import Terms
    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior
    from scalesr.rls.styled import Lift


@dataclass(frozen=True, kw_only=True)
class SearchSettings:
    """How latents are searched for. The defaults are those of the released code, but for `group` and `maps`.

    Raises
    ------
    PlanError
        A value that cannot be used.
    """

    objective: Objective = field(default_factory=Objective)
    """What is minimised."""
    steps: int = 500
    """Steps of Adam."""
    rate: float = 0.5
    """Its highest rate, see `linear1cycledrop`."""
    space: Literal["w+", "w"] = "w+"
    """``w+``: each layer has a latent of its own; ``w``: all have the same."""
    start: Literal["mean", "drawn"] = "mean"
    """``mean``: what is said by `around`; ``drawn``: a part of the way from it to one that is drawn for the object."""
    around: Literal["mean", "told"] = "mean"
    """What searches begin at, or near: the mean latent, or that which the measurement tells, see
    `scalesr.rls.beginning`, where the generator knows latents of real objects."""
    reach: float = 0.2
    """That part."""
    sample: int = 0
    """Which draw, from 0 to 255."""
    maps: MapChoice = "object"
    """Noise maps of the generator."""
    gate: float = 0.05
    """Mean absolute difference from the measurement, beyond its noise, above which a solution is flagged."""
    arithmetic: Literal["fp32", "mixed"] = "fp32"
    """``mixed``: all steps but the last tenth, in which the rate drops and the best place is found, make their images
    in bf16, which is quicker where a device has it; solutions differ from those of ``fp32`` by more than rounding."""
    group: int = 16
    """Objects that are worked on together, always; the last ones are filled up, so that no kernel is chosen by how many
    objects there are."""
    seed: int = 0
    """Seed of noise maps and starts."""

    def __post_init__(self) -> None:
        for name, least, most in (
            ("steps", 1, 2**20),
            ("rate", 1e-12, inf),
            ("reach", 0, inf),
            ("sample", 0, 255),
            ("gate", 0, inf),
            ("group", 1, inf),
            ("seed", 0, 2**63),
        ):
            if not least <= getattr(self, name) <= most:
                raise PlanError(
                    f"{name} is {getattr(self, name)}.",
                    remedy=f"Give at least {least:g}" + ("." if most == inf else f", at most {most:g}."),
                )
        for name, known in (
            ("space", ("w+", "w")),
            ("start", ("mean", "drawn")),
            ("around", ("mean", "told")),
            ("maps", ("object", "fixed", "none")),
            ("arithmetic", ("fp32", "mixed")),
        ):
            if getattr(self, name) not in known:
                raise PlanError(f"{name} is {getattr(self, name)!r}.", remedy=f"Give one of {', '.join(known)}.")

    def to_json(self) -> dict[str, Any]:
        """Return them as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> SearchSettings:
        """Return what `to_json` described; other entries are left out."""
        known = {each.name: values[each.name] for each in fields(cls) if each.name in values}
        return cls(**{**known, "objective": Objective(**values.get("objective", {}))})


@dataclass(frozen=True, kw_only=True, eq=False)
class Solutions:
    """What was found for some objects, in their order."""

    images: torch.Tensor
    """Intensities of about 0..1, shape (n, channels, size, size)."""
    latents: torch.Tensor
    """Shape (n, layers, latent)."""
    losses: torch.Tensor
    """Values of the objective, shape (n,)."""
    terms: Mapping[str, torch.Tensor]
    """What it is the sum of."""
    steps: torch.Tensor
    """Steps after which they were met, shape (n,)."""
    misfits: torch.Tensor
    """Mean absolute differences of the degraded images from the measurements, shape (n,)."""
    flagged: torch.Tensor
    """Objects whose misfit beyond the declared noise is above the gate, or not finite: not to be trusted; bool."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how they were found."""

    @classmethod
    def joined(cls, parts: Sequence[Solutions], *, count: int) -> Solutions:
        """Return the first `count` solutions of several groups."""

        def whole(values: Sequence[torch.Tensor]) -> torch.Tensor:
            return torch.cat(list(values))[:count]

        tensors = {
            each.name: whole([getattr(part, each.name) for part in parts])
            for each in fields(cls)
            if each.name not in ("terms", "notes")
        }
        terms = {name: whole([part.terms[name] for part in parts]) for name in parts[0].terms}
        return cls(terms=terms, notes=parts[0].notes, **tensors)


def search(
    generator: StyleGAN2,
    prior: Prior | None,
    measured: torch.Tensor,
    degradation: Degradation,
    settings: SearchSettings | None = None,
    *,
    ids: torch.Tensor | None = None,
    watch: Callable[[int], None] | None = None,
) -> Solutions:
    """Return for each object the image with the lowest objective of all steps.

    The same object gives the same solution whatever others are searched for with it.

    Parameters
    ----------
    generator
        Makes the images; evaluates, on any device.
    prior
        Density of its latents; may be None where no term asks for it, and the search then begins at ``generator.mean``.
    measured
        Coarse objects in intensities of 0..1 as the generator knows them, shape (n, channels, y, x).
    degradation
        What a measurement sees of an image, and its noise.
    settings
        All else.
    ids
        Numbers of the objects in the whole stack, int64, shape (n,); 0, 1, ... where not given.
    watch
        Is told how many objects are done, after each group.

    Raises
    ------
    ModelError
        The measurements are not of the generator's size over the factor, or there is no prior and one is needed.
    """
    chosen = settings or SearchSettings()
    numbers = torch.arange(len(measured)) if ids is None else ids

    def solve(part: torch.Tensor, which: torch.Tensor) -> Solutions:
        return _Search(generator, prior, part, degradation, chosen, which).solve()

    return in_groups(solve, measured, numbers, generator, degradation, group=chosen.group, watch=watch)


def in_groups(
    solve: Callable[[torch.Tensor, torch.Tensor], Solutions],
    measured: torch.Tensor,
    ids: torch.Tensor,
    generator: StyleGAN2,
    degradation: Degradation,
    *,
    group: int,
    watch: Callable[[int], None] | None = None,
) -> Solutions:
    """Return the solutions of any number of objects by groups of one size; the last is filled up with its last object.

    Raises
    ------
    ModelError
        The measurements are not of the generator's size over the factor.
    """
    edge, channels = generator.settings.size // degradation.factor, generator.settings.channels
    if measured.ndim != 4 or tuple(measured.shape[1:]) != (channels, edge, edge) or len(ids) != len(measured):
        raise ModelError(
            f"Objects of shape {tuple(measured.shape)} do not fit a generator of {channels} channel(s) and "
            f"{generator.settings.size} px at a factor of {degradation.factor}.",
            remedy=f"Give (n, {channels}, {edge}, {edge}), or another factor.",
        )
    # What comes from inference mode cannot be part of a gradient; a copy can.
    with torch.inference_mode(mode=False):
        whole = measured.detach().to(generator.mean.device, generator.mean.dtype).clone()
        parts = []
        for start in range(0, max(len(whole), 1), group):
            some = torch.arange(start, start + group).clamp(max=max(len(whole) - 1, 0))
            if not len(whole):
                return _none(generator)
            parts.append(solve(whole[some.to(whole.device)], ids.cpu()[some]))
            if watch is not None:
                watch(min(start + group, len(whole)))
    return Solutions.joined(parts, count=len(whole))


class _Search:
    def __init__(
        self,
        generator: StyleGAN2,
        prior: Prior | None,
        measured: torch.Tensor,
        degradation: Degradation,
        settings: SearchSettings,
        ids: torch.Tensor,
    ) -> None:
        self.generator, self.settings = generator, settings
        self.measured, self.degradation, self.floor = measured, degradation, degradation.floor(measured)
        self.ids = ids
        self.mean = generator.mean if prior is None else prior.mean
        self.exact, self.prior = FrozenGenerator(generator), None if prior is None else FrozenPrior(prior)
        self.turn = int(RISING * settings.steps) if settings.arithmetic == "mixed" else 0
        self.quick = FrozenGenerator(generator, arithmetic="bf16") if self.turn else self.exact
        maps = noise_maps(generator, ids, choice=settings.maps, seed=settings.seed)
        self.maps = self.exact.lifted(maps)
        self.quick_maps = self.quick.lifted(maps) if self.turn else self.maps

    def solve(self) -> Solutions:
        settings = self.settings
        found = descend(
            [self.begin()],
            self.energy,
            steps=settings.steps,
            rates=[settings.rate],
            turn=self.turn,
            energies="alike",
        )
        return solved(
            self.exact,
            self.rows(found.variables[0]),
            self.maps,
            self.measured,
            self.degradation,
            gate=settings.gate,
            losses=found.losses,
            terms=found.terms,
            steps=found.steps,
        )

    def energy(self, variables: Sequence[torch.Tensor], step: int) -> Terms:
        w = variables[0]
        generator, maps = (self.quick, self.quick_maps) if step < self.turn else (self.exact, self.maps)
        seen = self.degradation(unit(generator.synthesis(self.rows(w), maps)))
        return self.settings.objective.terms(seen, self.measured, w, floor=self.floor, prior=self.prior)

    def begin(self) -> torch.Tensor:
        mean = self.mean
        w = mean.expand(len(self.ids), -1)
        if self.settings.around == "told":
            w = begin_at(self.generator, self.degradation, self.measured)
        if self.settings.start == "drawn":
            settings = self.settings
            z = starts(self.ids, latent=len(mean), sample=settings.sample, seed=settings.seed, device=mean.device)
            z = z.to(mean.dtype)
            w = w + settings.reach * (self.generator.mapping(z) - w)
        return w[:, None].repeat(1, self.generator.layers if self.settings.space == "w+" else 1, 1)

    def rows(self, w: torch.Tensor) -> torch.Tensor:
        return w.expand(-1, self.generator.layers, -1)


def solved(
    generator: FrozenGenerator,
    latents: torch.Tensor,
    maps: Sequence[Lift],
    measured: torch.Tensor,
    degradation: Degradation,
    *,
    gate: float,
    losses: torch.Tensor,
    terms: Mapping[str, torch.Tensor],
    steps: torch.Tensor,
) -> Solutions:
    """Return the solutions that latents are, with their misfits and whether these pass the gate."""
    with torch.no_grad():
        images = unit(generator.synthesis(latents, maps))
        misfits = (degradation(images) - measured).abs().mean(dim=(1, 2, 3))
        beyond = misfits - degradation.floor(measured)
    return Solutions(
        images=images,
        latents=latents.detach().contiguous(),
        losses=losses,
        terms=terms,
        steps=steps,
        misfits=misfits,
        flagged=~(beyond <= gate) | ~losses.isfinite(),
    )


def _none(generator: StyleGAN2) -> Solutions:
    settings, none = generator.settings, torch.zeros(0)
    return Solutions(
        images=torch.zeros(0, settings.channels, settings.size, settings.size),
        latents=torch.zeros(0, settings.layers, settings.latent),
        losses=none,
        terms={},
        steps=none.long(),
        misfits=none,
        flagged=none.bool(),
    )


def restarted(settings: SearchSettings, sample: int) -> SearchSettings:
    """Return the settings of one of several searches, which begins at a latent of its own."""
    return replace(settings, start="drawn", sample=sample)
