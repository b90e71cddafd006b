"""A generator that knows latents of real objects begins a search at what the measurement says of the latent."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scalesr.errors import ModelError, PlanError
from scalesr.rls.beginning import HELD, PENALTIES, Beginning, begin_at
from scalesr.rls.checkpoints import load, save
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.objective import Objective
from scalesr.rls.search import SearchSettings, search

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

COARSE = Degradation(factor=4)
TOLD = SearchSettings(steps=1, group=8, around="told")


@pytest.fixture(scope="module")
def knowing(generator: StyleGAN2) -> StyleGAN2:
    """Latents of half of all that there may be: of a plane of two dimensions."""
    found = copy.deepcopy(generator)
    found.known = latents(found, 400, seed=3)
    return found


def latents(generator: StyleGAN2, count: int, *, seed: int) -> torch.Tensor:
    """Return latents on a plane away from the mean latent."""
    random = torch.Generator().manual_seed(seed)
    ways = torch.randn(2, generator.settings.latent, generator=torch.Generator().manual_seed(1))
    found: torch.Tensor = generator.mean + 1.0 + torch.randn(count, 2, generator=random) @ ways
    return found


def test_what_is_told_is_nearer_than_the_mean_latent(knowing: StyleGAN2) -> None:
    truth = latents(knowing, 64, seed=8)
    told = begin_at(knowing, COARSE, COARSE(unit(knowing.synthesis(truth))))
    off = (told - truth).square().mean()
    assert off < 0.5 * (truth.mean(dim=0) - truth).square().mean()
    assert off < 0.1 * (knowing.mean - truth).square().mean()


def test_it_is_ridge_regression(knowing: StyleGAN2) -> None:
    """Beside numpy's least squares on rows that stand for the penalty."""
    found = Beginning(knowing, COARSE)
    chance, random = torch.Generator().manual_seed(0), np.random.default_rng(0)
    seen = [
        COARSE.measure(unit(knowing.synthesis(part, knowing.drawn_noise(chance, len(part)))), random)
        for part in torch.split(knowing.known, 16)
    ]
    pixels = torch.cat(seen).flatten(1).double().numpy()
    plain = (pixels - pixels.mean(axis=0)) / pixels.std(axis=0, ddof=1)
    one, other = np.triu_indices(plain.shape[1])
    told = np.hstack([np.ones((len(plain), 1)), plain, plain[:, one] * plain[:, other]])
    held = np.arange(len(told)) % HELD == 0
    wanted = knowing.known.double().numpy()
    losses, answers = [], []
    for penalty in PENALTIES:
        rows = np.vstack([told[~held], np.sqrt(penalty) * np.eye(told.shape[1])])
        goals = np.vstack([wanted[~held], np.zeros((told.shape[1], wanted.shape[1]))])
        weights = np.linalg.lstsq(rows, goals, rcond=None)[0]
        answers.append(told @ weights)
        losses.append(np.square(told[held] @ weights - wanted[held]).mean())
    best = answers[int(np.argmin(losses))]
    best = np.clip(best, wanted.min(axis=0), wanted.max(axis=0))
    np.testing.assert_allclose(found(torch.cat(seen)).numpy(), best, rtol=1e-3, atol=1e-3)


def test_a_search_begins_there(knowing: StyleGAN2, prior: Prior) -> None:
    truth = latents(knowing, 12, seed=8)
    measured = COARSE(unit(knowing.synthesis(truth)))
    plain = SearchSettings(steps=1, group=8, objective=Objective.data_alone())
    told = search(knowing, prior, measured, COARSE, SearchSettings(**{**vars(plain), "around": "told"}))
    mean = search(knowing, prior, measured, COARSE, plain)
    assert told.misfits.mean() < 0.5 * mean.misfits.mean()
    near = search(knowing, prior, measured, COARSE, SearchSettings(**{**vars(TOLD), "start": "drawn", "reach": 0.1}))
    assert 0 < (near.latents - told.latents).abs().mean() < (told.latents - mean.latents).abs().mean()


def test_the_same_bits_in_any_batch(knowing: StyleGAN2, prior: Prior) -> None:
    measured = COARSE(unit(knowing.synthesis(latents(knowing, 11, seed=8))))
    whole = search(knowing, prior, measured, COARSE, TOLD).images
    ids = torch.tensor([2, 9])
    assert torch.equal(search(knowing, prior, measured[ids], COARSE, TOLD, ids=ids).images, whole[ids])
    again = copy.deepcopy(knowing)
    assert torch.equal(search(again, prior, measured, COARSE, TOLD).images, whole)


def test_what_lies_beyond_all_that_was_seen_tells_no_nonsense(knowing: StyleGAN2) -> None:
    measured = COARSE(unit(knowing.synthesis(latents(knowing, 8, seed=8))))
    told = begin_at(knowing, COARSE, 100 * measured - 3)
    assert (told >= knowing.known.amin(dim=0) - 1e-6).all()
    assert (told <= knowing.known.amax(dim=0) + 1e-6).all()


def test_any_operator_is_learned_anew(knowing: StyleGAN2) -> None:
    truth = latents(knowing, 32, seed=8)
    finer = Degradation(factor=2, noise=0.01)
    told = begin_at(knowing, finer, finer(unit(knowing.synthesis(truth))))
    assert (told - truth).square().mean() < 0.1 * (knowing.mean - truth).square().mean()


def test_a_file_keeps_them(knowing: StyleGAN2, prior: Prior, tmp_path: Path) -> None:
    save(tmp_path / "knowing.safetensors", knowing, prior, title="knows", search=TOLD)
    pair = load(tmp_path / "knowing.safetensors")
    assert torch.equal(pair.generator.known, knowing.known)
    assert pair.search.around == "told"
    tensors = load_file(tmp_path / "knowing.safetensors")
    tensors["known"] = tensors["known"][:, :3].contiguous()
    save_file(tensors, tmp_path / "wrong.safetensors", metadata=dict(pair.metadata))
    with pytest.raises(ModelError, match="known latents"):
        load(tmp_path / "wrong.safetensors")


def test_a_generator_that_knows_none(generator: StyleGAN2, prior: Prior) -> None:
    with pytest.raises(ModelError, match="knows no latents") as error:
        search(generator, prior, torch.zeros(1, 2, 4, 4), COARSE, TOLD)
    assert "around=mean" in str(error.value)
    with pytest.raises(PlanError, match="around"):
        SearchSettings(around="elsewhere")  # type: ignore[arg-type]
