"""Planes see what their PSF says, and the projection is the least change that agrees with them."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalesr.errors import PlanError
from scalesr.msdsr.psf import AxialProjection, AxialPSF
from scalesr.msdsr.slicing import canvas

CPU = torch.device("cpu")


def test_a_box_covers_its_rows() -> None:
    np.testing.assert_allclose(AxialPSF.read("box:1").weights(Fraction(4)), np.array([0.5, 1, 1, 1, 0.5]) / 4)
    np.testing.assert_allclose(AxialPSF.read("box:0.75").weights(Fraction(4)), np.ones(3) / 3)
    np.testing.assert_allclose(AxialPSF.read("box:0.1").weights(Fraction(4)), [1.0])


def test_a_gaussian_has_its_width() -> None:
    weights = AxialPSF.read("gaussian:2").weights(Fraction(4))
    assert weights[len(weights) // 2 + 4] == pytest.approx(weights.max() / 2)


@given(
    kind=st.sampled_from(["gaussian", "box"]),
    width=st.floats(0.1, 1.5),
    scale=st.fractions(Fraction(3, 2), Fraction(8), max_denominator=4),
    periods=st.integers(1, 4),
)
def test_the_projection_agrees_and_changes_least(kind: str, width: float, scale: Fraction, periods: int) -> None:
    psf, planes = AxialPSF.read(f"{kind}:{width}"), periods * scale.denominator
    random = np.random.default_rng(0)
    project = AxialProjection(psf, planes=planes, scale=scale, device=CPU)
    seen = psf.matrix(planes, scale=scale)
    np.testing.assert_allclose(seen.sum(1), 1)
    tiles = torch.from_numpy(random.random((1, 2, planes, 1, 3))).float()
    placed = canvas(tiles, scale=scale)
    measured, known = placed.values[:, :, :, 0], placed.known[:, :, :, 0]
    before = torch.from_numpy(random.random(measured.shape)).float()
    after = project(before, measured, known)
    np.testing.assert_allclose(np.einsum("pr,ncrx->ncpx", seen, after), tiles[:, :, :, 0], atol=1e-4)
    # The least change has nothing in the null space of what the planes see.
    change = (after - before).double().numpy()
    wanted = np.einsum("rp,ncpx->ncrx", np.linalg.pinv(seen), np.einsum("pr,ncrx->ncpx", seen, change))
    np.testing.assert_allclose(change, wanted, atol=1e-4)


def test_holes_are_no_condition() -> None:
    psf, scale = AxialPSF.read("box:1"), Fraction(4)
    tiles = torch.rand(1, 1, 4, 1, 2)
    tiles[0, 0, 1, 0, 0] = torch.nan
    placed = canvas(tiles, scale=scale)
    before = torch.rand(1, 1, 16, 2)
    after = AxialProjection(psf, planes=4, scale=scale, device=CPU)(
        before, placed.values[:, :, :, 0], placed.known[:, :, :, 0]
    )
    matrix = torch.from_numpy(psf.matrix(4, scale=scale)).float()
    there = tiles[0, 0, :, 0].isfinite()
    torch.testing.assert_close((matrix @ after[0, 0])[there], tiles[0, 0, :, 0][there])
    torch.testing.assert_close((matrix @ after[0, 0])[~there], (matrix @ before[0, 0])[~there])


def test_planes_that_see_the_same_are_refused() -> None:
    with pytest.raises(PlanError, match="too much of each other") as caught:
        AxialProjection(AxialPSF.read("gaussian:3"), planes=12, scale=Fraction(4), device=CPU)
    assert "2 at most" in caught.value.remedy
