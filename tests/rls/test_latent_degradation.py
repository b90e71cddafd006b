from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from scalesr.errors import PlanError
from scalesr.rls.degradation import Degradation


def images(edge: int = 64) -> torch.Tensor:
    return torch.rand(2, 3, edge, edge, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("factor", [2, 4, 8, 16])
def test_areas_are_means(factor: int) -> None:
    found = Degradation(kind="area", factor=factor)(images())
    torch.testing.assert_close(found, functional.avg_pool2d(images(), factor))


@pytest.mark.parametrize(("factor", "edge"), [(2, 64), (4, 64), (16, 128), (3, 48)])
def test_bicubic_is_torch_s_with_its_filter_against_aliases(factor: int, edge: int) -> None:
    wanted = functional.interpolate(images(edge), scale_factor=1 / factor, mode="bicubic", antialias=True)
    torch.testing.assert_close(Degradation(kind="bicubic", factor=factor)(images(edge)), wanted, atol=1e-6, rtol=0)


def by_pulse(x: torch.Tensor, factor: int) -> torch.Tensor:
    """The operator of PULSE's code: 4 x factor taps, mirrored padding of 3 x factor in two halves, strides."""
    place = (torch.arange(4 * factor, dtype=x.dtype) - 2 * factor + 0.5).abs() / factor
    near, far = 1.5 * place**3 - 2.5 * place**2 + 1, -0.5 * place**3 + 2.5 * place**2 - 4 * place + 2
    line = torch.where(place <= 1, near, torch.where(place < 2, far, 0 * place))
    line = line / line.sum()
    before = 3 * factor // 2
    for shape, pad in (
        ((1, 1, -1, 1), (0, 0, before, 3 * factor - before)),
        ((1, 1, 1, -1), (before, 3 * factor - before, 0, 0)),
    ):
        stride = (factor, 1) if shape[2] == -1 else (1, factor)
        flat = functional.pad(x, pad, mode="reflect").flatten(0, 1)[:, None]
        x = functional.conv2d(flat, line.view(shape), stride=stride).view(*x.shape[:2], *[
            n // s for n, s in zip(x.shape[2:], stride, strict=True)
        ])  # fmt: skip
    return x


@pytest.mark.parametrize("factor", [4, 16])
def test_pulse_is_pulse_s_and_differs_at_the_border_only(factor: int) -> None:
    whole = images(128)
    found = Degradation(kind="pulse", factor=factor)(whole)
    torch.testing.assert_close(found, by_pulse(whole, factor))
    apart = (found - Degradation(kind="bicubic", factor=factor)(whole)).abs()
    assert float(apart[:, :, 2:-2, 2:-2].max()) < 6e-7
    assert 0 < float(apart.max()) < (0.02 if factor == 16 else 0.1)


def test_a_psf_blurs_before_pixels_become_larger() -> None:
    whole = images(32)
    blurred = gaussian_filter(whole.numpy(), 1.5, axes=(2, 3), mode="mirror", radius=6)
    wanted = Degradation(kind="area", factor=4)(torch.from_numpy(blurred))
    torch.testing.assert_close(Degradation(kind="area", factor=4, psf=1.5)(whole), wanted)


@given(kind=st.sampled_from(["area", "bicubic", "pulse"]), factor=st.integers(1, 8), psf=st.floats(0, 3))
def test_constants_stay(kind: str, factor: int, psf: float) -> None:
    found = Degradation(kind=kind, factor=factor, psf=psf)(torch.full((1, 1, 8 * factor, 8 * factor), 0.7))  # type: ignore[arg-type]
    assert found.shape == (1, 1, 8, 8)
    torch.testing.assert_close(found, torch.full_like(found, 0.7))


def test_images_need_not_be_square() -> None:
    assert Degradation(factor=4)(torch.rand(1, 1, 16, 32)).shape == (1, 1, 4, 8)
    with pytest.raises(PlanError, match="pixels of 5"):
        Degradation(factor=5)(torch.rand(1, 1, 16, 16))


def test_the_floor_is_the_mean_magnitude_of_the_noise() -> None:
    operator = Degradation(kind="area", factor=2, noise=0.05, counts=200.0)
    clean = torch.rand(2, 1, 400, 400)
    measured = operator.measure(clean, np.random.default_rng(0))
    apart = (measured - operator(clean)).abs().mean(dim=(1, 2, 3))
    torch.testing.assert_close(operator.floor(measured), apart, rtol=0.02, atol=0)
    assert torch.equal(Degradation().floor(measured), torch.zeros(2))


def test_settings_lead_back() -> None:
    for operator in (Degradation(), Degradation(kind="area", factor=8, psf=1.0, noise=0.1, counts=30.0)):
        assert Degradation.from_json(json.loads(json.dumps(operator.to_json()))) == operator


@pytest.mark.parametrize("wrong", [{"kind": "linear"}, {"factor": 0}, {"psf": -1}, {"noise": math.nan}, {"counts": 0}])
def test_what_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(PlanError):
        Degradation(**wrong)  # type: ignore[arg-type]
