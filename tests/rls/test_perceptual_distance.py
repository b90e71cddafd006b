"""The perceptual term of BRGM: which features it compares, what it accepts, and what BRGM says without it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from scalesr.errors import ModelError
from scalesr.rls.brgm import WITHOUT, BrgmSettings, brgm
from scalesr.rls.degradation import Degradation
from scalesr.rls.generator import unit
from scalesr.rls.perceptual import PLACES, PerceptualDistance

if TYPE_CHECKING:
    from pathlib import Path

    from scalesr.rls.generator import StyleGAN2

EDGE = 64
"""Instead of 256, to be quick."""
PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""VGG16; 0 is pooling."""


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scalesr.rls.perceptual.EDGE", EDGE)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    found, before, place = {"classifier.0.weight": torch.zeros(2, 2)}, 3, 0
    for width in PLAN:
        if not width:
            place += 1
            continue
        found[f"features.{place}.weight"] = (
            torch.randn(width, before, 3, 3, generator=random) * (2 / (9 * before)) ** 0.5
        )
        found[f"features.{place}.bias"] = torch.randn(width, generator=random) * 0.1
        before, place = width, place + 2
    return found


@pytest.fixture(scope="module")
def distance(state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> PerceptualDistance:
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(state, path)
    return PerceptualDistance(path)


def test_the_value_is_that_of_plain_convolutions(distance: PerceptualDistance, state: dict[str, torch.Tensor]) -> None:
    seen, measured = torch.rand(2, 1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    features = []
    for image in (seen, measured):
        x = functional.interpolate(image, size=(EDGE, EDGE), mode="area")
        x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
            :, None, None
        ]
        place, kept = 0, []
        for width in PLAN:
            if not width:
                x, place = functional.max_pool2d(x, 2), place + 1
                continue
            x = functional.conv2d(x, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1)
            x, place = functional.relu(x), place + 2
            if place - 1 in PLACES:
                kept.append(x / x.norm(dim=1, keepdim=True).clamp(min=1e-5))
        features.append(kept)
    squares = sum(float((a - b).square().sum(1).mean()) for a, b in zip(*features, strict=True))
    expected = squares / sum(each.numel() for each in features[0])
    assert distance(seen, measured).item() == pytest.approx(expected, rel=1e-3)
    assert distance(seen, seen).item() == 0.0


def test_other_numbers_of_channels_are_shown_one_by_one(distance: PerceptualDistance) -> None:
    seen, measured = torch.rand(2, 1, 2, 4, 4, generator=torch.Generator().manual_seed(2))
    each = [distance(seen[:, n : n + 1], measured[:, n : n + 1]).item() for n in range(2)]
    assert distance(seen, measured).tolist() == pytest.approx([sum(each) / 2], rel=1e-5)
    with pytest.raises(ModelError, match="6 x 6"):
        distance(torch.zeros(1, 1, 6, 6), torch.zeros(1, 1, 6, 6))


def test_measurements_are_looked_at_once_and_again_when_they_change(
    distance: PerceptualDistance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    forward = distance.network.forward

    def counted(images: torch.Tensor) -> object:
        asked.append(len(images))
        return forward(images)

    monkeypatch.setattr(distance.network, "forward", counted)
    measured = torch.rand(2, 1, 4, 4)
    seen = torch.rand(2, 1, 4, 4, requires_grad=True)
    first = distance(seen, measured)
    for _ in range(3):
        again = distance(seen, measured)
        slope = torch.autograd.grad(again.sum(), seen)[0]
    assert torch.equal(first, again)
    assert float(slope.abs().max()) > 0
    assert len(asked) == 5
    measured.mul_(0.5)
    changed = distance(seen, measured)
    assert torch.equal(changed, distance(seen, measured.clone()))
    assert not torch.equal(changed, first)
    del measured
    assert copy.deepcopy(distance)._real is None


def test_brgm_says_that_its_perceptual_term_is_absent(generator: StyleGAN2) -> None:
    coarse = Degradation(factor=4)
    measured = coarse(unit(generator(torch.randn(2, 32, generator=torch.Generator().manual_seed(9)))))
    settings = BrgmSettings(steps=2, draws=2000, group=2)
    found = brgm(generator, measured, coarse, settings)
    assert found.notes == (WITHOUT,)
    with_it = brgm(generator, measured, coarse, settings, perceptual=lambda a, b: (a - b).square().mean(dim=(1, 2, 3)))
    assert with_it.notes == ()
    assert "perceptual" in with_it.terms


def test_other_networks_are_refused(tmp_path: Path) -> None:
    save_file({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match="VGG16"):
        PerceptualDistance(tmp_path / "odd.safetensors")
