from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
import torch

from scalesr.errors import ModelError, PlanError
from scalesr.models import Model, Tailored, checkpoint
from scalesr.rls.checkpoints import Pair, save
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.model import LatentSearch, build
from scalesr.rls.objective import Objective
from scalesr.rls.samples import restarts
from scalesr.rls.search import SearchSettings, search

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.models.checkpoint import Checkpoint
    from scalesr.rls.generator import StyleGAN2
    from scalesr.rls.prior import Prior

COARSE = Degradation(factor=4)
SHORT = SearchSettings(steps=4, group=4)


@pytest.fixture
def pair(generator: StyleGAN2, prior: Prior) -> Pair:
    return Pair(generator=generator, prior=prior, metadata={})


@pytest.fixture
def weights(tmp_path: Path, generator: StyleGAN2, prior: Prior) -> Checkpoint:
    path = tmp_path / "pair.safetensors"
    save(path, generator, prior, title="cells", factor=4)
    return checkpoint.read(path, sha256=checkpoint.fingerprint(path))


def low(generator: StyleGAN2, count: int) -> torch.Tensor:
    z = torch.randn(count, 32, generator=torch.Generator().manual_seed(9))
    return COARSE(unit(generator(z)))


def test_a_stack_is_searched_for_object_by_object(pair: Pair) -> None:
    model = LatentSearch(pair, degradation=COARSE, search=SHORT)
    spec = model.spec
    assert isinstance(model, Model)
    assert isinstance(model, Tailored)
    assert (spec.axes, spec.tile, spec.halo, spec.blend) == ("nyx", (4, 4, 4), (0, 0, 0), (0, 0, 0))
    assert spec.scale == (Fraction(1), Fraction(4), Fraction(4))
    assert spec.activation_bytes > 0
    measured = low(pair.generator, 3)
    ids = torch.tensor([5, 90, 7])
    origins = torch.stack([ids, torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.int64)], dim=1)
    with torch.inference_mode():
        found = model.tailored((0, 0, 0))(measured[:, :, None].clone(), origins)
    assert found.shape == (3, 2, 1, 16, 16)
    alone = search(pair.generator, pair.prior, measured, COARSE, SHORT, ids=ids)
    assert torch.equal(found[:, :, 0], alone.images)
    assert torch.equal(model(measured[1:2, :, None], origins[1:2]), found[1:2])
    tile = model(measured.movedim(0, 1)[None], origins[:1])[0].movedim(0, 1)
    assert torch.equal(tile, search(pair.generator, pair.prior, measured, COARSE, SHORT, ids=torch.arange(5, 8)).images)
    assert torch.equal(model.to(device="cpu", precision="fp32")(measured[:, :, None], origins), found)


def test_a_field_is_searched_for_cell_by_cell(pair: Pair) -> None:
    model = LatentSearch(pair, degradation=COARSE, search=SHORT, objects="field")
    assert (model.spec.axes, model.spec.tile, model.spec.multiple) == ("yx", (8, 8), 4)
    measured = low(pair.generator, 2)
    found = model(measured, torch.tensor([[0, 0], [4, 8]]))
    alone = search(pair.generator, pair.prior, measured, COARSE, SHORT, ids=torch.tensor([0, 65536 + 2]))
    assert torch.equal(found, alone.images)
    four = low(pair.generator, 4)
    tile = four.view(2, 2, 2, 4, 4).permute(2, 0, 3, 1, 4).reshape(1, 2, 8, 8)
    whole = model(tile, torch.tensor([[4, 0]]))
    ids = torch.tensor([65536, 65537, 131072, 131073])
    alone = search(pair.generator, pair.prior, four, COARSE, SHORT, ids=ids)
    assert torch.equal(whole[:, :, :16, 16:], alone.images[1:2])
    assert torch.equal(whole[:, :, 16:, :16], alone.images[2:3])
    with pytest.raises(ModelError, match="whole cells"):
        model(torch.zeros(1, 2, 6, 8), torch.zeros(1, 2, dtype=torch.int64))


def test_several_solutions_give_mean_and_deviation(pair: Pair) -> None:
    model = LatentSearch(pair, degradation=COARSE, search=SHORT, samples=3)
    assert model.spec.deviation == "returned"
    measured, ids = low(pair.generator, 2), torch.arange(2)
    origins = torch.stack([ids, 0 * ids, 0 * ids], dim=1)
    found = model(measured[:, :, None], origins)[:, :, 0]
    several = restarts(pair.generator, pair.prior, measured, COARSE, SHORT, samples=3, ids=ids)
    assert torch.equal(found, torch.cat([several.mean, several.deviation], dim=1))
    assert model.cost((3, 4, 4), (0, 0, 0)).passes == 4 * 4 * 3
    assert model.cost((1, 4, 4), (0, 0, 0)).flops > 0


def test_what_does_not_fit_is_refused(pair: Pair) -> None:
    with pytest.raises(PlanError, match="pixels of 3"):
        LatentSearch(pair, degradation=Degradation(factor=3))
    with pytest.raises(ModelError, match="no flow"):
        LatentSearch(replace(pair, prior=None), degradation=COARSE)
    free = replace(SHORT, objective=Objective.data_alone())
    model = LatentSearch(replace(pair, prior=None), degradation=COARSE, search=free)
    with pytest.raises(ModelError, match="margins"):
        model.tailored((0, 1, 1))
    with pytest.raises(ModelError, match="do not fit"):
        model(torch.zeros(1, 2, 1, 5, 5), torch.zeros(1, 3, dtype=torch.int64))
    with pytest.raises(ModelError, match="bf16"):
        model.to(device="cpu", precision="bf16")


def test_a_file_becomes_a_model_by_its_options(weights: Checkpoint) -> None:
    options = {"steps": 3, "group": 2, "cross": 0.1, "kind": "area", "noise": 0.01, "samples": 2}
    model = build(weights, scale=None, image_channels=2, options=options)
    assert model.spec.scale == (Fraction(1), Fraction(4), Fraction(4))
    assert model.spec.name == "pair"
    assert model._search.objective.cross == 0.1
    assert model._degradation == Degradation(kind="area", factor=4, noise=0.01)
    assert build(weights, scale=None, image_channels=2, options={"factor": 8}).spec.tile == (16, 2, 2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"stepps": 3}, "no option 'stepps'"),
        ({"steps": "many"}, "type"),
        ({"objects": "cells"}, "objects"),
        ({"samples": 0}, "samples"),
        ({"factor": 3}, "pixels of 3"),
    ],
)
def test_options_that_cannot_be_are_refused(weights: Checkpoint, options: dict[str, Any], match: str) -> None:
    with pytest.raises(PlanError, match=match):
        build(weights, scale=None, image_channels=2, options=options)


def test_other_channels_are_refused(weights: Checkpoint) -> None:
    with pytest.raises(ModelError, match="channel"):
        build(weights, scale=None, image_channels=3, options={})
