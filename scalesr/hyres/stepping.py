"""One step of a training: patches, losses, gradients, and a better network."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch

from scalesr.errors import ModelError
from scalesr.hyres.adversarial import discriminator_loss
from scalesr.hyres.flux import conserve_flux
from scalesr.hyres.objective import Objective

if TYPE_CHECKING:
    from scalesr.hyres.patches import Pairs, Patches
    from scalesr.hyres.settings import TrainingSettings
    from scalesr.hyres.training_state import TrainingState

FINAL = 1 / 500
"""Share of the highest rate that is left at the end."""
IN_A_ROW = 20
"""Steps in a row with a loss that is not finite after which the training is given up."""


class Stepper:
    """Does the steps of a training; all that they change is its state.

    A step whose loss or gradient is not finite changes nothing but the counters.
    """

    def __init__(self, settings: TrainingSettings, state: TrainingState, patches: Patches) -> None:
        self.settings, self.state, self.patches = settings, state, patches
        self.device = torch.device(settings.device)
        self.objective = Objective(settings, self.device)

    def rate(self, share: float) -> float:
        """Return the rate of the optimisers when a share of the training is done."""
        warm = min(1.0, (self.state.counters.step + 1) / max(self.settings.warm_up, 1))
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
        return self.settings.rate * warm * (FINAL + (1 - FINAL) * cosine)

    def step(self, share: float) -> None:
        """Do one step when a share of the training is done.

        Raises
        ------
        ModelError
            Too many steps in a row were not finite.
        """
        state, settings = self.state, self.settings
        counters = state.counters
        pairs = self.patches.batch(counters.step).to(self.device)
        rival = state.discriminator if share >= settings.adversarial_from else None
        rate = self.rate(share)
        for optimiser in filter(None, (state.optimiser, state.rival)):
            for group in optimiser.param_groups:
                group["lr"] = rate
        with self._casting():
            out = state.network(pairs.low.contiguous(memory_format=torch.channels_last))
        raw = out.float()
        out = self.projected(raw, pairs.low, pairs.measured, pairs.zero)
        if rival is not None:
            rival.requires_grad_(requires_grad=False)
        with self._casting():
            terms = self.objective.terms(out, pairs, progress=share, discriminator=rival)
        if settings.flux == "conserved" and settings.free:
            terms["free"] = settings.free * self.objective.pixel(raw, pairs)
        loss = torch.stack(list(terms.values())).sum()
        state.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(state.network.parameters(), settings.clip)
        if not (math.isfinite(loss.item()) and math.isfinite(norm.item())):
            self._skip()
            return
        state.optimiser.step()
        counters.step += 1
        counters.skipped_in_a_row = 0
        state.follow(settings.average)
        for name, term in terms.items():
            counters.note(name, term.item())
        if rival is not None:
            counters.note("discriminator", self._answer(rival, out, pairs))

    def _answer(self, rival: Any, out: torch.Tensor, pairs: Pairs) -> float:
        """Train the discriminator on the images of the step, and return its loss."""
        assert self.state.rival is not None
        rival.requires_grad_(requires_grad=True)
        made = torch.where(pairs.known > 0, out.detach(), pairs.high)
        with self._casting():
            loss = discriminator_loss(rival(pairs.high), rival(made))
        self.state.rival.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(rival.parameters(), self.settings.clip)
        if math.isfinite(norm.item()):
            self.state.rival.step()
        return loss.item()

    def _skip(self) -> None:
        counters = self.state.counters
        counters.step += 1
        counters.skipped += 1
        counters.skipped_in_a_row += 1
        if counters.skipped_in_a_row >= IN_A_ROW:
            raise ModelError(
                f"The training has diverged: the losses of steps {counters.step - IN_A_ROW} to {counters.step} are not "
                "finite.",
                remedy="Train at a lower --rate, and with --precision fp32.",
            )

    def _casting(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.settings.precision == "bf16")

    def projected(
        self, out: torch.Tensor, low: torch.Tensor, measured: torch.Tensor, zero: torch.Tensor
    ) -> torch.Tensor:
        """Return an output as the losses and the validation see it."""
        if self.settings.flux == "free":
            return out
        return conserve_flux(out, low, zero=zero, measured=measured)
