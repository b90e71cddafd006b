"""Receptive fields as measured, against those derived by hand."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from scalesr.models.edsr import EDSR
from scalesr.models.receptive import receptive_field
from scalesr.models.rrdb import RRDBNet

if TYPE_CHECKING:
    from collections.abc import Sequence


def derived(*, before: int, grids: Sequence[int], after: Sequence[int]) -> int:
    """Follow each output pixel of one input pixel backwards.

    ``before``: 3 x 3 convolutions on the input's grid ahead of the first enlargement; ``grids``: pixels for each input
    pixel on the grids that follow one another; ``after``: convolutions on each of them.
    """
    reach = 0
    for phase in range(grids[-1]):
        low = high = phase
        for (coarse, fine), convolutions in zip(reversed(list(pairwise(grids))), reversed(after), strict=True):
            factor = fine // coarse
            low, high = (low - convolutions) // factor, (high + convolutions) // factor
        reach = max(reach, before - low, high + before)
    return reach


def twice(scale: int) -> tuple[Fraction, Fraction]:
    return Fraction(scale), Fraction(scale)


@pytest.mark.parametrize(("blocks", "scale"), [(1, 1), (2, 2), (3, 3), (2, 4)])
def test_edsr_reaches_as_far_as_derived(blocks: int, scale: int) -> None:
    torch.manual_seed(blocks)
    network = EDSR(features=8, blocks=blocks, scale=scale)
    # A sub-pixel layer's convolution is on the coarser grid, the last one on the finest.
    grids, convolutions = {1: ([1], []), 2: ([1, 2], [1]), 3: ([1, 3], [1]), 4: ([1, 2, 4], [1, 1])}[scale]
    before = 2 * blocks + 3
    expected = derived(before=before, grids=grids, after=convolutions)
    assert receptive_field(network, channels=1, scale=twice(scale), tail=0.0) == (expected, expected)


def test_edsr_with_eight_blocks() -> None:
    """20 pixels by derivation: 2 + 2 * 8 in the trunk, 1 in the sub-pixel layer, 1 in the last; float32 shows 18."""
    torch.manual_seed(0)
    network = EDSR(features=32, blocks=8, scale=2)
    assert derived(before=19, grids=[1, 2], after=[1]) == 20
    assert receptive_field(network, channels=1, scale=twice(2), tail=0.0) == (20, 20)
    measured = receptive_field(network, channels=1, scale=twice(2))
    assert measured is not None
    assert max(measured) <= 18


def test_rrdb_reaches_as_far_as_derived() -> None:
    """15 convolutions in a block, one before and one after all; one on the grid of 2; three on that of 4."""
    torch.manual_seed(0)
    network = RRDBNet(1, 1, features=8, growth=4, blocks=1, scale=4)
    expected = derived(before=1 + 15 + 1, grids=[1, 2, 4], after=[1, 3])
    assert receptive_field(network, channels=1, scale=twice(4), tail=0.0) == (expected, expected)
    measured = receptive_field(network, channels=1, scale=twice(4))
    assert measured is not None
    assert max(measured) <= expected


def test_what_is_left_out_cannot_be_seen_in_float32() -> None:
    torch.manual_seed(0)
    network = EDSR(features=16, blocks=4, scale=2).eval()
    field = receptive_field(network, channels=1, scale=twice(2))
    assert field is not None
    halo = max(field)
    image = torch.rand(1, 1, 96, 96)
    with torch.inference_mode():
        whole = network(image)
        tile = network(image[..., 40 - halo : 56 + halo, 40 - halo : 56 + halo])
    core = tile[..., 2 * halo : -2 * halo, 2 * halo : -2 * halo]
    assert (core - whole[..., 80:112, 80:112]).abs().max() < 3e-7


def test_axes_differ() -> None:
    network = nn.Conv3d(1, 1, (3, 1, 7), padding=(1, 0, 3))
    assert receptive_field(network, channels=1, scale=(Fraction(1),) * 3, tail=0.0) == (1, 0, 3)


def test_a_fractional_scale_counts_in_input_pixels() -> None:
    shrink = nn.Conv2d(1, 1, 6, stride=2, padding=2)
    # Output j sees 2j - 2 .. 2j + 3 and belongs to the group 2j .. 2j + 1.
    assert receptive_field(shrink, channels=1, scale=(Fraction(1, 2),) * 2, multiple=2, tail=0.0) == (2, 2)


class Dead(nn.Module):
    """Rectified so hard that hardly any pixel passes a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 5, padding=2, bias=False)
        nn.init.constant_(self.conv.weight, 0.04)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(torch.relu(image - 0.5))
        return found


def test_dead_rectifiers_do_not_hide_the_field() -> None:
    assert receptive_field(Dead(), channels=1, scale=twice(1), tail=0.0) == (2, 2)


class Mean(nn.Module):
    """Uses the mean of the tile, as normalisation and channel attention do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(image - image.mean(dim=(2, 3), keepdim=True))
        return found


def test_a_global_mean_is_without_bound() -> None:
    assert receptive_field(Mean(), channels=1, scale=twice(1)) is None


def test_a_field_larger_than_the_largest_tile_is_without_bound() -> None:
    network = nn.Conv2d(1, 1, 63, padding=31)
    assert receptive_field(network, channels=1, scale=twice(1), largest=48) is None
    assert receptive_field(network, channels=1, scale=twice(1)) == (31, 31)


def test_the_network_is_left_alone() -> None:
    network = nn.Conv2d(1, 1, 3, padding=1)
    receptive_field(network, channels=1, scale=twice(1))
    assert network.weight.dtype == torch.float32
    assert network.weight.requires_grad
    assert network.training
