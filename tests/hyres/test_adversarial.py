"""The adversarial losses in closed form, and a few steps of both networks against each other."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from scalesr.hyres.adversarial import discriminator_loss, generator_loss
from scalesr.hyres.discriminator import UNetDiscriminator
from scalesr.hyres.frc_loss import FRCLoss
from scalesr.models.rrdb import RRDBNet

LOGITS = st.lists(st.floats(-30, 30), min_size=1, max_size=20)


@given(reals=LOGITS, fakes=LOGITS)
def test_the_losses_are_those_of_the_closed_form(reals: list[float], fakes: list[float]) -> None:
    real, fake = (torch.tensor(values, dtype=torch.float64) for values in (reals, fakes))

    def mean_of_softplus(values: list[float]) -> float:
        return sum(math.log1p(math.exp(value)) for value in values) / len(values)

    opposite = [-value for value in fakes]
    assert generator_loss(fake).item() == pytest.approx(mean_of_softplus(opposite), rel=1e-9, abs=1e-12)
    expected = mean_of_softplus([-value for value in reals]) + mean_of_softplus(fakes)
    assert discriminator_loss(real, fake).item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_who_cannot_tell_pays_the_logarithm_of_two() -> None:
    zero = torch.zeros(2, 1, 4, 4)
    assert generator_loss(zero).item() == pytest.approx(math.log(2))
    assert discriminator_loss(zero, zero).item() == pytest.approx(2 * math.log(2))


@pytest.mark.parametrize("logit", [-1e4, 1e4])
def test_sure_logits_stay_finite(logit: float) -> None:
    logits = torch.full((1, 1, 2, 2), logit, requires_grad=True)
    loss = generator_loss(logits) + discriminator_loss(logits, logits)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert math.isfinite(loss.item())
    assert bool(torch.isfinite(gradient).all())


def test_short_floats_are_widened() -> None:
    logits = torch.tensor([12.0, -12.0]).bfloat16()
    assert generator_loss(logits).dtype == torch.float32
    assert torch.equal(generator_loss(logits), generator_loss(logits.float()))


@pytest.mark.parametrize("scale", [2, 4])
def test_ten_steps_of_both_networks_come_nearer_to_the_truth(scale: int) -> None:
    """The whole of a step on a toy: L1, FRC and adversarial loss, then the discriminator."""
    torch.manual_seed(0)
    generator = RRDBNet(features=8, growth=8, blocks=1, scale=2 if scale == 2 else 4)
    critic = UNetDiscriminator(features=8)
    frc = FRCLoss()
    adams = [torch.optim.Adam(network.parameters(), lr=2e-3) for network in (generator, critic)]
    fine = functional.interpolate(torch.rand(2, 1, 16, 16), size=(32, 32), mode="bicubic", align_corners=False)
    low = functional.avg_pool2d(fine, scale)
    paid = []
    for _ in range(10):
        critic.requires_grad_(requires_grad=False)
        made = generator(low)
        paid.append(functional.l1_loss(made, fine))
        adams[0].zero_grad()
        (paid[-1] + 0.1 * frc(made, fine, limit=0.5) + 0.01 * generator_loss(critic(made))).backward()
        adams[0].step()
        critic.requires_grad_(requires_grad=True)
        adams[1].zero_grad()
        discriminator_loss(critic(fine), critic(made.detach())).backward()  # type: ignore[no-untyped-call]  # torch's stubs lack it
        adams[1].step()
    assert paid[-1].item() < 0.8 * paid[0].item()
    for network in (generator, critic):
        assert all(bool(torch.isfinite(parameter).all()) for parameter in network.parameters())
