"""Going down the energies of many objects at once, each as if it were alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch

from scalesr.models.recording import Repeated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scalesr.models.recording import Recorder

Terms = dict[str, torch.Tensor]
"""Parts of the energies by name, each of shape (objects,)."""
RISING = 0.9
"""Share of the steps over which the rate rises and falls; in the rest it drops to a thousandth."""
MEAN, SQUARE, LEAST = 0.9, 0.999, 1e-8
"""Weights of the past in Adam's averages of slopes and of their squares, and what keeps it from dividing by 0."""

_BLOCK = 31 << 20
"""Bytes of a block that the C library of Linux maps by itself, and learns from, see `_keep_memory`."""


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
    turn: int = 0,
    energies: Literal["by step", "alike"] = "by step",
    recorder: Recorder | None = None,
) -> Descended:
    """Minimise a sum of energies by Adam (its usual betas), object by object.

    The sum over objects has, for the variables of each, the gradient of its own energy, and Adam works entry by entry:
    an object's course does not depend on the others but for the last bits of batched arithmetic. One whose energy stops
    being finite keeps the best place that it had. The host looks at nothing until all steps are done, and energies
    that are alike are recorded where the device can do so, see `scalesr.models.recording`.

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
        Changes the variables after each step, in place, to keep them where they may be.
    turn
        Step from which on the energy is that which counts: what earlier steps found is forgotten if a later one is
        finite. Before it and from it on the energy is the same at all steps, or has chance.
    chance
        ``by step``: the energy depends on the number of the step.
    recorder
        How steps are recorded; None: by what the device has for it.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        descent = _Descent(start, energy, steps=steps, rates=rates, schedule=schedule, kept=kept, after=after)
        if descent.device.type == "cpu":
            _keep_memory()
        last = steps - 1
        for first, end in ((0, min(turn, last)), (turn, last)):
            descent.forget()
            # Where they are alike, the first step of a part stands for all of it.
            same = Repeated(partial(descent.go, first), device=descent.device, recorder=recorder)
            for step in range(first, end):
                if energies == "by step":
                    descent.go(step)
                else:
                    same()
        descent.look(last)
        return descent.found()


class _Descent:
    """Everything that a step changes, in tensors that stay where they are."""

    def __init__(
        self,
        start: Sequence[torch.Tensor],
        energy: Callable[[Sequence[torch.Tensor], int], Terms],
        *,
        steps: int,
        rates: Sequence[float],
        schedule: Literal["linear1cycledrop", "constant"],
        kept: Literal["best", "last"],
        after: Callable[[Sequence[torch.Tensor]], None] | None,
    ) -> None:
        self._energy, self._kept, self._after = energy, kept, after
        self._now = [value.detach().clone().requires_grad_() for value in start]
        first = self._now[0]
        self.device, count = first.device, len(first)
        self._best = torch.full((count,), torch.inf, device=self.device, dtype=first.dtype)
        self._when = torch.zeros(count, dtype=torch.int64, device=self.device)
        self._where = [value.detach().clone() for value in self._now]
        self._parts: Terms = {}
        self._slopes = [torch.zeros_like(value) for value in self._where]
        self._squares = [torch.zeros_like(value) for value in self._where]
        shares = [linear1cycledrop(step, steps) if schedule == "linear1cycledrop" else 1.0 for step in range(steps)]
        # What changes from step to step: how far each variable goes, and what makes up for averages that begin at 0.
        table = [
            [*(rate * share / (1 - MEAN**step) for rate in rates), (1 - SQUARE**step) ** 0.5]
            for step, share in enumerate(shares, 1)
        ]
        self._table = torch.tensor(table, dtype=torch.float64).to(self.device, first.dtype)
        self._step = torch.zeros((), dtype=torch.int64, device=self.device)

    def look(self, step: int) -> torch.Tensor:
        """Return the sum of the energies where things are, and keep what is better."""
        terms = self._energy(self._now, step)
        losses = torch.stack(list(terms.values())).sum(dim=0)
        found = losses.detach()
        better = (found < self._best) if self._kept == "best" else found.isfinite()
        self._parts = self._parts or {name: term.detach().clone() for name, term in terms.items()}
        pairs = [(found, self._best), (self._step, self._when)]
        pairs += [(now.detach(), old) for now, old in zip(self._now, self._where, strict=True)]
        pairs += [(terms[name].detach(), old) for name, old in self._parts.items()]
        for new, old in pairs:
            old.copy_(torch.where(better.view(-1, *[1] * (old.ndim - 1)), new, old))
        return losses.sum()

    def go(self, step: int) -> None:
        """Look, and do a step of Adam."""
        slopes = torch.autograd.grad(self.look(step), self._now)
        with torch.no_grad():
            now = self._table.index_select(0, self._step[None])[0]
            for place, (value, slope) in enumerate(zip(self._now, slopes, strict=True)):
                mean, square = self._slopes[place], self._squares[place]
                mean.lerp_(slope, 1 - MEAN)
                square.mul_(SQUARE).addcmul_(slope, slope, value=1 - SQUARE)
                value.sub_(now[place] * mean / (square.sqrt() / now[-1]).add_(LEAST))
            if self._after is not None:
                self._after(self._now)
            self._step += 1

    def forget(self) -> None:
        """Take whatever is met next for better, if it is finite."""
        self._best.fill_(torch.inf)

    def found(self) -> Descended:
        """Return where each object came to."""
        return Descended(variables=tuple(self._where), terms=self._parts, losses=self._best, steps=self._when)


def _keep_memory() -> None:
    """Have the C library keep what a step frees for the next one, where it is that of Linux; elsewhere nothing happens.

    It gives back to the system what is free at the top of its heap beyond twice the largest block that it once mapped
    by itself, 32 MiB at most (``mallopt(3)``: M_MMAP_THRESHOLD and M_TRIM_THRESHOLD are dynamic). A step frees all that
    it made, so that each would ask for some ten thousand pages anew: a third of the time of a group of 16 objects.
    """
    torch.empty(_BLOCK, dtype=torch.uint8)
