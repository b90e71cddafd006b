from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import ModelError, PlanError
from scalesr.rls.degradation import Degradation
from scalesr.rls.descent import descend, linear1cycledrop
from scalesr.rls.generator import unit
from scalesr.rls.maps import deviates, noise_maps, starts
from scalesr.rls.objective import Objective, mean_distance
from scalesr.rls.search import SearchSettings, search

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

COARSE = Degradation(factor=4)
SHORT = SearchSettings(steps=12, group=8)


def truths(generator: StyleGAN2, count: int) -> torch.Tensor:
    z = torch.randn(count, generator.settings.latent, generator=torch.Generator().manual_seed(9))
    return unit(generator(z.to(generator.mean.dtype)))


def test_the_rate_is_that_of_the_released_code() -> None:
    assert [linear1cycledrop(step, 100) for step in (0, 45)] == [pytest.approx(0.1), pytest.approx(1.0)]
    assert linear1cycledrop(89, 100) == pytest.approx((9 * (1 - 2 * abs(89 / 90 - 0.5)) + 1) / 10)
    assert linear1cycledrop(90, 100) == pytest.approx(0.1)
    assert linear1cycledrop(99, 100) == pytest.approx(0.1 + 0.9 * (0.001 - 0.1))


def test_an_object_goes_down_as_if_it_were_alone() -> None:
    goals = torch.tensor([[1.0, -2.0], [30.0, 0.1], [-5.0, 5.0]], dtype=torch.float64)

    def energy(goal: torch.Tensor) -> object:
        return lambda values, step: {
            "square": (values[0] - goal).square().sum(dim=1),
            "wave": torch.sin(3 * values[0]).sum(dim=1),
        }

    whole = descend([torch.zeros(3, 2, dtype=torch.float64)], energy(goals), steps=80, rates=[0.5])  # type: ignore[arg-type]
    for n in range(3):
        one = descend([torch.zeros(1, 2, dtype=torch.float64)], energy(goals[n : n + 1]), steps=80, rates=[0.5])  # type: ignore[arg-type]
        assert torch.equal(one.variables[0][0], whole.variables[0][n])
        assert one.losses[0] == whole.losses[n] == sum(term[n] for term in whole.terms.values())
        assert one.steps[0] == whole.steps[n]


def test_the_best_place_of_all_steps_is_kept_for_each_object() -> None:
    course = torch.tensor([[3.0, 1.0, 2.0], [1.0, 2.0, 3.0], [4.0, math.nan, 1.0], [math.nan, math.nan, math.nan]])

    def energy(values: Sequence[torch.Tensor], step: int) -> dict[str, torch.Tensor]:
        return {"told": course[:, step] + 0 * values[0].sum(dim=1)}

    found = descend([torch.zeros(4, 1)], energy, steps=3, rates=[0.1])
    assert found.steps.tolist() == [1, 0, 2, 0]
    assert found.losses.tolist() == [1.0, 1.0, 1.0, math.inf]
    assert descend([torch.zeros(4, 1)], energy, steps=3, rates=[0.1], kept="last").steps.tolist() == [2, 2, 2, 0]


def test_an_object_without_a_number_spoils_no_other(generator: StyleGAN2, prior: Prior) -> None:
    measured = COARSE(truths(generator, 3))
    spoilt = measured.clone()
    spoilt[1] = math.nan
    good, found = (search(generator, prior, each, COARSE, SHORT) for each in (measured, spoilt))
    assert torch.equal(good.images[[0, 2]], found.images[[0, 2]])
    assert found.flagged[1]
    assert found.images.isfinite().all()


def test_the_objective_is_that_of_the_notes(generator: StyleGAN2, prior: Prior) -> None:
    w = generator.mapping(torch.randn(12, 32)).view(2, 6, 32)
    seen, measured = torch.rand(2, 2, 4, 4), torch.rand(2, 2, 4, 4)
    terms = Objective().terms(seen, measured, w, floor=torch.zeros(2), prior=prior)
    for n in range(2):
        u, log_det = prior.flow((w[n] - prior.mean) / prior.std)
        log_p = (-u.square() / 2 - math.log(2 * math.pi) / 2).sum(1) + log_det
        wanted = {
            "data": 10 * (seen[n] - measured[n]).abs().mean(),
            "density": 0.002 * -log_p.mean(),
            "ring": 0.004 * (u.norm(dim=1) - math.sqrt(32)).square().mean(),
            "cross": 0.5 * torch.pdist(w[n]).mean(),
        }
        assert terms.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(terms[name][n], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("off", ["density", "ring", "cross"])
def test_terms_can_be_switched_off(generator: StyleGAN2, prior: Prior, off: str) -> None:
    objective = replace(Objective(), **{off: 0.0})
    given = torch.rand(1, 2, 4, 4), torch.rand(1, 2, 4, 4), generator.mean.expand(1, 6, 32)
    assert {"data", "density", "ring", "cross"} - set(objective.terms(*given, floor=torch.zeros(1), prior=prior)) == {
        off
    }
    alone = Objective.data_alone().terms(*given, floor=torch.zeros(1), prior=None)
    assert set(alone) == {"data"}
    with pytest.raises(ModelError, match="without a flow"):
        Objective().terms(*given, floor=torch.zeros(1), prior=None)


@given(st.integers(1, 6))
def test_distances_of_rows(layers: int) -> None:
    w = torch.randn(3, layers, 5, dtype=torch.float64, requires_grad=True)
    found = mean_distance(w)
    for n in range(3):
        wanted = torch.pdist(w[n]).mean() if layers > 1 else w.new_zeros(())
        torch.testing.assert_close(found[n], wanted)
    same = torch.ones(1, layers, 5, requires_grad=True)
    mean_distance(same).sum().backward() if layers > 1 else None  # type: ignore[no-untyped-call]
    assert same.grad is None or float(same.grad.abs().max()) == 0


def test_declared_noise_is_not_fitted(generator: StyleGAN2, prior: Prior) -> None:
    truth = truths(generator, 4)
    noisy = replace(COARSE, noise=0.3)
    measured = noisy.measure(truth, np.random.default_rng(0))
    settings = replace(SHORT, steps=100, objective=Objective.data_alone())
    blind, told = (search(generator, prior, measured, each, settings) for each in (COARSE, noisy))
    assert (told.terms["data"] <= 1e-6).all()
    assert (blind.misfits < told.misfits).all()
    assert (told.misfits <= noisy.floor(measured) + 1e-6).all()


@pytest.mark.parametrize("maps", ["object", "fixed"])
def test_a_solution_does_not_depend_on_the_batch(generator: StyleGAN2, prior: Prior, maps: str) -> None:
    """Batches of 1, 8 and 64, and any part of a stack, give the same bits."""
    measured = COARSE(truths(generator, 64))
    settings = replace(SHORT, maps=maps)  # type: ignore[arg-type]
    whole = search(generator, prior, measured, COARSE, settings)
    again = search(generator, prior, measured, COARSE, settings)
    assert torch.equal(whole.images, again.images)
    for start, count in ((0, 8), (5, 1), (17, 8), (3, 21)):
        ids = torch.arange(start, start + count)
        part = search(generator, prior, measured[ids], COARSE, settings, ids=ids)
        for name in ("images", "latents", "losses", "steps", "misfits", "flagged"):
            assert torch.equal(getattr(part, name), getattr(whole, name)[ids])


def test_the_size_of_groups_changes_rounding_only(generator: StyleGAN2, prior: Prior) -> None:
    """The course of 500 steps multiplies differences: float64 shows that the sums are those of single objects."""
    precise, known = (type(each).to(__import__("copy").deepcopy(each), torch.float64) for each in (generator, prior))
    measured = COARSE(truths(precise, 16))
    one, eight, sixteen = (
        search(precise, known, measured, COARSE, SearchSettings(steps=40, group=group)) for group in (1, 8, 16)
    )
    for other in (eight, sixteen):
        torch.testing.assert_close(one.images, other.images, atol=1e-4, rtol=0)
        torch.testing.assert_close(one.latents, other.latents, atol=1e-4, rtol=0)


def test_noise_belongs_to_the_object(generator: StyleGAN2) -> None:
    ids = torch.tensor([3, 70, 5])
    maps, one = noise_maps(generator, ids, seed=1), noise_maps(generator, ids[1:2], seed=1)
    other = noise_maps(generator, ids, seed=2)
    assert [each.shape[2:] for each in maps] == [torch.Size(shape) for shape in generator.noise_shapes]  # type: ignore[union-attr]
    for some, single, elsewhere in zip(maps, one, other, strict=True):
        assert torch.equal(some[1:2], single)  # type: ignore[index,arg-type]
        assert not torch.equal(some[0], some[2])  # type: ignore[index]
        assert not torch.equal(some, elsewhere)  # type: ignore[arg-type]
    large = torch.cat([each.flatten() for each in maps])  # type: ignore[union-attr]
    assert float(large.mean()) == pytest.approx(0, abs=0.1)
    assert float(large.std()) == pytest.approx(1, abs=0.1)
    assert noise_maps(generator, ids, choice="none") == "none"
    device = torch.device("cpu")
    drawn = starts(ids, latent=8, sample=0, seed=0, device=device)
    assert drawn.shape == (3, 8)
    assert not torch.equal(drawn, starts(ids, latent=8, sample=1, seed=0, device=device))
    chance = deviates(ids, shape=(6, 8), draws=2, step=1500, seed=0, device=device)
    assert chance.shape == (2, 3, 6, 8)
    assert not torch.equal(chance[0], chance[1])


def test_known_latents_are_found_again(generator: StyleGAN2, prior: Prior) -> None:
    """Images of the generator itself, measured twice coarser: the search comes near them, and nearer than its start."""
    fine = Degradation(factor=2)
    truth = truths(generator, 8)
    begin = search(generator, prior, fine(truth), fine, SearchSettings(steps=1, maps="fixed", group=8))
    end = search(generator, prior, fine(truth), fine, SearchSettings(steps=150, maps="fixed", group=8))
    assert begin.steps.tolist() == [0] * 8
    near, far = ((each.images - truth).square().mean(dim=(1, 2, 3)) for each in (end, begin))
    assert (near < far / 2).all()
    assert (end.losses < begin.losses).all()


def test_the_prior_makes_latents_likelier(generator: StyleGAN2, prior: Prior) -> None:
    measured = COARSE(truths(generator, 8))
    settings = SearchSettings(steps=80, group=8)
    free = search(generator, prior, measured, COARSE, replace(settings, objective=Objective.data_alone()))
    bound = search(generator, prior, measured, COARSE, settings)
    assert float(prior(bound.latents)[1].mean()) > float(prior(free.latents)[1].mean())
    assert float(mean_distance(bound.latents).mean()) < float(mean_distance(free.latents).mean())
    assert float(free.misfits.mean()) < 0.05


def test_one_latent_for_all_layers(generator: StyleGAN2, prior: Prior) -> None:
    found = search(generator, prior, COARSE(truths(generator, 2)), COARSE, replace(SHORT, space="w"))
    assert torch.equal(found.latents, found.latents[:, :1].expand(-1, 6, -1))
    assert float(found.terms["cross"].abs().max()) == 0


def test_solutions_that_disagree_are_flagged(generator: StyleGAN2, prior: Prior) -> None:
    measured = COARSE(truths(generator, 2))
    measured[1] += 1000
    found = search(generator, prior, measured, COARSE, replace(SHORT, steps=40, gate=1.0))
    assert found.flagged.tolist() == [False, True]


def test_a_stack_without_objects_has_no_solutions(generator: StyleGAN2, prior: Prior) -> None:
    found = search(generator, prior, torch.zeros(0, 2, 4, 4), COARSE)
    assert found.images.shape == (0, 2, 16, 16)


def test_it_runs_inside_inference_mode_and_tells_where_it_is(generator: StyleGAN2, prior: Prior) -> None:
    told: list[int] = []
    with torch.inference_mode():
        measured = COARSE(truths(generator, 10))
        found = search(generator, prior, measured, COARSE, replace(SHORT, steps=2), watch=told.append)
    assert found.images.shape == (10, 2, 16, 16)
    assert told == [8, 10]


def test_what_does_not_fit_is_refused(generator: StyleGAN2, prior: Prior) -> None:
    for wrong in (torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 8, 8), torch.zeros(2, 4, 4)):
        with pytest.raises(ModelError, match="do not fit"):
            search(generator, prior, wrong, COARSE)
    for name, value in {"steps": 0, "gate": -1, "space": "z", "sample": 256}.items():
        with pytest.raises(PlanError, match=name):
            SearchSettings(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="ring"):
        Objective(ring=-1)


def test_settings_lead_back() -> None:
    settings = SearchSettings(objective=Objective.several(), steps=7, maps="none")
    assert SearchSettings.from_json(json.loads(json.dumps(settings.to_json()))) == settings
