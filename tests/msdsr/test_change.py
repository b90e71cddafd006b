"""The change between planes is that of the planes around a voxel, also at the ends and around holes."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from scalesr.msdsr.change import change
from scalesr.msdsr.slicing import canvas


def test_it_is_that_of_the_planes_before_and_after() -> None:
    levels = torch.tensor([0.0, 0.5, 0.4])
    planes = levels.view(1, 1, 3, 1, 1).expand(1, 1, 3, 8, 8)
    found = change(canvas(planes, scale=Fraction(4)))
    # Measured rows and those after the last plane have what the nearest rows between two planes have.
    wanted = torch.tensor([0.5] * 5 + [0.1] * 7).view(1, 1, 12, 1, 1)
    torch.testing.assert_close(found, wanted.expand(found.shape))


@given(seed=st.integers(0, 99), scale=st.sampled_from([Fraction(2), Fraction(5, 2), Fraction(4)]))
@settings(max_examples=10, deadline=None)
def test_it_is_a_mean_over_pixels(seed: int, scale: Fraction) -> None:
    planes = torch.rand(1, 1, scale.denominator * 2, 9, 12, generator=torch.Generator().manual_seed(seed))
    found = change(canvas(planes, scale=scale))[0, 0].numpy()
    ones = np.ones((5, 5))
    apart = np.abs(np.diff(planes[0, 0].numpy(), axis=0))
    means = [
        ndimage.correlate(each, ones, mode="constant") / ndimage.correlate(np.ones_like(each), ones, mode="constant")
        for each in apart
    ]
    np.testing.assert_allclose(found[1], means[0], atol=1e-6)
    np.testing.assert_allclose(found[-1], means[-1], atol=1e-6)


def test_a_hole_is_bridged_and_a_single_plane_has_none() -> None:
    planes = torch.full((1, 1, 3, 8, 8), 0.2)
    planes[:, :, 2] = 0.9
    planes[:, :, 1] = torch.nan
    found = change(canvas(planes, scale=Fraction(2)))
    torch.testing.assert_close(found, torch.full((1, 1, 6, 8, 8), 0.7))
    planes[:, :, 2] = torch.nan
    assert not change(canvas(planes, scale=Fraction(2))).any()
