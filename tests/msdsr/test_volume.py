"""Noise of slices is that of their voxels, and the two orientations exchange what they are said to."""

from __future__ import annotations

from fractions import Fraction
from typing import Any, Literal

import pytest
import torch

from scalesr.msdsr.region import Region
from scalesr.msdsr.sampling import Sampling
from scalesr.msdsr.settings import NetworkSettings
from scalesr.msdsr.slice_noise import slice_noise
from scalesr.msdsr.slicing import Slicing, canvas
from scalesr.msdsr.volume import VolumeSampler


def noise_of(
    orientation: Literal["xz", "yz"], origin: tuple[int, int, int], *, part: range, columns: int, **options: Any
) -> torch.Tensor:
    """Noise of one tile, shape (channels, rows, y, x)."""
    slicing = Slicing(orientation=orientation, tiles=1, part=part, columns=columns, rows=6)
    settings: dict[str, Any] = {"draw": 1, "sample": 0, "seed": 5, "noise": "shared", "correlation": 1} | options
    return slicing.join(slice_noise(slicing, torch.tensor([origin]), channels=2, **settings))[0]


def test_both_orientations_share_the_noise_of_a_voxel() -> None:
    xz = noise_of("xz", (3, -2, 7), part=range(1, 4), columns=5)
    yz = noise_of("yz", (3, -2, 7), part=range(5), columns=6)
    assert torch.equal(xz, yz[:, :, 1:4])
    other = noise_of("yz", (3, -2, 7), part=range(5), columns=6, noise="independent")
    assert not torch.equal(other, yz)
    assert torch.equal(noise_of("xz", (3, -2, 7), part=range(1, 4), columns=5, noise="independent"), xz)


@pytest.mark.parametrize("orientation", ["xz", "yz"])
@pytest.mark.parametrize("correlation", [1, 5])
def test_overlapping_tiles_share_their_noise(orientation: Literal["xz", "yz"], correlation: int) -> None:
    first = noise_of(orientation, (-4, -3, -3), part=range(9), columns=9, correlation=correlation)
    second = noise_of(orientation, (-2, -1, 1), part=range(5), columns=5, correlation=correlation)
    assert torch.equal(first[:, 2:, 2:7, 4:9], second[:, :4])


def test_correlated_slices_keep_the_variance_and_are_alike() -> None:
    found = noise_of("xz", (0, 0, 0), part=range(9), columns=4000, correlation=4)
    assert found.var(dim=(0, 1, 3)) == pytest.approx(torch.ones(9), abs=0.04)
    keys = noise_of("xz", (0, 0, 0), part=range(9), columns=4000)
    assert torch.equal(found[:, :, ::4], keys[:, :, ::4])
    assert torch.corrcoef(torch.stack([found[:, :, 4].flatten(), found[:, :, 5].flatten()]))[0, 1] == pytest.approx(
        0.924, abs=0.01
    )


def sampled(sampling: Sampling, predict: Any, **region: Any) -> torch.Tensor:
    tiles = torch.rand(1, 1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    network = NetworkSettings(widths=(8, 16), attention=(False, False), tile=16)
    sampler = VolumeSampler(
        canvas(tiles, scale=Fraction(4)),
        torch.zeros(1, 3, dtype=torch.int64),
        region=Region.within((12, 12), region.get("margins", (0, 0)), fused=sampling.fuse == "steps"),
        scale=Fraction(4),
        network=network,
        sampling=sampling,
    )
    return sampler.draw(predict, sample=0)


def test_the_region_of_exchange_does_not_depend_on_the_margins() -> None:
    whole, inner = (Region.within((16, 20), margins, fused=True) for margins in ((0, 0), (4, 6)))
    assert (whole.y, whole.x) == (range(16), range(20))
    assert (inner.y, inner.x) == (range(4, 12), range(4, 16))
    assert (whole.core_y, whole.core_x) == (inner.core_y, inner.core_x) == (range(4, 12), range(4, 16))
    alone = Region.within((16, 6), (4, 3), fused=False)
    assert (alone.y, alone.x) == (range(4, 12), range(6))


def test_predictions_are_exchanged_at_every_step() -> None:
    """A network that says 1 for XZ and 3 for YZ slices is heard as one that says 2, in the core alone."""
    seen: list[torch.Tensor] = []

    def divided(noisy: torch.Tensor, timestep: int, known: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        seen.append(noisy.clone())
        found = torch.ones_like(noisy)
        found[12:] = 3
        return found

    def agreed(noisy: torch.Tensor, timestep: int, known: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        return torch.full_like(noisy, 2.0)

    sampling = Sampling(steps=3)
    core = (..., slice(4, 8), slice(4, 8))
    found = sampled(sampling, divided)
    torch.testing.assert_close(found[core], sampled(sampling, agreed)[core], rtol=0, atol=1e-6)
    # XZ slice 5 and YZ slice 6 see the same state where they cross.
    states = seen[2]
    assert torch.equal(states[5, :, :, 6], states[12 + 6, :, :, 5])
    assert not torch.equal(states[5, :, :, 3], states[12 + 3, :, :, 5])


def test_a_start_in_the_middle_begins_at_the_noised_interpolation() -> None:
    seen: list[tuple[int, torch.Tensor, torch.Tensor]] = []

    def watching(noisy: torch.Tensor, timestep: int, known: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        seen.append((timestep, noisy.clone(), between))
        return torch.zeros_like(noisy)

    sampled(Sampling(steps=5, start=0.02, sampler="ddim"), watching)
    timestep, noisy, between = seen[0]
    assert timestep == 17
    assert (noisy - between).abs().mean() < 0.1 < between.abs().mean()


def test_measured_rows_stand_clean_in_every_input() -> None:
    def watching(noisy: torch.Tensor, timestep: int, known: torch.Tensor, between: torch.Tensor) -> torch.Tensor:
        torch.testing.assert_close(noisy[known > 0], between[known > 0], rtol=0, atol=1e-6)
        assert known[:, :, ::4].all()
        assert known.sum() == known[:, :, ::4].sum()
        return torch.randn_like(noisy)

    sampled(Sampling(steps=4), watching)
