"""The count of live tensors, against sums made by hand and against real tensors."""

from __future__ import annotations

from fractions import Fraction

import pytest
import torch
from torch import nn

from scalesr.models import ModelSpec, memory
from scalesr.models.edsr import EDSR


def spec_of(scale: int, *, channels: int = 1, axes: str = "yx") -> ModelSpec:
    return ModelSpec(
        name="test",
        axes=axes,
        scale=(Fraction(scale),) * len(axes),
        channels=channels,
        out_channels=channels,
        receptive=None,
        activation_bytes=0.0,
    )


def test_one_operation_holds_its_input_and_its_output() -> None:
    assert memory.activation_bytes(torch.neg, spec=spec_of(1)) == 8.0


def test_what_is_let_go_of_does_not_count() -> None:
    def chain(tile: torch.Tensor) -> torch.Tensor:
        for _ in range(5):
            tile = tile.neg()
        return tile

    # The caller holds the input; inside, two results are alive at a time.
    assert memory.activation_bytes(chain, spec=spec_of(1)) == 12.0


def test_views_and_work_in_place_cost_nothing() -> None:
    def work(tile: torch.Tensor) -> torch.Tensor:
        return tile.neg().flatten().relu_().abs_()

    assert memory.activation_bytes(work, spec=spec_of(1)) == 8.0


class OnlyReal(nn.Module):
    """Looks at its data, which shapes alone do not have."""

    def forward(self, tile: torch.Tensor) -> torch.Tensor:
        return tile.neg() if float(tile.sum()) >= 0 else tile


def test_networks_that_look_at_data_are_counted_on_real_tiles() -> None:
    assert memory.activation_bytes(OnlyReal(), spec=spec_of(1)) == pytest.approx(8.0, rel=0.01)


def test_edsr_needs_what_real_tensors_need() -> None:
    network = EDSR(features=16, blocks=2, scale=2).eval()
    counted = memory.activation_bytes(network, spec=spec_of(2))
    real = memory.peak_bytes(network, torch.rand(1, 1, 96, 96)) / 96**2
    assert real / 1.5 < counted < real * 1.5
    # At its widest: 16 features on the fine grid, before and after the pixels are shuffled.
    assert counted >= 4 * 2 * 16 * 4
