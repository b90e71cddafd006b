"""Flux on tensors: block means, zeros, gradients, and agreement with what a run does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from scalesr.engine.flux import conserve
from scalesr.errors import ModelError
from scalesr.hyres.flux import LEAST, conserve_flux, project_flux


def images(seed: int, *, scale: int = 4, low: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an output and a measurement that do not agree."""
    generator = torch.Generator().manual_seed(seed)
    sr = torch.rand(2, 3, 5 * scale, 6 * scale, generator=generator, dtype=torch.float64) + low
    return sr, torch.rand(2, 3, 5, 6, generator=generator, dtype=torch.float64)


@given(seed=st.integers(0, 2**31), scale=st.integers(1, 4))
def test_block_means_become_the_measurement(seed: int, scale: int) -> None:
    sr, low = images(seed, scale=scale, low=-0.3)
    for out in (project_flux(sr, low), conserve_flux(sr, low, zero=0.0), conserve_flux(sr, low, zero=-0.2)):
        torch.testing.assert_close(functional.avg_pool2d(out, scale), low, rtol=0, atol=1e-12)


def test_projection_is_the_nearest_such_image() -> None:
    """Least squares: what is left of the correction is at right angles to all changes that keep the block means."""
    sr, low = images(0)
    change = project_flux(sr, low) - sr
    other = images(1)[0]
    other = other - functional.avg_pool2d(other, 4).repeat_interleave(4, -2).repeat_interleave(4, -1)
    assert abs(float((change * other).sum())) < 1e-10
    torch.testing.assert_close(project_flux(project_flux(sr, low), low), project_flux(sr, low))


@given(seed=st.integers(0, 2**31))
def test_conserving_equals_what_a_run_does(seed: int) -> None:
    sr, low = images(seed, low=-0.2)
    low[:, :, 0] = 0.0
    low[:, :, 1] -= 2.0
    # Blocks of little are stretched less here than there; see the docstring.
    low = torch.where((low > 0) & (functional.avg_pool2d(sr.clamp(min=0), 4) < LEAST), 0.0, low)
    expected = sr[0, 0].numpy().copy()
    conserve(expected, low[0, 0].numpy(), (4, 4))
    np.testing.assert_allclose(conserve_flux(sr, low, zero=0.0)[0, 0].numpy(), expected, rtol=0, atol=1e-12)


def test_zero_stays_zero_and_nothing_is_below() -> None:
    sr, low = images(3, low=-0.5)
    low[0, 0, 2, 3] = 0.0
    out = conserve_flux(sr, low, zero=0.0)
    assert (out[0, 0, 8:12, 12:16] == 0).all()
    blocks = functional.avg_pool2d(sr.clamp(min=0), 4).repeat_interleave(4, -2).repeat_interleave(4, -1)
    assert (out[blocks >= LEAST] >= -1e-12).all()  # the shift that makes up for rounding


def test_dead_pixels_are_left_to_the_network() -> None:
    sr, low = images(4)
    measured = torch.ones_like(low)
    measured[1, :, 0, 0] = 0
    for out in (project_flux(sr, low, measured=measured), conserve_flux(sr, low, zero=0.0, measured=measured)):
        assert torch.equal(out[1, :, :4, :4], sr[1, :, :4, :4])
        torch.testing.assert_close(functional.avg_pool2d(out, 4)[0], low[0])


def test_gradients_are_those_of_finite_differences() -> None:
    sr, low = images(5, scale=2)
    sr, low = sr[:1, :1, :4, :4].requires_grad_(), low[:1, :1, :2, :2].requires_grad_()
    assert torch.autograd.gradcheck(project_flux, (sr, low))
    assert torch.autograd.gradcheck(lambda a, b: conserve_flux(a, b, zero=-0.1), (sr, low))


def test_gradients_are_finite_where_a_block_has_nothing() -> None:
    sr = torch.zeros(1, 1, 8, 8, requires_grad=True)
    conserve_flux(sr, torch.ones(1, 1, 2, 2), zero=0.0).square().sum().backward()  # type: ignore[no-untyped-call]
    assert sr.grad is not None
    assert torch.isfinite(sr.grad).all()


def test_sizes_that_are_no_multiples_are_refused() -> None:
    with pytest.raises(ModelError, match="no whole multiple"):
        project_flux(torch.zeros(1, 1, 9, 8), torch.zeros(1, 1, 2, 2))
