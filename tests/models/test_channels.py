"""How channels of an image and of a network are brought together."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from scalesr.errors import ModelError
from scalesr.models import Model, ModelSpec, Strategy
from scalesr.models.channels import Grey, fitted
from scalesr.models.network import Network

ORIGINS = torch.zeros(2, 2, dtype=torch.int64)


def network(channels: int, out_channels: int | None = None) -> Network:
    torch.manual_seed(0)
    out = channels if out_channels is None else out_channels
    spec = ModelSpec(
        name="test",
        axes="yx",
        scale=(Fraction(1), Fraction(1)),
        channels=channels,
        out_channels=out,
        receptive=(1, 1),
        activation_bytes=4.0 * (channels + out),
    )
    return Network(nn.Conv2d(channels, out, 3, padding=1), spec)


@pytest.mark.parametrize(
    ("channels", "image", "strategy", "expected"),
    [
        (1, None, "auto", 1),
        (1, 1, "auto", 1),
        (1, 7, "auto", 1),
        (3, 3, "auto", 3),
        (3, 30, "auto", 3),
        (3, None, "auto", 1),
        (3, 1, "auto", 1),
        (3, 2, "auto", 1),
        (3, 3, "single", 1),
        (3, 30, "triples", 3),
        (5, 5, "auto", 5),
    ],
)
def test_group_size(channels: int, image: int | None, strategy: Strategy, expected: int) -> None:
    assert fitted(network(channels), strategy=strategy, image_channels=image).spec.channels == expected


@pytest.mark.parametrize(
    ("channels", "image", "strategy"),
    [(5, 3, "auto"), (5, None, "single"), (1, 6, "triples"), (3, 2, "triples"), (4, 4, "triples")],
)
def test_numbers_that_do_not_go_together_are_both_named(channels: int, image: int | None, strategy: Strategy) -> None:
    with pytest.raises(ModelError, match=rf"takes {channels} channel.*image has {image or 1}") as caught:
        fitted(network(channels), strategy=strategy, image_channels=image)
    assert caught.value.remedy


def test_networks_that_change_the_number_of_channels_serve_only_their_own() -> None:
    assert fitted(network(3, 1), strategy="auto", image_channels=3).spec.out_channels == 1
    with pytest.raises(ModelError):
        fitted(network(3, 1), strategy="auto", image_channels=6)
    with pytest.raises(ModelError):
        fitted(network(1, 2), strategy="auto", image_channels=6)


def test_grey_repeats_and_averages() -> None:
    inner = network(3)
    grey = Grey(inner)
    assert isinstance(grey, Model)
    tiles = torch.rand(2, 1, 8, 9)
    expected = inner(torch.cat([tiles] * 3, dim=1), ORIGINS).mean(dim=1, keepdim=True)
    assert torch.equal(grey(tiles, ORIGINS), expected)
    assert grey.spec.activation_bytes > inner.spec.activation_bytes
    assert grey.to(device="cpu", precision="fp32").spec == grey.spec
