"""Going down the energies of many objects at once, each as if it were alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Terms = dict[str, torch.Tensor]
"""Parts of the energies by name, each of shape (objects,)."""
RISING = 0.9
"""Share of the steps over which the rate rises and falls; in the rest it drops to a thousandth."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Descended:
    """Where each object came to."""

    variables: tuple[torch.Tensor, ...]
    """In the shapes that were given."""
    terms: Mapping[str, torch.Tensor]
    """Parts of the energies there."""
    losses: torch.Tensor
    """Their sums, shape (objects,); infinite where none was finite."""
    steps: torch.Tensor
    """Steps after which they were met, int64 of shape (objects,)."""


def linear1cycledrop(step: int, steps: int) -> float:
    """Return the share of the rate at a step, as in the code of PULSE and RLS.

    It rises from a tenth to all over 45 % of the steps, falls to a tenth over as many, and to a thousandth in the rest.
    """
    cycle = RISING * steps
    if step < cycle:
        return (9 * (1 - 2 * abs(step / cycle - 0.5)) + 1) / 10
    return 0.1 + (step - cycle) / (steps - cycle) * (0.001 - 0.1)


def descend(
    start: Sequence[torch.Tensor],
    energy: Callable[[Sequence[torch.Tensor], int], Terms],
    *,
    steps: int,
    rates: Sequence[float],
    schedule: Literal["linear1cycledrop", "constant"] = "linear1cycledrop",
    kept: Literal["best", "last"] = "best",
    after: Callable[[Sequence[torch.Tensor]], None] | None = None,
) -> Descended:
    """Minimise a sum of energies by Adam (its usual betas), object by object.

    The sum over objects has, for the variables of each, the gradient of its own energy, and Adam works entry by entry:
    an object's course does not depend on the others but for the last bits of batched arithmetic. One whose energy stops
    being finite keeps the best place that it had.

    Parameters
    ----------
    start
        Where to begin; the first axis of each is that of the objects.
    energy
        Maps variables and the number of the step to the parts of the energies.
    steps
        How often the energies are looked at; each time but the last a step is done.
    rates
        Highest rate of each of the variables.
    schedule
        How the rate changes.
    kept
        ``best``: the place with the lowest energy of all steps; ``last``: the last one, for energies with chance.
    after
        Changes the variables after each step, to keep them where they may be.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        now = [value.detach().clone().requires_grad_() for value in start]
        optimiser = torch.optim.Adam([{"params": [value]} for value in now])
        count, device = len(now[0]), now[0].device
        best = torch.full((count,), torch.inf, device=device, dtype=now[0].dtype)
        when = torch.zeros(count, dtype=torch.int64, device=device)
        where = [value.detach().clone() for value in now]
        parts: Terms = {}
        for step in range(steps):
            terms = energy(now, step)
            losses = torch.stack(list(terms.values())).sum(dim=0)
            found = losses.detach()
            better = (found < best) if kept == "best" else found.isfinite()
            best, when = torch.where(better, found, best), torch.where(better, step, when)
            where = [_chosen(better, value.detach(), old) for value, old in zip(now, where, strict=True)]
            parts = {
                name: torch.where(better, term.detach(), parts.get(name, term.detach())) for name, term in terms.items()
            }
            if step == steps - 1:
                break
            share = linear1cycledrop(step, steps) if schedule == "linear1cycledrop" else 1.0
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * share
            for value, slope in zip(now, torch.autograd.grad(losses.sum(), now), strict=True):
                value.grad = slope
            optimiser.step()
            if after is not None:
                with torch.no_grad():
                    after(now)
        return Descended(variables=tuple(where), terms=parts, losses=best, steps=when)


def _chosen(better: torch.Tensor, new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    return torch.where(better.view(-1, *[1] * (new.ndim - 1)), new, old)
