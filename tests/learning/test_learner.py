"""A network goes down the gradient at the rate of its pace, and its average follows."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from scalesr.learning import Learner, Pace

CPU = torch.device("cpu")


@given(
    step=st.integers(0, 10_000),
    share=st.floats(0, 1),
    warm_up=st.integers(0, 1000),
    final=st.floats(0, 1),
)
def test_the_rate_is_the_closed_form(step: int, share: float, warm_up: int, final: float) -> None:
    found = Pace(rate=0.3, warm_up=warm_up, final=final).at(step, share)
    rise = 1.0 if step + 1 >= warm_up else (step + 1) / warm_up
    assert found == pytest.approx(0.3 * rise * (final + (1 - final) * (1 + math.cos(math.pi * share)) / 2))


def taught(pace: Pace, *, steps: int) -> Learner[nn.Linear]:
    """Return a learner after steps towards random targets."""
    torch.manual_seed(0)
    learner = Learner(nn.Linear(3, 2), pace, device=CPU)
    for step in range(steps):
        random = torch.Generator().manual_seed(step)
        loss = (learner.network(torch.randn(4, 3, generator=random)) - 1).square().mean()
        assert learner.descend(loss, step=step, share=step / steps)
    return learner


def test_without_decay_it_is_adam_to_the_bit() -> None:
    pace = Pace(rate=0.1, warm_up=4)
    learner = taught(pace, steps=12)
    torch.manual_seed(0)
    network = nn.Linear(3, 2)
    adam = torch.optim.Adam(network.parameters(), betas=pace.betas)
    for step in range(12):
        random = torch.Generator().manual_seed(step)
        adam.param_groups[0]["lr"] = pace.at(step, step / 12)
        adam.zero_grad()
        (network(torch.randn(4, 3, generator=random)) - 1).square().mean().backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), pace.clip)
        adam.step()
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), learner.network.parameters(), strict=True))


def test_the_average_weighs_the_past_less_at_first() -> None:
    torch.manual_seed(0)
    learner = Learner(nn.Linear(3, 2), Pace(rate=0.1, average=0.4), device=CPU)
    expected = learner.network.weight.detach().clone()
    for step, kept in enumerate((2 / 11, 3 / 12, 4 / 13, 5 / 14, 6 / 15, 0.4, 0.4)):
        assert learner.descend(learner.network(torch.ones(1, 3)).square().sum(), step=step, share=0.0)
        expected = kept * expected + (1 - kept) * learner.network.weight.detach()
    torch.testing.assert_close(learner.average.weight, expected)
    assert not learner.average.weight.requires_grad


def test_statistics_of_the_network_are_taken_over() -> None:
    learner = Learner(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), Pace(rate=0.1), device=CPU)
    assert learner.descend(learner.network(torch.randn(8, 3)).square().sum(), step=0, share=0.0)
    pairs = list(zip(learner.average.buffers(), learner.network.buffers(), strict=True))
    assert len(pairs) == 3
    assert all(torch.equal(held, met) for held, met in pairs)


def test_no_average_is_kept_where_none_is_asked_for() -> None:
    learner = taught(Pace(rate=0.1, average=None), steps=2)
    assert learner.average is learner.network
    assert set(learner.parts) == {"network", "optimiser"}
    assert set(taught(Pace(rate=0.1), steps=1).parts) == {"network", "average", "optimiser"}


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_step_that_is_not_finite_changes_nothing(factor: float) -> None:
    learner = taught(Pace(rate=0.1), steps=3)
    before = [value.clone() for value in (*learner.network.parameters(), *learner.average.parameters())]
    assert not learner.descend(learner.network(torch.ones(1, 3)).sum() * factor, step=3, share=0.5)
    after = [*learner.network.parameters(), *learner.average.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_decay_shrinks_weights_apart_from_their_gradients() -> None:
    learner = Learner(nn.Linear(3, 2), Pace(rate=0.1, warm_up=0, decay=0.5), device=CPU)
    before = learner.network.weight.detach().clone()
    assert learner.descend((learner.network.weight * 0).sum() + learner.network.bias.sum(), step=0, share=0.0)
    torch.testing.assert_close(learner.network.weight.detach(), before * (1 - 0.1 * 0.5))
