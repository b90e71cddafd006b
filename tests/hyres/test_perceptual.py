"""The perceptual loss: which network it is, where its features are taken, and what it accepts."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional

from scalesr.errors import ModelError
from scalesr.hyres.perceptual import LAYERS, PerceptualLoss

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PLAN = (64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0, 512, 512, 512, 512, 0, 512, 512, 512, 512)
"""VGG19 up to its sixteenth convolution; 0 is pooling."""


def weights() -> dict[str, torch.Tensor]:
    """Return random weights under the names of torchvision, and one that is not needed."""
    generator = torch.Generator().manual_seed(0)
    found, before, place = {"classifier.0.weight": torch.zeros(2, 2)}, 3, 0
    for width in PLAN:
        if not width:
            place += 1
            continue
        spread = (2 / (9 * before)) ** 0.5
        found[f"features.{place}.weight"] = torch.randn(width, before, 3, 3, generator=generator) * spread
        found[f"features.{place}.bias"] = torch.randn(width, generator=generator) * 0.1
        before, place = width, place + 2
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    save_file(weights(), file)
    return file


@pytest.fixture(scope="module")
def loss(path: Path) -> PerceptualLoss:
    return PerceptualLoss(path)


def features(state: Mapping[str, torch.Tensor], image: torch.Tensor) -> list[torch.Tensor]:
    """Return what the five layers see, computed convolution by convolution."""
    x = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    place, kept = 0, []
    for width in PLAN:
        if not width:
            x, place = functional.max_pool2d(x, 2), place + 1
            continue
        x = functional.conv2d(x, state[f"features.{place}.weight"], state[f"features.{place}.bias"], padding=1)
        if place in LAYERS:
            kept.append(x)
        x, place = functional.relu(x), place + 2
    return kept


@pytest.mark.parametrize("channels", [1, 3])
def test_the_value_is_that_of_plain_convolutions(loss: PerceptualLoss, path: Path, channels: int) -> None:
    state = load_file(path)
    made, real = torch.rand(2, 2, channels, 32, 24, generator=torch.Generator().manual_seed(1))
    seen = [features(state, image.expand(-1, 3, -1, -1)) for image in (made, real)]
    expected = sum(
        weight * float((a - b).abs().mean()) for a, b, weight in zip(*seen, (0.1, 0.1, 1.0, 1.0, 1.0), strict=True)
    )
    assert loss(made, real).item() == pytest.approx(expected, rel=1e-5)
    assert loss(real, real).item() == 0.0


def test_layers_have_their_names() -> None:
    """The second number counts the convolutions of a stage, which end with a pooling."""
    names, place, stage, count = {}, 0, 1, 0
    for width in PLAN:
        if width:
            count += 1
            names[place] = f"conv{stage}_{count}"
            place += 2
        else:
            stage, count, place = stage + 1, 0, place + 1
    assert {place: name for place, (name, _) in LAYERS.items()} == {place: names[place] for place in LAYERS}


def test_gradients_go_to_the_prediction_alone(loss: PerceptualLoss) -> None:
    made, real = (torch.rand(1, 1, 16, 16, requires_grad=True) for _ in range(2))
    loss(made, real).backward()
    assert made.grad is not None
    assert made.grad.any()
    assert real.grad is None
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_the_hash_of_the_file_is_told(loss: PerceptualLoss, path: Path) -> None:
    assert loss.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("shape", [(1, 2, 16, 16), (1, 32, 16, 16), (1, 1, 15, 16)])
def test_bands_and_small_patches_are_refused(loss: PerceptualLoss, shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="perceptual loss was given") as caught:
        loss(torch.zeros(shape), torch.zeros(shape))
    assert "fold bands into n" in caught.value.remedy


def test_pickles_need_trust_and_other_networks_are_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "vgg19.pth")
    with pytest.raises(ModelError, match="is a pickle"):
        PerceptualLoss(tmp_path / "vgg19.pth")
    with pytest.raises(ModelError, match="does not hold the convolutions of VGG19: Missing"):
        PerceptualLoss(tmp_path / "vgg19.pth", trust="pickle")
    with pytest.raises(ModelError, match="There is no file"):
        PerceptualLoss(tmp_path / "absent.safetensors")
    save_file({**weights(), "features.34.bias": torch.zeros(7)}, tmp_path / "odd.safetensors")
    with pytest.raises(ModelError, match=r"size mismatch for 34\.bias"):
        PerceptualLoss(tmp_path / "odd.safetensors")
