from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch

from scalesr.errors import PlanError
from scalesr.rls.flow import MADE, MAF, BatchNormFlow, moments
from scalesr.rls.prior import PART, draw
from scalesr.rls.settings import FlowSettings

if TYPE_CHECKING:
    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior


def flow(latent: int = 6, hidden: int = 12) -> MAF:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        made = MAF(FlowSettings(latent=latent, blocks=3, hidden=hidden)).double()
        with torch.no_grad():
            for value in made.parameters():
                value.add_(0.2 * torch.randn_like(value))
    made.settle(lambda: [torch.randn(500, latent, dtype=torch.float64, generator=torch.Generator().manual_seed(0))])
    return made.eval().requires_grad_(requires_grad=False)


def test_an_entry_knows_only_those_before_it() -> None:
    made = MADE(7, 20).double().requires_grad_(requires_grad=False)
    for part in (0, 1):
        x = torch.randn(7, dtype=torch.float64)

        def told(x: torch.Tensor, part: int = part) -> torch.Tensor:
            whole: torch.Tensor = made.layers(x[None])
            return whole.chunk(2, dim=1)[part][0]

        slopes = torch.func.jacrev(told)(x)
        assert float(slopes.triu().abs().max()) == 0
        assert float(slopes.tril(-1).abs().max()) > 0


def test_the_density_is_that_of_the_jacobian() -> None:
    made = flow()
    for w in torch.randn(5, 6, dtype=torch.float64):
        slopes = torch.func.jacrev(lambda x: made(x[None])[0][0])(w)
        u, log_det = made(w[None])
        torch.testing.assert_close(log_det[0], torch.linalg.slogdet(slopes)[1])
        normal = -0.5 * u.square().sum() - 3 * math.log(2 * math.pi)
        torch.testing.assert_close(made.log_prob(w[None])[0], normal + log_det[0])


def test_the_density_sums_to_one() -> None:
    made = flow(latent=2, hidden=8)
    axis = torch.linspace(-12, 12, 400, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    total = made.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** 2
    assert float(total) == pytest.approx(1, abs=0.02)


def test_normalisations_know_the_whole_set() -> None:
    made = flow()
    whole = torch.randn(700, 6, dtype=torch.float64) * 2 + 1
    made.settle(lambda: torch.split(whole, 100))
    u, _ = made(whole)
    # After the last of them nothing follows but its own scale and shift, and a reversal.
    last = _last(made)
    torch.testing.assert_close(u.flip(1).mean(0), last.shift.detach(), atol=1e-6, rtol=0)
    torch.testing.assert_close(u.flip(1).std(0, unbiased=False), last.log_scale.detach().exp(), atol=1e-3, rtol=0)
    assert not made.training


def test_while_it_learns_batches_are_normalised_by_themselves() -> None:
    made = flow().train()
    whole = torch.randn(50, 6, dtype=torch.float64) * 5 + 3
    u, _ = made(whole)
    torch.testing.assert_close(u.flip(1).mean(0), _last(made).shift, atol=1e-6, rtol=0)


def _last(made: MAF) -> BatchNormFlow:
    last = made.norms[-1]
    assert isinstance(last, BatchNormFlow)
    return last


def test_the_published_flow_has_as_many_parameters() -> None:
    with torch.device("meta"):
        made = MAF(FlowSettings.published())
    assert sum(each.numel() for each in made.parameters()) == pytest.approx(13.1e6, rel=0.01)


def test_moments_are_those_of_the_whole() -> None:
    x = torch.randn(1000, 3) * torch.tensor([1.0, 2.0, 3.0]) + 100
    mean, variance = moments(torch.split(x, 300))
    torch.testing.assert_close(mean, x.mean(0))
    torch.testing.assert_close(variance, x.var(0, unbiased=False), rtol=1e-4, atol=0)


def test_latents_follow_from_seed_and_stream(generator: StyleGAN2) -> None:
    count = PART + 10
    one = torch.cat(list(draw(generator, count=count, seed=1)))
    assert one.shape == (count, 32)
    assert torch.equal(one, torch.cat(list(draw(generator, count=count, seed=1))))
    assert not torch.equal(one, torch.cat(list(draw(generator, count=count, seed=1, stream=1))))


def test_a_prior_tells_norm_and_density_of_each_row(generator: StyleGAN2, prior: Prior) -> None:
    w = torch.stack([generator.mapping(torch.randn(6, 32)) for _ in range(2)])
    norms, density = prior(w)
    assert norms.shape == density.shape == (2, 6)
    u, _ = prior.flow((w[1, 3] - prior.mean)[None] / prior.std)
    assert float(norms[1, 3]) == pytest.approx(float(u.norm()), rel=1e-5)
    assert float(density[1, 3]) == pytest.approx(float(prior.flow.log_prob(prior.standardised(w[1, 3:4]))), rel=1e-5)


def test_sizes_that_cannot_be_are_refused() -> None:
    with pytest.raises(PlanError):
        FlowSettings(latent=1)
